//! Disks that were let go: the list, deleting them, and letting go of a recorded one.

use remount_core::DiskCid;
use serde_json::{Value, json};

use super::error::{DirectorError, Result};
use super::state::{Instance, OrphanDisk, State};
use super::task_context::TaskContext;
use crate::iaas::IaasError;

/// As `GET /disks` shows it.
pub(crate) fn to_json(orphan: &OrphanDisk) -> Value {
    json!({
        "disk_cid": orphan.disk.cid,
        "size": orphan.disk.size_mib,
        "az": orphan.az,
        "deployment_name": orphan.deployment,
        "instance_name": orphan.instance,
        "cloud_properties": orphan.disk.cloud_properties,
        "orphaned_at": orphan.orphaned_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    })
}

/// Refuses to delete what an instance still has (520000).
pub(crate) fn check_deletable(state: &State, disk: &DiskCid) -> Result<()> {
    match state.recorded_disks().any(|(_, row)| row.cid == *disk) {
        true => Err(DirectorError::new(
            520_000,
            format!("Deleting persistent disk is not supported: [\"{disk}\"]"),
        )),
        false => Ok(()),
    }
}

/// The job of `DELETE /disks/CID`. An unknown CID is success.
pub(crate) fn delete(cx: &TaskContext, disk: &DiskCid) -> Result<Option<String>> {
    let mut stage = cx.stage("Deleting orphaned disks", 1);
    stage.track(&format!("Deleting orphaned disk {disk}"), || {
        let orphan = cx.director.read(|s| s.orphans.iter().find(|o| o.disk.cid == *disk).cloned());
        let Some(orphan) = orphan else {
            cx.debug(&format!("D, Disk not found: {disk}"));
            return Ok(());
        };
        for snapshot in &orphan.disk.snapshots {
            cx.director.config.iaas.delete_snapshot(&snapshot.cid)?;
        }
        match cx.director.config.iaas.delete_disk(disk) {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => {
                cx.director.write(|s| s.orphans.retain(|o| o.disk.cid != *disk));
                Ok(())
            }
        }
    })?;
    Ok(Some(format!("orphaned disk(s) {disk} deleted")))
}

/// The job of `DELETE /disks/CID?orphan=true`: the row moves, nothing is detached.
pub(crate) fn orphan(cx: &TaskContext, disk: &DiskCid) -> Result<Option<String>> {
    let mut stage = cx.stage("Orphan disk", 1);
    stage.track(disk.as_str(), || {
        let owner = cx.director.read(|s| {
            s.recorded_disks()
                .find(|(_, row)| row.cid == *disk)
                .map(|(i, _)| (i.deployment.clone(), i.slug.clone()))
        });
        match owner {
            Some((deployment, slug)) => cx.director.write(|s| let_go(s, &deployment, &slug, disk)),
            None => {
                cx.warn(&format!("Disk {disk} does not exist. Orphaning is skipped"));
                Ok(())
            }
        }
    })?;
    Ok(Some(format!("disk {disk} orphaned")))
}

/// Moves a disk's row, with its snapshots, to the orphans.
pub(crate) fn let_go(
    state: &mut State,
    deployment: &str,
    slug: &remount_core::InstanceSlug,
    disk: &DiskCid,
) -> Result<()> {
    let instance: &mut Instance = state.instance_mut(deployment, slug)?;
    if let Some(at) = instance.disks.iter().position(|row| row.cid == *disk) {
        let row = instance.disks.remove(at);
        let orphan = OrphanDisk::of(instance, row);
        state.orphans.push(orphan);
    }
    Ok(())
}

fn is_not_found(error: &IaasError) -> bool {
    matches!(error, IaasError::Cpi { kind, .. } if kind.ends_with("DiskNotFound"))
}
