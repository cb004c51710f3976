//! Restore planning: which backup, which timelines, which WAL. Or the exact reason why not.
//!
//! It answers everything that can be known before a disk is touched. PostgreSQL itself notices some of
//! these cases only after the cluster was stopped, and some never: it takes a gap in the archive for its
//! end and promotes there, and it reads a parent's segment past the fork where the child's is missing.
//!
//! | question | answer |
//! |---|---|
//! | which timeline? (`timelines`) | the wanted one; else the running primary's, or that of the note of its stop; else a standby's that is not behind on the newest; else the newest in the archive |
//! | was the cluster on them at that time? (`lives`) | by the first and last commits beside each fork; else refused |
//! | where is that transaction or restore point? (`marks`) | where a search of the archive has found it; else refused |
//! | which backup? (`base`) | the newest on those timelines that ends before the target |
//! | is the WAL there? (`coverage`) | each segment from the backup's start to the target, on its one timeline |
//! | which number comes next? (`timelines`) | the first above the followed one without a history file, as PostgreSQL probes |

mod base;
mod coverage;
mod error;
mod lives;
mod marks;
mod timelines;
mod wal;

#[cfg(test)]
mod archived_cluster;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod proofs;

pub use error::{PlanError, Reachable};

use crate::documents::{BackupManifest, RecoveryPath};
use crate::{ArchiveListing, RestoreTarget, WalMark};

/// What is aimed at: the target, and the record that it was found to be.
struct Aim<'a> {
    target: &'a RestoreTarget,
    mark: Option<WalMark>,
}

/// Plans what recovery will read to reach `target`.
///
/// Of `manifests`, those of other system identifiers than the archive's are passed over.
///
/// A target time is reached only where the archive proves it, by a commit later than the time, or where
/// the primary runs and the time is past. In the latter case the caller has to make sure that a later
/// commit *is* archived: PostgreSQL stops before the first later commit and fails without one.
///
/// # Errors
/// Each reason why no restore to the target is possible is a case of [`PlanError`].
///
/// # Source
/// PostgreSQL documentation, chapters "Recovering Using a Continuous Archive Backup" and "Timelines".
pub fn plan_recovery(
    manifests: &[BackupManifest],
    archive: &ArchiveListing,
    target: &RestoreTarget,
) -> Result<RecoveryPath, PlanError> {
    coverage::refuse_the_future(archive, target)?;
    let backups = base::of_this_cluster(manifests, archive, target)?;
    let history = timelines::resolve(&backups, archive, target)?;
    lives::refuse_a_time_of_another_branch(archive, &history, target)?;
    let mark = marks::locate(&backups, archive, &history, target)?;
    let aim = Aim { target, mark };
    let backup = base::choose(&backups, archive, &history, &aim)?;
    let reached = coverage::cover(&backups, backup, archive, history, &aim)?;
    let new_timeline = timelines::next_timeline(&backups, archive, reached.history.timeline)?;
    Ok(RecoveryPath {
        backup: backup.id.clone(),
        snapshot: backup.snapshot.cid.clone(),
        system_identifier: backup.system_identifier,
        segment_size: backup.segment_size,
        history: reached.history,
        new_timeline,
        start_lsn: backup.start_lsn,
        consistent_lsn: backup.stop_lsn,
        minimum_lsn: reached.minimum_lsn,
        segments: reached.segments,
    })
}
