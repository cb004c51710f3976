//! The snapshot of a backup: made, its point in time fixed, complete.

use std::sync::atomic::Ordering;

use remount_cloud::{Snapshot, SnapshotState, Tags, tag};
use remount_core::SnapshotCid;
use remount_host::Poll;

use super::{BackupRun, leftovers, snapshot_named};
use crate::settled::{self, Settling};
use crate::wait::until;
use crate::{FlowError, Result};

/// Makes the snapshot and waits until its point in time is fixed: backup mode may end then.
pub async fn captured(run: &BackupRun<'_>) -> Result<Snapshot> {
    let (ctx, disk, key) = (run.ctx, &run.source.disk.cid, run.key()?);
    let mut tags = leftovers::tags_of(&run.owner, run.holder.cluster.name(), &run.id);
    tags.insert(tag::SYSTEM_IDENTIFIER.into(), run.source.status.system_identifier.to_string());
    tags.insert(tag::EPOCH.into(), run.holder.lease.epoch().to_string());
    run.asked.store(true, Ordering::Relaxed);
    let snapshot = ctx
        .cloud
        .create_snapshot(disk, &tags, &key)
        .await
        .map_err(FlowError::cloud(format!("snapshot disk {disk}")))?;
    let what = format!("{} captured", snapshot_named(&snapshot.cid));
    let settling = Settling::begun(ctx);
    let captured = |state| matches!(state, SnapshotState::Captured | SnapshotState::Complete);
    until(ctx, what, ctx.timeouts.snapshot_captured, || reached(run, &snapshot.cid, &settling, captured))
        .await
}

/// Waits until disks can be made from the snapshot.
pub async fn complete(run: &BackupRun<'_>, cid: &SnapshotCid) -> Result<Snapshot> {
    let complete = |state| state == SnapshotState::Complete;
    let settling = Settling::begun(run.ctx);
    // A local snapshot is complete at once, a cloud's after minutes or hours.
    if let Poll::Ready(snapshot) = reached(run, cid, &settling, complete).await? {
        return Ok(snapshot);
    }
    let timeouts = &run.ctx.timeouts;
    let what = format!("{} complete", snapshot_named(cid));
    until(run.ctx, what, timeouts.snapshot_complete, || reached(run, cid, &settling, complete)).await
}

/// Says at the cloud that the backup is good, where no database VM can take it back: on a file share one can delete the
/// manifest, and a replica that lags behind never had it. Without its manifest this snapshot stays all the same.
pub async fn mark_good(run: &BackupRun<'_>, cid: &SnapshotCid) -> Result<()> {
    let (ctx, good) = (run.ctx, good_tags());
    let marked = ctx.cloud.tag_snapshot(cid, &good).await;
    marked.map_err(FlowError::cloud(format!("mark {} as complete", snapshot_named(cid))))?;
    let what = format!("the mark of {}", snapshot_named(cid));
    // The manifest comes after everybody can see the mark.
    let seen = settled::soon(ctx, &what, || async {
        let found = ctx.cloud.snapshot(cid).await.map_err(FlowError::cloud(format!("look for {what}")))?;
        Ok(found.is_some_and(|snapshot| is_good(&snapshot)))
    });
    if seen.await? {
        return Ok(());
    }
    Err(FlowError::check(
        format!("the cloud does not show {what}, which it was asked for"),
        "check that its credential may tag snapshots (docs/credentials.md), then run the backup again",
    ))
}

fn good_tags() -> Tags {
    Tags::from([(tag::STATE.to_owned(), tag::COMPLETE.to_owned())])
}

/// Whether the backup of a snapshot was good once, by the cloud's word.
pub fn is_good(snapshot: &Snapshot) -> bool {
    snapshot.tags.get(tag::STATE).is_some_and(|state| state == tag::COMPLETE)
}

async fn reached(
    run: &BackupRun<'_>,
    cid: &SnapshotCid,
    settling: &Settling,
    good: impl Fn(SnapshotState) -> bool,
) -> Result<Poll<Snapshot>> {
    let ctx = run.ctx;
    let found = ctx
        .cloud
        .snapshot(cid)
        .await
        .map_err(FlowError::cloud(format!("look at {}", snapshot_named(cid))))?;
    match found {
        Some(snapshot) if good(snapshot.state) => Ok(Poll::Ready(snapshot)),
        Some(snapshot) if snapshot.state != SnapshotState::Failed => {
            Ok(Poll::NotYet(snapshot.state.to_string()))
        }
        None if !settling.believes_no() => Ok(Poll::NotYet("the cloud does not show it yet".into())),
        _ => Err(FlowError::check(
            format!("the cloud gave up on {}", snapshot_named(cid)),
            "look at the snapshot in the cloud's console, then run the backup again",
        )),
    }
}
