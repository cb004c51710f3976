//! Restores of one cluster: the plan, what is published to the VMs, the fork and the journal.

use remount_core::{ForkRecord, RestoreId, RestorePlan};
use serde_json::Value;

use crate::{ClusterStore, Lease, Result};

impl ClusterStore {
    /// Writes a plan, once.
    ///
    /// # Idempotence
    /// The same plan again is success; another one is [`crate::Error::Conflict`].
    pub async fn write_plan(&self, plan: &RestorePlan, lease: &Lease) -> Result<()> {
        todo!("{plan:?} {lease:?}")
    }

    /// The plan of a restore.
    pub async fn plan(&self, id: &RestoreId) -> Result<Option<RestorePlan>> {
        todo!("{id}")
    }

    /// The ids of every restore that was begun, oldest first.
    pub async fn restores(&self) -> Result<Vec<RestoreId>> {
        todo!()
    }

    /// Makes a plan the one that the VMs apply at their next start.
    ///
    /// # Idempotence
    /// Publishing it again is success; so is publishing in the place of another plan.
    pub async fn publish(&self, id: &RestoreId, lease: &Lease) -> Result<()> {
        todo!("{id} {lease:?}")
    }

    /// The plan that the VMs apply at their next start, its HMAC verified.
    pub async fn published(&self) -> Result<Option<RestorePlan>> {
        todo!()
    }

    /// Takes the published plan back. None published counts as done.
    pub async fn withdraw(&self, lease: &Lease) -> Result<()> {
        todo!("{lease:?}")
    }

    /// Writes where the restored primary left the planned line, once.
    pub async fn write_fork(&self, fork: &ForkRecord, lease: &Lease) -> Result<()> {
        todo!("{fork:?} {lease:?}")
    }

    /// Where the restored primary left the planned line; none until it is known.
    pub async fn fork(&self, id: &RestoreId) -> Result<Option<ForkRecord>> {
        todo!("{id}")
    }

    /// Appends the `n`-th event of a restore's journal.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] where another event has that number, [`crate::Error::Fenced`].
    ///
    /// # Idempotence
    /// The same event again is success.
    pub async fn append_journal(&self, id: &RestoreId, lease: &Lease, n: u64, event: &Value) -> Result<()> {
        todo!("{id} {lease:?} {n} {event}")
    }

    /// The events of a restore's journal, in the order of their numbers.
    pub async fn journal(&self, id: &RestoreId) -> Result<Vec<Value>> {
        todo!("{id}")
    }
}
