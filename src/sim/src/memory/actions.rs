//! What the Director's tasks do to instances and disks, with its unpleasant rules (`docs/reference/bosh-director.md`,
//! sections 0, 4, 5).

use remount_cloud::DiskState;
use remount_core::{DiskCid, InstanceSlug, VmCid};
use remount_director::{OrphanedDisk, StopKind};

use super::MemoryLandscape;
use super::state::{MemoryInstance, State, cloud_zone};
use super::tasks::{Failure, Work};

/// What the Director says where our pre-start refuses.
const PRE_START_FAILED: &str = "Action Failed get_task: Task 1 result: 1 of 2 pre-start scripts failed. \
                                Failed Jobs: remount-agent. Successful Jobs: postgres.";

impl MemoryLandscape {
    /// Does the work of a task; `half` breaks it in the middle. Answers its result.
    pub(super) async fn perform(&self, work: &Work, half: bool) -> Result<String, Failure> {
        match work {
            Work::Stop(slug, kind) => self.stop(slug, *kind).await.map(|()| slug.to_string()),
            Work::Start(slug) => self.start(slug).await.map(|()| slug.to_string()),
            Work::Recreate(slug) => self.recreate(slug).await.map(|()| slug.to_string()),
            Work::Resurrect(slug) => self.resurrect(slug).await.map(|()| slug.to_string()),
            Work::Errand(end) => {
                end.notified().await;
                Ok("1 succeeded, 0 errored, 0 canceled".into())
            }
            Work::Attach(slug, disk) => {
                let deployment = self.deployment().to_string();
                attach(&mut self.state(), &deployment, slug, disk, half)?;
                Ok(format!("attached disk '{disk}' to '{slug}' in deployment '{deployment}'"))
            }
            Work::DeleteOrphan(disk) => {
                delete_orphan(&mut self.state(), disk);
                Ok(format!("orphaned disk(s) {disk} deleted"))
            }
        }
    }

    /// The instance, unless it is ignored.
    fn find(&self, slug: &InstanceSlug) -> Result<usize, Failure> {
        let state = self.state();
        let index =
            state.position(slug).ok_or_else(|| (70_001, format!("Instance '{slug}' doesn't exist")))?;
        if state.instances[index].ignored {
            let message = format!(
                "You are trying to change the state of the ignored instance '{slug}'. Unignore it first."
            );
            return Err((190_020, message));
        }
        Ok(index)
    }

    async fn stop(&self, slug: &InstanceSlug, kind: StopKind) -> Result<(), Failure> {
        let index = self.find(slug)?;
        let desired = self.state().instances[index].desired.clone();
        if desired == "detached" || (desired == "stopped" && kind == StopKind::Soft) {
            return Ok(()); // It is so already: nobody is asked.
        }
        self.ask_agent(index, slug)?;
        self.shut_down(index).await;
        self.post_stop(index).await;
        self.state().instances[index].desired = "stopped".into();
        if kind == StopKind::Soft { Ok(()) } else { detach_vm(&mut self.state(), index, slug) }
    }

    /// The one action that does not ask the agent first. It starts the instance whatever it was.
    async fn recreate(&self, slug: &InstanceSlug) -> Result<(), Failure> {
        let index = self.find(slug)?;
        self.take_vm(index).await;
        self.state().instances[index].desired = "detached".into();
        self.start(slug).await
    }

    async fn resurrect(&self, slug: &InstanceSlug) -> Result<(), Failure> {
        let index = self.find(slug)?;
        let desired = self.state().instances[index].desired.clone();
        self.take_vm(index).await;
        if desired == "started" { self.start(slug).await } else { create_vm(&mut self.state(), index) }
    }

    /// Takes an instance's VM, whether its agent answers or not.
    async fn take_vm(&self, index: usize) {
        let answers = self.state().vm_mut(index).is_some_and(|vm| vm.answers);
        if answers {
            self.shut_down(index).await;
        }
        let mut state = self.state();
        state.lose_vm(index);
        if let Some(vm) = state.instances[index].vm.take() {
            state.vms.remove(&vm);
        }
    }

    async fn start(&self, slug: &InstanceSlug) -> Result<(), Failure> {
        let index = self.find(slug)?;
        if self.state().instances[index].vm.is_none() {
            create_vm(&mut self.state(), index)?;
        }
        self.ask_agent(index, slug)?;
        if self.state().running_data(index).is_some() {
            let mut state = self.state();
            let takes_writes = state.primary() == Some(index);
            state.instances[index].beside_is_down &= !takes_writes;
            return Ok(());
        }
        self.state().instances[index].beside_is_down = false;
        // Set at the beginning: a start that fails leaves it so.
        self.state().instances[index].desired = "started".into();
        let booted = self.boot(index).await;
        booted.map_err(|reason| match reason.strip_prefix("pre-start: ") {
            // Why is in the job's log, and nowhere else.
            Some(_) => (450_001, PRE_START_FAILED.into()),
            None => (400_007, format!("'{slug} ({index})' is not running after update. {reason}")),
        })
    }

    /// Every action but a recreate asks the agent first. An instance without a VM has none to ask.
    fn ask_agent(&self, index: usize, slug: &InstanceSlug) -> Result<(), Failure> {
        match self.state().vm_mut(index) {
            Some(vm) if !vm.answers => Err(silent("get_state", slug)),
            _ => Ok(()),
        }
    }
}

fn silent(method: &str, slug: &InstanceSlug) -> Failure {
    (450_002, format!("Timed out sending '{method}' to instance: '{slug}'"))
}

/// The second half of a hard stop: the recorded disk is detached, the VM deleted.
fn detach_vm(state: &mut State, index: usize, slug: &InstanceSlug) -> Result<(), Failure> {
    let Some(vm) = state.instances[index].vm.clone() else {
        state.instances[index].desired = "detached".into();
        return Ok(());
    };
    if let Some(cid) = state.instances[index].disk.clone() {
        if !state.is_attached(&cid, &vm) {
            let message = format!(
                "'{slug} ({index})' VM should have persistent disk '{cid}' attached but it doesn't (according to CPI)"
            );
            return Err((390_001, message));
        }
        state.detach(&cid);
    }
    state.vms.remove(&vm);
    let instance = &mut state.instances[index];
    (instance.vm, instance.desired) = (None, "detached".into());
    Ok(())
}

/// A VM is made with the disk that the record says, if the cloud can attach it. Where it cannot there is a VM without.
fn create_vm(state: &mut State, index: usize) -> Result<(), Failure> {
    let vm = state.new_vm();
    state.instances[index].vm = Some(vm.clone());
    match state.instances[index].disk.clone() {
        Some(cid) => attach_by_cpi(state, index, &cid, &vm),
        None => Ok(()),
    }
}

/// CPI `attach_disk`.
fn attach_by_cpi(state: &mut State, index: usize, cid: &DiskCid, vm: &VmCid) -> Result<(), Failure> {
    let refused = |kind: &str, message: String| {
        let cpi =
            format!("CPI error 'Bosh::Clouds::{kind}' with message '{message}' in 'attach_disk' CPI method");
        Err((100, cpi))
    };
    let Some(found) = state.disk(cid) else {
        return refused("DiskNotFound", format!("Disk '{cid}' not found"));
    };
    if found.disk.state != DiskState::Available {
        return refused("CloudError", format!("Disk '{cid}' is {:?}", found.disk.state));
    }
    if found.disk.shape.zone.as_deref() != Some(&cloud_zone(&state.instances[index].az)) {
        return refused("CloudError", format!("Disk '{cid}' lies in zone {:?}", found.disk.shape.zone));
    }
    state.attach(cid, vm);
    state.tag_as_bosh_does(cid, index);
    Ok(())
}

/// The record is changed in one transaction at the end; what the cloud did before a failure stays done.
fn attach(
    state: &mut State,
    deployment: &str,
    slug: &InstanceSlug,
    cid: &DiskCid,
    half: bool,
) -> Result<(), Failure> {
    let index = valid_instance(state, slug)?;
    let instance = state.instances[index].clone();
    let vm = instance.vm.clone().filter(|_| instance.desired == "stopped");
    if let (Some(vm), Some(old)) = (&vm, &instance.disk) {
        if !state.vms.get(vm).is_some_and(|vm| vm.answers) {
            return Err(silent("list_disk", slug));
        }
        // One that is not attached is no error: it is marked as inactive by now.
        if state.is_attached(old, vm) {
            state.detach(old);
        }
    }
    if half {
        return Err((100, "CPI error 'Bosh::Clouds::CloudError' in 'attach_disk' CPI method".into()));
    }
    let orphan = state.orphans.iter().find(|orphan| orphan.disk_cid == *cid).and_then(|orphan| orphan.size);
    let is_recorded =
        |(other, known): (usize, &MemoryInstance)| other != index && known.disk.as_ref() == Some(cid);
    if state.instances.iter().enumerate().any(is_recorded) {
        return Err((100, "disk_cid unique".into()));
    }
    if let Some(vm) = &vm {
        attach_by_cpi(state, index, cid, vm)?;
    }
    if let Some(old) = instance.disk.filter(|old| old != cid) {
        state.orphans.push(OrphanedDisk {
            disk_cid: old,
            deployment_name: Some(deployment.to_owned()),
            instance_name: Some(slug.to_string()),
            orphaned_at: Some(state.now),
            size: Some(instance.recorded_mib),
        });
    }
    state.orphans.retain(|orphan| orphan.disk_cid != *cid);
    let instance = &mut state.instances[index];
    instance.disk = Some(cid.clone());
    // An orphan comes back with its own size, any other disk takes that of the one before (`disk_properties=copy`).
    instance.recorded_mib = orphan.unwrap_or(instance.recorded_mib);
    Ok(())
}

fn valid_instance(state: &State, slug: &InstanceSlug) -> Result<usize, Failure> {
    let index = state.position(slug).ok_or_else(|| (520_001, format!("Instance '{slug}' was not found")))?;
    let instance = &state.instances[index];
    if instance.ignored {
        return Err((520_003, format!("Instance '{slug}' is in 'ignore' state")));
    }
    if !matches!(instance.desired.as_str(), "stopped" | "detached") {
        return Err((520_003, format!("Instance '{slug}' must be in 'bosh stopped' state")));
    }
    Ok(index)
}

/// A disk that is no orphan is left alone, and that is a success.
fn delete_orphan(state: &mut State, disk: &DiskCid) {
    let before = state.orphans.len();
    state.orphans.retain(|orphan| orphan.disk_cid != *disk);
    if state.orphans.len() < before {
        state.delete_disk(disk);
    }
}
