//! A cloud whose calls are tried again: every one of them may be sent twice, by its key or its nature.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{Attempts, DiskCid, RequestKey, SnapshotCid, VmCid};
use remount_host::{RetryPolicy, Retryable, retry};

use crate::{Disk, DiskCloud, DiskSpec, Error, Result, Snapshot, Tags};

/// Wraps a cloud.
#[derive(Clone, Debug)]
pub struct RetryingCloud {
    inner: Arc<dyn DiskCloud>,
    policy: RetryPolicy,
}

impl RetryingCloud {
    /// Tries calls again by this policy.
    #[must_use]
    pub fn new(inner: Arc<dyn DiskCloud>, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

impl Retryable for Error {
    fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Busy { action, .. } | Self::Unanswered { action, .. } = &mut self {
            *action = format!("{action}{attempts}");
        }
        self
    }
}

#[async_trait]
impl DiskCloud for RetryingCloud {
    fn iaas(&self) -> &'static str {
        self.inner.iaas()
    }

    fn settle(&self) -> Duration {
        self.inner.settle()
    }

    async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        retry(&self.policy, || self.inner.disk(cid)).await
    }

    async fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
        retry(&self.policy, || self.inner.is_attached(disk, vm)).await
    }

    async fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        retry(&self.policy, || self.inner.disks_tagged(tags)).await
    }

    async fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        retry(&self.policy, || self.inner.create_snapshot(disk, tags, key)).await
    }

    async fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        retry(&self.policy, || self.inner.snapshot(cid)).await
    }

    async fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        retry(&self.policy, || self.inner.snapshots_tagged(tags)).await
    }

    async fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()> {
        retry(&self.policy, || self.inner.tag_snapshot(cid, tags)).await
    }

    async fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        retry(&self.policy, || self.inner.delete_snapshot(cid)).await
    }

    async fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        retry(&self.policy, || self.inner.check_create_disk(snapshot, spec)).await
    }

    async fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        retry(&self.policy, || self.inner.create_disk(snapshot, spec, key)).await
    }

    async fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        retry(&self.policy, || self.inner.delete_disk(cid)).await
    }
}
