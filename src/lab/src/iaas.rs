//! What the lab's Director asks of the machine it runs on: the CPI (VMs, disks) and the BOSH agent
//! on each VM, as one blocking trait. The real one (`vm`, `disks`) uses mount namespaces, loop
//! devices and processes; the Director's own tests use one in memory.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use remount_core::{DiskCid, InstanceSlug, SnapshotCid, VmCid};
use serde::{Deserialize, Serialize};

/// What the machine answers. The text is what a CPI or agent error would say.
pub type Result<T> = std::result::Result<T, IaasError>;

/// A CPI or agent call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IaasError {
    /// The CPI says so; the Director turns it into code 100 with this text.
    #[error("CPI error '{kind}' with message '{message}' in '{method}' CPI method")]
    Cpi {
        /// The CPI's class, as `Bosh::Clouds::DiskNotFound`.
        kind: String,
        /// The method, as `attach_disk`.
        method: String,
        /// The text.
        message: String,
    },
    /// The agent answered with an exception (450001).
    #[error("{0}")]
    Agent(String),
    /// The agent does not answer (450002).
    #[error("Timed out sending '{method}' to instance after {seconds} seconds")]
    Timeout {
        /// The agent method.
        method: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// A VM to make.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// The deployment.
    pub deployment: String,
    /// The instance.
    pub instance: InstanceSlug,
    /// Its availability zone.
    pub az: String,
    /// Its address, a loopback address of its own.
    pub ip: String,
}

/// One rendered file of a job, below `/var/vcap/jobs/<job>/`.
#[derive(Clone, Debug)]
pub struct RenderedFile {
    /// Its content.
    pub content: String,
    /// Below `bin/`: executable.
    pub executable: bool,
}

/// A job as it lies on a VM: path below the job's folder → file. `monit` is among them.
#[derive(Clone, Debug)]
pub struct RenderedJob {
    /// The job's name.
    pub name: String,
    /// Its files.
    pub files: BTreeMap<String, RenderedFile>,
    /// The packages that its spec names: no others are installed for it.
    pub packages: Vec<String>,
}

/// A process that monit keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub name: String,
    /// `running`, `starting`, `failing`, `unmonitored`.
    pub state: String,
    /// How long it has been running.
    pub uptime_seconds: u64,
}

/// What an errand's script left.
#[derive(Clone, Debug)]
pub struct ErrandOutcome {
    /// Its exit code; 128 + n after signal n.
    pub exit_code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
}

/// CPI and agents of one landscape.
pub trait Iaas: Debug + Send + Sync {
    /// CPI `create_vm`.
    fn create_vm(&self, spec: &VmSpec) -> Result<VmCid>;
    /// CPI `delete_vm`: its processes are killed, its disks detached.
    fn delete_vm(&self, vm: &VmCid) -> Result<()>;
    /// CPI `has_vm`.
    fn has_vm(&self, vm: &VmCid) -> Result<bool>;
    /// CPI `create_disk`: empty, unformatted.
    fn create_disk(&self, size_mib: u64, disk_type: &str, az: &str) -> Result<DiskCid>;
    /// CPI `attach_disk`: the disk's `attached_to` becomes this VM. Refuses another zone, or an attached disk.
    fn attach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()>;
    /// CPI `detach_disk`.
    fn detach_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()>;
    /// CPI `delete_disk`; refuses an attached disk.
    fn delete_disk(&self, disk: &DiskCid) -> Result<()>;
    /// CPI `set_disk_metadata`.
    fn set_disk_metadata(&self, disk: &DiskCid, metadata: &BTreeMap<String, String>) -> Result<()>;

    /// CPI `snapshot_disk`. The Director passes over a CPI that cannot.
    fn snapshot_disk(&self, disk: &DiskCid, metadata: &BTreeMap<String, String>) -> Result<SnapshotCid> {
        Err(not_implemented("snapshot_disk", &format!("{disk} {metadata:?}")))
    }
    /// CPI `delete_snapshot`.
    fn delete_snapshot(&self, snapshot: &SnapshotCid) -> Result<()> {
        Err(not_implemented("delete_snapshot", snapshot.as_str()))
    }

    /// Agent `ping`.
    fn ping(&self, vm: &VmCid) -> Result<()>;
    /// Agent `apply`: the jobs' files replace those on the VM.
    fn apply(&self, vm: &VmCid, jobs: &[RenderedJob]) -> Result<()>;
    /// Agent `mount_disk`: partitions and formats an empty disk, mounts partition 1 at `/var/vcap/store`.
    fn mount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()>;
    /// Agent `unmount_disk`; retries while busy, up to a limit.
    fn unmount_disk(&self, vm: &VmCid, disk: &DiskCid) -> Result<()>;
    /// Agent `migrate_disk`: copies what is on `from` (at `/var/vcap/store`) to `to`, which `mount_disk`
    /// has mounted at `/var/vcap/store_migration_target` as `from` was there already, and swaps the mounts.
    fn migrate_disk(&self, vm: &VmCid, from: &DiskCid, to: &DiskCid) -> Result<()> {
        Err(IaasError::Agent(format!("unknown message migrate_disk ({vm}, {from}, {to})")))
    }
    /// Agent `list_disk`.
    fn list_disk(&self, vm: &VmCid) -> Result<Vec<DiskCid>>;
    /// Agent `run_script`: all jobs' scripts of this name in parallel; missing ones are passed over.
    fn run_script(&self, vm: &VmCid, script: &str, env: &BTreeMap<String, String>) -> Result<()>;
    /// Agent `drain`: the whole protocol, until every job's drain is through.
    fn drain(&self, vm: &VmCid, arguments: &[String], env: &BTreeMap<String, String>) -> Result<()>;
    /// Agent `start`: monit starts what `bpm.yml` and `monit` say; does not wait.
    fn start(&self, vm: &VmCid) -> Result<()>;
    /// Agent `stop`: monit stops, waits for the processes.
    fn stop(&self, vm: &VmCid) -> Result<()>;
    /// Agent `get_state`: `running`, `failing`, `starting`, `stopped`.
    fn job_state(&self, vm: &VmCid) -> Result<String>;
    /// Agent `get_state` with its processes; none where an agent does not tell.
    fn processes(&self, _vm: &VmCid) -> Result<Vec<ProcessState>> {
        Ok(Vec::new())
    }
    /// Agent `run_errand`: `bin/run` of the job, as root. SIGTERM after `cancelled` turns true, SIGKILL 10 s later.
    fn run_errand(
        &self,
        vm: &VmCid,
        job: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
        limit: Duration,
    ) -> Result<ErrandOutcome>;
}

fn not_implemented(method: &str, arguments: &str) -> IaasError {
    IaasError::Cpi {
        kind: "Bosh::Clouds::NotImplemented".into(),
        method: method.into(),
        message: format!("the lab's CPI does not do this ({arguments})"),
    }
}
