//! What the landscape consists of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remount_cloud::{Disk, DiskState, Snapshot, Tags};
use remount_core::documents::DiskShape;
use remount_core::{
    BackupId, DiskCid, GroupName, InstanceId, InstanceSlug, RestoreId, SnapshotCid, StoreId, VmCid,
};
use remount_director::{OrphanedDisk, Task, TaskId};
use remount_postgres::{BackupBegun, BackupEnded, SettingOverride};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cid_form::{CidForm, cloud_vm, name_of};
use super::faults::Rule;
use super::lag::Lag;
use super::mishaps::Quota;
use super::postgres::Data;
use super::tasks::LOCK_WAIT;
use super::unarchived::Archiving;

/// Everything.
#[derive(Debug)]
pub struct State {
    /// The one deployment.
    pub deployment: String,
    /// By the name that the cloud knows them by, see [`State::disk`].
    pub disks: BTreeMap<DiskCid, MemoryDisk>,
    pub lag: Lag,
    pub form: CidForm,
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
    /// How often a primary was asked to rebuild its indexes.
    pub rebuilds: u32,
    pub errands: Vec<Arc<Notify>>,
    next: u64,
    pub next_row: u64,
}

/// A disk with what lies on it.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    pub disk: Disk,
    /// The VM it is attached to, as the Director names it.
    pub vm: Option<VmCid>,
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
    /// The store that it names.
    pub marked_in: Option<StoreId>,
    /// The plans it has applied.
    pub applied: Vec<RestoreId>,
    /// Whether it has no room left.
    pub is_full: bool,
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
    /// The settings of its server, where they are not everybody's.
    pub settings: BTreeMap<String, String>,
    /// Those that `postgresql.auto.conf` overrides.
    pub overrides: Vec<SettingOverride>,
    pub archiving: Archiving,
    /// A process beside its server, which fails until the server takes writes, was given up by its start.
    pub beside_is_down: bool,
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

/// What every disk is that a deploy made: with each attribute there is, so that none can be forgotten.
pub fn sold() -> DiskShape {
    DiskShape {
        zone: None,
        size_mib: DISK_MIB,
        disk_type: "memory".into(),
        attributes: crate::contract::disk_cloud::every_attribute(),
    }
}

/// What the cloud calls the zone of an AZ: not what the Director calls it.
pub fn cloud_zone(az: &str) -> String {
    format!("memory-{az}")
}

impl State {
    /// A primary and its standbys, all running, streaming.
    pub fn running(deployment: &str, standbys: usize, form: CidForm) -> Self {
        let mut state = Self {
            deployment: deployment.to_owned(),
            disks: BTreeMap::new(),
            lag: Lag::default(),
            form,
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
            rebuilds: 0,
            errands: Vec::new(),
            next: 1,
            next_row: 1,
        };
        for index in 0..=standbys {
            let az = format!("z{}", index + 1);
            let content = Content { data: Some(Data::new(index > 0, state.now)), ..Content::default() };
            let shape = DiskShape { zone: Some(cloud_zone(&az)), ..sold() };
            let name = name_of(&state.new_disk(&shape, content));
            let disk = form.old_disk(name.as_str());
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
            let made = disk.clone();
            state.instances.push(MemoryInstance {
                slug,
                index,
                az,
                vm,
                disk,
                recorded_mib: DISK_MIB,
                desired,
                ignored: false,
                settings: BTreeMap::new(),
                overrides: Vec::new(),
                archiving: Archiving::default(),
                beside_is_down: false,
            });
            if let Some(made) = made {
                state.tag_as_bosh_does(&made, index as usize);
            }
        }
        state
    }

    /// The disk that this CID names, in whatever form.
    pub fn disk(&self, cid: &DiskCid) -> Option<&MemoryDisk> {
        self.disks.get(&name_of(cid))
    }

    /// The same, to be changed.
    pub fn disk_mut(&mut self, cid: &DiskCid) -> Option<&mut MemoryDisk> {
        self.disks.get_mut(&name_of(cid))
    }

    /// A disk is gone.
    pub fn delete_disk(&mut self, cid: &DiskCid) {
        let name = name_of(cid);
        self.remember_disk(&name);
        self.disks.remove(&name);
    }

    /// A number that was never used.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A disk, available, without tags.
    pub fn new_disk(&mut self, shape: &DiskShape, content: Content) -> DiskCid {
        let name = DiskCid::new(format!("disk-{}", self.number())).expect("a CID");
        let cid = self.form.disk(name.as_str());
        let disk = Disk {
            cid: cid.clone(),
            shape: shape.clone(),
            state: DiskState::Available,
            attached_to: None,
            made_from: None,
            tags: Tags::new(),
        };
        self.remember_disk(&name);
        self.disks.insert(name, MemoryDisk { disk, vm: None, content });
        cid
    }

    /// CPI `set_disk_metadata`, as the Director calls it after each attach.
    pub fn tag_as_bosh_does(&mut self, cid: &DiskCid, index: usize) {
        let instance = self.instances[index].slug.id.to_string();
        if let Some(disk) = self.disks.get_mut(cid) {
            disk.disk.tags.insert("deployment".into(), self.deployment.clone());
            disk.disk.tags.insert("instance_id".into(), instance);
        }
    }

    /// A VM without a disk.
    pub fn new_vm(&mut self) -> VmCid {
        let name = format!("vm-{}", self.number());
        let cid = self.form.vm(&name);
        self.vms.insert(
            cid.clone(),
            Vm { answers: true, serves: true, running: false, backup: BackupMode::Idle },
        );
        cid
    }

    /// The disk that is attached to a VM.
    pub fn disk_on(&self, vm: &VmCid) -> Option<DiskCid> {
        let on = |disk: &&MemoryDisk| disk.vm.as_ref() == Some(vm);
        self.disks.values().find(on).map(|disk| disk.disk.cid.clone())
    }

    /// What lies on the disk that is attached to an instance.
    pub fn content_mut(&mut self, index: usize) -> Option<&mut Content> {
        let vm = self.instances[index].vm.clone()?;
        let disk = self.disk_on(&vm)?;
        self.disk_mut(&disk).map(|disk| &mut disk.content)
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
        self.disk(disk).is_some_and(|found| found.vm.as_ref() == Some(vm))
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
        self.disk(&disk)?.content.data.as_ref()
    }

    /// The same, to be changed.
    pub fn running_data_mut(&mut self, index: usize) -> Option<&mut Data> {
        self.running_data(index)?;
        self.content_mut(index)?.data.as_mut()
    }

    /// Attaches a disk that is nobody's.
    pub fn attach(&mut self, cid: &DiskCid, vm: &VmCid) {
        self.remember_disk(&name_of(cid));
        if let Some(disk) = self.disk_mut(cid) {
            disk.vm = Some(vm.clone());
            disk.disk.attached_to = Some(cloud_vm(vm));
            disk.disk.state = DiskState::InUse;
        }
    }

    /// Takes a disk from the VM it is attached to.
    pub fn detach(&mut self, cid: &DiskCid) {
        self.remember_disk(&name_of(cid));
        if let Some(disk) = self.disk_mut(cid) {
            disk.vm = None;
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
        let marked = |disk: &MemoryDisk| disk.vm.is_some() && disk.content.backup.is_some();
        self.vms.values().any(|vm| vm.backup.in_progress().is_some()) || self.disks.values().any(marked)
    }
}
