//! The cloud on one machine: image files on a reflink file system. For the lab, and for servers
//! whose "cloud" is a local XFS. A snapshot is a reflink copy: there is no upload to wait for.
//!
//! Two parties work on it: [`LocalCloud`] is the part every cloud offers, `cpi.rs` what a CPI does.

mod catalog;
mod cpi;
mod disks;
mod errors;
mod image;
mod record;
mod snapshots;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};
use serde::Deserialize;

pub use catalog::LocalDisks;
pub use cpi::Detached;
pub use record::Quota;

use crate::settings::{Given, Problems, Settings};
use crate::{Disk, DiskCloud, DiskSpec, Error, Result, Snapshot, Tags};

/// Where the image files are.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Given")]
pub struct LocalSettings {
    /// The folder that holds `disks` and `snapshots`.
    pub root: PathBuf,
}

impl TryFrom<Given> for LocalSettings {
    type Error = Problems;

    fn try_from(given: Given) -> Result<Self, Problems> {
        let mut settings = Settings::of("local", given);
        let read = Self { root: settings.absolute_path("root") };
        settings.finish(read)
    }
}

/// [`DiskCloud`] over [`LocalDisks`].
#[derive(Clone, Debug)]
pub struct LocalCloud {
    disks: LocalDisks,
}

impl LocalCloud {
    /// Opens the cloud at `root`.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { disks: LocalDisks::open(root)? })
    }

    /// Runs file work on a thread of its own: it waits for locks and for the disk.
    async fn on_thread<T: Send + 'static>(
        &self,
        action: &str,
        work: impl FnOnce(&LocalDisks) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let disks = self.disks.clone();
        let done = tokio::task::spawn_blocking(move || work(&disks)).await;
        done.map_err(|error| Error::Unanswered { action: action.to_owned(), source: Box::new(error) })?
    }
}

#[async_trait]
impl DiskCloud for LocalCloud {
    fn iaas(&self) -> &'static str {
        "local"
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        let cid = cid.clone();
        self.on_thread("read a disk", move |disks| disks.disk(&cid)).await
    }

    async fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
        let (disk, vm) = (disk.clone(), vm.clone());
        self.on_thread("read a disk", move |disks| disks.is_attached(&disk, &vm)).await
    }

    async fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        let tags = tags.clone();
        self.on_thread("list disks", move |disks| disks.disks_tagged(&tags)).await
    }

    async fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        let (disk, tags, key) = (disk.clone(), tags.clone(), key.clone());
        self.on_thread("create a snapshot", move |disks| disks.create_snapshot(&disk, &tags, &key)).await
    }

    async fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        let cid = cid.clone();
        self.on_thread("read a snapshot", move |disks| disks.snapshot(&cid)).await
    }

    async fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        let tags = tags.clone();
        self.on_thread("list snapshots", move |disks| disks.snapshots_tagged(&tags)).await
    }

    async fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()> {
        let (cid, tags) = (cid.clone(), tags.clone());
        self.on_thread("tag a snapshot", move |disks| disks.tag_snapshot(&cid, &tags)).await
    }

    async fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        let cid = cid.clone();
        self.on_thread("delete a snapshot", move |disks| disks.delete_snapshot(&cid)).await
    }

    async fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        let (snapshot, spec) = (snapshot.clone(), spec.clone());
        self.on_thread("check a new disk", move |disks| disks.check_create_disk(&snapshot, &spec)).await
    }

    async fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        let (snapshot, spec, key) = (snapshot.clone(), spec.clone(), key.clone());
        self.on_thread("create a disk", move |disks| disks.create_disk(&snapshot, &spec, &key)).await
    }

    async fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        let cid = cid.clone();
        self.on_thread("delete a disk", move |disks| disks.delete_disk(&cid)).await
    }
}
