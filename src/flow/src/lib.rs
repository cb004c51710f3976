//! Backup and restore as lists of steps with their undo. Nothing here opens a socket: clouds, Director,
//! servers and store arrive as traits, in a [`FlowContext`].
//!
//! | to | call |
//! |---|---|
//! | take a backup | [`run_backup`] |
//! | see what a restore would do, touching nothing | [`plan_restore`] |
//! | restore | [`run_restore`] |
//! | go on with a restore that is paused | [`accept_restore`], [`forward_restore`], [`give_up_restore`] |
//! | go on with a restore whose process died or that was held | [`resume_restore`] |
//! | roll a restore back, also one that ended well | [`rollback_restore`] |
//! | ask another process to stop and roll back | [`abort_restore`] |
//! | see what servers do that their deployment does not say | [`read_settings`] |
//! | see which disks restores have put aside | [`list_old_disks`] |
//! | give them up | [`release_old_disks`] |
//!
//! Every restore is a saga (`remount-saga`): intent is journalled before a step acts, its outcome after; a
//! step of unknown outcome is settled by looking at the world, never by guessing.

mod backup;
mod context;
mod error;
mod fence;
mod instances;
mod old_disks;
mod owner;
mod restore;
mod settings;
mod settled;
mod wait;

pub use backup::{BackupRequest, BackupSource, BackupStep, run_backup};
pub use context::{FlowContext, Timeouts};
pub use error::{FlowError, Problem, Result};
pub use old_disks::{
    Clocks, OldDisk, OldDiskRetention, OldDiskState, OldDisks, ReleaseOutcome, ReleaseRequest, ReleasedDisk,
    Scope, Selection, list_old_disks, preview_release, release_old_disks,
};
pub use remount_saga::{Progress, ProgressEvent, ProgressKind, Quiet};
pub use restore::{
    AbortPoint, DowntimeSplit, PreflightReport, RestoreJournal, RestorePhase, RestoreReport, RestoreState,
    RestoreStep, StepReport, abort_restore, accept_restore, forward_restore, give_up_restore, plan_restore,
    read_report, resume_restore, rollback_restore, run_restore,
};
pub use settings::{SettingsReport, read_settings};
