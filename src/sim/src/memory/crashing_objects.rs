//! A store through which a process "dies": at a given write of the journal, before or after it is made,
//! nothing of it goes on. And which fails writes on demand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use remount_store::{Created, Error, Metadata, Object, ObjectInfo, Objects, Result};
use serde_json::Value;
use tokio::sync::Notify;

use super::MemoryObjects;

/// Where a driver dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The write is not made: what it would have told is done, and nobody knows.
    BeforeWrite(u64),
    /// The write is made.
    AfterWrite(u64),
}

/// An event of a journal, as it is written: its step and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub &'static str, pub &'static str);

impl Written {
    fn is(self, content: &[u8]) -> bool {
        let signed: Value = serde_json::from_slice(content).unwrap_or_default();
        let event: Value =
            signed["document"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        event["step"] == self.0 && event["event"] == self.1
    }
}

/// A driver's death at an event, before or after it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathAt {
    /// The event is not written.
    Before(Written),
    /// The event is written.
    After(Written),
}

/// Writes and deletions of objects with this in their path fail.
#[derive(Clone, Copy, Debug)]
pub struct StoreFault {
    /// Part of the path.
    pub path: &'static str,
    /// How they fail.
    pub kind: StoreFaultKind,
    /// How often.
    pub times: u32,
}

/// How a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFaultKind {
    /// It is refused for good.
    Refuse,
    /// It never arrives; the writer hears nothing.
    LoseRequest,
    /// It happens; the writer hears nothing.
    LoseAnswer,
}

/// Passes everything on until the driver is to die.
#[derive(Debug)]
pub struct CrashingObjects {
    objects: Arc<MemoryObjects>,
    /// Writes of a journal that are left before one is not made; `u64::MAX`: no crash.
    before: AtomicU64,
    /// Writes of a journal that are left until one is the last; `u64::MAX`: no crash.
    after: AtomicU64,
    death: Mutex<Option<DeathAt>>,
    fault: Mutex<Option<StoreFault>>,
    crashed: Notify,
}

impl CrashingObjects {
    /// Before this store.
    #[must_use]
    pub fn over(objects: Arc<MemoryObjects>) -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self {
            objects,
            before: never(),
            after: never(),
            death: None.into(),
            fault: None.into(),
            crashed: Notify::new(),
        }
    }

    /// The driver dies there; writes are counted from 1.
    pub fn die(&self, death: Death) {
        match death {
            Death::BeforeWrite(n) => self.before.store(n, Ordering::SeqCst),
            Death::AfterWrite(n) => self.after.store(n, Ordering::SeqCst),
        }
    }

    /// The driver dies at this event.
    pub fn die_at(&self, death: DeathAt) {
        *locked(&self.death) = Some(death);
    }

    /// The driver dies at its next pause.
    pub fn die_now(&self) {
        self.crashed.notify_one();
    }

    /// Writes fail from now on.
    pub fn fail(&self, fault: StoreFault) {
        *locked(&self.fault) = Some(fault);
    }

    /// Drivers live again, writes succeed.
    pub fn heal(&self) {
        *locked(&self.death) = None;
        *locked(&self.fault) = None;
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

    /// A driver whose last event this is never hears of it.
    async fn reach(&self, death: impl Fn(Written) -> DeathAt, content: &[u8]) {
        let wanted = *locked(&self.death);
        let Some(DeathAt::Before(written) | DeathAt::After(written)) = wanted else { return };
        if wanted == Some(death(written)) && written.is(content) {
            *locked(&self.death) = None;
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// How this write fails; `true` means: do it, then lose the answer.
    fn begin(&self, path: &str) -> Result<bool> {
        let mut fault = locked(&self.fault);
        let Some(active) = fault.as_mut().filter(|fault| fault.times > 0 && path.contains(fault.path)) else {
            return Ok(false);
        };
        active.times -= 1;
        let action = format!("write {path}");
        match active.kind {
            StoreFaultKind::Refuse => Err(Error::Refused { action, source: "injected".into() }),
            StoreFaultKind::LoseRequest => Err(Error::Unanswered { action, source: "injected".into() }),
            StoreFaultKind::LoseAnswer => Ok(true),
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
impl Objects for CrashingObjects {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let lose = self.begin(path)?;
        self.count(path, &self.before).await;
        self.reach(DeathAt::Before, &content).await;
        let created = self.objects.create(path, content.clone(), metadata).await?;
        self.count(path, &self.after).await;
        self.reach(DeathAt::After, &content).await;
        if lose { Err(lost(path)) } else { Ok(created) }
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        let lose = self.begin(path)?;
        self.objects.replace(path, content).await?;
        if lose { Err(lost(path)) } else { Ok(()) }
    }

    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>> {
        self.objects.read_within(path, most).await
    }

    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>> {
        self.objects.read_start(path, bytes).await
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
        let lose = self.begin(path)?;
        self.objects.delete(path).await?;
        if lose { Err(lost(path)) } else { Ok(()) }
    }
}

fn lost(path: &str) -> Error {
    Error::Unanswered { action: format!("write {path}"), source: "lost on purpose".into() }
}

/// A test that panicked elsewhere has failed already.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
