//! Disks: what [`crate::DiskCloud`] asks of them.

use std::path::PathBuf;

use jiff::Timestamp;
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};

use super::LocalDisks;
use super::catalog::with_key;
use super::errors::{broken, key_taken, refused};
use super::image::{clone, new_cid};
use super::record::{DiskRecord, FORMAT, SnapshotRecord};
use crate::{CloudVm, Disk, DiskSpec, Error, Result, Snapshot, SnapshotState, Tags};

/// The type of a disk for which none was asked.
const DEFAULT_TYPE: &str = "local";

impl LocalDisks {
    /// The disk's image: partition table and all.
    #[must_use]
    pub fn image(&self, cid: &DiskCid) -> PathBuf {
        self.path::<DiskRecord>(cid.as_str(), "img")
    }

    /// The disk, if there is one.
    ///
    /// # Errors
    /// Its document cannot be read.
    pub fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        Ok(self.record::<DiskRecord>(cid.as_str())?.map(Disk::from))
    }

    /// See [`crate::DiskCloud::is_attached`].
    ///
    /// # Errors
    /// Its document cannot be read.
    pub fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
        let record = self.record::<DiskRecord>(disk.as_str())?;
        Ok(record.is_some_and(|record| record.attached_to.as_ref() == Some(vm)))
    }

    /// The disks that carry all of these tags.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        Ok(self.tagged::<DiskRecord>(tags)?.into_iter().map(Disk::from).collect())
    }

    /// See [`crate::DiskCloud::check_create_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        let action = format!("create a disk from snapshot {snapshot}");
        let source = self
            .record::<SnapshotRecord>(snapshot.as_str())?
            .ok_or_else(|| Error::SnapshotNotFound(snapshot.clone()))?;
        if Snapshot::from(source.clone()).state != SnapshotState::Complete {
            return Err(Error::SnapshotNotComplete(snapshot.clone()));
        }
        if spec.like.size_mib < source.size_mib {
            let detail =
                format!("{} MiB are less than the snapshot's {}", spec.like.size_mib, source.size_mib);
            return Err(refused(&action, detail));
        }
        self.check_quota::<DiskRecord>(&action)
    }

    /// See [`crate::DiskCloud::create_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        let action = format!("create a disk from snapshot {snapshot}");
        let _lock = self.lock(&action)?;
        if let Some(made) = self.made_by::<DiskRecord>(key)? {
            let same = made.made_from.as_ref() == Some(snapshot);
            return if same { Ok(made.into()) } else { Err(key_taken(&action, key, made.cid.as_str())) };
        }
        self.check_create_disk(snapshot, spec)?;
        self.reap::<DiskRecord>(&action)?;
        let record = DiskRecord {
            made_from: Some(snapshot.clone()),
            tags: with_key(&spec.tags, key),
            ..new_disk(&spec.like)
        };
        let source = self.path::<SnapshotRecord>(snapshot.as_str(), "img");
        let bytes = Some(spec.like.size_mib << 20);
        clone(&source, &self.image(&record.cid), bytes).map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// See [`crate::DiskCloud::delete_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        let action = format!("delete disk {cid}");
        let _lock = self.lock(&action)?;
        match self.record::<DiskRecord>(cid.as_str())?.and_then(|record| record.attached_to) {
            Some(vm) => Err(Error::DiskInUse { disk: cid.clone(), vm: named(&vm) }),
            None => self.erase::<DiskRecord>(&action, cid.as_str()),
        }
    }
}

/// A VM in this cloud's words, which are those of its CPI.
pub(super) fn named(vm: &VmCid) -> CloudVm {
    CloudVm(vm.to_string())
}

pub(super) fn new_disk(like: &DiskShape) -> DiskRecord {
    let mut shape = like.clone();
    if shape.disk_type.is_empty() {
        DEFAULT_TYPE.clone_into(&mut shape.disk_type);
    }
    DiskRecord {
        format: FORMAT,
        cid: new_cid("disk", DiskCid::new),
        shape,
        attached_to: None,
        made_from: None,
        created_at: Timestamp::now(),
        tags: Tags::new(),
    }
}
