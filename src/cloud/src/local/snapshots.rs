//! Snapshots: what [`crate::DiskCloud`] asks of them.

use std::time::Duration;

use jiff::Timestamp;
use remount_core::{DiskCid, RequestKey, SnapshotCid};

use super::LocalDisks;
use super::catalog::with_key;
use super::errors::{broken, key_taken};
use super::image::{clone, new_cid};
use super::record::{DiskRecord, FORMAT, SnapshotRecord};
use crate::{Error, Result, Snapshot, Tags};

impl LocalDisks {
    /// The snapshot, if there is one.
    ///
    /// # Errors
    /// Its document cannot be read.
    pub fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        Ok(self.record::<SnapshotRecord>(cid.as_str())?.map(Snapshot::from))
    }

    /// The snapshots that carry all of these tags.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        Ok(self.tagged::<SnapshotRecord>(tags)?.into_iter().map(Snapshot::from).collect())
    }

    /// See [`crate::DiskCloud::create_snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        let action = format!("snapshot disk {disk}");
        let _lock = self.lock(&action)?;
        if let Some(made) = self.made_by::<SnapshotRecord>(key)? {
            let same = made.disk == *disk;
            return if same { Ok(made.into()) } else { Err(key_taken(&action, key, made.cid.as_str())) };
        }
        let source =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        self.check_quota::<SnapshotRecord>(&action)?;
        self.reap::<SnapshotRecord>(&action)?;
        let delay = self.quota(&action)?.snapshot_seconds.map(Duration::from_secs);
        let created_at = Timestamp::now();
        let record = SnapshotRecord {
            format: FORMAT,
            cid: new_cid("snap", SnapshotCid::new),
            disk: disk.clone(),
            size_mib: source.shape.size_mib,
            created_at,
            complete_at: delay.and_then(|delay| created_at.checked_add(delay).ok()),
            tags: with_key(tags, key),
        };
        let image = self.path::<SnapshotRecord>(record.cid.as_str(), "img");
        clone(&self.image(disk), &image, None).map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// See [`crate::DiskCloud::tag_snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()> {
        let action = format!("tag snapshot {cid}");
        let _lock = self.lock(&action)?;
        let found = self.record::<SnapshotRecord>(cid.as_str())?;
        let mut record = found.ok_or_else(|| Error::SnapshotNotFound(cid.clone()))?;
        record.tags.extend(tags.clone());
        self.save(&action, cid.as_str(), &record)
    }

    /// See [`crate::DiskCloud::delete_snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        let action = format!("delete snapshot {cid}");
        let _lock = self.lock(&action)?;
        self.erase::<SnapshotRecord>(&action, cid.as_str())
    }
}
