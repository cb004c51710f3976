//! Restore by swapping disks: planned and looked at (`prepare`), then the saga of `steps`, run by `run`.

mod abort;
mod archive;
mod at_stake;
mod collations;
mod context;
mod director_change;
mod downtime;
mod estimate;
mod first_start;
mod journal;
mod last_written;
mod left_recovery;
mod lock_notice;
mod new_disk;
mod pause;
mod places;
mod planning;
mod preflight;
mod prepare;
mod publication;
mod reindex;
mod report;
mod rollback_check;
mod rollback_look;
mod run;
mod state;
mod status_report;
mod steps;
mod stop_note;
mod streamed;
mod survey;
mod swap;
mod target_search;
mod unarchived;
mod wal_check;

pub use abort::{AbortPoint, abort_restore};
pub use journal::RestoreJournal;
pub use prepare::plan_restore;
pub use report::{DowntimeSplit, PreflightReport, RestoreReport, StepReport, read_report};
pub use run::{
    accept_restore, forward_restore, give_up_restore, resume_restore, rollback_restore, run_restore,
};
pub(crate) use state::unfinished;
pub use state::{RestorePhase, RestoreState};
pub use steps::RestoreStep;
pub(crate) use unarchived::missing_wal;
