//! Whatever a client writes to the AMQP listener: protocol headers, SASL, frames, performatives,
//! messages, in pieces of any size. A hub stands behind it, so that what is let in is carried out.
#![no_main]

use std::sync::{Arc, LazyLock};

use iothub_amqp::serve;
use iothub_core::auth::x509::NoAuthorities;
use iothub_core::directory::Directory;
use iothub_core::fault::line::Unbreakable;
use iothub_core::hub::{Hub, Ports};
use iothub_core::random::Random;
use iothub_core::route::Wiring;
use iothub_core::time::{ManualClock, Timestamp};
use iothub_store::memory::{MemoryEventLog, MemoryRecords};
use iothub_store::memory_table::MemoryTable;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_700_000_000)));
    let ports = Ports {
        records: Arc::new(MemoryRecords::default()),
        events: Arc::new(MemoryEventLog::new(4, 1 << 20)),
        consumer_groups: Vec::new(),
        routing: Wiring::default(),
        configurations: Arc::new(MemoryTable::default()),
        jobs: Arc::new(MemoryTable::default()),
        authorities: Arc::new(NoAuthorities),
        clock,
        random: Arc::new(Random::seeded(1)),
        storage: None,
    };
    Directory::new(Hub::new("hub", Vec::new(), None, ports), &["hub".to_owned()], false)
});

fuzz_target!(|bytes: &[u8]| {
    // The first byte says in how large pieces the others come.
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (mut answers, mut questions) = tokio::io::split(client);
        let serving = serve(server, None, &DIRECTORY, Arc::new(Unbreakable), std::future::pending::<&str>());
        let asking = async {
            for piece in bytes.chunks(usize::from(size) + 1) {
                if questions.write_all(piece).await.is_err() {
                    return;
                }
            }
            // The end of what a client writes is the end of the connection.
            drop(questions.shutdown().await);
        };
        let reading = async {
            let mut buffer = [0; 4096];
            while matches!(answers.read(&mut buffer).await, Ok(1..)) {}
        };
        tokio::join!(serving, asking, reading);
    });
});
