//! Disks and snapshots of every cloud behind one trait, [`DiskCloud`]. A cloud is one module here.

mod config;
mod disk_cloud;
mod error;
mod local;
mod retrying;

pub use config::{AlicloudConfig, AwsConfig, AzureConfig, CloudConfig, GcpConfig, OpenstackConfig};
pub use disk_cloud::{Disk, DiskCloud, DiskSpec, DiskState, Result, Snapshot, SnapshotState, Tags, tag};
pub use error::{Adapters, Error};
pub use local::{Detached, LocalCloud, LocalDisks, Quota};
pub use retrying::RetryingCloud;
