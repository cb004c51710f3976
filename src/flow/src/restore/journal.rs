//! A restore's journal in the store, written under the lease.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::RestoreId;
use remount_core::documents::{FORMAT, JournalEvent, What};
use remount_saga::Journal;
use remount_store::{ClusterStore, Lease};

use crate::{FlowError, Result};

/// A restore's journal. Every append checks the lease: it is the fence between steps.
#[derive(Debug)]
pub struct RestoreJournal {
    cluster: ClusterStore,
    restore: RestoreId,
    lease: Lease,
    last: AtomicU64,
}

impl RestoreJournal {
    /// The journal of a restore, to be continued after its event `last`.
    #[must_use]
    pub const fn new(cluster: ClusterStore, restore: RestoreId, lease: Lease, last: u64) -> Self {
        Self { cluster, restore, lease, last: AtomicU64::new(last) }
    }
}

#[async_trait]
impl Journal<FlowError> for RestoreJournal {
    async fn append(&self, what: What) -> Result<()> {
        let n = self.last.load(Ordering::Acquire) + 1;
        let event = JournalEvent { format: FORMAT, n, at: Timestamp::now(), epoch: self.lease.epoch(), what };
        let written = self.cluster.append_journal(&self.restore, &event, &self.lease).await;
        written.map_err(|error| match error {
            // Ours is the lease, so it was written after its writer had lost it. What it says counts all the same.
            remount_store::Error::Conflict { .. } => FlowError::check(
                format!(
                    "event {n} of the journal of restore {} is of a process that came too late",
                    self.restore
                ),
                "nothing is lost: the process that resumes reads it first",
            ),
            error => {
                FlowError::store(format!("write event {n} of the journal of restore {}", self.restore))(error)
            }
        })?;
        self.last.store(n, Ordering::Release);
        Ok(())
    }

    async fn abort_requested(&self) -> Result<Option<String>> {
        let requested = self.cluster.abort_requested(&self.restore).await;
        requested.map_err(FlowError::store("look whether somebody aborts the restore"))
    }
}
