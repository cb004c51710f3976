//! A store through which a driver "dies": at a given write of the journal, before or after it is made,
//! nothing of it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use remount_store::{Created, MemoryObjects, Metadata, Object, ObjectInfo, Objects, Result};
use tokio::sync::Notify;

/// Where a driver dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The write is not made: what it would have told is done, and nobody knows.
    BeforeWrite(u64),
    /// The write is made.
    AfterWrite(u64),
}

/// Passes everything on until the driver is to die.
#[derive(Debug)]
pub struct Crashing {
    objects: Arc<MemoryObjects>,
    /// Writes of a journal that are left before one is not made; `u64::MAX`: no crash.
    before: AtomicU64,
    /// Writes of a journal that are left until one is the last; `u64::MAX`: no crash.
    after: AtomicU64,
    crashed: Notify,
}

impl Crashing {
    pub fn over(objects: Arc<MemoryObjects>) -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self { objects, before: never(), after: never(), crashed: Notify::new() }
    }

    /// The driver dies there; writes are counted from 1.
    pub fn die(&self, death: Death) {
        match death {
            Death::BeforeWrite(n) => self.before.store(n, Ordering::SeqCst),
            Death::AfterWrite(n) => self.after.store(n, Ordering::SeqCst),
        }
    }

    /// Drivers live again.
    pub fn heal(&self) {
        self.before.store(u64::MAX, Ordering::SeqCst);
        self.after.store(u64::MAX, Ordering::SeqCst);
    }

    /// Runs a driver until it ends or dies; none where it died.
    pub async fn drive<T>(&self, driver: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.crashed.notified() => None,
            ended = driver => Some(ended),
        }
    }

    /// Counts a write of a journal; a driver whose last it is never hears of it.
    async fn count(&self, path: &str, left: &AtomicU64) {
        if !path.contains("/journal/") || left.load(Ordering::SeqCst) == u64::MAX {
            return;
        }
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.heal();
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Objects for Crashing {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        self.count(path, &self.before).await;
        let created = self.objects.create(path, content, metadata).await?;
        self.count(path, &self.after).await;
        Ok(created)
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        self.objects.replace(path, content).await
    }

    async fn read(&self, path: &str) -> Result<Option<Object>> {
        self.objects.read(path).await
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        self.objects.stat(path).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.objects.list(prefix).await
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.objects.folders(prefix).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.objects.delete(path).await
    }
}
