//! A deploy brings an instance's persistent disk to what the manifest says: size and type of the
//! *record* are compared, never the real disk; a difference means a new disk and a copy.

use remount_core::VmCid;

use super::disk_steps;
use super::error::{DISK_OUT_OF_SYNC, DirectorError, Result};
use super::orphans::let_go;
use super::plan::DiskPlan;
use super::state::{Disk, Instance};
use super::task_context::TaskContext;

/// Whether the record differs from what is wanted.
pub(crate) fn differs(instance: &Instance, wanted: Option<&DiskPlan>) -> bool {
    match (instance.managed_disk(), wanted) {
        (None, None) => false,
        (Some(disk), Some(plan)) => {
            disk.size_mib != plan.size_mib || disk.cloud_properties != plan.cloud_properties()
        }
        _ => true,
    }
}

/// Converges the disk of an instance whose jobs are stopped.
pub(crate) fn update(
    cx: &TaskContext,
    instance: &Instance,
    vm: &VmCid,
    wanted: Option<&DiskPlan>,
) -> Result<()> {
    synchronise(cx, instance, vm, wanted)?;
    if !differs(instance, wanted) {
        return Ok(());
    }
    let old = instance.managed_disk();
    if let Some(plan) = wanted {
        replace(cx, instance, vm, old, plan)?;
    }
    if let Some(old) = old {
        let inactive = Disk { active: false, ..old.clone() };
        disk_steps::detach(cx, instance, vm, &inactive)?;
        cx.director.write(|s| let_go(s, &instance.deployment, &instance.slug, &old.cid))?;
    }
    Ok(())
}

/// What the agent has mounted must be the record's disk; if it has none, the record's is attached again.
fn synchronise(cx: &TaskContext, instance: &Instance, vm: &VmCid, wanted: Option<&DiskPlan>) -> Result<()> {
    if instance.disks.is_empty() {
        return Ok(());
    }
    let agent = cx.director.config.iaas.list_disk(vm)?.into_iter().next();
    let record = instance.managed_disk().map(|disk| disk.cid.clone());
    match agent {
        None if wanted.is_none() => Ok(()),
        None => {
            cx.debug(&format!("W, Agent of '{}' reports no disk. Re-attaching ...", instance.label()));
            record.map_or(Ok(()), |disk| disk_steps::attach(cx, instance, vm, &disk))
        }
        agent if agent == record => Ok(()),
        Some(agent) => Err(DirectorError::new(
            DISK_OUT_OF_SYNC,
            format!(
                "'{}' has invalid disks: agent reports '{agent}' while director record shows '{}'",
                instance.label(),
                record.map(|disk| disk.to_string()).unwrap_or_default()
            ),
        )),
    }
}

fn replace(
    cx: &TaskContext,
    instance: &Instance,
    vm: &VmCid,
    old: Option<&Disk>,
    plan: &DiskPlan,
) -> Result<()> {
    let iaas = &cx.director.config.iaas;
    let (deployment, slug) = (&instance.deployment, &instance.slug);
    let cid = iaas.create_disk(plan.size_mib, &plan.disk_type, &instance.az)?;
    let row = Disk {
        cid: cid.clone(),
        size_mib: plan.size_mib,
        cloud_properties: plan.cloud_properties(),
        active: false,
        snapshots: Vec::new(),
    };
    cx.director.write(|s| s.instance_mut(deployment, slug).map(|i| i.disks.push(row.clone())))?;
    disk_steps::attach(cx, instance, vm, &cid)?;
    if let Some(old) = old
        && let Err(error) = iaas.migrate_disk(vm, &old.cid, &cid)
    {
        disk_steps::detach(cx, instance, vm, &row)?;
        cx.director.write(|s| let_go(s, deployment, slug, &cid))?;
        return Err(error.into());
    }
    cx.director.write(|s| {
        let disks = &mut s.instance_mut(deployment, slug)?.disks;
        disks.iter_mut().for_each(|disk| disk.active = disk.cid == cid);
        Ok(())
    })
}
