//! Step 4: one disk per instance from the snapshot, in its zone. The slow step, while all still serves.

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use remount_cloud::{Disk, DiskSpec, DiskState, Tags, tag};
use remount_core::documents::PlannedInstance;
use remount_core::{DiskCid, InstanceSlug};

use super::RestoreStep;
use crate::instances;
use crate::restore::context::RestoreContext;
use crate::restore::director_change;
use crate::restore::wal_check;
use crate::settled::{self, Settling};
use crate::wait::until;
use crate::{FlowError, Result};
use remount_director::{Follow, follow};
use remount_host::Poll;
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct CreateDisks;

/// A disk that was made for an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewDisk {
    /// The instance.
    pub instance: InstanceSlug,
    /// Its disk.
    pub disk: DiskCid,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for CreateDisks {
    type Output = Vec<NewDisk>;

    const NAME: RestoreStep = RestoreStep::CreateDisks;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Vec<NewDisk>> {
        // All are followed to their end even where one fails: a disk made after the undo would leak.
        let made = join_all(restore.plan.instances.iter().map(|planned| create(restore, planned)));
        wal_check::while_making(restore, async { made.await.into_iter().collect() }).await
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        director_change::settle(restore).await?;
        if restore.may_have_served() {
            restore.reporter.note(
                "what may have been written since the restore stays on its disks: they are put aside (`remount disks`)",
            );
            return Ok(());
        }
        let disks = made(restore, &restore.restore_tags()).await?;
        refuse_active(restore, &disks).await?;
        try_join_all(disks.iter().map(|disk| delete(restore, &disk.cid))).await?;
        restore.notes().new_disks.clear();
        Ok(())
    }

    async fn probe(&self, restore: &RestoreContext<'r>) -> Result<Probe<Vec<NewDisk>>> {
        let mut made = Vec::new();
        for planned in &restore.plan.instances {
            let disks = restore.ctx.cloud.disks_tagged(&restore.disk_tags(planned)).await;
            let disks = disks.map_err(FlowError::cloud("look for the disks of this restore"))?;
            let usable = |disk: &&Disk| matches!(disk.state, DiskState::Available | DiskState::InUse);
            let Some(disk) = disks.iter().find(usable) else { return Ok(Probe::NotDone) };
            made.push(NewDisk { instance: planned.instance.clone(), disk: disk.cid.clone() });
        }
        Ok(Probe::Done(made))
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        let disks = restore.notes().new_disks.values().cloned().collect::<Vec<_>>();
        disks.iter().map(|disk| format!("bosh -n delete-disk {disk}")).collect()
    }
}

async fn create(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<NewDisk> {
    restore.fence().await?;
    let action = format!("make the new disk of {}", planned.instance);
    let mut tags = restore.disk_tags(planned);
    tags.insert(tag::EPOCH.into(), restore.lease.epoch().to_string());
    let spec = DiskSpec { like: planned.new_disk.clone(), tags };
    let (key, snapshot) = (restore.disk_key(planned)?, &restore.plan.path.snapshot);
    let disk = restore
        .ctx
        .cloud
        .create_disk(snapshot, &spec, &key)
        .await
        .map_err(FlowError::cloud(action.clone()))?;
    restore.notes().new_disks.insert(planned.instance.clone(), disk.cid.clone());
    let (timeouts, settling) = (&restore.ctx.timeouts, Settling::begun(restore.ctx));
    until(restore.ctx, format!("disk {} usable", disk.cid), timeouts.disk_usable, || {
        usable(restore, &disk.cid, &settling)
    })
    .await?;
    restore.reporter.note(format!("{}: disk {} from snapshot {snapshot}", planned.instance, disk.cid));
    Ok(NewDisk { instance: planned.instance.clone(), disk: disk.cid })
}

async fn usable(restore: &RestoreContext<'_>, cid: &DiskCid, settling: &Settling) -> Result<Poll<()>> {
    let disk = restore.ctx.disk(cid).await?;
    match disk.map(|disk| disk.state) {
        Some(DiskState::Available | DiskState::InUse) => Ok(Poll::Ready(())),
        Some(DiskState::Creating) => Ok(Poll::NotYet("the cloud is still making it".into())),
        None if !settling.believes_no() => Ok(Poll::NotYet("the cloud does not show it yet".into())),
        Some(DiskState::Failed) | None => Err(FlowError::check(
            format!("the cloud gave up on disk {cid}"),
            "look at the disk in the cloud's console, then run the command again",
        )),
    }
}

/// The disks that this restore made. Where fewer are listed than may exist, one may not be shown yet: it would leak.
async fn made(restore: &RestoreContext<'_>, tags: &Tags) -> Result<Vec<Disk>> {
    let list = || async {
        let listed = restore.ctx.cloud.disks_tagged(tags).await;
        listed.map_err(FlowError::cloud("look for the disks of this restore"))
    };
    let all = || {
        let listed = list();
        async { Ok(Some(listed.await?).filter(|found| found.len() >= restore.plan.instances.len())) }
    };
    match settled::found_soon(restore.ctx, "the disks of this restore in the cloud's list", all).await? {
        Some(all) => Ok(all),
        None => list().await,
    }
}

/// A disk that an instance has, by the Director's record or in the cloud, is never deleted.
async fn refuse_active(restore: &RestoreContext<'_>, disks: &[Disk]) -> Result<()> {
    let all = instances::all(restore.ctx, &restore.plan.deployment).await?;
    for disk in disks {
        let holder = all.iter().find(|instance| instance.disks.contains(&disk.cid));
        let name = holder.map(|instance| instance.slug.to_string());
        let attached = match &disk.attached_to {
            Some(vm) if !is_detached(restore, &disk.cid).await? => Some(vm.to_string()),
            _ => None,
        };
        if let Some(name) = name.or(attached) {
            return Err(FlowError::check(
                format!("disk {} of this restore is still in {name}", disk.cid),
                "put the old disk back first",
            ));
        }
    }
    Ok(())
}

/// Whether no VM has a disk. The old disk may have taken its place a moment ago.
async fn is_detached(restore: &RestoreContext<'_>, cid: &DiskCid) -> Result<bool> {
    settled::soon(restore.ctx, &format!("disk {cid} detached"), || async {
        let found = restore.ctx.cloud.disk(cid).await;
        let found = found.map_err(FlowError::cloud(format!("look at disk {cid}")))?;
        Ok(found.is_none_or(|disk| disk.attached_to.is_none()))
    })
    .await
}

/// The Director deletes what it has recorded, the cloud the rest.
async fn delete(restore: &RestoreContext<'_>, disk: &DiskCid) -> Result<()> {
    restore.fence().await?;
    let action = format!("delete disk {disk}");
    let director = &restore.ctx.director;
    let orphans = director.orphaned_disks().await.map_err(FlowError::director("read the orphaned disks"))?;
    if orphans.iter().any(|orphan| orphan.disk_cid == *disk) {
        let _waiting = restore.reporter.waiting_for_director();
        let task = director.delete_orphaned_disk(disk).await.map_err(FlowError::director(action.clone()))?;
        let how = Follow {
            deadline: std::time::Instant::now() + restore.ctx.timeouts.delete,
            pace: restore.ctx.timeouts.task,
            cancellation: &restore.ctx.cancellation,
            progress: &|_| {},
        };
        follow(&**director, task, how).await.map_err(FlowError::director(action.clone()))?;
    }
    restore.ctx.cloud.delete_disk(disk).await.map_err(FlowError::cloud(action))
}
