//! A Director whose reads are tried again. Changes are sent once: where their answer is lost the caller looks for the
//! task first, and where nothing was sent the caller looks whether it may still send it.

use async_trait::async_trait;
use remount_core::{Attempts, DeploymentName, DiskCid, InstanceSlug};
use remount_host::{RetryPolicy, Retryable, retry};
use std::sync::Arc;

use crate::{Director, Error, Info, Instance, Lock, OrphanedDisk, Result, StopKind, Task, TaskId};

/// Wraps a Director.
#[derive(Clone, Debug)]
pub struct RetryingDirector {
    inner: Arc<dyn Director>,
    policy: RetryPolicy,
}

impl RetryingDirector {
    /// Tries reads again by this policy.
    #[must_use]
    pub fn new(inner: Arc<dyn Director>, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

impl Retryable for Error {
    fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Unanswered { action, .. } | Self::NotSent { action, .. } = &mut self {
            *action = format!("{action}{attempts}");
        }
        self
    }
}

#[async_trait]
impl Director for RetryingDirector {
    async fn info(&self) -> Result<Info> {
        retry(&self.policy, || self.inner.info()).await
    }

    async fn deployments(&self) -> Result<Vec<DeploymentName>> {
        retry(&self.policy, || self.inner.deployments()).await
    }

    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        retry(&self.policy, || self.inner.instances(deployment)).await
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        self.inner.stop(deployment, instance, kind, context).await
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.inner.start(deployment, instance, context).await
    }

    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.inner.recreate(deployment, instance, context).await
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        self.inner.attach_disk(deployment, instance, disk).await
    }

    /// Read once: [`crate::follow`] tolerates a Director that does not answer for a while.
    async fn task(&self, task: TaskId) -> Result<Task> {
        self.inner.task(task).await
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        retry(&self.policy, || self.inner.tasks(deployment, limit)).await
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        retry(&self.policy, || self.inner.cancel(task)).await
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        retry(&self.policy, || self.inner.locks()).await
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        retry(&self.policy, || self.inner.orphaned_disks()).await
    }

    /// Asking twice is harmless: the Director answers for a disk that it does not have with success.
    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        retry(&self.policy, || self.inner.delete_orphaned_disk(disk)).await
    }
}
