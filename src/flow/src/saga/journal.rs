//! A restore's journal in the store, written under the lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use remount_core::{FORMAT, RestoreId};
use remount_store::{ClusterStore, Lease};
use serde_json::Value;

use super::event::{Event, EventKind};
use crate::wait::retrying;
use crate::{FlowError, Result};

/// A restore's journal. Every append checks the lease: it is the fence between steps.
#[derive(Debug)]
pub struct Journal {
    cluster: ClusterStore,
    restore: RestoreId,
    lease: Lease,
    last: AtomicU64,
    retry: Duration,
}

impl Journal {
    /// The journal of a restore, to be continued after its event `last`.
    #[must_use]
    pub const fn new(
        cluster: ClusterStore,
        restore: RestoreId,
        lease: Lease,
        last: u64,
        retry: Duration,
    ) -> Self {
        Self { cluster, restore, lease, last: AtomicU64::new(last), retry }
    }

    /// Whose journal it is.
    #[must_use]
    pub const fn restore(&self) -> &RestoreId {
        &self.restore
    }

    /// Who asked that the restore goes no further.
    ///
    /// # Errors
    /// The store has not answered for the whole retry time.
    pub async fn abort_asked(&self) -> Result<Option<String>> {
        let asked = retrying(self.retry, || self.cluster.abort_asked(&self.restore)).await;
        asked.map_err(FlowError::store("look whether somebody aborts the restore"))
    }

    /// Appends an event.
    ///
    /// # Errors
    /// [`FlowError::Store`]: fenced, or the store has not answered for the whole retry time.
    pub async fn append(&self, step: &str, event: EventKind, detail: Value) -> Result<()> {
        let n = self.last.load(Ordering::Acquire) + 1;
        let event = Event {
            format: FORMAT,
            n,
            at: Timestamp::now(),
            epoch: self.lease.epoch(),
            step: step.to_owned(),
            event,
            detail,
        };
        let json = serde_json::to_value(&event).map_err(|error| FlowError::Journal {
            restore: self.restore.clone(),
            detail: error.to_string(),
        })?;
        let written =
            retrying(self.retry, || self.cluster.append_journal(&self.restore, &self.lease, n, &json)).await;
        written.map_err(|error| match error {
            // Ours is the lease, so it was written after its writer had lost it. What it says counts all the same.
            remount_store::Error::Conflict { .. } => FlowError::check(
                format!(
                    "event {n} of the journal of restore {} is of a process that came too late",
                    self.restore
                ),
                "nothing is lost: whoever goes on reads it first",
            ),
            error => {
                FlowError::store(format!("write event {n} of the journal of restore {}", self.restore))(error)
            }
        })?;
        self.last.store(n, Ordering::Release);
        Ok(())
    }
}

/// Reads a restore's journal.
pub async fn read(cluster: &ClusterStore, restore: &RestoreId, retry: Duration) -> Result<Vec<Event>> {
    let values = retrying(retry, || cluster.journal(restore))
        .await
        .map_err(FlowError::store(format!("read the journal of restore {restore}")))?;
    let wrong =
        |error: serde_json::Error| FlowError::Journal { restore: restore.clone(), detail: error.to_string() };
    values.into_iter().map(|value| serde_json::from_value(value).map_err(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use remount_core::Advice as _;
    use remount_store::{MemoryObjects, Purpose, SigningKey, Store};

    use super::*;

    #[tokio::test]
    async fn an_event_that_another_wrote_too_late_stops_the_writer_and_says_what_it_is() {
        let key = SigningKey::from_hex(&"07".repeat(32)).unwrap();
        let cluster = Store::new(Arc::new(MemoryObjects::new()), key).cluster(&"pg-0001".parse().unwrap());
        let lease = cluster.take_lease("test", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
        let restore: RestoreId = "20261124T101500Z-aaaa".parse().unwrap();
        let journal =
            || Journal::new(cluster.clone(), restore.clone(), lease.clone(), 0, Duration::from_millis(50));
        journal().append("begin", EventKind::Intended, Value::Null).await.unwrap();
        let error = journal().append("begin", EventKind::Failed, Value::Null).await.unwrap_err();
        assert!(error.to_string().contains("of a process that came too late"), "{error}");
        assert!(!error.is_fenced() && error.next_step().is_some());
        assert_eq!(
            read(&cluster, &restore, Duration::ZERO).await.unwrap().len(),
            1,
            "nothing is overwritten"
        );
    }
}
