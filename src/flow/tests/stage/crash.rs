//! A store through which a driver "dies": after a given write of the journal nothing of it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use remount_store::{Created, MemoryObjects, Metadata, Object, ObjectInfo, Objects, Result};
use tokio::sync::Notify;

/// Passes everything on until the driver is to die.
#[derive(Debug)]
pub struct Crashing {
    objects: Arc<MemoryObjects>,
    /// Writes of a journal that are left; `u64::MAX`: no crash.
    left: AtomicU64,
    crashed: Notify,
}

impl Crashing {
    pub fn over(objects: Arc<MemoryObjects>) -> Self {
        Self { objects, left: AtomicU64::new(u64::MAX), crashed: Notify::new() }
    }

    /// The driver dies right after its `n`-th write of a journal, from 1.
    pub fn after_journal_writes(&self, n: u64) {
        self.left.store(n, Ordering::SeqCst);
    }

    /// Drivers live again.
    pub fn heal(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
    }

    /// Runs a driver until it ends or dies; none where it died.
    pub async fn drive<T>(&self, driver: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.crashed.notified() => None,
            ended = driver => Some(ended),
        }
    }

    /// Counts a write that was made; the driver that made the last one never hears of it.
    async fn count(&self, path: &str) {
        if !path.contains("/journal/") || self.left.load(Ordering::SeqCst) == u64::MAX {
            return;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.heal();
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Objects for Crashing {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let created = self.objects.create(path, content, metadata).await?;
        self.count(path).await;
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
