//! Disks and snapshots of every cloud behind one trait, [`DiskCloud`]. A cloud is a folder here, with settings of its
//! own; [`CloudConfig`] chooses one.

mod alicloud;
mod aws;
mod azure;
mod config;
mod disk_cloud;
mod error;
mod gcp;
mod local;
mod openstack;
mod retrying;
mod settings;

pub use config::CloudConfig;
pub use disk_cloud::{
    CloudVm, Disk, DiskCloud, DiskSpec, DiskState, Result, Snapshot, SnapshotState, Tags, tag,
};
pub use error::{Adapters, Error};
pub use local::{Detached, LocalCloud, LocalDisks, Quota};
pub use retrying::RetryingCloud;
