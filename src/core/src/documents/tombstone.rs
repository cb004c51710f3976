//! `backups/<id>.json`, in the manifest's place: this id will never be a backup, or is none any more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupManifest;
use crate::{BackupId, ClusterName, SystemIdentifier};

/// Lies under the manifest's own name, so that one create-if-absent decides between the two: where it stands, no late
/// manifest can come, and the snapshot may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// What became of the backup.
    pub tombstone: TombstoneKind,
    /// Its id.
    pub id: BackupId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The cluster's system identifier.
    pub system_identifier: SystemIdentifier,
    /// Of the lease under which it was written.
    pub epoch: u64,
    /// The writer's clock: for people.
    pub at: Timestamp,
    /// For people.
    pub why: String,
}

/// What became of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TombstoneKind {
    /// It never became good.
    Failed,
    /// It was good, and is not kept any more.
    Pruned,
}

/// What stands under a backup's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupRecord {
    /// The backup is good.
    Manifest(Box<BackupManifest>),
    /// It is not, and never will be.
    Tombstone(Tombstone),
}

/// `begun/<id>.json`: a backup of this id was begun under this lease. It lies there until the backup is good,
/// or until its snapshot is gone: without it nobody may take a missing manifest for a failed backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupBegunNote {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The backup's id.
    pub id: BackupId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The cluster's system identifier.
    pub system_identifier: SystemIdentifier,
    /// Of the lease under which it was begun.
    pub epoch: u64,
}
