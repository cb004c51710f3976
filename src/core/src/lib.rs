//! The vocabulary of Remount and its rules, pure: no clock, no randomness, no input or output.
//! Time, randomness and what the world says arrive as arguments.

mod archive;
mod crc32c;
pub mod documents;
mod exit_code;
mod history;
mod ids;
mod lsn;
mod operator_error;
mod planning;
mod target;
mod timeline;
mod wal_segment;

pub use archive::{
    ArchiveListing, CommitSpan, LastWritten, MarkKind, MoreWal, RunningPrimary, TargetSearch, TimelinePart,
    WalMark, Witness,
};
pub use crc32c::crc32c;
pub use exit_code::ExitCode;
pub use history::{Fork, HistoryError, TimelineHistory};
pub use ids::{
    BackupId, CloudText, ClusterName, DeploymentName, DiskCid, GroupName, IdError, InstanceId, InstanceSlug,
    RequestKey, RestoreId, Role, RunId, SnapshotCid, StoreId, SystemIdentifier, VmCid,
};
pub use lsn::{Lsn, LsnError};
pub use operator_error::{Attempts, OperatorError, Retry, report, with_causes};
pub use planning::{PlanError, Reachable, plan_recovery};
pub use target::{RecoveryTarget, RestoreTarget};
pub use timeline::{TimelineError, TimelineId};
pub use wal_segment::{SegmentSize, SegmentSizeError, WalSegment, WalSegmentError};
