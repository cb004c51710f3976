//! Snapshots of backups that never became good.

use std::collections::BTreeMap;

use jiff::Timestamp;
use remount_cloud::{Snapshot, Tags, tag};
use remount_core::documents::{BackupBegunNote, BackupRecord, FORMAT, Tombstone, TombstoneKind};
use remount_core::{BackupId, ClusterName, SystemIdentifier};
use remount_saga::ProgressReporter;
use remount_store::{ClusterStore, Error};

use crate::backup::Holder;
use crate::backup::snapshot::is_good;
use crate::owner::{Owner, is_before};
use crate::{FlowContext, FlowError, Result, settled};

/// Deletes the snapshots of backups of which the store says that they failed, or that they were begun by an owner
/// before us and never became good. One that is marked as good at the cloud goes by a tombstone of pruning alone: its
/// manifest may have been deleted by whoever writes to a shared file system, and a note of its begin put back; or this
/// is a replica that lags behind.
pub async fn reap(
    ctx: &FlowContext,
    holder: &Holder<'_>,
    owner: &Owner,
    reporter: &ProgressReporter<'_>,
) -> Result<()> {
    let (cluster, epoch) = (holder.cluster, holder.lease.epoch());
    let mut left: BTreeMap<BackupId, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in tagged(ctx, &owner.tags(cluster.name())).await? {
        if let Some(backup) = backup_of(&snapshot).filter(|_| is_before(&snapshot.tags, epoch)) {
            left.entry(backup).or_default().push(snapshot);
        }
    }
    let begun =
        cluster.begun_backups().await.map_err(FlowError::store("look for backups that were begun"))?;
    let begun: BTreeMap<BackupId, BackupBegunNote> =
        begun.into_iter().filter(|note| note.epoch < epoch).map(|note| (note.id.clone(), note)).collect();
    let ids: Vec<BackupId> = begun.keys().chain(left.keys()).cloned().collect();
    let settled = Settled { ctx, holder, reporter };
    for id in ids {
        let snapshots = left.remove(&id).unwrap_or_default();
        settled.one(&id, begun.get(&id), &snapshots).await?;
    }
    Ok(())
}

/// A backup of the past on its way to be settled.
struct Settled<'a> {
    ctx: &'a FlowContext,
    holder: &'a Holder<'a>,
    reporter: &'a ProgressReporter<'a>,
}

impl Settled<'_> {
    async fn one(
        &self,
        id: &BackupId,
        begun: Option<&BackupBegunNote>,
        snapshots: &[Snapshot],
    ) -> Result<()> {
        let cluster = self.holder.cluster;
        // No tombstone for what was good: a manifest that comes back with a replica is to find its name free.
        let begun_only = begun.filter(|_| !snapshots.iter().any(is_good));
        let record = self.record(id, begun_only).await?;
        for snapshot in snapshots {
            match &record {
                Some(BackupRecord::Manifest(_)) => {}
                Some(BackupRecord::Tombstone(stands)) => self.of_tombstone(id, stands, snapshot).await?,
                None if is_good(snapshot) => self.tell_kept(id, snapshot),
                None => {}
            }
        }
        if record.is_none() {
            return Ok(());
        }
        if let Some(note) = begun {
            let forgotten = cluster.forget_begun(id, note.system_identifier).await;
            forgotten.map_err(FlowError::store(format!("settle backup {id}")))?;
        }
        Ok(())
    }

    async fn of_tombstone(&self, id: &BackupId, stands: &Tombstone, snapshot: &Snapshot) -> Result<()> {
        if stands.tombstone == TombstoneKind::Failed && self.was_good(snapshot).await? {
            self.tell_kept(id, snapshot);
            return Ok(());
        }
        // After a sleep that outlasted the lease another may be at it.
        self.holder.still_ours().await?;
        let why = match stands.tombstone {
            TombstoneKind::Failed => "a backup that never became good",
            TombstoneKind::Pruned => "a backup that is not kept any more",
        };
        self.reporter.note(format!("snapshot {} of {why} is deleted", snapshot.cid));
        delete(self.ctx, snapshot).await
    }

    /// A list may be older than a mark: the snapshot itself is asked.
    async fn was_good(&self, listed: &Snapshot) -> Result<bool> {
        let found = self.ctx.cloud.snapshot(&listed.cid).await;
        let found = found.map_err(FlowError::cloud(format!("look at snapshot {}", listed.cid)))?;
        Ok(is_good(listed) || found.as_ref().is_some_and(is_good))
    }

    fn tell_kept(&self, id: &BackupId, snapshot: &Snapshot) {
        self.reporter.note(format!(
            "snapshot {} of backup {id} is kept: complete, no manifest. Look why the store has none \
             (docs/runbook.md); where it is not wanted, delete it in the cloud's console",
            snapshot.cid
        ));
    }

    /// What the store says of the backup, having been told that one which was begun is over. None where it says
    /// nothing.
    async fn record(&self, id: &BackupId, begun: Option<&BackupBegunNote>) -> Result<Option<BackupRecord>> {
        let cluster = self.holder.cluster;
        let asked = match begun {
            Some(note) => {
                self.holder.still_ours().await?;
                let why = "its driver ended before it was done";
                let epoch = self.holder.lease.epoch();
                give_up(cluster, id, note.system_identifier, epoch, why).await.map(Some)
            }
            None => cluster.backup_record(id).await,
        };
        match asked {
            Err(error @ Error::Document { .. }) => {
                self.reporter.note(format!("{error}: what is left of backup {id} is not deleted"));
                Ok(None)
            }
            asked => asked.map_err(FlowError::store(format!("look what became of backup {id}"))),
        }
    }
}

/// Says that a backup failed, unless its manifest was faster; answers what stands.
///
/// # Errors
/// As [`ClusterStore::give_up_backup`].
pub async fn give_up(
    cluster: &ClusterStore,
    id: &BackupId,
    system_identifier: SystemIdentifier,
    epoch: u64,
    why: &str,
) -> Result<BackupRecord, Error> {
    let tombstone = Tombstone {
        format: FORMAT,
        tombstone: TombstoneKind::Failed,
        id: id.clone(),
        cluster: cluster.name().clone(),
        system_identifier,
        epoch,
        at: Timestamp::now(),
        why: why.to_owned(),
    };
    cluster.give_up_backup(&tombstone).await
}

/// Deletes the snapshots of one backup that has a tombstone.
pub async fn delete_of(ctx: &FlowContext, tags: &Tags) -> Result<()> {
    // One that was asked for a moment ago may not be listed yet.
    let any = || async { Ok(Some(tagged(ctx, tags).await?).filter(|found| !found.is_empty())) };
    let found = settled::found_soon(ctx, "the snapshot in the cloud's list", any).await?;
    for snapshot in found.unwrap_or_default() {
        delete(ctx, &snapshot).await?;
    }
    Ok(())
}

/// The tags that find the snapshot of a backup.
pub fn tags_of(owner: &Owner, cluster: &ClusterName, backup: &BackupId) -> Tags {
    let mut tags = owner.tags(cluster);
    tags.insert(tag::BACKUP.into(), backup.to_string());
    tags
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
