//! What lies on disk: one image and one JSON document per disk or snapshot.
//!
//! | file | content |
//! |---|---|
//! | `disks/<cid>.json`, `snapshots/<cid>.json` | the record; written last, removed first: it alone says that the object exists |
//! | `disks/<cid>.img`, `snapshots/<cid>.img` | the bytes of the whole disk, partition table included |
//! | `quota.json` | optional limits of this "account", and how slow it is: for tests |
//! | `lock` | held for every change |

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, SnapshotCid, VmCid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::disks::named;
use crate::{Disk, DiskState, Snapshot, SnapshotState, Tags};

/// The newest format this program reads and the one it writes.
pub(super) const FORMAT: u32 = 1;

/// A disk, as its document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DiskRecord {
    pub(super) format: u32,
    pub(super) cid: DiskCid,
    #[serde(flatten)]
    pub(super) shape: DiskShape,
    pub(super) attached_to: Option<VmCid>,
    pub(super) made_from: Option<SnapshotCid>,
    pub(super) created_at: Timestamp,
    pub(super) tags: Tags,
}

/// A snapshot, as its document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    pub(super) format: u32,
    pub(super) cid: SnapshotCid,
    pub(super) disk: DiskCid,
    pub(super) size_mib: u64,
    pub(super) created_at: Timestamp,
    /// Pending until then; none where the cloud is quick.
    #[serde(default)]
    pub(super) complete_at: Option<Timestamp>,
    pub(super) tags: Tags,
}

/// The limits of the "account"; none where the file or a field is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// How many disks may exist.
    pub disks: Option<usize>,
    /// How many snapshots may exist.
    pub snapshots: Option<usize>,
    /// How many seconds a snapshot is pending: a cloud that has much to do. Its content is fixed at
    /// once all the same, and the caller is not told.
    pub snapshot_seconds: Option<u64>,
}

/// What the two kinds of documents have in common.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The folder they lie in.
    const FOLDER: &'static str;

    /// The format a document was written in.
    fn format(&self) -> u32;

    /// The tags.
    fn tags(&self) -> &Tags;
}

impl Record for DiskRecord {
    const FOLDER: &'static str = "disks";

    fn format(&self) -> u32 {
        self.format
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl Record for SnapshotRecord {
    const FOLDER: &'static str = "snapshots";

    fn format(&self) -> u32 {
        self.format
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl From<DiskRecord> for Disk {
    fn from(record: DiskRecord) -> Self {
        let state = if record.attached_to.is_some() { DiskState::InUse } else { DiskState::Available };
        Self {
            cid: record.cid,
            shape: record.shape,
            state,
            attached_to: record.attached_to.as_ref().map(named),
            made_from: record.made_from,
            tags: record.tags,
        }
    }
}

impl From<SnapshotRecord> for Snapshot {
    fn from(record: SnapshotRecord) -> Self {
        let pending = record.complete_at.is_some_and(|at| Timestamp::now() < at);
        Self {
            cid: record.cid,
            disk: record.disk,
            size_mib: record.size_mib,
            // A reflink copy is whole the moment it is made.
            state: if pending { SnapshotState::Pending } else { SnapshotState::Complete },
            created_at: record.created_at,
            region: String::new(),
            key: None,
            tags: record.tags,
        }
    }
}

/// Reads a document; none where there is no such file.
pub(super) fn read<R: DeserializeOwned>(path: &Path) -> io::Result<Option<R>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
}

/// Writes a document so that a crash leaves the old one or the new one, never a part.
pub(super) fn write<R: Serialize>(path: &Path, record: &R) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(record)?;
    let half = path.with_extension("tmp");
    let mut file = File::create(&half)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    sync_folder_of(path)
}

/// Removes a file; one that is gone already counts as removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder_of(path),
    }
}

/// Makes a rename or a removal outlive a crash.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
