//! Objects whose calls are tried again. A create whose answer was lost finds its own object when it is repeated: it
//! answers [`Created::Existed`], and whoever creates compares the content.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use remount_core::Attempts;
use remount_host::{RetryPolicy, Retryable, retry};

use crate::{Created, Error, Metadata, Object, ObjectInfo, Objects, Result};

/// How long those try again what the store denies whom nobody asks again: a server in recovery, and the fence before it.
pub const DENIALS_TRIED: Duration = Duration::from_secs(30);

/// Wraps an object store.
#[derive(Clone, Debug)]
pub struct RetryingObjects {
    inner: Arc<dyn Objects>,
    policy: RetryPolicy,
}

impl RetryingObjects {
    /// Tries calls again by this policy.
    #[must_use]
    pub fn new(inner: Arc<dyn Objects>, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

impl Retryable for Error {
    fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Unanswered { action, .. } | Self::Denied { action, .. } = &mut self {
            *action = format!("{action}{attempts}");
        }
        self
    }

    fn is_denial(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

#[async_trait]
impl Objects for RetryingObjects {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        retry(&self.policy, || self.inner.create(path, content.clone(), metadata)).await
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        retry(&self.policy, || self.inner.replace(path, content.clone())).await
    }

    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>> {
        retry(&self.policy, || self.inner.read_within(path, most)).await
    }

    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>> {
        retry(&self.policy, || self.inner.read_start(path, bytes)).await
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        retry(&self.policy, || self.inner.stat(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        retry(&self.policy, || self.inner.list(prefix)).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        retry(&self.policy, || self.inner.folders(prefix)).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        retry(&self.policy, || self.inner.delete(path)).await
    }
}
