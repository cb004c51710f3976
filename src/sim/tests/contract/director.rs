//! `Director` in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, GroupName, VmCid};
use remount_director::{Director, Instance, RetryingDirector, TaskId};
use remount_host::RetryPolicy;
use remount_sim::contract::director::{self, Change, Fixture, Lost};
use remount_sim::memory::{Fault, MemoryLandscape, Rule};

use crate::landscape;

/// Short, and long enough for what a check does meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Larger than what is recorded.
const LARGER_MIB: u64 = 20_480;

#[derive(Debug)]
pub struct Deployment(pub MemoryLandscape);

#[async_trait]
impl Fixture for Deployment {
    fn deployment(&self) -> DeploymentName {
        self.0.deployment().clone()
    }

    fn group(&self) -> GroupName {
        self.0.slug(0).group
    }

    fn workers(&self) -> usize {
        self.0.workers()
    }

    async fn new_disk(&self, of: &Instance) -> DiskCid {
        self.0.copy_disk_of(of.index as usize, LARGER_MIB)
    }

    async fn attached_to(&self, disk: &DiskCid) -> Option<VmCid> {
        self.0.attached_to(disk)
    }

    async fn has_disk(&self, disk: &DiskCid) -> bool {
        self.0.disks().contains(disk)
    }

    async fn begin_errand(&self) -> TaskId {
        self.0.begin_errand().await
    }

    async fn end_errand(&self) {
        self.0.end_errand();
    }

    async fn break_jobs(&self, of: &Instance) -> bool {
        self.0.lose_data(of.index as usize);
        true
    }

    async fn silence_agent(&self, of: &Instance) -> bool {
        self.0.silence_vm(of.index as usize);
        true
    }

    async fn ignore(&self, instance: &Instance) -> bool {
        self.0.ignore(instance.index as usize);
        true
    }

    async fn lose(&self, lost: Lost, of: Change) -> bool {
        let call = match of {
            Change::Stop => "director.stop",
            Change::Attach => "director.attach",
        };
        let fault = match lost {
            Lost::Request => Fault::LoseRequest,
            Lost::Answer => Fault::LoseAnswer,
        };
        self.0.inject(Rule::once(call, fault));
        true
    }
}

/// A Director of a new landscape.
pub async fn fresh() -> (Arc<dyn Director>, Arc<dyn Fixture>) {
    let landscape = landscape();
    landscape.wait_for_locks(LOCK_WAIT);
    (landscape.director(), Arc::new(Deployment(landscape)))
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    director::run("memory", fresh).await.assert_holds();
}

#[tokio::test]
async fn a_director_that_is_tried_again_keeps_the_contract() {
    let retrying = async || {
        let (director, fixture) = fresh().await;
        let policy = RetryPolicy::within(Duration::from_secs(1));
        let retrying: Arc<dyn Director> = Arc::new(RetryingDirector::new(director, policy));
        (retrying, fixture)
    };
    director::run("retrying", retrying).await.assert_holds();
}
