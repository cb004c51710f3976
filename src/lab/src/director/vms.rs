//! VMs: making one with its disks, deleting one, and asking all agents how they are.

use jiff::Timestamp;
use remount_core::VmCid;
use serde_json::{Value, json};

use super::disk_steps;
use super::error::Result;
use super::ids::uuid;
use super::locks::with_vm_lock;
use super::state::{Instance, Vm};
use super::task_context::TaskContext;
use crate::iaas::{IaasError, ProcessState, VmSpec};

/// How many agents are asked at the same time (`director.max_threads`).
const MAX_THREADS: usize = 32;

/// The state of the jobs on a VM whose agent does not answer.
const SILENT: &str = "unresponsive agent";

/// Which instances a report covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// `instances`: those without a VM too.
    Instances,
    /// `vms`.
    Vms,
}

/// Makes the VM of an instance that has none, and attaches and mounts its active disk.
pub(crate) fn create(cx: &TaskContext, instance: &Instance) -> Result<VmCid> {
    cx.checkpoint()?;
    let spec = VmSpec {
        deployment: instance.deployment.clone(),
        instance: instance.slug.clone(),
        az: instance.az.clone(),
        ip: instance.ip.clone(),
    };
    let stemcell = cx.director.read(|s| s.group_of(instance).map(|group| group.stemcell.clone()))?;
    let cid = cx.director.config.iaas.create_vm(&spec)?;
    let vm = Vm { cid: cid.clone(), agent_id: uuid(), created_at: Timestamp::now(), stemcell };
    cx.director.write(|s| s.instance_mut(&instance.deployment, &instance.slug).map(|i| i.vm = Some(vm)))?;
    if let Some(disk) = instance.managed_disk() {
        disk_steps::attach(cx, instance, &cid, &disk.cid)?;
    }
    Ok(cid)
}

/// Whether a VM's agent still has to be asked before the VM goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    Answers,
    Silent,
}

/// Detaches the disks and deletes the VM; one that is gone already counts as deleted.
pub(crate) fn delete(cx: &TaskContext, instance: &Instance, agent: Agent) -> Result<()> {
    cx.checkpoint()?;
    let Some(vm) = instance.vm_cid() else { return Ok(()) };
    if agent == Agent::Answers {
        for disk in &instance.disks {
            disk_steps::detach(cx, instance, vm, disk)?;
        }
    }
    with_vm_lock(cx, vm, || match cx.director.config.iaas.delete_vm(vm) {
        Err(IaasError::Cpi { kind, .. }) if kind.ends_with("VMNotFound") => Ok(()),
        other => Ok(other?),
    })?;
    cx.director.write(|s| s.instance_mut(&instance.deployment, &instance.slug).map(|i| i.vm = None))
}

/// The job behind `instances?format=full` and `vms?format=full`.
pub(crate) fn report(cx: &TaskContext, deployment: &str, report: Report) -> Result<Option<String>> {
    let (instances, types) = cx.director.read(|s| -> Result<_> {
        let deployment = s.deployment(deployment)?;
        let types: Vec<(String, String)> =
            deployment.groups.iter().map(|g| (g.name.clone(), g.vm_type.clone())).collect();
        Ok((deployment.instances.clone(), types))
    })?;
    let shown: Vec<&Instance> =
        instances.iter().filter(|i| report == Report::Instances || i.vm.is_some()).collect();
    let line = |instance: &Instance| {
        let vm_type = types.iter().find(|(group, _)| group == instance.slug.group.as_str());
        cx.result_line(&full(cx, instance, vm_type.map(|(_, vm_type)| vm_type.as_str())));
    };
    // Side by side, as one silent agent costs its whole time-out.
    for some in shown.chunks(MAX_THREADS) {
        std::thread::scope(|scope| {
            for instance in some {
                scope.spawn(|| line(instance));
            }
        });
    }
    Ok(None)
}

fn full(cx: &TaskContext, instance: &Instance, vm_type: Option<&str>) -> Value {
    let job_state = instance
        .vm_cid()
        .map(|vm| cx.director.config.iaas.job_state(vm).unwrap_or_else(|_| SILENT.to_owned()));
    let answers = instance.vm_cid().filter(|_| job_state.as_deref() != Some(SILENT));
    let processes = answers.map(|vm| cx.director.config.iaas.processes(vm).unwrap_or_default());
    let process = |process: ProcessState| {
        json!({
            "name": process.name, "state": process.state, "uptime": {"secs": process.uptime_seconds},
        })
    };
    let vm = instance.vm.as_ref();
    json!({
        "vm_cid": vm.map(|vm| &vm.cid),
        "active": vm.map(|_| true),
        "vm_created_at": vm.map(created_at),
        "cloud_properties": {},
        "disk_cid": instance.managed_disk().map(|disk| &disk.cid),
        "disk_cids": instance.disks.iter().filter(|d| d.active).map(|d| &d.cid).collect::<Vec<_>>(),
        "ips": ips(instance),
        "agent_id": vm.map(|vm| &vm.agent_id),
        "job_name": instance.slug.group,
        "index": instance.index,
        "job_state": job_state,
        "state": instance.desired.word(),
        "vm_type": vm_type,
        "vitals": null,
        "processes": processes.into_iter().flatten().map(process).collect::<Vec<_>>(),
        "az": instance.az,
        "id": instance.slug.id,
        "bootstrap": instance.bootstrap,
        "ignore": instance.ignore,
        "stemcell": vm.map(|vm| json!({
            "name": vm.stemcell.name, "version": vm.stemcell.version, "api_version": 3,
        })),
    })
}

/// The short form: no agent is asked.
pub(crate) fn short(instance: &Instance) -> Value {
    let vm = instance.vm.as_ref();
    json!({
        "agent_id": vm.map(|vm| &vm.agent_id),
        "cid": vm.map(|vm| &vm.cid),
        "job": instance.slug.group,
        "index": instance.index,
        "id": instance.slug.id,
        "az": instance.az,
        "ips": ips(instance),
        "vm_created_at": vm.map(created_at),
    })
}

fn ips(instance: &Instance) -> Vec<&str> {
    instance.vm.iter().map(|_| instance.ip.as_str()).collect()
}

fn created_at(vm: &Vm) -> String {
    vm.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
