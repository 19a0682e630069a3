//! A folder in the place of a storage account: the folders in it are its containers.
//!
//! Names are checked before they come here ([`Container`](iothub_core::transfer::Container),
//! [`BlobName`](iothub_core::transfer::BlobName)): they cannot lead out of the folder. Links in it
//! could, and are followed only if they do not.

use std::io;
use std::path::{Path, PathBuf};

use iothub_core::error::HubError;
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use iothub_core::registry::bulk::BulkItem;
use iothub_core::store::Record;
use iothub_core::transfer::BlobPlace;
use iothub_core::transfer::storage::{Later, Sink, Source, Storage, StorageError};
use iothub_wire::json::bulk::{Keys, error_line, export_lines, parse_line};
use tempfile::{NamedTempFile, TempPath};
use tokio::fs::{self, File};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter,
};

/// A folder whose folders are containers.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, place: &BlobPlace) -> PathBuf {
        let container = self.root.join(place.container.as_str());
        place.name.segments().fold(container, |path, segment| path.join(segment))
    }

    /// Fails if a link on the way to `path` leads out of the folder.
    async fn check_inside(&self, path: &Path) -> io::Result<()> {
        let (path, root) = (fs::canonicalize(path).await?, fs::canonicalize(&self.root).await?);
        if path.starts_with(root) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not in the storage folder"))
    }

    async fn open(&self, place: &BlobPlace) -> io::Result<Lines> {
        let path = self.path(place);
        self.check_inside(&path).await?;
        let file = File::open(&path).await?;
        let size = file.metadata().await?.len();
        Ok(Lines { file: BufReader::new(file), size, read: 0, number: 0 })
    }

    async fn create(&self, place: &BlobPlace) -> io::Result<Draft> {
        let path = self.path(place);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        // A container that is a link leads to where nothing may be made.
        fs::create_dir_all(self.root.join(place.container.as_str())).await?;
        self.check_inside(&self.root.join(place.container.as_str())).await?;
        fs::create_dir_all(&folder).await?;
        self.check_inside(&folder).await?;
        // Beside its place under another name, readable by its owner alone: it holds keys.
        let (file, draft) = NamedTempFile::new_in(&folder)?.into_parts();
        Ok(Draft { file: BufWriter::new(File::from_std(file)), draft, path })
    }
}

impl Storage for Folder {
    fn read<'a>(&'a self, place: &'a BlobPlace) -> Later<'a, Box<dyn Source>> {
        Box::pin(async move {
            let lines = self.open(place).await.map_err(|why| failed("read", place, &why))?;
            Ok(Box::new(lines) as _)
        })
    }

    fn write<'a>(&'a self, place: &'a BlobPlace) -> Later<'a, Box<dyn Sink>> {
        Box::pin(async move {
            let draft = self.create(place).await.map_err(|why| failed("write", place, &why))?;
            Ok(Box::new(draft) as _)
        })
    }
}

fn failed(verb: &str, place: &BlobPlace, why: &io::Error) -> StorageError {
    StorageError(format!("cannot {verb} {place}: {why}"))
}

/// A file that is read line by line.
struct Lines {
    file: BufReader<File>,
    size: u64,
    read: u64,
    number: u64,
}

impl Lines {
    /// The next line that is not blank; none at the end.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        const MAX: u64 = limits::IMPORT_LINE_BYTES as u64;

        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut self.file).take(MAX + 1);
            let read = bounded.read_until(b'\n', &mut line).await;
            let read = read.map_err(|why| StorageError(format!("cannot read on: {why}")))? as u64;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.read += read;
            if read > MAX {
                let number = self.number;
                return Err(StorageError(format!("line {number} has more than {MAX} bytes")));
            }
            let text = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line).trim_ascii();
            if !text.is_empty() {
                return Ok(Some(text.to_vec()));
            }
        }
    }
}

impl Source for Lines {
    fn next(&mut self) -> Later<'_, Option<Result<BulkItem, HubError>>> {
        Box::pin(async move { Ok(self.line().await?.map(|line| parse_line(&line))) })
    }

    fn progress(&self) -> u8 {
        let percent = self.read.saturating_mul(100).checked_div(self.size).unwrap_or(100);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

/// A file that is written under another name until it is finished.
struct Draft {
    file: BufWriter<File>,
    draft: TempPath,
    path: PathBuf,
}

impl Draft {
    async fn line(&mut self, mut line: String) -> Result<(), StorageError> {
        line.push_str("\r\n");
        self.file.write_all(line.as_bytes()).await.map_err(|why| cannot_write(&why))
    }
}

impl Sink for Draft {
    fn record<'a>(&'a mut self, record: &'a Record, exclude_keys: bool) -> Later<'a, ()> {
        let keys = if exclude_keys { Keys::Hidden } else { Keys::Shown };
        Box::pin(async move {
            for line in export_lines(record, keys) {
                self.line(line).await?;
            }
            Ok(())
        })
    }

    fn error<'a>(&'a mut self, id: Option<&'a IdentityId>, why: &'a HubError) -> Later<'a, ()> {
        Box::pin(self.line(error_line(id, why)))
    }

    fn finish(self: Box<Self>) -> Later<'static, ()> {
        Box::pin(async move {
            let Self { mut file, draft, path } = *self;
            file.flush().await.map_err(|why| cannot_write(&why))?;
            file.into_inner().sync_all().await.map_err(|why| cannot_write(&why))?;
            draft.persist(&path).map_err(|why| cannot_write(&why.error))
        })
    }
}

fn cannot_write(why: &io::Error) -> StorageError {
    StorageError(format!("cannot write on: {why}"))
}

#[cfg(test)]
mod tests {
    use iothub_core::transfer::{BlobName, Container};

    use super::*;

    fn place(name: &str) -> BlobPlace {
        let container = Container::of_uri("https://account/hub").unwrap();
        BlobPlace { container, name: BlobName::parse(name).unwrap() }
    }

    #[tokio::test]
    async fn lines_are_read_whatever_ends_them() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("hub")).unwrap();
        let text = "\u{feff}{\"id\":\"a\"}\r\n\n  \r\nnonsense\n{\"id\":\"b\"}";
        std::fs::write(root.path().join("hub/devices.txt"), text).unwrap();
        let folder = Folder::new(root.path().to_owned());
        let mut source = folder.read(&place("devices.txt")).await.unwrap();
        assert_eq!(source.progress(), 0);
        let first = source.next().await.unwrap().unwrap().unwrap();
        assert_eq!(first.id.to_string(), "a");
        assert!(source.progress() > 0 && source.progress() < 100);
        assert!(source.next().await.unwrap().unwrap().is_err());
        assert_eq!(source.next().await.unwrap().unwrap().unwrap().id.to_string(), "b");
        assert!(source.next().await.unwrap().is_none());
        assert_eq!(source.progress(), 100);
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("hub")).unwrap();
        std::fs::write(root.path().join("hub/x"), "x".repeat(limits::IMPORT_LINE_BYTES + 9))
            .unwrap();
        let folder = Folder::new(root.path().to_owned());
        let mut source = folder.read(&place("x")).await.unwrap();
        let why = source.next().await.unwrap_err();
        assert_eq!(why.to_string(), "line 1 has more than 1048576 bytes");
    }

    #[tokio::test]
    async fn a_file_is_there_when_it_is_finished() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        let path = root.path().join("hub/a/errors.log");
        let why = HubError::ArgumentInvalid("no".to_owned());
        let mut dropped = folder.write(&place("a/errors.log")).await.unwrap();
        dropped.error(None, &why).await.unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(root.path().join("hub/a")).unwrap().count(), 0);
        let mut sink = folder.write(&place("a/errors.log")).await.unwrap();
        sink.error(None, &why).await.unwrap();
        assert!(!path.exists());
        sink.finish().await.unwrap();
        assert!(std::fs::read_to_string(path).unwrap().contains("ArgumentInvalid"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_do_not_lead_out() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("devices.txt"), "{\"id\":\"a\"}").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("hub")).unwrap();
        let folder = Folder::new(root.path().to_owned());
        for name in ["devices.txt", "a/b"] {
            assert!(folder.read(&place(name)).await.is_err(), "{name}");
            assert!(folder.write(&place(name)).await.is_err(), "{name}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
