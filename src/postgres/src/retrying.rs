//! Servers whose calls are tried again. The status is read once: the caller wants it as it is now, and reads it again
//! when it needs to.

use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{Attempts, BackupId, InstanceSlug, RestoreId};
use remount_host::{RetryPolicy, Retryable, retry};

use crate::{
    BackupBegun, BackupEnded, Error, Forwarded, Promoted, Result, Server, ServerStatus, Servers, WalSwitched,
    WriteProbe,
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
        if let Self::Unreachable { action, .. } | Self::Database { action, .. } = &mut self {
            *action = format!("{action}{attempts}");
        }
        self
    }
}

impl Servers for RetryingServers {
    fn server(&self, instance: &InstanceSlug, address: &str) -> Result<Arc<dyn Server>> {
        let inner = self.inner.server(instance, address)?;
        Ok(Arc::new(RetryingServer { inner, policy: self.policy.clone() }))
    }
}

#[derive(Debug)]
struct RetryingServer {
    inner: Arc<dyn Server>,
    policy: RetryPolicy,
}

#[async_trait]
impl Server for RetryingServer {
    async fn status(&self) -> Result<ServerStatus> {
        self.inner.status().await
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        retry(&self.policy, || self.inner.begin_backup(backup, lease_seconds)).await
    }

    /// Sent once: the next renewal comes before the lease ends, a late one would only hold it up.
    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        self.inner.renew_backup(backup).await
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        retry(&self.policy, || self.inner.end_backup(backup)).await
    }

    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        retry(&self.policy, || self.inner.abort_backup(backup)).await
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        retry(&self.policy, || self.inner.switch_wal()).await
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        retry(&self.policy, || self.inner.write_probe()).await
    }

    async fn promote(&self, restore: &RestoreId) -> Result<Promoted> {
        retry(&self.policy, || self.inner.promote(restore)).await
    }

    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded> {
        retry(&self.policy, || self.inner.forward_restore(restore)).await
    }

    async fn finish_restore(&self, restore: &RestoreId) -> Result<()> {
        retry(&self.policy, || self.inner.finish_restore(restore)).await
    }
}
