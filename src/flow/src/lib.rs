//! Backup and restore as lists of steps with their undo. Nothing here opens a socket: clouds, Director,
//! servers and store arrive as traits, in a [`FlowContext`].
//!
//! | to | call |
//! |---|---|
//! | take a backup | [`run_backup`] |
//! | see what a restore would do, touching nothing | [`plan_restore`] |
//! | restore | [`run_restore`] |
//! | go on with a restore whose driver died or that was held | [`resume_restore`] |
//! | take a restore back, also one that ended well | [`rollback_restore`] |
//! | ask another process to stop and go back | [`abort_restore`] |
//! | see which disks restores have put aside | [`list_old_disks`] |
//! | give them up | [`release_old_disks`] |
//!
//! Every restore is a saga (module `saga`): intent is journalled before a step acts, its outcome after; a
//! step of unknown outcome is settled by looking at the world, never by guessing.

mod backup;
mod context;
mod error;
mod fence;
mod instances;
mod old_disks;
mod progress;
mod restore;
mod saga;
mod wait;

pub use backup::{BackupRequest, BackupSource, run_backup};
pub use context::{Cancellation, FlowContext, Timeouts};
pub use error::{FlowError, Problem, Result};
pub use old_disks::{
    Keeping, OldDisk, OldDiskState, OldDisks, ReleaseOutcome, ReleaseRequest, ReleasedDisk, Scope, Selection,
    list_old_disks, preview_release, release_old_disks,
};
pub use progress::{Progress, Quiet, StepEvent, StepEventKind};
pub use restore::{
    AbortPoint, DowntimeSplit, PreflightReport, RestoreReport, StepReport, abort_restore, cluster_of,
    plan_restore, read_report, resume_restore, rollback_restore, run_restore,
};
