//! Step 4: one disk per instance from the snapshot, in its zone. The slow step, while all still serves.

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use remount_cloud::{Disk, DiskSpec, DiskState, Tags, tag};
use remount_core::{DiskCid, PlannedInstance};
use serde_json::{Value, json};

use super::super::cx::Restore;
use super::super::tasks;
use crate::instances;
use crate::saga::{Probe, Step};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Result};

pub struct CreateDisks;

#[async_trait]
impl<'r> Step<Restore<'r>> for CreateDisks {
    fn name(&self) -> &'static str {
        "create_disks"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        // All are followed to their end even where one fails: a disk made after the undo would leak.
        let made = join_all(cx.plan.instances.iter().map(|planned| create(cx, planned))).await;
        let made: Vec<DiskCid> = made.into_iter().collect::<Result<_>>()?;
        Ok(json!({ "disks": made }))
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        tasks::settle(cx).await?;
        if cx.known().may_have_served {
            cx.watch.note(
                "what was written since the restore stays on its disks: the Director keeps them as orphans",
            );
            return Ok(());
        }
        let tags = Tags::from([
            (tag::CLUSTER.into(), cx.plan.cluster.to_string()),
            (tag::RESTORE.into(), cx.plan.id.to_string()),
        ]);
        let disks = retrying(cx.ctx.timeouts.retry, || cx.ctx.cloud.disks_tagged(&tags))
            .await
            .map_err(FlowError::cloud("look for the disks of this restore"))?;
        refuse_active(cx, &disks).await?;
        try_join_all(disks.iter().map(|disk| delete(cx, &disk.cid))).await?;
        cx.known().disks.clear();
        Ok(())
    }

    async fn probe(&self, cx: &Restore<'r>) -> Result<Probe> {
        for planned in &cx.plan.instances {
            let disks = cx.ctx.cloud.disks_tagged(&cx.disk_tags(planned)).await;
            let disks = disks.map_err(FlowError::cloud("look for the disks of this restore"))?;
            let usable = |disk: &Disk| matches!(disk.state, DiskState::Available | DiskState::InUse);
            if !disks.iter().any(usable) {
                return Ok(Probe::NotDone);
            }
        }
        Ok(Probe::Done)
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        let disks = cx.known().disks.values().cloned().collect::<Vec<_>>();
        disks.iter().map(|disk| format!("bosh -n delete-disk {disk}")).collect()
    }
}

async fn create(cx: &Restore<'_>, planned: &PlannedInstance) -> Result<DiskCid> {
    cx.fence().await?;
    let action = format!("make the new disk of {}", planned.instance);
    let spec = DiskSpec {
        size_mib: planned.disk_size_mib,
        disk_type: planned.disk_type.clone(),
        az: planned.az.clone(),
        tags: cx.disk_tags(planned),
    };
    let (key, snapshot) = (cx.disk_key(planned)?, &cx.plan.path.snapshot);
    let disk = retrying(cx.ctx.timeouts.retry, || cx.ctx.cloud.create_disk(snapshot, &spec, &key))
        .await
        .map_err(FlowError::cloud(action.clone()))?;
    cx.known().disks.insert(planned.instance.clone(), disk.cid.clone());
    let timeouts = &cx.ctx.timeouts;
    until(format!("disk {} usable", disk.cid), timeouts.disk_usable, timeouts.poll, || usable(cx, &disk.cid))
        .await?;
    cx.watch.note(format!("{}: disk {} from snapshot {snapshot}", planned.instance, disk.cid));
    Ok(disk.cid)
}

async fn usable(cx: &Restore<'_>, cid: &DiskCid) -> Result<Look<()>> {
    let disk = retrying(cx.ctx.timeouts.retry, || cx.ctx.cloud.disk(cid))
        .await
        .map_err(FlowError::cloud(format!("look at disk {cid}")))?;
    match disk.map(|disk| disk.state) {
        Some(DiskState::Available | DiskState::InUse) => Ok(Look::Found(())),
        Some(DiskState::Creating) => Ok(Look::NotYet("the cloud is still making it".into())),
        Some(DiskState::Failed) | None => Err(FlowError::check(
            format!("the cloud gave up on disk {cid}"),
            "look at the disk in the cloud's console, then run the command again",
        )),
    }
}

/// A disk that an instance has, by the Director's record or in the cloud, is never deleted.
async fn refuse_active(cx: &Restore<'_>, disks: &[Disk]) -> Result<()> {
    let all = instances::all(cx.ctx, &cx.plan.deployment).await?;
    for disk in disks {
        let holder = all.iter().find(|instance| instance.disks.contains(&disk.cid));
        let name = holder.map(|instance| instance.slug.to_string());
        if let Some(name) = name.or(disk.attached_to.as_ref().map(ToString::to_string)) {
            return Err(FlowError::check(
                format!("disk {} of this restore is still in {name}", disk.cid),
                "put the old disk back first",
            ));
        }
    }
    Ok(())
}

/// The Director deletes what it has recorded, the cloud the rest.
async fn delete(cx: &Restore<'_>, disk: &DiskCid) -> Result<()> {
    cx.fence().await?;
    let action = format!("delete disk {disk}");
    let director = &cx.ctx.director;
    let orphans = retrying(cx.ctx.timeouts.retry, || director.orphaned_disks())
        .await
        .map_err(FlowError::director("read the orphaned disks"))?;
    if orphans.iter().any(|orphan| orphan.disk_cid == *disk) {
        let _waiting = cx.watch.waiting_for_director();
        let task = retrying(cx.ctx.timeouts.retry, || director.delete_orphaned_disk(disk))
            .await
            .map_err(FlowError::director(action.clone()))?;
        let deadline = std::time::Instant::now() + cx.ctx.timeouts.delete;
        retrying(cx.ctx.timeouts.delete, || director.wait(task, deadline, &|_| {}))
            .await
            .map_err(FlowError::director(action.clone()))?;
    }
    retrying(cx.ctx.timeouts.retry, || cx.ctx.cloud.delete_disk(disk)).await.map_err(FlowError::cloud(action))
}
