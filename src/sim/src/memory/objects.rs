//! An object store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use remount_store::{Created, Error, Metadata, Object, ObjectInfo, Objects, Result};

/// Objects in memory. The store has a clock of its own, which begins at 2000-01-01: whoever compares
/// its times with the machine's is found out.
pub struct MemoryObjects {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    advanced: Duration,
}

#[derive(Clone)]
struct Stored {
    content: Bytes,
    metadata: Metadata,
    modified: Timestamp,
}

/// 2000-01-01T00:00:00Z.
pub(super) const BEGINNING: Timestamp = Timestamp::constant(946_684_800, 0);

impl MemoryObjects {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: Instant::now(), state: Mutex::default() }
    }

    /// Moves the store's clock on, as if so much time had passed.
    pub fn advance(&self, by: Duration) {
        self.state().advanced += by;
    }

    /// A panic elsewhere leaves the map whole: every change is one call.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, state: &mut State, path: &str, content: Bytes, metadata: Metadata) {
        let passed = self.begun.elapsed() + state.advanced;
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let modified = BEGINNING.checked_add(passed).unwrap_or(Timestamp::MAX);
        state.objects.insert(path.to_owned(), Stored { content, metadata, modified });
    }
}

impl fmt::Debug for MemoryObjects {
    /// Without the objects, which may be many and large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryObjects").field("count", &self.state().objects.len()).finish_non_exhaustive()
    }
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::new()
    }
}

impl Stored {
    fn info(&self, path: &str) -> ObjectInfo {
        ObjectInfo { path: path.to_owned(), size_bytes: self.content.len() as u64, modified: self.modified }
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let mut state = self.state();
        if state.objects.contains_key(path) {
            return Ok(Created::Existed);
        }
        self.put(&mut state, path, content, metadata.clone());
        Ok(Created::New)
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        self.put(&mut self.state(), path, content, Metadata::new());
        Ok(())
    }

    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>> {
        let stored = self.state().objects.get(path).cloned();
        if stored.as_ref().is_some_and(|stored| stored.content.len() as u64 > most) {
            return Err(Error::too_long(path, most));
        }
        Ok(stored.map(|stored| Object { content: stored.content, metadata: stored.metadata }))
    }

    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>> {
        let whole = self.read(path).await?.map(|object| object.content);
        let end = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(whole.map(|content| content.slice(..end.min(content.len()))))
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        let stored = self.state().objects.get(path).cloned();
        Ok(stored.map(|stored| (stored.info(path), stored.metadata)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let state = self.state();
        let below = state.objects.range(prefix.to_owned()..).take_while(|(path, _)| path.starts_with(prefix));
        Ok(below.map(|(path, stored)| stored.info(path)).collect())
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let objects = self.list(prefix).await?;
        let folder = |path: &str| path[prefix.len()..].split_once('/').map(|(name, _)| name.to_owned());
        let names: BTreeSet<_> = objects.iter().filter_map(|info| folder(&info.path)).collect();
        Ok(names.into_iter().collect())
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.state().objects.remove(path);
        Ok(())
    }
}
