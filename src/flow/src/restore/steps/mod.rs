//! The steps of a restore, as DESIGN section 7 numbers them (1 and 2, plan and preflight, come before and
//! touch nothing).
//!
//! | #  | step            | does                                               | undo                          |
//! |----|-----------------|----------------------------------------------------|-------------------------------|
//! | 3  | `begin`         | looks that nothing changed since the plan          | nothing was changed           |
//! | 4  | `create_disks`  | one disk per instance from the snapshot            | delete them, before `verify`  |
//! | 5  | `last_wal`      | a last commit, archived                            | nothing was changed           |
//! | 6  | `publish`       | the plan becomes the one the VMs apply             | withdraw it                   |
//! | 7  | `swap_standbys` | standbys stop and get their new disks              | old disks, withdraw, start    |
//! | 8  | `stop_primary`  | the primary stops                                  | all old disks, withdraw, start|
//! | 9  | `swap_primary`  | the primary gets its new disk                      | old disk                      |
//! | 10 | `recover`       | the primary starts and replays to the target       | stop                          |
//! | 11 | `verify`        | timeline, position, a write                        | nothing was changed           |
//! | 12 | `rejoin`        | fork archived and recorded, standbys start, follow | stop them                     |
//! | 13 | `finish`        | withdraw, backup; the old disks stay as orphans    | none: from here only forward  |
//!
//! On the way back the plan is withdrawn only when every swapped disk is out again, and before any old disk
//! starts: a new disk without its plan would start as if its backup had crashed, an old one that carries a
//! stale backup mark would be refused because of the plan.

mod begin;
mod disks;
mod finish;
mod last_wal;
mod primary;
mod publish;
mod rejoin;
mod standbys;
mod verify;

use super::cx::Restore;
use crate::saga::Saga;

/// The list.
pub fn restore_saga<'a>() -> Saga<Restore<'a>> {
    Saga::new()
        .step(begin::Begin)
        .step(disks::CreateDisks)
        .step(last_wal::LastWal)
        .step(publish::Publish)
        .step(standbys::SwapStandbys)
        .step(primary::StopPrimary)
        .step(primary::SwapPrimary)
        .step(primary::Recover)
        .step(verify::Verify)
        .step(rejoin::Rejoin)
        .step(finish::Finish)
}
