//! The port to where import and export jobs read and write.

use std::future::Future;
use std::pin::Pin;

use super::BlobPlace;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::registry::bulk::BulkItem;
use crate::store::Record;

/// Why a file cannot be read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// What the port answers, later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// Where the files are: what a storage account is to the service.
pub trait Storage: Send + Sync + 'static {
    /// Opens a file of identities to read.
    fn read<'a>(&'a self, place: &'a BlobPlace) -> Later<'a, Box<dyn Source>>;

    /// Begins a file; it is there when it is finished, and not before.
    fn write<'a>(&'a self, place: &'a BlobPlace) -> Later<'a, Box<dyn Sink>>;
}

/// A file of identities that is being read.
pub trait Source: Send {
    /// The next item; none at the end. The inner error is that of one line.
    fn next(&mut self) -> Later<'_, Option<Result<BulkItem, HubError>>>;

    /// How much is read, of a hundred.
    fn progress(&self) -> u8;
}

/// A file that is being written. Dropped before it is finished, it leaves nothing behind.
pub trait Sink: Send {
    /// Writes a device and its modules.
    fn record<'a>(&'a mut self, record: &'a Record, exclude_keys: bool) -> Later<'a, ()>;

    /// Writes what could not be done; for which identity, if that is known.
    fn error<'a>(&'a mut self, id: Option<&'a IdentityId>, why: &'a HubError) -> Later<'a, ()>;

    /// Ends the file.
    fn finish(self: Box<Self>) -> Later<'static, ()>;
}
