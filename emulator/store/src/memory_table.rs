//! Documents in memory: configurations and jobs.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iothub_core::store::{Answer, Revision, StoreError};
use iothub_core::table::{Entry, Table, TableChange};

/// Documents in an ordered map: there are few of them.
#[derive(Debug)]
pub struct MemoryTable<K, V> {
    by_key: Mutex<BTreeMap<K, Entry<V>>>,
}

// Derived it would ask the same of keys and documents.
impl<K, V> Default for MemoryTable<K, V> {
    fn default() -> Self {
        Self { by_key: Mutex::default() }
    }
}

impl<K: Ord, V> FromIterator<(K, Arc<V>)> for MemoryTable<K, V> {
    /// Documents that are there from the beginning.
    fn from_iter<I: IntoIterator<Item = (K, Arc<V>)>>(documents: I) -> Self {
        let first = |(key, value)| (key, Entry { value, revision: Revision(1) });
        Self { by_key: Mutex::new(documents.into_iter().map(first).collect()) }
    }
}

impl<K: Ord, V> MemoryTable<K, V> {
    /// Held for a look-up or a copy of pointers; nothing awaits meanwhile.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Entry<V>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, change: TableChange<K, V>) -> Result<Revision, StoreError> {
        let mut by_key = self.lock();
        let count = by_key.len();
        let entry = by_key.entry(change.key);
        let found = match &entry {
            btree_map::Entry::Occupied(entry) => Some(entry.get().revision),
            btree_map::Entry::Vacant(_) => None,
        };
        if found != change.expected {
            return Err(StoreError::Conflict);
        }
        let revision = Revision(found.map_or(1, |Revision(revision)| revision + 1));
        match (entry, change.value) {
            (btree_map::Entry::Vacant(_), Some(_)) if count >= change.room => {
                return Err(StoreError::Full);
            }
            (entry, Some(value)) => drop(entry.insert_entry(Entry { value, revision })),
            (btree_map::Entry::Occupied(entry), None) => drop(entry.remove()),
            (btree_map::Entry::Vacant(_), None) => {}
        }
        Ok(revision)
    }
}

impl<K, V> Table<K, V> for MemoryTable<K, V>
where
    K: Ord + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn get<'a>(&'a self, key: &'a K) -> Answer<'a, Option<Entry<V>>> {
        Box::pin(ready(Ok(self.lock().get(key).cloned())))
    }

    fn commit(&self, change: TableChange<K, V>) -> Answer<'_, Revision> {
        Box::pin(ready(self.apply(change)))
    }

    fn all(&self) -> Answer<'_, Vec<Arc<V>>> {
        Box::pin(ready(Ok(self.lock().values().map(|entry| entry.value.clone()).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn tables_conform() {
        conformance::documents_are_compared(MemoryTable::default()).await;
        conformance::documents_have_room(MemoryTable::default()).await;
        conformance::documents_begin::<MemoryTable<String, String>>().await;
    }
}
