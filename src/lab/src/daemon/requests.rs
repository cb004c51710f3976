//! What the commands ask of the daemon.

use anyhow::{Context, Result};
use remount_cloud::{DiskSpec, Quota, Tags};
use remount_core::documents::DiskShape;
use remount_core::{RequestKey, VmCid};

use super::deployments::Landscape;
use crate::control::Request;
use crate::iaas::Iaas as _;
use crate::vm::cloud_zone;

/// Does it and answers.
pub(super) fn answer(landscape: &Landscape, request: Request) -> Result<String> {
    match request {
        Request::InitPid { vm } => {
            let pid = landscape.machine.host_pid(&VmCid::new(vm.clone())?);
            Ok(pid.with_context(|| format!("there is no VM {vm}"))?.to_string())
        }
        Request::AppPassword { deployment } => app_password(landscape, &deployment),
        Request::CloneSnapshot { az } => clone_snapshot(landscape, &az),
        Request::DeleteVm { vm } => {
            landscape.machine.delete_vm(&VmCid::new(vm)?)?;
            Ok(String::new())
        }
        Request::SlowSnapshots { seconds } => {
            quota(landscape, Quota { snapshot_seconds: (seconds > 0).then_some(seconds), ..Quota::default() })
        }
        Request::NoDisks => quota(landscape, Quota { disks: Some(0), ..Quota::default() }),
        Request::NoSnapshots => quota(landscape, Quota { snapshots: Some(0), ..Quota::default() }),
        Request::DirectorFault(fault) => {
            landscape.director.faults().add(fault);
            Ok(String::new())
        }
        Request::Mend => {
            landscape.director.faults().clear();
            quota(landscape, Quota::default())
        }
        // The kernel ends the VMs with their parent and takes the mounts away.
        Request::Down => {
            landscape.ends();
            Ok(String::new())
        }
    }
}

/// The config server's password of the clusters' customer.
fn app_password(landscape: &Landscape, deployment: &str) -> Result<String> {
    let value = landscape.director.variable(deployment, "postgres_app_password");
    let text = value.as_ref().and_then(|value| value.as_str()).map(str::to_owned);
    text.with_context(|| format!("deployment {deployment} has no customer"))
}

/// A disk from the newest snapshot, made as nobody should by hand.
fn clone_snapshot(landscape: &Landscape, az: &str) -> Result<String> {
    let disks = landscape.machine.disks();
    let newest = disks.snapshots_tagged(&Tags::new())?.into_iter().max_by_key(|snapshot| snapshot.created_at);
    let snapshot = newest.context("there is no snapshot")?;
    let spec = DiskSpec {
        like: DiskShape { zone: Some(cloud_zone(az)), size_mib: snapshot.size_mib, ..DiskShape::default() },
        tags: Tags::new(),
    };
    let key = RequestKey::new(format!("by-hand-{}", rand::random::<u32>()))?;
    Ok(disks.create_disk(&snapshot.cid, &spec, &key)?.cid.to_string())
}

/// What the cloud has to give from now on, and how quickly.
fn quota(landscape: &Landscape, quota: Quota) -> Result<String> {
    landscape.machine.disks().set_quota(quota)?;
    Ok(String::new())
}
