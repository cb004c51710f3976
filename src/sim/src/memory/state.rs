//! What the landscape consists of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remount_cloud::{Disk, DiskState, Snapshot, Tags};
use remount_core::{BackupId, DiskCid, GroupName, InstanceId, InstanceSlug, RestoreId, SnapshotCid, VmCid};
use remount_director::{OrphanedDisk, Task, TaskId};
use remount_postgres::{BackupBegun, BackupEnded};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::faults::Rule;
use super::mishaps::Quota;
use super::postgres::Data;
use super::tasks::LOCK_WAIT;

/// Everything.
#[derive(Debug)]
pub struct State {
    pub disks: BTreeMap<DiskCid, MemoryDisk>,
    pub snapshots: BTreeMap<SnapshotCid, MemorySnapshot>,
    pub vms: BTreeMap<VmCid, Vm>,
    pub instances: Vec<MemoryInstance>,
    pub tasks: Vec<MemoryTask>,
    pub orphans: Vec<OrphanedDisk>,
    pub faults: Vec<Rule>,
    pub now: Timestamp,
    pub task_time: Duration,
    pub lock_wait: Duration,
    pub quota: Quota,
    /// The task that holds the deployment's lock.
    pub lock_holder: Option<TaskId>,
    /// Errands that go on until they are notified.
    /// PostgreSQL leaves recovery by itself at a target, as it does where hot standby is not active there.
    pub promotes_itself: bool,
    pub errands: Vec<Arc<Notify>>,
    next: u64,
    pub next_row: u64,
}

/// A disk with what lies on it.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    pub disk: Disk,
    pub content: Content,
}

/// A snapshot with what it holds. `looks` counts down to its completion.
#[derive(Clone, Debug)]
pub struct MemorySnapshot {
    pub snapshot: Snapshot,
    pub content: Content,
    pub looks: u32,
}

/// What lies on a disk.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub data: Option<Data>,
    /// `backup.json`.
    pub backup: Option<BackupId>,
    /// The plans it has applied.
    pub applied: Vec<RestoreId>,
    /// A file beside all that.
    pub file: String,
}

/// A VM and the server on it.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Whether BOSH's agent answers.
    pub answers: bool,
    /// Whether `remount-agent` does.
    pub serves: bool,
    pub running: bool,
    pub backup: BackupMode,
}

/// What the agent knows of backups. It is lost with the agent.
#[derive(Clone, Debug, Default)]
pub enum BackupMode {
    #[default]
    Idle,
    InProgress(HeldBackup),
    /// The result of the last one.
    Ended(BackupEnded),
}

impl BackupMode {
    /// The backup in progress.
    pub fn in_progress(&self) -> Option<&HeldBackup> {
        match self {
            Self::InProgress(held) => Some(held),
            Self::Idle | Self::Ended(_) => None,
        }
    }

    /// This backup, where it is in progress.
    pub fn held_mut(&mut self, backup: &BackupId) -> Option<&mut HeldBackup> {
        match self {
            Self::InProgress(held) if held.begun.backup == *backup => Some(held),
            _ => None,
        }
    }
}

/// A backup in progress.
#[derive(Clone, Debug)]
pub struct HeldBackup {
    pub begun: BackupBegun,
    pub until: Instant,
}

impl HeldBackup {
    pub fn renew(&mut self) {
        self.until = Instant::now() + Duration::from_secs(self.begun.lease_seconds);
    }
}

/// The Director's record of an instance.
#[derive(Clone, Debug)]
pub struct MemoryInstance {
    pub slug: InstanceSlug,
    pub index: u32,
    pub az: String,
    pub vm: Option<VmCid>,
    pub disk: Option<DiskCid>,
    /// The size that is recorded for its disk, whatever the disk's is.
    pub recorded_mib: u64,
    pub desired: String,
    pub ignored: bool,
}

/// A Director task.
#[derive(Clone, Debug)]
pub struct MemoryTask {
    pub task: Task,
    /// Code and whole message.
    pub error: Option<(i64, String)>,
}

/// The size of every disk that a deploy made.
pub const DISK_MIB: u64 = 10_240;

impl State {
    /// A primary and its standbys, all running, streaming.
    pub fn running(standbys: usize) -> Self {
        let mut state = Self {
            disks: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            vms: BTreeMap::new(),
            instances: Vec::new(),
            tasks: Vec::new(),
            orphans: Vec::new(),
            faults: Vec::new(),
            now: "2026-11-23T10:00:00Z".parse().expect("a timestamp"),
            task_time: Duration::ZERO,
            lock_wait: LOCK_WAIT,
            quota: Quota::default(),
            lock_holder: None,
            promotes_itself: false,
            errands: Vec::new(),
            next: 1,
            next_row: 1,
        };
        for index in 0..=standbys {
            let az = format!("z{}", index + 1);
            let content = Content { data: Some(Data::new(index > 0, state.now)), ..Content::default() };
            let disk = state.new_disk(DISK_MIB, &az, content);
            let vm = state.new_vm();
            state.vms.get_mut(&vm).expect("just made").running = true;
            state.attach(&disk, &vm);
            let slug = InstanceSlug {
                group: GroupName::new("postgres").expect("a name"),
                id: InstanceId::new(format!("{index:08}-0000-4000-8000-000000000000")).expect("an id"),
            };
            let desired = "started".to_owned();
            let index = u32::try_from(index).expect("few");
            let (vm, disk) = (Some(vm), Some(disk));
            state.instances.push(MemoryInstance {
                slug,
                index,
                az,
                vm,
                disk,
                recorded_mib: DISK_MIB,
                desired,
                ignored: false,
            });
        }
        state
    }

    /// A number that was never used.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A disk, available, without tags.
    pub fn new_disk(&mut self, size_mib: u64, az: &str, content: Content) -> DiskCid {
        let cid = DiskCid::new(format!("disk-{}", self.number())).expect("a CID");
        let disk = Disk {
            cid: cid.clone(),
            size_mib,
            disk_type: "memory".into(),
            az: Some(az.into()),
            state: DiskState::Available,
            attached_to: None,
            made_from: None,
            tags: Tags::new(),
        };
        self.disks.insert(cid.clone(), MemoryDisk { disk, content });
        cid
    }

    /// A VM without a disk.
    pub fn new_vm(&mut self) -> VmCid {
        let cid = VmCid::new(format!("vm-{}", self.number())).expect("a CID");
        self.vms.insert(
            cid.clone(),
            Vm { answers: true, serves: true, running: false, backup: BackupMode::Idle },
        );
        cid
    }

    /// The disk that is attached to a VM.
    pub fn disk_on(&self, vm: &VmCid) -> Option<DiskCid> {
        let on = |disk: &&MemoryDisk| disk.disk.attached_to.as_ref() == Some(vm);
        self.disks.values().find(on).map(|disk| disk.disk.cid.clone())
    }

    /// What lies on the disk that is attached to an instance.
    pub fn content_mut(&mut self, index: usize) -> Option<&mut Content> {
        let vm = self.instances[index].vm.clone()?;
        let disk = self.disk_on(&vm)?;
        self.disks.get_mut(&disk).map(|disk| &mut disk.content)
    }

    /// The VM of an instance.
    pub fn vm_mut(&mut self, index: usize) -> Option<&mut Vm> {
        let vm = self.instances[index].vm.clone()?;
        self.vms.get_mut(&vm)
    }

    /// A task.
    pub fn task_mut(&mut self, id: TaskId) -> Option<&mut MemoryTask> {
        self.tasks.iter_mut().find(|known| known.task.id == id)
    }

    /// Whether the cloud has a disk attached to a VM.
    pub fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> bool {
        self.disks.get(disk).is_some_and(|found| found.disk.attached_to.as_ref() == Some(vm))
    }

    /// The place of an instance.
    pub fn position(&self, slug: &InstanceSlug) -> Option<usize> {
        self.instances.iter().position(|instance| instance.slug == *slug)
    }

    /// The data of a server that runs.
    pub fn running_data(&self, index: usize) -> Option<&Data> {
        let vm = self.instances[index].vm.as_ref()?;
        if !self.vms.get(vm)?.running {
            return None;
        }
        let disk = self.disk_on(vm)?;
        self.disks.get(&disk)?.content.data.as_ref()
    }

    /// The same, to be changed.
    pub fn running_data_mut(&mut self, index: usize) -> Option<&mut Data> {
        self.running_data(index)?;
        self.content_mut(index)?.data.as_mut()
    }

    /// Attaches a disk that is nobody's.
    pub fn attach(&mut self, cid: &DiskCid, vm: &VmCid) {
        if let Some(disk) = self.disks.get_mut(cid) {
            disk.disk.attached_to = Some(vm.clone());
            disk.disk.state = DiskState::InUse;
        }
    }

    /// Takes a disk from the VM it is attached to.
    pub fn detach(&mut self, cid: &DiskCid) {
        if let Some(disk) = self.disks.get_mut(cid) {
            disk.disk.attached_to = None;
            disk.disk.state = DiskState::Available;
        }
    }

    /// Kills an instance's VM: the agent is silent, the server dead, the disk free.
    pub fn lose_vm(&mut self, index: usize) {
        let Some(vm) = self.instances[index].vm.clone() else { return };
        if let Some(disk) = self.disk_on(&vm) {
            self.detach(&disk);
        }
        if let Some(vm) = self.vms.get_mut(&vm) {
            (vm.answers, vm.running, vm.backup) = (false, false, BackupMode::Idle);
        }
    }

    /// Ends backup mode where nobody has renewed it.
    pub fn end_expired_backups(&mut self) {
        for index in 0..self.instances.len() {
            let Some(vm) = self.vm_mut(index) else { continue };
            if vm.backup.in_progress().is_some_and(|held| held.until <= Instant::now()) {
                self.void_backup(index);
            }
        }
    }

    /// Ends a backup in progress without a result: the agent, which lives, removes the mark.
    pub fn void_backup(&mut self, index: usize) {
        let Some(vm) = self.vm_mut(index) else { return };
        if vm.backup.in_progress().is_none() {
            return;
        }
        vm.backup = BackupMode::Idle;
        if let Some(content) = self.content_mut(index) {
            content.backup = None;
        }
    }

    /// Whether any server is in backup mode, or any attached disk carries `backup.json`.
    pub fn in_backup_mode(&self) -> bool {
        let marked = |disk: &MemoryDisk| disk.disk.attached_to.is_some() && disk.content.backup.is_some();
        self.vms.values().any(|vm| vm.backup.in_progress().is_some()) || self.disks.values().any(marked)
    }
}
