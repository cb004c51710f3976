//! The Director's steps with one disk and one VM: attach, mount, unmount, detach.

use std::collections::BTreeMap;

use jiff::Timestamp;
use remount_core::{DiskCid, VmCid};

use super::error::{DISK_NOT_ATTACHED, DirectorError, Result};
use super::locks::with_vm_lock;
use super::state::{Disk, Instance};
use super::task_context::TaskContext;
use crate::iaas::IaasError;

/// CPI attach, metadata, agent mount. A disk that cannot be mounted is detached again.
pub(crate) fn attach(cx: &TaskContext, instance: &Instance, vm: &VmCid, disk: &DiskCid) -> Result<()> {
    let iaas = &cx.director.config.iaas;
    cx.debug(&format!("I, Attaching disk {disk}"));
    with_vm_lock(cx, vm, || Ok(iaas.attach_disk(vm, disk)?))?;
    iaas.set_disk_metadata(disk, &metadata(cx, instance))?;
    if let Err(error) = iaas.mount_disk(vm, disk) {
        cx.debug(&format!("D, Failed to mount disk, detaching it. {error}"));
        let row = Disk {
            cid: disk.clone(),
            size_mib: 0,
            cloud_properties: serde_json::Value::Null,
            active: false,
            snapshots: Vec::new(),
        };
        detach(cx, instance, vm, &row)?;
        return Err(error.into());
    }
    Ok(())
}

/// Agent unmount where the agent has it, CPI detach. "Not attached" is an error for an active disk only.
pub(crate) fn detach(cx: &TaskContext, instance: &Instance, vm: &VmCid, disk: &Disk) -> Result<()> {
    unmount(cx, vm, &disk.cid)?;
    cx.debug(&format!("I, Detaching disk {}", disk.cid));
    match with_vm_lock(cx, vm, || Ok(cx.director.config.iaas.detach_disk(vm, &disk.cid)))? {
        Err(error) if !is_not_attached(&error) => Err(error.into()),
        Err(_) if disk.active => Err(DirectorError::new(
            DISK_NOT_ATTACHED,
            format!(
                "'{}' VM should have persistent disk '{}' attached but it doesn't (according to CPI)",
                instance.label(),
                disk.cid
            ),
        )),
        _ => Ok(()),
    }
}

fn unmount(cx: &TaskContext, vm: &VmCid, disk: &DiskCid) -> Result<()> {
    let iaas = &cx.director.config.iaas;
    if iaas.list_disk(vm)?.contains(disk) {
        cx.debug(&format!("I, Unmounting disk '{disk}'"));
        iaas.unmount_disk(vm, disk)?;
    }
    Ok(())
}

fn is_not_attached(error: &IaasError) -> bool {
    matches!(error, IaasError::Cpi { kind, .. } if kind.ends_with("DiskNotAttached"))
}

fn metadata(cx: &TaskContext, instance: &Instance) -> BTreeMap<String, String> {
    let tags = cx.director.read(|s| s.deployment(&instance.deployment).map(|d| d.tags.clone()));
    let mut metadata = tags.unwrap_or_default();
    let own = [
        ("director", cx.director.config.name.clone()),
        ("deployment", instance.deployment.clone()),
        ("instance_id", instance.slug.id.to_string()),
        ("instance_index", instance.index.to_string()),
        ("instance_group", instance.slug.group.to_string()),
        ("attached_at", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    ];
    metadata.extend(own.map(|(key, value)| (key.to_owned(), value)));
    metadata
}
