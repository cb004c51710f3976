//! Snapshots of backups that never became good: a driver died, or could not clean up after itself.

use std::collections::BTreeSet;

use remount_cloud::{Snapshot, Tags, tag};
use remount_core::{BackupId, ClusterName};
use remount_store::ClusterStore;

use super::Holder;
use crate::{FlowContext, FlowError, Result, settled};
use remount_saga::ProgressReporter;

/// Deletes the cluster's snapshots whose backup has no manifest. The caller holds the cluster's lease, so
/// the process that took them is dead or fenced: no manifest can come any more.
pub async fn reap(ctx: &FlowContext, holder: &Holder<'_>, reporter: &ProgressReporter<'_>) -> Result<()> {
    let cluster = holder.cluster;
    let tags = Tags::from([(tag::CLUSTER.into(), cluster.name().to_string())]);
    let snapshots = tagged(ctx, &tags).await?;
    if snapshots.is_empty() {
        return Ok(());
    }
    let survey = cluster.survey_backups().await.map_err(FlowError::store("read the backups"))?;
    if !survey.unreadable.is_empty() {
        // One of the manifests that cannot be read may be that of a snapshot that looks like a leftover.
        reporter.note("some manifests cannot be read: no leftover is deleted");
        return Ok(());
    }
    let good: BTreeSet<BackupId> = survey.good.into_iter().map(|backup| backup.id).collect();
    for snapshot in snapshots {
        if backup_of(&snapshot).is_some_and(|backup| !good.contains(&backup)) {
            // After a sleep that outlasted the lease it may be the snapshot of a backup that goes on now.
            holder.still_ours().await?;
            reporter.note(format!("snapshot {} of a backup that never became good is deleted", snapshot.cid));
            delete(ctx, &snapshot).await?;
        }
    }
    Ok(())
}

/// Whether the backup's manifest is in the store.
pub async fn written(cluster: &ClusterStore, backup: &BackupId) -> Result<bool> {
    let found = cluster.backup(backup).await;
    Ok(found.map_err(FlowError::store("look for the manifest"))?.is_some())
}

/// Deletes the snapshots of one backup.
pub async fn delete_of(ctx: &FlowContext, cluster: &ClusterStore, backup: &BackupId) -> Result<()> {
    let tags = tags_of(cluster.name(), backup);
    // One that was asked for a moment ago may not be listed yet.
    let any = || async { Ok(Some(tagged(ctx, &tags).await?).filter(|found| !found.is_empty())) };
    let found = settled::found_soon(ctx, "the snapshot in the cloud's list", any).await?;
    for snapshot in found.unwrap_or_default() {
        delete(ctx, &snapshot).await?;
    }
    Ok(())
}

/// The tags that find the snapshot of a backup.
pub fn tags_of(cluster: &ClusterName, backup: &BackupId) -> Tags {
    Tags::from([(tag::CLUSTER.into(), cluster.to_string()), (tag::BACKUP.into(), backup.to_string())])
}

/// A snapshot without a backup's tag is not ours to delete.
fn backup_of(snapshot: &Snapshot) -> Option<BackupId> {
    snapshot.tags.get(tag::BACKUP)?.parse().ok()
}

async fn tagged(ctx: &FlowContext, tags: &Tags) -> Result<Vec<Snapshot>> {
    ctx.cloud.snapshots_tagged(tags).await.map_err(FlowError::cloud("look for snapshots by tag"))
}

async fn delete(ctx: &FlowContext, snapshot: &Snapshot) -> Result<()> {
    ctx.cloud
        .delete_snapshot(&snapshot.cid)
        .await
        .map_err(FlowError::cloud(format!("delete snapshot {}", snapshot.cid)))
}
