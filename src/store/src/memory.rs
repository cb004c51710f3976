//! An object store in memory, for tests and the lab's memory world.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Created, Metadata, Object, ObjectInfo, Objects, Result};

/// Objects in memory. It has a clock of its own: [`Self::advance`].
#[derive(Debug, Default)]
pub struct MemoryObjects {}

impl MemoryObjects {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the store's clock on.
    pub fn advance(&self, by: std::time::Duration) {
        todo!("{by:?}")
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        todo!("{path} {content:?} {metadata:?}")
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        todo!("{path} {content:?}")
    }

    async fn read(&self, path: &str) -> Result<Option<Object>> {
        todo!("{path}")
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        todo!("{path}")
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        todo!("{prefix}")
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        todo!("{prefix}")
    }

    async fn delete(&self, path: &str) -> Result<()> {
        todo!("{path}")
    }
}
