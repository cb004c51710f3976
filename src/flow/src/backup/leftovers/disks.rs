//! Disks of restores that were undone: made by a driver that slept until after the undo had looked for them.

use remount_cloud::{Disk, tag};
use remount_core::{DeploymentName, RestoreId};
use remount_saga::ProgressReporter;

use crate::backup::Holder;
use crate::owner::{Owner, is_before};
use crate::restore::{RestorePhase, RestoreState};
use crate::{FlowContext, FlowError, Result, instances};

/// Deletes them. One that an instance has, or that the Director keeps, is left alone whatever its tags say.
pub async fn reap(
    ctx: &FlowContext,
    holder: &Holder<'_>,
    owner: &Owner,
    reporter: &ProgressReporter<'_>,
) -> Result<()> {
    let (cluster, epoch) = (holder.cluster, holder.lease.epoch());
    let made = ctx.cloud.disks_tagged(&owner.tags(cluster.name())).await;
    let made = made.map_err(FlowError::cloud("look for disks of undone restores by tag"))?;
    for disk in made.iter().filter(|disk| disk.attached_to.is_none() && is_before(&disk.tags, epoch)) {
        let Some(restore) = restore_of(disk) else { continue };
        let Some(deployment) = undone_in(holder, &restore, reporter).await? else { continue };
        if is_kept(ctx, &deployment, disk).await? {
            continue;
        }
        holder.still_ours().await?;
        reporter.note(format!("disk {} of restore {restore}, which was undone, is deleted", disk.cid));
        let deleted = ctx.cloud.delete_disk(&disk.cid).await;
        deleted.map_err(FlowError::cloud(format!("delete disk {}", disk.cid)))?;
    }
    Ok(())
}

fn restore_of(disk: &Disk) -> Option<RestoreId> {
    disk.tags.get(tag::RESTORE)?.parse().ok()
}

/// The deployment of a restore of which the store says that it was undone before it served; none where it says anything
/// else, or nothing.
async fn undone_in(
    holder: &Holder<'_>,
    restore: &RestoreId,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<DeploymentName>> {
    let read = async {
        let plan = holder.cluster.plan(restore).await.map_err(FlowError::store("read the plan"))?;
        let Some(plan) = plan else { return Ok(None) };
        let state = RestoreState::read(holder.cluster, restore).await?;
        Ok((state.phase == RestorePhase::Undone).then_some(plan.deployment))
    };
    match read.await {
        Err(error @ (FlowError::Journal { .. } | FlowError::Store { .. })) if !is_passing(&error) => {
            reporter.note(format!("{error}: the disks of restore {restore} are not deleted"));
            Ok(None)
        }
        read => read,
    }
}

fn is_passing(error: &FlowError) -> bool {
    use remount_core::{OperatorError as _, Retry};
    error.retry() != Retry::Never
}

/// Whether the Director has the disk: recorded for an instance, or as an orphan.
async fn is_kept(ctx: &FlowContext, deployment: &DeploymentName, disk: &Disk) -> Result<bool> {
    let orphans = ctx.director.orphaned_disks().await;
    let orphans = orphans.map_err(FlowError::director("read the orphaned disks"))?;
    if orphans.iter().any(|orphan| orphan.disk_cid == disk.cid) {
        return Ok(true);
    }
    let all = instances::all(ctx, deployment).await?;
    Ok(all.iter().any(|instance| instance.disks.contains(&disk.cid)))
}
