//! The steps of a restore, as `docs/design.md` section 7 numbers them (1 and 2, plan and preflight, come before and
//! touch nothing).
//!
//! | #  | step            | does                                               | undo                          |
//! |----|-----------------|----------------------------------------------------|-------------------------------|
//! | 3  | `begin`         | looks that nothing changed since the plan          | nothing was changed           |
//! | 4  | `create_disks`  | one disk per instance from the snapshot            | delete them, or put them aside|
//! | 5  | `last_wal`      | a last commit, archived                            | nothing was changed           |
//! | 6  | `publish`       | the plan becomes the one the VMs apply             | withdraw it                   |
//! | 7  | `swap_standbys` | standbys stop and get their new disks              | old disks, withdraw, start    |
//! | 8  | `stop_primary`  | the primary stops                                  | all old disks, withdraw, start|
//! | 9  | `swap_primary`  | the primary gets its new disk                      | old disk                      |
//! | 10 | `recover`       | the primary starts, replays to the target, waits   | stop                          |
//! | 11 | `verify`        | timelines, position; still in recovery             | nothing was changed           |
//! | 12 | `promote`       | the primary takes writes; a write                  | its disk is put aside         |
//! | 13 | `rejoin`        | fork archived and recorded, standbys start, follow | stop them                     |
//! | 14 | `finish`        | withdraw, backup; the old disks stay as orphans    | nothing                       |
//!
//! Nobody can write to the restored primary before `promote`. Where it was begun, or where it is not known that the
//! server stayed in recovery, a rollback puts the restored disks aside and deletes none. From `rejoin` on a failure holds
//! the restore, and only a rollback that somebody asks for undoes it.
//!
//! In a rollback the plan is withdrawn only when every swapped disk is out again, and before any old disk
//! starts: a new disk without its plan is refused at its start, an old one that carries a stale backup mark would be
//! refused because of the plan.

pub mod begin;
pub mod create_disks;
pub mod finish;
pub mod last_wal;
pub mod primary;
pub mod promote;
pub mod publish;
pub mod rejoin;
pub mod standbys;
pub mod verify;

use remount_saga::{BoxedStep, Saga, boxed, step_names};

use super::context::RestoreContext;

step_names! {
    /// The steps of a restore, in order.
    pub enum RestoreStep {
        /// Looks that nothing changed since the plan.
        Begin = "begin",
        /// One disk per instance from the snapshot.
        CreateDisks = "create_disks",
        /// A last commit, archived.
        LastWal = "last_wal",
        /// The plan becomes the one the VMs apply.
        Publish = "publish",
        /// Standbys stop and get their new disks.
        SwapStandbys = "swap_standbys",
        /// The primary stops.
        StopPrimary = "stop_primary",
        /// The primary gets its new disk.
        SwapPrimary = "swap_primary",
        /// The primary starts, replays to the target and waits there, in recovery.
        Recover = "recover",
        /// Timelines and position, while nobody can write.
        Verify = "verify",
        /// The primary takes writes.
        Promote = "promote",
        /// Standbys start and follow.
        Rejoin = "rejoin",
        /// The plan is withdrawn, the restored cluster backed up.
        Finish = "finish",
    }
}

impl RestoreStep {
    /// The steps in which nothing serves.
    pub const DOWNTIME: [Self; 5] =
        [Self::StopPrimary, Self::SwapPrimary, Self::Recover, Self::Verify, Self::Promote];
}

impl RestoreStep {
    /// Whether the restored primary serves before it: a failure holds the restore and undoes nothing.
    #[must_use]
    pub fn only_forward(self) -> bool {
        self as usize >= restore_saga().turning_point()
    }
}

/// The list, ready to run.
pub fn restore_saga<'a>() -> Saga<RestoreContext<'a>> {
    Saga::of(RestoreStep::ALL.map(step))
}

fn step<'a>(name: RestoreStep) -> BoxedStep<RestoreContext<'a>> {
    match name {
        RestoreStep::Begin => boxed(begin::Begin),
        RestoreStep::CreateDisks => boxed(create_disks::CreateDisks),
        RestoreStep::LastWal => boxed(last_wal::LastWal),
        RestoreStep::Publish => boxed(publish::Publish),
        RestoreStep::SwapStandbys => boxed(standbys::SwapStandbys),
        RestoreStep::StopPrimary => boxed(primary::StopPrimary),
        RestoreStep::SwapPrimary => boxed(primary::SwapPrimary),
        RestoreStep::Recover => boxed(primary::Recover),
        RestoreStep::Verify => boxed(verify::Verify),
        RestoreStep::Promote => boxed(promote::Promote),
        RestoreStep::Rejoin => boxed(rejoin::Rejoin),
        RestoreStep::Finish => boxed(finish::Finish),
    }
}

/// The steps' names, in order.
pub fn names() -> [&'static str; RestoreStep::ALL.len()] {
    RestoreStep::ALL.map(RestoreStep::as_str)
}
