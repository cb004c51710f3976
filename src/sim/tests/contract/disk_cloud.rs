//! `DiskCloud` in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_cloud::RetryingCloud;
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, VmCid};
use remount_host::RetryPolicy;
use remount_sim::contract::disk_cloud::{self, Fixture, Quota};
use remount_sim::memory::{self, MemoryLandscape};

use crate::landscape;

#[derive(Debug)]
pub struct Clouds(pub MemoryLandscape);

#[async_trait]
impl Fixture for Clouds {
    async fn disk_with(&self, content: &str) -> DiskCid {
        self.0.new_disk(&self.shape(), content)
    }

    async fn overwrite(&self, disk: &DiskCid, content: &str) {
        self.0.write_file(disk, content);
    }

    async fn content_of(&self, disk: &DiskCid) -> String {
        self.0.file_of(disk).unwrap()
    }

    async fn attach(&self, disk: &DiskCid) -> VmCid {
        self.0.attach_elsewhere(disk)
    }

    async fn detach(&self, disk: &DiskCid, _vm: &VmCid) {
        self.0.detach_behind(disk);
    }

    async fn exhaust_quota(&self, exhausted: Quota) -> bool {
        self.0.use_up_quota(match exhausted {
            Quota::Exhausted => memory::Quota::UsedUp,
            Quota::Normal => memory::Quota::Ample,
        });
        true
    }

    fn shape(&self) -> DiskShape {
        DiskShape {
            zone: Some("memory-z1".to_owned()),
            size_mib: 2048,
            disk_type: "memory".into(),
            attributes: disk_cloud::every_attribute(),
        }
    }

    fn other_forms(&self, disk: &DiskCid) -> Vec<DiskCid> {
        self.0.other_forms(disk)
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let landscape = landscape();
    disk_cloud::run("memory", landscape.cloud(), Arc::new(Clouds(landscape))).await.assert_holds();
}

#[tokio::test]
async fn memory_that_shows_the_past_for_a_while_keeps_the_contract() {
    for seed in 0..20 {
        let landscape = landscape();
        landscape.lag(seed);
        // It counts looks: its time is only waited for, and a busy machine takes few looks in a short one.
        landscape.settles_within(Duration::from_secs(5));
        let name = format!("memory, seed {seed}");
        disk_cloud::run(&name, landscape.cloud(), Arc::new(Clouds(landscape))).await.assert_holds();
    }
}

#[tokio::test]
async fn a_cloud_that_is_tried_again_keeps_the_contract() {
    let landscape = landscape();
    let retrying = RetryingCloud::new(landscape.cloud(), RetryPolicy::within(Duration::from_secs(1)));
    disk_cloud::run("retrying", Arc::new(retrying), Arc::new(Clouds(landscape))).await.assert_holds();
}
