//! A machine in memory: disks, VMs and agents with a journal of what was asked of them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use remount_core::{DiskCid, SnapshotCid, VmCid};
use remount_lab::iaas::{ErrandOutcome, Iaas, IaasError, RenderedJob, Result, VmSpec};

#[derive(Debug, Default)]
pub struct MemoryIaas {
    state: Mutex<IaasState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub struct IaasState {
    pub vms: BTreeMap<VmCid, Vm>,
    pub disks: BTreeMap<DiskCid, Disk>,
    pub snapshots: Vec<SnapshotCid>,
    pub journal: Vec<String>,
    /// Method (or `run_script pre-start`) → the error it answers with.
    pub failures: BTreeMap<String, IaasError>,
    /// What agents say after `start`.
    pub state_after_start: Option<String>,
    /// Errand job → exit code; one that is not here waits for its cancellation.
    pub errands: BTreeMap<String, i32>,
    next: u32,
}

#[derive(Debug)]
pub struct Vm {
    pub spec: VmSpec,
    pub jobs: Vec<RenderedJob>,
    pub state: String,
    pub mounted: Vec<DiskCid>,
    pub silent: bool,
}

#[derive(Debug)]
pub struct Disk {
    pub size_mib: u64,
    pub az: String,
    pub attached_to: Option<VmCid>,
    pub content: String,
    pub metadata: BTreeMap<String, String>,
}

fn cpi(kind: &str, method: &str, message: impl Into<String>) -> IaasError {
    IaasError::Cpi { kind: format!("Bosh::Clouds::{kind}"), method: method.into(), message: message.into() }
}

impl MemoryIaas {
    pub fn state(&self) -> MutexGuard<'_, IaasState> {
        self.state.lock().unwrap()
    }

    /// Blocks until `fact` holds; a test that waits in vain fails.
    pub fn wait_until(&self, what: &str, fact: impl Fn(&IaasState) -> bool) {
        let state = self.state();
        let limit = Duration::from_secs(20);
        let (_world, waited) = self.changed.wait_timeout_while(state, limit, |w| !fact(w)).unwrap();
        assert!(!waited.timed_out(), "{what} did not come");
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut IaasState) -> T) -> T {
        let outcome = change(&mut self.state());
        self.changed.notify_all();
        outcome
    }

    /// A disk as Remount would make it from a snapshot: the Director knows nothing of it.
    pub fn add_disk(&self, cid: &str, az: &str, content: &str) -> DiskCid {
        let cid = DiskCid::new(cid).unwrap();
        let disk = Disk {
            size_mib: 1024,
            az: az.into(),
            attached_to: None,
            content: content.into(),
            metadata: BTreeMap::new(),
        };
        self.change(|w| w.disks.insert(cid.clone(), disk));
        cid
    }

    pub fn attached_disks(&self, vm: &str) -> Vec<String> {
        let state = self.state();
        let attached =
            state.disks.iter().filter(|(_, d)| d.attached_to.as_ref().is_some_and(|v| v.as_str() == vm));
        attached.map(|(cid, _)| cid.to_string()).collect()
    }

    pub fn content(&self, disk: &str) -> String {
        self.state().disks[&DiskCid::new(disk).unwrap()].content.clone()
    }

    /// What was asked since the last call.
    pub fn take_journal(&self) -> Vec<String> {
        self.change(|w| std::mem::take(&mut w.journal))
    }

    pub fn fail(&self, method: &str, error: IaasError) {
        self.change(|w| w.failures.insert(method.into(), error));
    }

    pub fn mend(&self) {
        self.change(|w| w.failures.clear());
    }

    fn call<T>(
        &self,
        entry: String,
        method: &str,
        work: impl FnOnce(&mut IaasState) -> Result<T>,
    ) -> Result<T> {
        self.change(|w| {
            w.journal.push(entry);
            match w.failures.get(method) {
                Some(error) => Err(error.clone()),
                None => work(w),
            }
        })
    }

    fn agent<T>(
        &self,
        method: &str,
        vm: &VmCid,
        work: impl FnOnce(&mut IaasState) -> Result<T>,
    ) -> Result<T> {
        self.call(method.to_owned(), method, |w| {
            if w.vms.get(vm).is_none_or(|vm| vm.silent) {
                let method = method.split(' ').next().unwrap_or_default().to_owned();
                return Err(IaasError::Timeout { method, seconds: 5 });
            }
            work(w)
        })
    }
}

impl IaasState {
    fn vm(&mut self, vm: &VmCid) -> &mut Vm {
        self.vms.get_mut(vm).unwrap()
    }

    fn disk(&mut self, disk: &DiskCid, method: &str) -> Result<&mut Disk> {
        self.disks
            .get_mut(disk)
            .ok_or_else(|| cpi("DiskNotFound", method, format!("Disk '{disk}' not found")))
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }
}

impl Iaas for MemoryIaas {
    fn create_vm(&self, spec: &VmSpec) -> Result<VmCid> {
        self.call("create_vm".into(), "create_vm", |w| {
            let cid = VmCid::new(format!("vm-{}", w.number())).unwrap();
            let vm = Vm {
                spec: spec.clone(),
                jobs: Vec::new(),
                state: "stopped".into(),
                mounted: Vec::new(),
                silent: false,
            };
            w.vms.insert(cid.clone(), vm);
            Ok(cid)
        })
    }

    fn delete_vm(&self, vm: &VmCid) -> Result<()> {
        self.call("delete_vm".into(), "delete_vm", |w| {
            w.disks
                .values_mut()
                .filter(|d| d.attached_to.as_ref() == Some(vm))
                .for_each(|d| d.attached_to = None);
            w.vms.remove(vm).map(|_| ()).ok_or_else(|| cpi("VMNotFound", "delete_vm", vm.as_str()))
        })
    }

    fn has_vm(&self, vm: &VmCid) -> Result<bool> {
        Ok(self.state().vms.contains_key(vm))
    }

    fn create_disk(&self, size_mib: u64, _disk_type: &str, az: &str) -> Result<DiskCid> {
        self.call("create_disk".into(), "create_disk", |w| {
            let cid = DiskCid::new(format!("disk-{}", w.number())).unwrap();
            let disk = Disk {
                size_mib,
                az: az.into(),
                attached_to: None,
                content: String::new(),
                metadata: BTreeMap::new(),
            };
            w.disks.insert(cid.clone(), disk);
            Ok(cid)
        })
    }

    fn attach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.call(format!("attach_disk {disk}"), "attach_disk", |w| {
            let az = w.vm(vm).spec.az.clone();
            let found = w.disk(disk, "attach_disk")?;
            if found.attached_to.is_some() || found.az != az {
                return Err(cpi(
                    "CloudError",
                    "attach_disk",
                    format!("'{disk}' is in use or in zone {}", found.az),
                ));
            }
            found.attached_to = Some(vm.clone());
            Ok(())
        })
    }

    fn detach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.call(format!("detach_disk {disk}"), "detach_disk", |w| {
            let found = w.disk(disk, "detach_disk")?;
            if found.attached_to.as_ref() != Some(vm) {
                return Err(cpi("DiskNotAttached", "detach_disk", disk.as_str()));
            }
            found.attached_to = None;
            Ok(())
        })
    }

    fn delete_disk(&self, disk: &DiskCid) -> Result<()> {
        self.call(format!("delete_disk {disk}"), "delete_disk", |w| {
            w.disk(disk, "delete_disk")?;
            w.disks.remove(disk);
            Ok(())
        })
    }

    fn set_disk_metadata(&self, disk: &DiskCid, metadata: &BTreeMap<String, String>) -> Result<()> {
        self.call(format!("set_disk_metadata {disk}"), "set_disk_metadata", |w| {
            w.disk(disk, "set_disk_metadata")?.metadata = metadata.clone();
            Ok(())
        })
    }

    fn snapshot_disk(&self, disk: &DiskCid, _metadata: &BTreeMap<String, String>) -> Result<SnapshotCid> {
        self.call(format!("snapshot_disk {disk}"), "snapshot_disk", |w| {
            let cid = SnapshotCid::new(format!("snap-{}", w.number())).unwrap();
            w.snapshots.push(cid.clone());
            Ok(cid)
        })
    }

    fn delete_snapshot(&self, snapshot: &SnapshotCid) -> Result<()> {
        self.call(format!("delete_snapshot {snapshot}"), "delete_snapshot", |w| {
            w.snapshots.retain(|s| s != snapshot);
            Ok(())
        })
    }

    fn ping(&self, vm: &VmCid) -> Result<()> {
        self.agent("ping", vm, |_| Ok(()))
    }

    fn apply(&self, vm: &VmCid, jobs: &[RenderedJob]) -> Result<()> {
        self.agent("apply", vm, |w| {
            w.vm(vm).jobs = jobs.to_vec();
            Ok(())
        })
    }

    fn mount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.agent("mount_disk", vm, |w| {
            w.vm(vm).mounted.push(disk.clone());
            Ok(())
        })
    }

    fn unmount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.agent("unmount_disk", vm, |w| {
            w.vm(vm).mounted.retain(|d| d != disk);
            Ok(())
        })
    }

    fn migrate_disk(&self, vm: &VmCid, from: &DiskCid, to: &DiskCid) -> Result<()> {
        self.agent("migrate_disk", vm, |w| {
            let content = w.disk(from, "migrate_disk")?.content.clone();
            w.disk(to, "migrate_disk")?.content = content;
            w.vm(vm).mounted = vec![to.clone(), from.clone()];
            Ok(())
        })
    }

    fn list_disk(&self, vm: &VmCid) -> Result<Vec<DiskCid>> {
        self.agent("list_disk", vm, |w| Ok(w.vm(vm).mounted.clone()))
    }

    fn run_script(&self, vm: &VmCid, script: &str, env: &BTreeMap<String, String>) -> Result<()> {
        let next = env.get("BOSH_VM_NEXT_STATE").map(|state| format!(" vm={state}")).unwrap_or_default();
        self.agent(&format!("run_script {script}{next}"), vm, |w| {
            match w.failures.get(&format!("run_script {script}")) {
                Some(error) => Err(error.clone()),
                None => Ok(()),
            }
        })
    }

    fn drain(&self, vm: &VmCid, arguments: &[String], _env: &BTreeMap<String, String>) -> Result<()> {
        self.agent(&format!("drain {}", arguments.join(" ")), vm, |_| Ok(()))
    }

    fn start(&self, vm: &VmCid) -> Result<()> {
        self.agent("start", vm, |w| {
            w.vm(vm).state = w.state_after_start.clone().unwrap_or_else(|| "running".into());
            Ok(())
        })
    }

    fn stop(&self, vm: &VmCid) -> Result<()> {
        self.agent("stop", vm, |w| {
            w.vm(vm).state = "stopped".into();
            Ok(())
        })
    }

    fn job_state(&self, vm: &VmCid) -> Result<String> {
        let outcome = self.agent("get_state", vm, |w| Ok(w.vm(vm).state.clone()));
        // Asked so often that it would only hide the rest.
        self.change(|w| w.journal.retain(|entry| entry != "get_state"));
        outcome
    }

    fn run_errand(
        &self,
        vm: &VmCid,
        job: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
        _limit: Duration,
    ) -> Result<ErrandOutcome> {
        self.agent(&format!("run_errand {job}"), vm, |_| Ok(()))?;
        let mut state = self.state();
        loop {
            let outcome = |exit_code| ErrandOutcome { exit_code, stdout: "out".into(), stderr: "err".into() };
            if let Some(code) = state.errands.get(job) {
                return Ok(outcome(*code));
            }
            // Not under the lock: the Director is asked.
            drop(state);
            if cancelled() {
                return Ok(outcome(143));
            }
            state = self.changed.wait_timeout(self.state(), Duration::from_millis(5)).unwrap().0;
        }
    }
}
