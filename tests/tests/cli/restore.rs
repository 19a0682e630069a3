//! Documents that come to be restored from senders that stall. The room for documents is that of a
//! process, so that each test has an emulator that is one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

const MIB: usize = 1 << 20;

/// A restore of which so many bytes are announced, and so many sent: a document that begins with
/// blanks, and has one device if it ends.
fn restore(emulator: &Emulator, announced: usize, sent: usize) -> TcpStream {
    const DOCUMENT: &str = r#"{"devices": [{"deviceId": "d1"}]}"#;

    let address = emulator.local.harness.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    let head = "POST /hubs/emulator/restore HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    write!(socket, "{head}\r\nContent-Length: {announced}\r\n\r\n").unwrap();
    let body = " ".repeat(announced - DOCUMENT.len()) + DOCUMENT;
    socket.write_all(&body.as_bytes()[..sent]).unwrap();
    socket
}

fn answer(mut socket: TcpStream) -> String {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_stalls_in_a_large_document_is_ended_and_holds_up_nobody() {
    let emulator = Emulator::start();
    let stalled: Vec<TcpStream> = (0..6).map(|_| restore(&emulator, 10 * MIB, 3 * MIB)).collect();
    for size in [100, 2 * MIB] {
        let answer = answer(restore(&emulator, size, size));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{size}: {answer}");
    }
    for socket in stalled {
        let answer = answer(socket);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("nothing of the body came for 5s"), "{answer}");
    }
}

#[test]
fn who_stalls_and_takes_all_the_room_is_waited_for_no_longer_than_it_may_stall() {
    let emulator = Emulator::start();
    let stalled = [(); 2].map(|()| restore(&emulator, 60 * MIB, 40 * MIB));
    let answer = answer(restore(&emulator, 30 * MIB, 30 * MIB));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(stalled);
}
