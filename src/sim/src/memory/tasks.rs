//! What the Director's tasks do, with its unpleasant rules (`reference/bosh-director.md`, sections 0, 4, 5).

use std::time::Duration;

use remount_cloud::DiskState;
use remount_core::{DiskCid, InstanceSlug};
use remount_director::{OrphanedDisk, StopKind, TaskId, TaskState};

use super::World;
use super::faults::Fault;
use super::state::{DISK_MIB, State};

/// How long the deployment's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What a task is to do.
#[derive(Clone, Debug)]
pub enum Work {
    Stop(InstanceSlug, StopKind),
    Start(InstanceSlug),
    Recreate(InstanceSlug),
    Attach(InstanceSlug, DiskCid),
    DeleteOrphan(DiskCid),
}

/// Code and message.
type Failure = (i64, String);

impl Work {
    pub fn description(&self) -> String {
        match self {
            Self::Stop(instance, _) => format!("stop instance {instance}"),
            Self::Start(instance) => format!("start instance {instance}"),
            Self::Recreate(instance) => format!("recreate instance {instance}"),
            Self::Attach(instance, disk) => format!("attach disk '{disk}' to '{instance}'"),
            Self::DeleteOrphan(disk) => format!("delete disk {disk}"),
        }
    }

    pub const fn has_deployment(&self) -> bool {
        !matches!(self, Self::DeleteOrphan(_))
    }

    /// Attach takes no lock of the deployment.
    const fn locks(&self) -> bool {
        matches!(self, Self::Stop(..) | Self::Start(_) | Self::Recreate(_))
    }
}

impl World {
    /// Runs a task to its end.
    pub(crate) async fn run_task(&self, id: TaskId, work: Work, fault: Option<Fault>) {
        let worker = self.inner.workers.acquire().await;
        self.set(id, TaskState::Processing, None);
        let time = self.state().task_time;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        if let Some(Fault::SlowTask(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let outcome = self.locked(id, &work, fault).await;
        drop(worker);
        match outcome {
            Ok(()) => self.set(id, TaskState::Done, None),
            Err(failure) => self.set(id, TaskState::Error, Some(failure)),
        }
    }

    async fn locked(&self, id: TaskId, work: &Work, fault: Option<Fault>) -> Result<(), Failure> {
        let _lock = if work.locks() {
            let lock = tokio::time::timeout(LOCK_WAIT, self.inner.lock.lock()).await;
            Some(lock.map_err(|_| self.no_lock())?)
        } else {
            None
        };
        if self.state().tasks.iter().any(|known| known.task.id == id && known.cancelled) {
            return Err((10_001, format!("Task {id} cancelled")));
        }
        if fault == Some(Fault::Locked) {
            return Err(self.no_lock());
        }
        if fault == Some(Fault::FailTask) {
            return Err((100, "injected".into()));
        }
        let half = fault == Some(Fault::HalfTask);
        match work {
            Work::Stop(instance, kind) => self.stop(instance, *kind).await?,
            Work::Start(instance) => self.start(instance).await?,
            Work::Recreate(instance) => self.recreate(instance).await?,
            Work::Attach(instance, disk) => attach(&mut self.state(), instance, disk, half)?,
            Work::DeleteOrphan(disk) => delete_orphan(&mut self.state(), disk),
        }
        if half { Err((100, "injected after the work".into())) } else { Ok(()) }
    }

    fn no_lock(&self) -> Failure {
        (100, format!("Failed to acquire lock for lock:deployment:{} uid: 1.", self.deployment()))
    }

    fn set(&self, id: TaskId, to: TaskState, error: Option<Failure>) {
        if let Some(known) = self.state().tasks.iter_mut().find(|known| known.task.id == id) {
            known.task.state = to;
            known.error = error;
        }
    }

    fn find(&self, slug: &InstanceSlug) -> Result<usize, Failure> {
        let found = self.state().position(slug);
        found.ok_or_else(|| (70_001, format!("Instance '{slug}' doesn't exist")))
    }

    async fn stop(&self, slug: &InstanceSlug, kind: StopKind) -> Result<(), Failure> {
        let index = self.find(slug)?;
        let (desired, answers) = {
            let mut state = self.state();
            (state.instances[index].desired.clone(), state.vm_mut(index).map(|vm| vm.answers))
        };
        if kind == StopKind::Soft && desired == "stopped" {
            return Ok(());
        }
        if answers == Some(false) {
            return Err((450_002, format!("Timed out sending 'prepare' to instance: '{slug}'")));
        }
        if answers == Some(true) {
            self.shut_down(index).await;
        }
        let mut state = self.state();
        if kind == StopKind::Soft {
            state.instances[index].desired = "stopped".into();
            return Ok(());
        }
        state.lose_vm(index);
        let instance = &mut state.instances[index];
        instance.desired = "detached".into();
        if let Some(vm) = instance.vm.take() {
            state.vms.remove(&vm);
        }
        Ok(())
    }

    /// The one action that does not ask the agent first.
    async fn recreate(&self, slug: &InstanceSlug) -> Result<(), Failure> {
        let index = self.find(slug)?;
        let (desired, answers) = {
            let mut state = self.state();
            (state.instances[index].desired.clone(), state.vm_mut(index).map(|vm| vm.answers))
        };
        if answers == Some(true) {
            self.shut_down(index).await;
        }
        {
            let mut state = self.state();
            state.lose_vm(index);
            if let Some(vm) = state.instances[index].vm.take() {
                state.vms.remove(&vm);
            }
            create_vm(&mut state, index)?;
        }
        if desired == "started" { self.start(slug).await } else { Ok(()) }
    }

    async fn start(&self, slug: &InstanceSlug) -> Result<(), Failure> {
        let index = self.find(slug)?;
        {
            let mut state = self.state();
            // Set at the beginning: a start that fails leaves it so.
            state.instances[index].desired = "started".into();
            if state.instances[index].vm.is_none() {
                create_vm(&mut state, index)?;
            }
        }
        let booted = self.boot(index).await;
        booted
            .map_err(|reason| (400_007, format!("'{slug} ({index})' is not running after update. {reason}")))
    }
}

/// A VM is made with the disk that the record says, if the cloud can attach it.
fn create_vm(state: &mut State, index: usize) -> Result<(), Failure> {
    let vm = state.new_vm();
    if let Some(cid) = state.instances[index].disk.clone() {
        let disk = state.disks.get_mut(&cid).ok_or_else(|| (390_002, format!("Disk '{cid}' is missing")))?;
        if disk.disk.attached_to.is_some() {
            return Err((100, format!("CPI error: disk {cid} is attached elsewhere")));
        }
        disk.disk.attached_to = Some(vm.clone());
        disk.disk.state = DiskState::InUse;
    }
    state.instances[index].vm = Some(vm);
    Ok(())
}

/// The record is changed in one transaction at the end; what the cloud did before a failure stays done.
fn attach(state: &mut State, slug: &InstanceSlug, cid: &DiskCid, half: bool) -> Result<(), Failure> {
    let index = state.position(slug).ok_or_else(|| (520_001, format!("Instance '{slug}' was not found")))?;
    let instance = state.instances[index].clone();
    if !matches!(instance.desired.as_str(), "stopped" | "detached") {
        return Err((520_003, format!("Instance '{slug}' must be in 'bosh stopped' state")));
    }
    let vm = instance.vm.clone().filter(|_| instance.desired == "stopped");
    if let Some(vm) = &vm {
        if !state.vms.get(vm).is_some_and(|vm| vm.answers) {
            return Err((450_002, "Timed out sending 'list_disk' to instance".into()));
        }
        if let Some(old) = state.disk_on(vm) {
            state.detach(&old);
        }
    }
    if half {
        return Err((100, "CPI error 'Bosh::Clouds::CloudError' in 'attach_disk' CPI method".into()));
    }
    let elsewhere = |(other, known): (usize, &super::state::MemoryInstance)| {
        other != index && known.disk.as_ref() == Some(cid)
    };
    if state.instances.iter().enumerate().any(elsewhere) {
        return Err((100, "disk_cid unique".into()));
    }
    if let Some(vm) = vm {
        let disk = state.disks.get_mut(cid).ok_or_else(|| (390_002, format!("Disk '{cid}' is missing")))?;
        if disk.disk.attached_to.is_some() || disk.disk.az.as_deref() != Some(&instance.az) {
            return Err((100, format!("CPI error: disk {cid} cannot be attached to {vm}")));
        }
        disk.disk.attached_to = Some(vm);
        disk.disk.state = DiskState::InUse;
    }
    if let Some(old) = instance.disk {
        orphan(state, &old, slug);
    }
    state.orphans.retain(|orphan| orphan.disk_cid != *cid);
    state.instances[index].disk = Some(cid.clone());
    Ok(())
}

fn orphan(state: &mut State, disk: &DiskCid, slug: &InstanceSlug) {
    let orphaned_at = state.now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    state.orphans.push(OrphanedDisk {
        disk_cid: disk.clone(),
        deployment_name: None,
        instance_name: Some(slug.to_string()),
        orphaned_at,
        size: Some(DISK_MIB),
    });
}

/// A disk that is no orphan is left alone, and that is a success.
fn delete_orphan(state: &mut State, disk: &DiskCid) {
    let before = state.orphans.len();
    state.orphans.retain(|orphan| orphan.disk_cid != *disk);
    if state.orphans.len() < before {
        state.disks.remove(disk);
    }
}
