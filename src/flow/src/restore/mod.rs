//! Restore by swapping disks: planned and looked at (`prepare`), then the saga of `steps`, run by `run`.

mod abort;
mod archive;
mod context;
mod director_change;
mod estimate;
mod journal;
mod lock_notice;
mod planning;
mod preflight;
mod prepare;
mod publication;
mod report;
mod rollback_check;
mod run;
mod state;
mod status_report;
mod steps;
mod survey;
mod swap;

pub use abort::{AbortPoint, abort_restore};
pub use journal::RestoreJournal;
pub use prepare::plan_restore;
pub use report::{DowntimeSplit, PreflightReport, RestoreReport, StepReport, read_report};
pub use run::{resume_restore, rollback_restore, run_restore};
pub(crate) use state::unfinished;
pub use state::{RestorePhase, RestoreState};
pub use steps::RestoreStep;
