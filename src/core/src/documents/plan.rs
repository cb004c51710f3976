//! The restore plan: what is to happen, written once before anything is touched.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    BackupId, ClusterName, DeploymentName, DiskCid, GroupName, InstanceSlug, Lsn, RestoreId, RestoreTarget,
    Role, SegmentSize, SnapshotCid, SystemIdentifier, TimelineHistory, TimelineId, WalSegment,
};

/// What recovery will read: the outcome of planning, before any instance or disk is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPath {
    /// The backup it begins from.
    pub backup: BackupId,
    /// Its snapshot.
    pub snapshot: SnapshotCid,
    /// The cluster's system identifier.
    pub system_identifier: SystemIdentifier,
    /// The size of the cluster's WAL segments.
    pub segment_size: SegmentSize,
    /// The timeline history that recovery follows; its last is `recovery_target_timeline`.
    pub history: TimelineHistory,
    /// The timeline the promotion will begin: the first number the archive has no history file of.
    pub new_timeline: TimelineId,
    /// The position where replay begins.
    pub start_lsn: Lsn,
    /// Consistent from here (the backup's stop position).
    pub consistent_lsn: Lsn,
    /// Replay has to reach at least this position before the restore can be called good.
    pub minimum_lsn: Lsn,
    /// First and last segment that replay needs, each on the timeline it is read from. The last is
    /// the last segment known to be needed: for `latest` more may be archived until the primary stops.
    pub segments: (WalSegment, WalSegment),
}

/// What a restore does with one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedInstance {
    /// The instance.
    pub instance: InstanceSlug,
    /// What it will be.
    pub role: Role,
    /// Its availability zone.
    pub az: Option<String>,
    /// The disk it had: a rollback needs it. None where the Director knew none.
    pub old_disk: Option<DiskCid>,
    /// Size of the disk to make, in MiB.
    pub disk_size_mib: u64,
    /// Type of the disk to make, in the cloud's words.
    #[serde(default)]
    pub disk_type: String,
    /// Whether it ran when the restore was planned.
    pub was_running: bool,
}

/// A restore: into which deployment, from which backup, to which point. Stored as JSON with an HMAC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// [`super::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// The restore's id.
    pub id: RestoreId,
    /// The cluster.
    pub cluster: ClusterName,
    /// Its deployment.
    pub deployment: DeploymentName,
    /// Its PostgreSQL group, where the cluster is named by it: the deployment has more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// Who asked for it.
    #[serde(default)]
    pub requested_by: String,
    /// Where replay is to stop.
    pub target: RestoreTarget,
    /// What recovery will read.
    pub path: RecoveryPath,
    /// The label to write into the data directory, verbatim from the backup.
    pub backup_label: String,
    /// The tablespace map, verbatim; empty without tablespaces.
    #[serde(default)]
    pub tablespace_map: String,
    /// Every instance of the cluster; exactly one is the primary.
    pub instances: Vec<PlannedInstance>,
    /// Whether the restore stops when the target is reached, before anybody can write, for a person to look.
    #[serde(default)]
    pub pause: bool,
    /// Which version of the plan this is: moving the target of a restore that is paused writes the next one.
    #[serde(default = "first_revision")]
    pub revision: u32,
    /// Estimated seconds from stopping the primary until it serves again.
    #[serde(default)]
    pub estimate_seconds: f64,
    /// How long the old disks are kept after the restore's end, in hours: what was promised when it began,
    /// whatever the configuration says when somebody looks.
    pub keep_old_disks_hours: u64,
    /// The version of Remount that planned it.
    pub tool_version: String,
}

const fn first_revision() -> u32 {
    1
}

impl RestorePlan {
    /// The instance that becomes the primary; none only in a damaged plan.
    #[must_use]
    pub fn primary(&self) -> Option<&PlannedInstance> {
        self.instances.iter().find(|planned| planned.role == Role::Primary)
    }

    /// The instances that follow it.
    pub fn standbys(&self) -> impl Iterator<Item = &PlannedInstance> {
        self.instances.iter().filter(|planned| planned.role == Role::Standby)
    }
}
