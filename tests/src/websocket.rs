//! WebSockets by hand: RFC 6455 as far as MQTT needs it.

use std::io::{self, Read, Write};

use crate::mqtt::{Connection, Socket};

/// What every key of a client may be, since nobody here caches.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl Connection {
    /// Asks for a WebSocket and gives the head of the answer.
    pub fn ask_for_websocket(&mut self, path: &str, headers: &str) -> String {
        self.send(
            format!(
                "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{headers}\r\n\r\n"
            )
            .as_bytes(),
        );
        let mut head = String::new();
        loop {
            let line = self.read_line();
            if line == "\r\n" {
                return head;
            }
            head.push_str(&line);
        }
    }

    /// Opens a WebSocket for MQTT; bytes go in binary messages from here on.
    pub fn over_websocket(mut self, path: &str) -> Self {
        let head = self.ask_for_websocket(path, "Sec-WebSocket-Protocol: mqtt");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.socket = Box::new(Messages { below: self.socket, rest: Vec::new() });
        self
    }
}

/// A frame from a client with this first byte: 0x82 for a whole binary message.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The bytes within binary messages.
struct Messages {
    below: Box<dyn Socket>,
    rest: Vec<u8>,
}

impl Read for Messages {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let mut head = [0; 2];
            self.below.read_exact(&mut head)?;
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.below.read_exact(&mut length)?;
                    u64::from(u16::from_be_bytes(length))
                }
                127 => {
                    let mut length = [0; 8];
                    self.below.read_exact(&mut length)?;
                    u64::from_be_bytes(length)
                }
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.below.read_exact(&mut payload)?;
            match head[0] {
                0x82 => self.rest = payload,
                // a pong
                0x8A => {}
                0x88 => {
                    let _ = self.below.write_all(&frame(0x88, &payload));
                    let _ = self.below.flush();
                    return Ok(0);
                }
                other => panic!("came a frame of {other:#04x}, expected a binary message"),
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.below.write_all(&frame(0x82, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.below.flush()
    }
}
