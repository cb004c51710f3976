//! [`Iaas`] for real: the CPI's calls on VMs and disks, the agent's calls passed on to `vm-init`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use remount_cloud::{Detached, LocalDisks, Tags};
use remount_core::documents::{DiskAttributes, DiskShape};
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};
use serde::de::DeserializeOwned;

use super::link::{CallError, Link, Pending};
use super::loops;
use super::protocol::{Boot, Call, ErrandResult, Job};
use crate::iaas::{ErrandOutcome, Iaas, IaasError, ProcessState, RenderedJob, Result, VmSpec};

/// What the Director says it waited for an agent that does not answer. The lab knows at once and
/// does not make its users wait.
const AGENT_SECONDS: u64 = 45;
/// How long a detached disk may stay in use by the kernel.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);
/// How often an errand's cancellation is looked at.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// The folder of the VMs' own files. `vcap` must be able to reach it.
    pub vms: PathBuf,
    /// The root of the local cloud.
    pub cloud: PathBuf,
    /// The program that understands `vm-init`: `remount-lab` itself.
    pub program: PathBuf,
    /// What appears on every VM: path below `/var/vcap` → file or folder of this machine.
    pub binds: BTreeMap<PathBuf, PathBuf>,
}

/// One VM.
#[derive(Debug)]
struct Vm {
    spec: VmSpec,
    folder: PathBuf,
    link: Link,
}

/// CPI and agents on this machine.
#[derive(Debug)]
pub struct Machine {
    config: MachineConfig,
    disks: LocalDisks,
    vms: Mutex<BTreeMap<VmCid, Arc<Vm>>>,
}

impl Machine {
    /// A machine without VMs.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn new(config: MachineConfig) -> io::Result<Self> {
        let disks = LocalDisks::create(&config.cloud).map_err(io::Error::other)?;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&config.vms)?;
        Ok(Self { config, disks, vms: Mutex::new(BTreeMap::new()) })
    }

    /// The machine's disks, as the cloud has them.
    #[must_use]
    pub fn disks(&self) -> &LocalDisks {
        &self.disks
    }

    /// The PID of the VM's first process as this machine's `/proc` has it; its namespaces are the VM.
    #[must_use]
    pub fn host_pid(&self, vm: &VmCid) -> Option<u32> {
        self.vms().get(vm).map(|vm| vm.link.host_pid())
    }

    /// The folder that is the VM's `/var/vcap`.
    #[must_use]
    pub fn vcap_of(&self, vm: &VmCid) -> Option<PathBuf> {
        self.vms().get(vm).map(|vm| vm.folder.join("vcap"))
    }

    fn vms(&self) -> MutexGuard<'_, BTreeMap<VmCid, Arc<Vm>>> {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vm(&self, cid: &VmCid, method: &str) -> Result<Arc<Vm>> {
        let found = self.vms().get(cid).map(Arc::clone);
        found.ok_or_else(|| cpi(method, "Bosh::Clouds::VMNotFound", format!("VM '{cid}' not found")))
    }

    /// Passes a call to the VM's agent.
    fn ask<T: DeserializeOwned>(&self, cid: &VmCid, method: &str, call: Call) -> Result<T> {
        let Some(vm) = self.vms().get(cid).map(Arc::clone) else { return Err(silent(method)) };
        let value = vm.link.call(call).map_err(|error| agent_error(method, error))?;
        understood(method, value)
    }

    fn boot(&self, cid: &VmCid, spec: &VmSpec) -> io::Result<Vm> {
        let folder = self.config.vms.join(cid.as_str());
        let vcap = folder.join("vcap");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&vcap)?;
        let boot = Boot {
            vcap,
            hostname: spec.instance.id.as_str().chars().take(63).collect(),
            binds: self.config.binds.clone(),
        };
        let link = Link::boot(&self.config.program, &boot, &folder.join("agent.log"))?;
        Ok(Vm { spec: spec.clone(), folder, link })
    }

    /// Waits until the kernel holds the disk's image no more: until then it must go to nobody else.
    fn released(&self, disk: &DiskCid, method: &str) -> Result<()> {
        let freed = loops::wait_released(&self.disks.image(disk), RELEASE_LIMIT);
        freed.map_err(|error| cloud_error(method, error))
    }

    /// Asks for the errand's end when the Director or the limit says so, and waits for it.
    fn follow(
        vm: &Vm,
        pending: &Pending,
        cancelled: &(dyn Fn() -> bool + Sync),
        limit: Duration,
    ) -> std::result::Result<serde_json::Value, CallError> {
        let until = Instant::now() + limit;
        let mut asked = false;
        loop {
            if let Some(outcome) = pending.wait(CANCEL_POLL) {
                return outcome;
            }
            if !asked && (cancelled() || Instant::now() >= until) {
                vm.link.call(Call::Cancel { request: pending.id })?;
                asked = true;
            }
        }
    }
}

/// What the cloud calls the zone of an AZ: not what the Director calls it, as in every real cloud.
#[must_use]
pub fn cloud_zone(az: &str) -> String {
    format!("lab-1-{az}")
}

/// What every disk that a deploy makes has beside its size: whoever makes one in its place has to know it.
fn sold_attributes() -> DiskAttributes {
    DiskAttributes {
        iops: NonZeroU32::new(3_000),
        throughput_mib: NonZeroU32::new(125),
        ..Default::default()
    }
}

impl Iaas for Machine {
    fn create_vm(&self, spec: &VmSpec) -> Result<VmCid> {
        let cid = VmCid::new(format!("vm-{:016x}", rand::random::<u64>())).expect("printable");
        let vm = self.boot(&cid, spec).map_err(|error| cloud_error("create_vm", error))?;
        log::info!(vm:% = cid, deployment = spec.deployment, instance:% = spec.instance; "VM created");
        self.vms().insert(cid.clone(), Arc::new(vm));
        Ok(cid)
    }

    fn delete_vm(&self, cid: &VmCid) -> Result<()> {
        let vm = self.vm(cid, "delete_vm")?;
        vm.link.end().map_err(|error| cloud_error("delete_vm", error))?;
        let disks = self.disks.disks_tagged(&Tags::new()).map_err(|error| cloud_error("delete_vm", error))?;
        for disk in disks {
            let is_its = self.disks.is_attached(&disk.cid, cid);
            if !is_its.map_err(|error| cloud_error("delete_vm", error))? {
                continue;
            }
            self.released(&disk.cid, "delete_vm")?;
            self.disks.detach(&disk.cid, cid).map_err(|error| cloud_error("delete_vm", error))?;
        }
        self.vms().remove(cid);
        match fs::remove_dir_all(&vm.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cloud_error("delete_vm", error)),
            _ => Ok(()),
        }
    }

    fn has_vm(&self, vm: &VmCid) -> Result<bool> {
        Ok(self.vms().contains_key(vm))
    }

    fn create_disk(&self, size_mib: u64, disk_type: &str, az: &str) -> Result<DiskCid> {
        let disk_type = disk_type.to_owned();
        let attributes = sold_attributes();
        let like = DiskShape { zone: Some(cloud_zone(az)), size_mib, disk_type, attributes };
        let made = self.disks.create_empty(&like);
        made.map(|disk| disk.cid).map_err(|error| disk_error("create_disk", error))
    }

    fn attach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        let az = self.vm(vm, "attach_disk")?.spec.az.clone();
        self.disks.attach(disk, vm, &cloud_zone(&az)).map_err(|error| disk_error("attach_disk", error))?;
        // Attached to nobody, it can only be on its way out of a VM that died a moment ago.
        self.released(disk, "attach_disk")
    }

    fn detach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.vm(vm, "detach_disk")?;
        self.released(disk, "detach_disk")?;
        match self.disks.detach(disk, vm).map_err(|error| disk_error("detach_disk", error))? {
            Detached::Now => Ok(()),
            Detached::WasNot => {
                let message = format!("'{disk}' is not attached to '{vm}'");
                Err(cpi("detach_disk", "Bosh::Clouds::DiskNotAttached", message))
            }
        }
    }

    fn delete_disk(&self, disk: &DiskCid) -> Result<()> {
        let found = self.disks.disk(disk).map_err(|error| disk_error("delete_disk", error))?;
        if found.is_none() {
            return Err(disk_error("delete_disk", remount_cloud::Error::DiskNotFound(disk.clone())));
        }
        self.disks.delete_disk(disk).map_err(|error| disk_error("delete_disk", error))
    }

    fn set_disk_metadata(&self, disk: &DiskCid, metadata: &BTreeMap<String, String>) -> Result<()> {
        self.disks.set_tags(disk, metadata).map_err(|error| disk_error("set_disk_metadata", error))
    }

    fn snapshot_disk(&self, disk: &DiskCid, metadata: &BTreeMap<String, String>) -> Result<SnapshotCid> {
        let key = RequestKey::new(format!("cpi-{:032x}", rand::random::<u128>())).expect("a path element");
        let made = self.disks.create_snapshot(disk, metadata, &key);
        made.map(|snapshot| snapshot.cid).map_err(|error| disk_error("snapshot_disk", error))
    }

    fn delete_snapshot(&self, snapshot: &SnapshotCid) -> Result<()> {
        self.disks.delete_snapshot(snapshot).map_err(|error| disk_error("delete_snapshot", error))
    }

    fn ping(&self, vm: &VmCid) -> Result<()> {
        self.ask(vm, "ping", Call::Ping)
    }

    fn apply(&self, vm: &VmCid, jobs: &[RenderedJob]) -> Result<()> {
        let files = |job: &RenderedJob| {
            job.files.iter().map(|(path, file)| (path.clone(), file.content.clone())).collect()
        };
        let jobs = jobs.iter().map(|job| Job {
            name: job.name.clone(),
            files: files(job),
            packages: job.packages.clone(),
        });
        let jobs = jobs.collect();
        self.ask(vm, "apply", Call::Apply { jobs })
    }

    fn mount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        if !self.disks.is_attached(disk, vm).map_err(|error| disk_error("mount_disk", error))? {
            // The agent waits for a device that never comes up.
            let text = "Action Failed mount_disk: Mounting persistent disk: Getting real device path: \
                        Timed out getting real device path";
            return Err(IaasError::Agent(format!("{text} for '{disk}'")));
        }
        let image = self.disks.image(disk);
        self.ask(vm, "mount_disk", Call::MountDisk { disk: disk.as_str().to_owned(), image })
    }

    fn unmount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()> {
        self.ask(vm, "unmount_disk", Call::UnmountDisk { disk: disk.as_str().to_owned() })
    }

    fn migrate_disk(&self, vm: &VmCid, from: &DiskCid, to: &DiskCid) -> Result<()> {
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        self.ask(vm, "migrate_disk", Call::MigrateDisk { from, to })
    }

    fn list_disk(&self, vm: &VmCid) -> Result<Vec<DiskCid>> {
        self.ask(vm, "list_disk", Call::ListDisk)
    }

    fn run_script(&self, vm: &VmCid, script: &str, env: &BTreeMap<String, String>) -> Result<()> {
        self.ask(vm, "run_script", Call::RunScript { script: script.to_owned(), env: env.clone() })
    }

    fn drain(&self, vm: &VmCid, arguments: &[String], env: &BTreeMap<String, String>) -> Result<()> {
        self.ask(vm, "drain", Call::Drain { arguments: arguments.to_vec(), env: env.clone() })
    }

    fn start(&self, vm: &VmCid) -> Result<()> {
        self.ask(vm, "start", Call::Start)
    }

    fn stop(&self, vm: &VmCid) -> Result<()> {
        self.ask(vm, "stop", Call::Stop)
    }

    fn job_state(&self, vm: &VmCid) -> Result<String> {
        self.ask(vm, "get_state", Call::JobState)
    }

    fn processes(&self, vm: &VmCid) -> Result<Vec<ProcessState>> {
        self.ask(vm, "get_state", Call::Processes)
    }

    fn run_errand(
        &self,
        cid: &VmCid,
        job: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
        limit: Duration,
    ) -> Result<ErrandOutcome> {
        let method = "run_errand";
        let Some(vm) = self.vms().get(cid).map(Arc::clone) else { return Err(silent(method)) };
        let pending = vm.link.send(Call::RunErrand { job: job.to_owned() });
        let pending = pending.map_err(|error| agent_error(method, error))?;
        let value = Self::follow(&vm, &pending, cancelled, limit);
        let result: ErrandResult = understood(method, value.map_err(|error| agent_error(method, error))?)?;
        Ok(ErrandOutcome { exit_code: result.exit_code, stdout: result.stdout, stderr: result.stderr })
    }
}

fn understood<T: DeserializeOwned>(method: &str, value: serde_json::Value) -> Result<T> {
    let read = serde_json::from_value(value);
    read.map_err(|error| IaasError::Agent(format!("Action Failed {method}: unexpected answer: {error}")))
}

/// Calls that answer at once fail as themselves; the others are tasks of the agent, and fail when
/// the Director asks for their result.
fn agent_error(method: &str, error: CallError) -> IaasError {
    match error {
        CallError::Gone => silent(method),
        CallError::Failed(message) if ["ping", "get_state", "start"].contains(&method) => {
            IaasError::Agent(format!("Action Failed {method}: {message}"))
        }
        CallError::Failed(message) => {
            let task = format!("{:032x}", rand::random::<u128>());
            IaasError::Agent(format!("Action Failed get_task: Task {task} result: {message}"))
        }
    }
}

fn silent(method: &str) -> IaasError {
    IaasError::Timeout { method: method.to_owned(), seconds: AGENT_SECONDS }
}

fn cpi(method: &str, kind: &str, message: String) -> IaasError {
    IaasError::Cpi { kind: kind.to_owned(), method: method.to_owned(), message }
}

fn cloud_error(method: &str, error: impl std::fmt::Display) -> IaasError {
    cpi(method, "Bosh::Clouds::CloudError", error.to_string())
}

/// What the local cloud says, in the classes of a CPI.
fn disk_error(method: &str, error: remount_cloud::Error) -> IaasError {
    use remount_cloud::Error;
    let kind = match &error {
        Error::DiskNotFound(_) => "Bosh::Clouds::DiskNotFound",
        Error::QuotaExceeded { .. } => "Bosh::Clouds::NoDiskSpace",
        _ => "Bosh::Clouds::CloudError",
    };
    cpi(method, kind, error.to_string())
}
