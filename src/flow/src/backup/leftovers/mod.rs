//! What dead drivers left: snapshots of backups that never became good, disks of restores that were undone.
//!
//! Nothing goes on absence of knowledge. It goes where it carries this store's id and this Director's uuid, was made
//! under an earlier lease than ours, and the store says what became of its run:
//!
//! | the store says | of a snapshot | of a disk |
//! |---|---|---|
//! | its run is good, or goes on | stays | stays |
//! | a tombstone of pruning | goes | – |
//! | anything else, and the cloud's mark says that it was good | stays, and is told by name | – |
//! | a tombstone; the journal ends with `undone` | goes | goes, unless something has it |
//! | begun, nothing more | a tombstone is written first: a late manifest loses | – |
//! | nothing | stays: a changed prefix, an emptied bucket, another landscape | stays |

mod disks;
mod snapshots;

use remount_saga::ProgressReporter;

use super::Holder;
use crate::owner::Owner;
use crate::{FlowContext, Result};

pub use snapshots::{delete_of, give_up, tags_of};

/// Deletes what dead drivers left of the cluster. The caller holds its lease.
pub async fn reap(
    ctx: &FlowContext,
    holder: &Holder<'_>,
    owner: &Owner,
    reporter: &ProgressReporter<'_>,
) -> Result<()> {
    snapshots::reap(ctx, holder, owner, reporter).await?;
    disks::reap(ctx, holder, owner, reporter).await
}
