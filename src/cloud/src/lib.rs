//! Disks and snapshots of every cloud behind one trait, [`DiskCloud`]. A cloud is one module here.

mod disk_cloud;
mod error;

pub use disk_cloud::{Disk, DiskCloud, DiskSpec, DiskState, Result, Snapshot, SnapshotState, Tags, tag};
pub use error::Error;
