//! The directory in which an installation keeps what outlives a run.
//!
//! A file is written beside its place and then renamed into it, so that a reader sees the old one
//! or the new one and never half of either.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Held by whoever changes files that belong together.
const LOCK_FILE_NAME: &str = "lock";

/// The directory, which exists.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readers {
    /// Only the user that runs the emulator: for keys.
    Owner,
    /// Whoever gets into the directory.
    Everyone,
}

/// What could not be done in the state directory.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {action}: {source}", path.display())]
pub struct StateError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

/// Ends the exclusive right to change files when dropped.
#[derive(Debug)]
#[must_use = "the lock ends as soon as it is dropped"]
pub struct Lock {
    _file: File,
}

impl StateDir {
    /// Takes the directory, and makes it where there is none, for its owner only.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        // Absolute, since others are told where its files are.
        let made =
            std::path::absolute(&path).and_then(|path| owner_only().create(&path).map(|()| path));
        match made {
            Ok(path) => Ok(Self { path }),
            Err(source) => Err(StateError { path, action: "made", source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file in it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; none if there is no such file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError { path, action: "read", source }),
        }
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    ///
    /// The file cannot be written; what was there is still there.
    pub fn write(&self, name: &str, bytes: &[u8], readers: Readers) -> Result<(), StateError> {
        let path = self.file(name);
        self.replace(&path, bytes, readers).map_err(|source| StateError {
            path,
            action: "written",
            source,
        })
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(StateError { path, action: "removed", source })
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other process holds the lock, and takes it.
    ///
    /// # Errors
    ///
    /// The lock's file cannot be made.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.file(LOCK_FILE_NAME);
        self.locked(&path).map_err(|source| StateError { path, action: "locked", source })
    }

    fn locked(&self, path: &Path) -> io::Result<Lock> {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.lock() {
            // Some network file systems have no locks. Files still change whole, so the worst that
            // two first starts at once can do there is to have one fail and say why.
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
            _ => Ok(Lock { _file: file }),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(match readers {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        }));
        #[cfg(not(unix))]
        let _ = readers; // The user's directories are the user's own there.
        let mut file = builder.tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        // Without it a power cut could leave an empty file under the new name.
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

impl StateError {
    /// What the operating system said.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

fn owner_only() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path().join("a/b")).unwrap();
        assert_eq!(dir.read("x").unwrap(), None);
        dir.write("x", b"1", Readers::Everyone).unwrap();
        dir.write("x", b"2", Readers::Everyone).unwrap();
        assert_eq!(dir.read("x").unwrap().as_deref(), Some(b"2" as &[u8]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        dir.remove("x").unwrap();
        dir.remove("x").unwrap();
        assert_eq!(dir.read("x").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_keys() {
        use std::os::unix::fs::PermissionsExt as _;

        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path().join("s")).unwrap();
        dir.write("key", b"", Readers::Owner).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.file("key")), 0o600);
    }

    #[test]
    fn an_error_names_the_file() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("file"), "").unwrap();
        let path = temporary.path().join("file/below");
        let error = StateDir::open(&path).unwrap_err().to_string();
        let expected = format!("{} cannot be made: ", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temporary.path()).unwrap();
        let first = dir.lock().unwrap();
        let other = dir.clone();
        let second = std::thread::spawn(move || other.lock().map(drop));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }
}
