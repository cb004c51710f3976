//! The snapshot of a backup: made, its point in time fixed, complete.

use std::time::Duration;

use remount_cloud::{Snapshot, SnapshotState, tag};
use remount_core::SnapshotCid;

use super::{Taking, leftovers, snapshot_named};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Result};

/// The key of the tag that says under which lease a snapshot was taken.
const TAG_EPOCH: &str = "remount-epoch";
/// Between two looks at a snapshot that uploads for hours.
const SLOW_POLL: Duration = Duration::from_secs(5);

/// Makes the snapshot and waits until its point in time is fixed: backup mode may end then.
pub async fn captured(taking: &Taking<'_>) -> Result<Snapshot> {
    let (ctx, disk, key) = (taking.ctx, &taking.source.disk, taking.key()?);
    let mut tags = leftovers::tags_of(taking.holder.cluster.name(), &taking.id);
    tags.insert(tag::SYSTEM_IDENTIFIER.into(), taking.source.status.system_identifier.to_string());
    tags.insert(TAG_EPOCH.into(), taking.holder.lease.epoch().to_string());
    let snapshot = retrying(ctx.timeouts.retry, || ctx.cloud.create_snapshot(disk, &tags, &key))
        .await
        .map_err(FlowError::cloud(format!("snapshot disk {disk}")))?;
    let what = format!("{} captured", snapshot_named(&snapshot.cid));
    let captured = |state| matches!(state, SnapshotState::Captured | SnapshotState::Complete);
    until(what, ctx.timeouts.snapshot_captured, ctx.timeouts.poll, || look(taking, &snapshot.cid, captured))
        .await
}

/// Waits until disks can be made from the snapshot.
pub async fn complete(taking: &Taking<'_>, cid: &SnapshotCid) -> Result<Snapshot> {
    let complete = |state| state == SnapshotState::Complete;
    // A local snapshot is complete at once, a cloud's after minutes or hours.
    if let Look::Found(snapshot) = look(taking, cid, complete).await? {
        return Ok(snapshot);
    }
    let timeouts = &taking.ctx.timeouts;
    let poll = SLOW_POLL.min(timeouts.poll * 10);
    let what = format!("{} complete", snapshot_named(cid));
    until(what, timeouts.snapshot_complete, poll, || look(taking, cid, complete)).await
}

async fn look(
    taking: &Taking<'_>,
    cid: &SnapshotCid,
    good: impl Fn(SnapshotState) -> bool,
) -> Result<Look<Snapshot>> {
    let ctx = taking.ctx;
    let found = retrying(ctx.timeouts.retry, || ctx.cloud.snapshot(cid))
        .await
        .map_err(FlowError::cloud(format!("look at {}", snapshot_named(cid))))?;
    match found {
        Some(snapshot) if good(snapshot.state) => Ok(Look::Found(snapshot)),
        Some(snapshot) if snapshot.state != SnapshotState::Failed => {
            Ok(Look::NotYet(format!("{:?}", snapshot.state)))
        }
        _ => Err(FlowError::check(
            format!("the cloud gave up on {}", snapshot_named(cid)),
            "look at the snapshot in the cloud's console, then run the backup again",
        )),
    }
}
