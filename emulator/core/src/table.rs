//! The port behind which the documents live that belong to no device: configurations and jobs.
//!
//! As with [`crate::store::Records`], a backend has nothing to get right but get, commit and list.

use std::sync::Arc;

use crate::store::{Answer, Revision};

/// Documents of one kind under their keys.
pub trait Table<K, V>: Send + Sync + 'static {
    /// The document of `key`, if there is one.
    fn get<'a>(&'a self, key: &'a K) -> Answer<'a, Option<Entry<V>>>;

    /// Makes `change` if its document still has the expected revision.
    fn commit(&self, change: TableChange<K, V>) -> Answer<'_, Revision>;

    /// All documents, in the order of their keys.
    fn all(&self) -> Answer<'_, Vec<Arc<V>>>;
}

/// A document and the revision that it had when it was read.
#[derive(Debug)]
pub struct Entry<V> {
    /// The document.
    pub value: Arc<V>,
    /// Its revision.
    pub revision: Revision,
}

// Derived it would ask the same of the document.
impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), revision: self.revision }
    }
}

/// A change to commit.
#[derive(Clone, Debug)]
pub struct TableChange<K, V> {
    /// Which document.
    pub key: K,
    /// The revision that the change was decided on; none if there was no document.
    pub expected: Option<Revision>,
    /// The new document; none removes it.
    pub value: Option<Arc<V>>,
    /// How many documents there may be with a new one: [`crate::store::StoreError::Full`] if there
    /// are as many already.
    pub room: usize,
}
