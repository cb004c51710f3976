//! Stopping an instance, changing its disk, starting it: each looks first, each can be repeated.

use remount_core::documents::PlannedInstance;
use remount_core::{DiskCid, VmCid};
use remount_director::{Error, Instance, StopKind};
use remount_saga::SagaError as _;

use super::context::RestoreContext;
use super::director_change::{self, Change};
use crate::error::RUN_AGAIN;
use crate::settled;
use crate::{FlowError, Problem, Result};

/// How often an attach is tried: a CPI that fails once often succeeds the second time.
const ATTACHES: u32 = 2;

/// How an instance has to be stopped so that a disk can be attached; none where it is so already.
fn stop_kind(instance: &Instance) -> Option<StopKind> {
    match (&instance.vm, instance.desired.as_str()) {
        (None, "detached") => None,
        (None, _) => Some(StopKind::HardWithoutDrain),
        (Some(_), "stopped" | "detached") => None,
        (Some(_), _) => Some(StopKind::Soft),
    }
}

/// Stops an instance, whatever state it is in. Answers whether it still has a VM.
pub async fn stop(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    accepted: impl Fn(),
) -> Result<bool> {
    let instance = restore.instance(&planned.instance).await?;
    stop_as(restore, planned, &instance, accepted).await
}

/// Stops an instance that was just looked at. Answers whether it still has a VM.
pub async fn stop_as(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    instance: &Instance,
    accepted: impl Fn(),
) -> Result<bool> {
    let recreated = if is_silent(instance) { Some(recreated_vm(restore, planned).await?) } else { None };
    let instance = recreated.as_ref().unwrap_or(instance);
    let Some(kind) = stop_kind(instance) else {
        return Ok(instance.vm.is_some());
    };
    director_change::change(restore, &planned.instance, Change::Stop(kind), accepted).await?;
    Ok(kind == StopKind::Soft)
}

/// Whether the instance has a VM whose agent does not answer.
fn is_silent(instance: &Instance) -> bool {
    instance.vm.is_some() && instance.job_state.as_deref() == Some("unresponsive agent")
}

/// Has the VM of a silent agent recreated: the Director asks an agent before every other action. That what
/// was on it starts does no harm, and that it does not start is why it is restored.
async fn recreated_vm(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<Instance> {
    restore.reporter.note(format!("{}: no agent answers; its VM is deleted and recreated", planned.instance));
    let made = director_change::change(restore, &planned.instance, Change::Recreate, || {}).await;
    let instance = restore.instance(&planned.instance).await?;
    match made {
        Err(error) if error.is_fenced() || error.is_cancelled() || is_silent(&instance) => Err(error),
        Err(error) => {
            restore.reporter.note(format!(
                "{}: {}; its agent answers now",
                planned.instance,
                Problem::of(&error).what
            ));
            Ok(instance)
        }
        Ok(()) => Ok(instance),
    }
}

/// Whether an instance is stopped, so that a disk can be attached.
pub async fn is_stopped(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<bool> {
    let instance = restore.instance(&planned.instance).await?;
    Ok(!is_silent(&instance) && stop_kind(&instance).is_none())
}

/// Starts an instance. One that runs is left alone by the Director.
pub async fn start(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<()> {
    start_as(restore, planned, || {}).await
}

/// The same; `accepted` is called when the Director has a task for it.
pub async fn start_as(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    accepted: impl Fn(),
) -> Result<()> {
    director_change::change(restore, &planned.instance, Change::Start, accepted).await
}

/// Attaches the new disk to a stopped instance instead of the disk that the plan found there.
///
/// Once the instance is stopped no deploy changes its disk any more; until then one may have, and the disk it
/// left holds what the planned one does not.
pub async fn put_new_disk(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    disk: &DiskCid,
    has_vm: bool,
) -> Result<()> {
    if !old_is_attached(restore, planned).await?
        && let Some(foreign) = foreign_disk(restore, planned).await?
    {
        let what = format!(
            "{} has disk {foreign} since the restore began: a deploy put it in the place of the one that was planned with",
            planned.instance
        );
        return Err(FlowError::check(what, RUN_AGAIN));
    }
    restore.notes().swapped_since.get_or_insert_with(jiff::Timestamp::now);
    put_disk(restore, planned, disk, has_vm).await
}

/// A quick look: a planned disk that a VM has is still its instance's.
async fn old_is_attached(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<bool> {
    let Some(old) = &planned.old_disk else { return Ok(false) };
    Ok(look(restore, old).await?.is_some_and(|found| found.attached_to.is_some()))
}

/// The disk of an instance that is neither its old nor its new one.
async fn foreign_disk(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<Option<DiskCid>> {
    let new = restore.new_disk(planned).await.ok();
    let instance = restore.instance(&planned.instance).await?;
    let known = |disk: &DiskCid| Some(disk) == planned.old_disk.as_ref() || Some(disk) == new.as_ref();
    Ok(instance.disks.into_iter().find(|disk| !known(disk)))
}

/// Puts `disk` into a stopped instance, unless it is there.
async fn put_disk(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    disk: &DiskCid,
    has_vm: bool,
) -> Result<()> {
    if may_carry(restore, disk, has_vm).await? && carries(restore, planned, disk).await? {
        return Ok(());
    }
    let mut attempt = 1;
    loop {
        let Err(error) =
            director_change::change(restore, &planned.instance, Change::Attach(disk), || {}).await
        else {
            return Ok(());
        };
        // The Director's record can be wrong either way now: only the cloud says what is attached.
        if error.is_fenced() || error.is_cancelled() || !is_doubtful(&error) {
            return Err(error);
        }
        director_change::settle(restore).await?;
        if carries_finally(restore, planned, disk).await? {
            return Ok(());
        }
        if attempt == ATTACHES {
            return Err(error);
        }
        restore.reporter.note(format!("{}; trying again", Problem::of(&error).what));
        attempt += 1;
    }
}

const fn is_doubtful(error: &FlowError) -> bool {
    matches!(
        error,
        FlowError::Director {
            source: Error::TaskFailed { .. } | Error::Unanswered { .. } | Error::TaskTimeout { .. },
            ..
        }
    )
}

/// A quick look: a disk that no VM has cannot be in an instance that has one.
async fn may_carry(restore: &RestoreContext<'_>, disk: &DiskCid, has_vm: bool) -> Result<bool> {
    if !has_vm {
        return Ok(true);
    }
    Ok(look(restore, disk).await?.is_some_and(|found| found.attached_to.is_some()))
}

/// Whether Director *and* cloud say that the instance has this disk and no other.
pub async fn carries(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    disk: &DiskCid,
) -> Result<bool> {
    let instance = restore.instance(&planned.instance).await?;
    match vm_with(&instance, disk) {
        Recorded::Other => Ok(false),
        Recorded::WithoutVm => Ok(true),
        Recorded::At(vm) => {
            let what = format!("disk {disk} attached to {}", planned.instance);
            settled::soon(restore.ctx, &what, || is_attached(restore, disk, vm)).await
        }
    }
}

/// The same where something may have been changed a moment ago: the cloud may still show what was. A server that runs
/// has its disk.
async fn carries_finally(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
    disk: &DiskCid,
) -> Result<bool> {
    let instance = restore.instance(&planned.instance).await?;
    match vm_with(&instance, disk) {
        Recorded::Other => Ok(false),
        Recorded::WithoutVm => Ok(true),
        Recorded::At(vm) if instance.is_running() => is_attached(restore, disk, vm).await,
        Recorded::At(vm) => {
            let what = format!("what disk {disk} is attached to");
            settled::finally(restore.ctx, &what, || is_attached(restore, disk, vm)).await
        }
    }
}

/// What the Director has recorded of a disk and an instance.
enum Recorded<'a> {
    /// The instance has another disk, none, or several.
    Other,
    /// It is the instance's, which gets it when its VM is made: until then the record is all there is.
    WithoutVm,
    /// It is the instance's, and has to be attached to this VM.
    At(&'a VmCid),
}

fn vm_with<'a>(instance: &'a Instance, disk: &DiskCid) -> Recorded<'a> {
    let recorded = instance.disks.len() == 1 && instance.disks.contains(disk);
    match &instance.vm {
        _ if !recorded => Recorded::Other,
        None => Recorded::WithoutVm,
        Some(vm) => Recorded::At(vm),
    }
}

async fn is_attached(restore: &RestoreContext<'_>, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
    let answer = restore.ctx.cloud.is_attached(disk, vm).await;
    answer.map_err(FlowError::cloud(format!("look whether disk {disk} is attached to {vm}")))
}

async fn look(restore: &RestoreContext<'_>, disk: &DiskCid) -> Result<Option<remount_cloud::Disk>> {
    restore.ctx.cloud.disk(disk).await.map_err(FlowError::cloud(format!("look at disk {disk}")))
}

/// Puts the old disk back into an instance, stopping it first where it must be. Answers whether anything
/// had to be changed.
pub async fn put_old_disk(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<()> {
    let Some(old) = &planned.old_disk else {
        restore.warn(format!("{} had no disk before: there is none to put back", planned.instance));
        return Ok(());
    };
    if carries_finally(restore, planned, old).await? {
        return Ok(());
    }
    if let Some(foreign) = foreign_disk(restore, planned).await?
        && !was_replaced(restore, planned).await?
    {
        restore.warn(format!(
            "{} keeps disk {foreign}, which a deploy gave it during the restore: it holds what was written since",
            planned.instance
        ));
        return Ok(());
    }
    let has_vm = stop(restore, planned, || {}).await?;
    put_disk(restore, planned, old, has_vm).await
}

/// Whether the new disk was in the instance and a deploy has replaced it: the foreign disk is then a copy of what
/// is undone.
async fn was_replaced(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Result<bool> {
    let new = restore.new_disk(planned).await?;
    let orphans = restore
        .ctx
        .director
        .orphaned_disks()
        .await
        .map_err(FlowError::director("read the orphaned disks"))?;
    Ok(orphans.iter().any(|orphan| orphan.disk_cid == new))
}

/// The commands that put an instance's old disk back by hand.
pub fn old_disk_by_hand(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> Vec<String> {
    let (deployment, instance) = (&restore.plan.deployment, &planned.instance);
    let Some(old) = &planned.old_disk else {
        return vec![format!("{instance} had no disk before; nothing can be put back")];
    };
    vec![
        format!("bosh -d {deployment} -n stop --no-converge {instance}"),
        format!("bosh -d {deployment} -n attach-disk {instance} {old} --disk-properties=copy"),
    ]
}

/// The command that starts an instance by hand.
pub fn start_by_hand(restore: &RestoreContext<'_>, planned: &PlannedInstance) -> String {
    format!("bosh -d {} -n start --no-converge {}", restore.plan.deployment, planned.instance)
}
