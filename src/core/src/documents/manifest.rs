//! The backup manifest: everything a restore has to know about one backup.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DiskRecord;
use crate::{
    BackupId, ClusterName, DeploymentName, InstanceSlug, Lsn, Role, SegmentSize, SnapshotCid,
    SystemIdentifier, TimelineId,
};

/// One backup: a disk snapshot, its backup label, and the WAL range that makes it consistent.
/// Written once, last: where it exists the backup is good. Stored as JSON inside a signed envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// [`super::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// The backup's id.
    pub id: BackupId,
    /// The cluster it is of.
    pub cluster: ClusterName,
    /// The cluster's deployment.
    pub deployment: DeploymentName,
    /// The cluster's system identifier.
    pub system_identifier: SystemIdentifier,
    /// `server_version_num`, as 150018.
    pub postgres_version: u32,
    /// The size of the cluster's WAL segments.
    pub segment_size: SegmentSize,
    /// The timeline it was taken on.
    pub timeline: TimelineId,
    /// Replay begins here (the checkpoint's redo position).
    pub start_lsn: Lsn,
    /// The backup is consistent from here.
    pub stop_lsn: Lsn,
    /// The server's clock when the backup began.
    pub started_at: Timestamp,
    /// The server's clock when backup mode ended.
    pub stopped_at: Timestamp,
    /// `backup_label`, verbatim, as `pg_backup_stop` returned it.
    pub backup_label: String,
    /// `tablespace_map`, verbatim; empty without tablespaces.
    #[serde(default)]
    pub tablespace_map: String,
    /// The instance whose disk was snapshotted.
    pub source: InstanceSlug,
    /// What that instance was then.
    pub source_role: Role,
    /// The disk that was snapshotted.
    pub disk: DiskRecord,
    /// The disks of the cluster's other instances, as far as the cloud knew them: where one is gone, its zone and
    /// all else stands here.
    #[serde(default)]
    pub other_disks: Vec<DiskRecord>,
    /// Bytes of the data directory, to estimate a copy. 0: not measured.
    #[serde(default)]
    pub data_bytes: u64,
    /// Settings that a standby must match or exceed (`max_connections`, …).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Whether data checksums are on.
    #[serde(default)]
    pub data_checksums: bool,
    /// Versions of the collations, by provider and name; and under `database/<name>` which one each database has.
    #[serde(default)]
    pub collation_versions: BTreeMap<String, String>,
    /// The snapshot.
    pub snapshot: SnapshotRecord,
    /// The SLA class it was taken for.
    #[serde(default)]
    pub sla_class: Option<String>,
    /// Retention may delete it after this.
    #[serde(default)]
    pub retain_until: Option<Timestamp>,
    /// Retention may not delete it, whatever its age.
    #[serde(default)]
    pub hold: bool,
    /// The version of Remount that took it.
    pub tool_version: String,
}

/// Where BOSH mounts the one persistent disk of an instance.
const PERSISTENT_DISK: &str = "/var/vcap/store/";

impl BackupManifest {
    /// The tablespaces that were not on the disk that was snapshotted: the backup does not hold them. Those within
    /// the data directory have a relative path.
    #[must_use]
    pub fn tablespaces_elsewhere(&self) -> Vec<&str> {
        let paths = self.tablespace_map.lines().filter_map(|line| line.split_once(' ')).map(|(_, path)| path);
        paths.filter(|path| path.starts_with('/') && !path.starts_with(PERSISTENT_DISK)).collect()
    }
}

/// The snapshot of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The cloud, by the property `cloud.type`.
    pub iaas: String,
    /// The snapshot's id.
    pub cid: SnapshotCid,
    /// The region it lies in.
    #[serde(default)]
    pub region: String,
    /// The key that encrypts it, in the cloud's form; none where it is not encrypted by a key of the customer.
    #[serde(default)]
    pub key: Option<String>,
    /// The cloud's time of creation.
    pub created_at: Timestamp,
    /// Whether its upload had ended when the manifest was written.
    pub complete: bool,
}
