//! What the commands ask of the daemon.

use anyhow::{Context, Result};
use remount_cloud::{LocalDisks, Tags};
use remount_core::{RequestKey, VmCid};

use super::deployments::Landscape;
use crate::control::Request;
use crate::iaas::Iaas as _;

/// Does it and answers.
pub(super) fn answer(landscape: &Landscape, request: Request) -> Result<String> {
    match request {
        Request::InitPid { vm } => {
            let pid = landscape.machine.init_pid(&VmCid::new(vm.clone())?);
            Ok(pid.with_context(|| format!("there is no VM {vm}"))?.to_string())
        }
        Request::AppPassword => Ok(landscape.app_password.clone()),
        Request::CloneSnapshot { az } => clone_snapshot(landscape, &az),
        Request::DeleteVm { vm } => {
            landscape.machine.delete_vm(&VmCid::new(vm)?)?;
            Ok(String::new())
        }
        Request::SlowSnapshots { seconds } => slow_snapshots(landscape, seconds),
        Request::FailNextAttach => fail_next_attach(landscape),
        // The kernel ends the VMs with their parent and takes the mounts away.
        Request::Down => std::process::exit(0),
    }
}
