//! What Remount asks of a BOSH Director.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::{DeploymentName, DiskCid, InstanceSlug, VmCid};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The number of a Director task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub u64);

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The state of a task. Unknown words count as [`TaskState::Processing`], with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waits for a worker.
    Queued,
    /// Runs.
    Processing,
    /// Was cancelled and runs to its next checkpoint.
    Cancelling,
    /// Ended well; an errand's exit code may still say otherwise.
    Done,
    /// Failed.
    Error,
    /// Was cancelled.
    Cancelled,
    /// Its worker died.
    Timeout,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Cancelling => "cancelling",
            Self::Done => "done",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        })
    }
}

impl TaskState {
    /// Whether it will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Error | Self::Cancelled | Self::Timeout)
    }
}

/// A task, as `GET /tasks/ID` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// The Director's own word for the state: it has more than ours.
    #[serde(default)]
    pub word: String,
    /// What it does, in the Director's words.
    pub description: String,
    /// Its outcome, cut at about 128 characters.
    #[serde(default)]
    pub result: Option<String>,
    /// The deployment it works on.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The `X-Bosh-Context-Id` it was asked for with; empty for attach-disk tasks.
    #[serde(default)]
    pub context_id: Option<String>,
    /// When it was picked up, seconds since 1970.
    #[serde(default)]
    pub started_at: Option<i64>,
}

/// The Director itself, as `GET /info` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: String,
    /// Its version.
    pub version: String,
    /// Who the credentials belong to; none where they were not accepted.
    #[serde(default)]
    pub user: Option<String>,
}

/// An instance, as `GET /deployments/D/instances?format=full` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its deployment.
    pub deployment: DeploymentName,
    /// Group and id.
    pub slug: InstanceSlug,
    /// Its index.
    pub index: u32,
    /// Its availability zone.
    pub az: Option<String>,
    /// Its VM; none where it has none.
    pub vm: Option<VmCid>,
    /// Its addresses, the default network's first.
    pub ips: Vec<String>,
    /// Every disk the Director has recorded as active for it (the record, not the truth: see `DiskCloud::disk`).
    pub disks: Vec<DiskCid>,
    /// What it is to be: `started`, `stopped` or `detached`.
    pub desired: String,
    /// What its agent says: `running`, `failing`, `stopped`, `unresponsive agent`, …; none without a VM.
    pub job_state: Option<String>,
    /// Whether it is the group's bootstrap instance.
    pub bootstrap: bool,
    /// Whether an operator told the Director to ignore it.
    pub ignored: bool,
    /// The name of its VM type, where the Director says it.
    pub vm_type: Option<String>,
}

impl Instance {
    /// Whether all its processes run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.job_state.as_deref() == Some("running")
    }

    /// Whether it is a record that is to run and has never had anything: what a `bosh deploy --dry-run` with more
    /// instances leaves. A bootstrap instance that has lost everything is not meant.
    #[must_use]
    pub fn is_record_alone(&self) -> bool {
        let has_nothing = self.vm.is_none() && self.disks.is_empty();
        has_nothing && self.desired == "started" && !self.bootstrap
    }
}

/// A lock, as `GET /locks` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// `deployment`, `vm`, `compile`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// What is locked.
    pub resource: Vec<String>,
    /// The task that holds it.
    pub task_id: Option<String>,
}

/// A disk the Director let go but keeps, as `GET /disks` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanedDisk {
    /// The disk.
    pub disk_cid: DiskCid,
    /// The deployment it belonged to.
    pub deployment_name: Option<String>,
    /// The instance it belonged to, `group/uuid`.
    pub instance_name: Option<String>,
    /// When it was let go; none where the Director does not say it in its own format.
    pub orphaned_at: Option<Timestamp>,
    /// Its recorded size in MiB.
    pub size: Option<u64>,
}

/// How an instance is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// Processes stop; the VM stays.
    Soft,
    /// Processes stop, the VM is deleted: the instance is then `detached`.
    Hard,
    /// As `Hard`, without pre-stop and drain: for an instance that has no VM.
    HardWithoutDrain,
}

/// A Director. Every change is a task: the calls answer with its number as soon as the Director
/// has accepted it, and [`crate::follow`] follows it to its end.
///
/// # Source
/// `cloudfoundry/bosh`, the Director's API controllers; facts in `docs/reference/bosh-director.md`.
#[async_trait]
pub trait Director: Debug + Send + Sync {
    /// The Director's name, version, and whether it accepts the credentials.
    async fn info(&self) -> Result<Info>;

    /// The names of all deployments.
    async fn deployments(&self) -> Result<Vec<DeploymentName>>;

    /// The instances of a deployment, those without a VM too. Works during errands, and is a task: it waits where
    /// every worker is busy.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such deployment.
    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>>;

    /// Stops one instance (`actions/stop`), touching nothing else. One that is stopped or detached is left as it is,
    /// but for a hard stop of a stopped one.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such instance.
    /// [`Error::Unanswered`]: the task may exist; look for it with [`Director::tasks`] by `context`.
    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId>;

    /// Starts one instance (`actions/start`), touching nothing else. It never looks at disks unless
    /// the instance has no VM.
    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId>;

    /// Recreates an instance's VM with the disks that are recorded for it, although its agent does not answer
    /// (`actions/recreate?ignore_unresponsive_agent=true`); every other action asks the agent first and fails
    /// with 450002. The instance is started then, also where it was stopped or detached.
    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId>;

    /// Attaches a disk to a stopped instance in the place of its own, which becomes an orphan. Size
    /// and properties of the record are kept (`disk_properties=copy`). Takes no lock and carries no
    /// context: after a lost answer the task is found by its description, which holds the CID. A failure leaves the
    /// old disk detached in the cloud and recorded for the instance.
    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId>;

    /// Reads a task once.
    ///
    /// # Errors
    /// [`Error::TaskFailed`] with the Director's whole message where it has ended in anything but success.
    async fn task(&self, task: TaskId) -> Result<Task>;

    /// The newest tasks of a deployment, newest first, at most `limit`.
    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>>;

    /// Asks for a task's cancellation; it ends at its next checkpoint, or when a worker would begin it. A finished task
    /// counts as done. Scripts of a job (pre-start, post-start) are not cut short.
    async fn cancel(&self, task: TaskId) -> Result<()>;

    /// The locks that are held.
    async fn locks(&self) -> Result<Vec<Lock>>;

    /// The orphaned disks.
    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>>;

    /// Deletes an orphaned disk, and with it every snapshot that the *Director* recorded for it. A disk that the
    /// Director does not know is left alone, and that is a success.
    ///
    /// # Errors
    /// [`Error::Refused`] with code 520000: an instance has the disk.
    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId>;
}
