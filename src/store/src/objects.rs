//! The object store, reduced to what Remount needs of it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::Error;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Small facts that travel with an object (lower-case keys, ASCII values).
pub type Metadata = BTreeMap<String, String>;

/// What became of a conditional create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is ours and durable.
    New,
    /// An object was there before; it was not touched. It may be this very call's: a try whose answer was
    /// lost finds its own object when it is repeated. Compare the content to know.
    Existed,
}

/// An object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its path below the root, `/` between the elements.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was last written, by the *store's* clock.
    pub modified: Timestamp,
}

/// An object with its content.
#[derive(Clone, Debug)]
pub struct Object {
    /// The content.
    pub content: Bytes,
    /// The facts that travel with it.
    pub metadata: Metadata,
}

/// An object store.
///
/// Guarantees: an object appears whole or not at all; a create that answers [`Created::New`] is
/// durable; after it, list and read show the object; "absent" is only ever the store's own answer,
/// never the outcome of a failure.
#[async_trait]
pub trait Objects: Debug + Send + Sync {
    /// Writes an object unless one is there.
    ///
    /// # Errors
    /// [`Error::Unanswered`]: it may have been written; read it to know.
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created>;

    /// Writes an object, in the place of another if there is one. Last writer wins.
    async fn replace(&self, path: &str, content: Bytes) -> Result<()>;

    /// The object; none where the store answers that there is none. No more than about `most` bytes are ever in memory:
    /// a database VM may write what it likes, and who reads it is the control plane.
    ///
    /// # Errors
    /// [`Error::Document`] where it has more than `most` bytes.
    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>>;

    /// The object, however long it is: for tests and for tools that know what lies there.
    async fn read(&self, path: &str) -> Result<Option<Object>> {
        self.read_within(path, u64::MAX).await
    }

    /// The first bytes of the object, at most so many; none where the store answers that there is none. Its cost does
    /// not grow with the object.
    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>>;

    /// The object's size, time and metadata; none where the store answers that there is none.
    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>>;

    /// Every object below the prefix (which ends in `/`), sorted by path.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// The names directly below the prefix (which ends in `/`) that have objects below them, sorted.
    /// Its cost does not grow with the objects below each.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>>;

    /// Deletes the object. One that is already gone counts as deleted.
    async fn delete(&self, path: &str) -> Result<()>;
}
