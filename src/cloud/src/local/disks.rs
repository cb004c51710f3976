//! Disks: what [`crate::DiskCloud`] asks of them.

use std::path::PathBuf;

use jiff::Timestamp;
use remount_core::{DiskCid, RequestKey, SnapshotCid};

use super::LocalDisks;
use super::catalog::with_key;
use super::errors::{broken, key_taken, refused};
use super::image::{clone, new_cid};
use super::record::{DiskRecord, FORMAT, SnapshotRecord};
use crate::{Disk, DiskSpec, Error, Result, Snapshot, SnapshotState, Tags};

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
        if spec.size_mib < source.size_mib {
            let detail = format!("{} MiB are less than the snapshot's {}", spec.size_mib, source.size_mib);
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
            ..new_disk(spec.size_mib, &spec.disk_type, spec.az.clone())
        };
        let source = self.path::<SnapshotRecord>(snapshot.as_str(), "img");
        let bytes = Some(spec.size_mib << 20);
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
            Some(vm) => Err(Error::DiskInUse { disk: cid.clone(), vm }),
            None => self.erase::<DiskRecord>(&action, cid.as_str()),
        }
    }
}

pub(super) fn new_disk(size_mib: u64, disk_type: &str, az: Option<String>) -> DiskRecord {
    let disk_type = if disk_type.is_empty() { DEFAULT_TYPE } else { disk_type };
    DiskRecord {
        format: FORMAT,
        cid: new_cid("disk", DiskCid::new),
        size_mib,
        disk_type: disk_type.to_owned(),
        az,
        attached_to: None,
        made_from: None,
        created_at: Timestamp::now(),
        tags: Tags::new(),
    }
}
