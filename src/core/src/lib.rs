//! The vocabulary of Remount and its rules, pure: no clock, no randomness, no input or output.
//! Time, randomness and what the world says arrive as arguments.

mod advice;
mod archive;
mod history;
mod ids;
mod lsn;
mod manifest;
mod plan;
mod planning;
mod secrecy;
mod target;
mod timeline;
mod wal_segment;

pub use advice::{Advice, ExitCode, Retry, report};
pub use archive::{ArchiveListing, MoreWal, RunningPrimary};
pub use history::{Fork, HistoryError, TimelineHistory};
pub use ids::{
    BackupId, ClusterName, DeploymentName, DiskCid, GroupName, IdError, InstanceId, InstanceSlug, RequestKey,
    RestoreId, Role, SnapshotCid, SystemIdentifier, VmCid,
};
pub use lsn::{Lsn, LsnError};
pub use manifest::{BackupManifest, FORMAT, SnapshotRecord};
pub use plan::{ForkRecord, PlannedInstance, RecoveryPath, RestorePlan};
pub use planning::{PlanError, Reachable, plan_recovery};
pub use secrecy::open_to_others;
pub use target::{RecoveryTarget, RestoreTarget};
pub use timeline::{TimelineError, TimelineId};
pub use wal_segment::{SegmentSize, SegmentSizeError, WalSegment, WalSegmentError};
