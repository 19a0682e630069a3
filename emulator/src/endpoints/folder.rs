//! A folder in the place of a container of a storage account: JSON lines, in the folders that the
//! service makes by default, `{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}.json`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iothub_core::event::{Event, partition_of};
use iothub_core::route::Sink;
use iothub_core::store::Answer;
use iothub_wire::json;

use super::queue::{Item, Items, Queue};

/// How many events are written at once.
const BATCH: usize = 256;
/// How often a write is tried before its events are given up.
const ATTEMPTS: u32 = 3;
const RETRY: Duration = Duration::from_secs(1);

/// Where events go in.
pub(super) struct Entry(pub(super) Queue);

impl Sink for Entry {
    fn take(&self, event: Arc<Event>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.0.put(event).await;
            Ok(())
        })
    }
}

/// The folder of a hub.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) partitions: usize,
}

impl Folder {
    /// Writes what comes until nothing can come any more.
    pub(super) async fn fill(self, mut items: Items) {
        let mut batch = Vec::new();
        while items.recv_many(&mut batch, BATCH).await > 0 {
            let items = std::mem::take(&mut batch);
            let folder = self.clone();
            // Writing to a disk blocks.
            let written = tokio::task::spawn_blocking(move || folder.write_patiently(&items)).await;
            if let Err(error) = written {
                tracing::error!(endpoint = self.name, %error, "events were not written");
            }
        }
    }

    fn write_patiently(&self, items: &[Item]) {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for item in items {
            let path = self.path(&item.event);
            let line = json::event::stored(&item.event).to_string() + "\n";
            match files.iter_mut().find(|(known, _)| *known == path) {
                Some((_, lines)) => lines.push_str(&line),
                None => files.push((path, line)),
            }
        }
        for (path, lines) in &files {
            for attempt in 1..=ATTEMPTS {
                match append(path, lines) {
                    Ok(()) => break,
                    Err(error) if attempt == ATTEMPTS => {
                        let lost = lines.lines().count();
                        let path = path.display();
                        tracing::error!(endpoint = self.name, %path, %error, lost, "events are lost");
                    }
                    Err(_) => std::thread::sleep(RETRY),
                }
            }
        }
    }

    fn path(&self, event: &Event) -> PathBuf {
        let at = event.enqueued.date_time();
        let partition = partition_of(&event.sender, self.partitions);
        self.root.join(format!(
            "{partition}/{:04}/{:02}/{:02}/{:02}/{:02}.json",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        ))
    }
}

/// One write for all lines, so that no reader sees half a line of a file that is on one machine.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(lines.as_bytes())
}
