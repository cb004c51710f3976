//! What the commands ask of the daemon.

use anyhow::{Context, Result};
use remount_cloud::{DiskSpec, Tags};
use remount_core::{RequestKey, VmCid};

use super::deployments::Landscape;
use crate::control::Request;
use crate::director::{Fault, FaultKind, Operation};
use crate::iaas::Iaas as _;

/// Does it and answers.
pub(super) fn answer(landscape: &Landscape, request: Request) -> Result<String> {
    match request {
        Request::InitPid { vm } => {
            let pid = landscape.machine.host_pid(&VmCid::new(vm.clone())?);
            Ok(pid.with_context(|| format!("there is no VM {vm}"))?.to_string())
        }
        Request::AppPassword => Ok(landscape.app_password.clone()),
        Request::CloneSnapshot { az } => clone_snapshot(landscape, &az),
        Request::DeleteVm { vm } => {
            landscape.machine.delete_vm(&VmCid::new(vm)?)?;
            Ok(String::new())
        }
        Request::SlowSnapshots { seconds } => {
            landscape.machine.disks().set_snapshot_seconds(seconds)?;
            Ok(String::new())
        }
        Request::FailNextAttach => {
            let fault = Fault { on: Operation::Attach, kind: FaultKind::FailMidway, times: 1 };
            landscape.director.faults().add(fault);
            Ok(String::new())
        }
        // The kernel ends the VMs with their parent and takes the mounts away.
        Request::Down => std::process::exit(0),
    }
}

/// A disk made from the newest snapshot, of which Remount and the Director know nothing.
fn clone_snapshot(landscape: &Landscape, az: &str) -> Result<String> {
    let disks = landscape.machine.disks();
    let newest = disks.snapshots_tagged(&Tags::new())?.into_iter().max_by_key(|found| found.created_at);
    let newest = newest.context("there is no snapshot yet: `remount-lab run-errand backup`")?;
    let spec = DiskSpec {
        size_mib: newest.size_mib,
        disk_type: String::new(),
        az: Some(az.to_owned()),
        tags: Tags::new(),
    };
    let key = RequestKey::new(format!("clone-{:016x}", rand::random::<u64>()))?;
    Ok(disks.create_disk(&newest.cid, &spec, &key)?.cid.to_string())
}
