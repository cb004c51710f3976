//! Servers whose calls are tried again. The status is read once where the caller wants it as it is now, and for as
//! long as the caller says where one lost answer is not to count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{Attempts, BackupId, DeploymentName, InstanceSlug, RestoreId};
use remount_host::{RetryPolicy, Retryable, retry};

use crate::{
    BackupBegun, BackupEnded, CollationRefresh, Error, Forwarded, Promoted, Result, Server, ServerStatus,
    Servers, StreamedWal, VerifiedPosition, WalSwitched, WriteProbe,
};

/// Wraps the way to the servers.
#[derive(Clone, Debug)]
pub struct RetryingServers {
    inner: Arc<dyn Servers>,
    policy: RetryPolicy,
}

impl RetryingServers {
    /// Tries calls again by this policy.
    #[must_use]
    pub fn new(inner: Arc<dyn Servers>, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

impl Retryable for Error {
    fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Unreachable { action, .. } | Self::Database { action, .. } | Self::Agent { action, .. } =
            &mut self
        {
            *action = format!("{action}{attempts}");
        }
        self
    }
}

impl Servers for RetryingServers {
    fn server(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<Arc<dyn Server>> {
        let inner = self.inner.server(deployment, instance, address)?;
        let is_silent = AtomicBool::new(false);
        Ok(Arc::new(RetryingServer { inner, policy: self.policy.clone(), is_silent }))
    }
}

#[derive(Debug)]
struct RetryingServer {
    inner: Arc<dyn Server>,
    policy: RetryPolicy,
    /// The last call that was tried again got no answer at all.
    is_silent: AtomicBool,
}

impl RetryingServer {
    async fn retried<T, F>(&self, call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let outcome = retry(&self.policy, call).await;
        self.is_silent.store(matches!(outcome, Err(Error::Unreachable { .. })), Ordering::Relaxed);
        outcome
    }
}

#[async_trait]
impl Server for RetryingServer {
    async fn status(&self) -> Result<ServerStatus> {
        self.inner.status().await
    }

    async fn status_with_retry(&self, limit: Duration) -> Result<ServerStatus> {
        let policy = RetryPolicy::within(limit).cancelled_by(self.policy.cancellation().clone());
        retry(&policy, || self.inner.status()).await
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        self.retried(|| self.inner.begin_backup(backup, lease_seconds)).await
    }

    /// Sent once: the next renewal comes before the lease ends, a late one would only hold it up.
    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        self.inner.renew_backup(backup).await
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        self.retried(|| self.inner.end_backup(backup)).await
    }

    /// Sent once to a server that was silent for the whole limit: the agent's lease ends backup mode anyway, and who
    /// waits here holds the cluster's lease.
    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        if self.is_silent.load(Ordering::Relaxed) {
            return self.inner.abort_backup(backup).await;
        }
        self.retried(|| self.inner.abort_backup(backup)).await
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        self.retried(|| self.inner.switch_wal()).await
    }

    async fn archive_streamed(&self) -> Result<StreamedWal> {
        self.retried(|| self.inner.archive_streamed()).await
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        self.retried(|| self.inner.write_probe()).await
    }

    async fn promote(&self, restore: &RestoreId, verified: &VerifiedPosition) -> Result<Promoted> {
        self.retried(|| self.inner.promote(restore, verified)).await
    }

    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded> {
        self.retried(|| self.inner.forward_restore(restore)).await
    }

    async fn finish_restore(&self, restore: &RestoreId) -> Result<()> {
        self.retried(|| self.inner.finish_restore(restore)).await
    }

    async fn refresh_collations(&self, restore: &RestoreId) -> Result<CollationRefresh> {
        self.retried(|| self.inner.refresh_collations(restore)).await
    }
}
