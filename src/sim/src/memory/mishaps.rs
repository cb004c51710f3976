//! What operators, other programs and mishaps do to the landscape.

use std::sync::Arc;
use std::time::Duration;

use remount_cloud::Tags;
use remount_core::documents::DiskShape;
use remount_core::{DiskCid, VmCid};
use remount_director::TaskId;
use remount_postgres::SettingOverride;
use tokio::sync::Notify;

use super::MemoryLandscape;
use super::cid_form::{name_of, other_form};
use super::state::{BackupMode, Content, cloud_zone, sold};
use super::tasks::Work;

impl MemoryLandscape {
    /// The operator stops the whole cluster (`bosh stop`).
    pub async fn stop_all(&self) {
        self.note_deploy();
        let count = self.state().instances.len();
        for index in 0..count {
            self.state().instances[index].desired = "stopped".into();
            self.shut_down(index).await;
            self.post_stop(index).await;
        }
    }

    /// An errand of the deployment runs: it holds the lock until [`MemoryLandscape::end_errand`].
    pub async fn begin_errand(&self) -> TaskId {
        let end = Arc::new(Notify::new());
        let task = self.accept_task(Work::Errand(end.clone()), "", None);
        self.state().errands.push(end);
        while self.state().lock_holder != Some(task) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task
    }

    /// The errands that run end well.
    pub fn end_errand(&self) {
        self.state().errands.drain(..).for_each(|end| end.notify_one());
    }

    /// An operator tells the Director to ignore an instance (`bosh ignore`).
    pub fn ignore(&self, index: usize) {
        self.state().instances[index].ignored = true;
    }

    /// The VM of an instance vanishes from the cloud: its agent does not answer, its disk is free.
    pub fn lose_vm(&self, index: usize) {
        self.state().lose_vm(index);
    }

    /// The agents of an instance's VM answer no more, BOSH's and ours; its disk stays attached.
    pub fn silence_vm(&self, index: usize) {
        if let Some(vm) = self.state().vm_mut(index) {
            vm.answers = false;
        }
    }

    /// An instance's VM is gone for the Director too: it has none recorded.
    pub fn forget_vm(&self, index: usize) {
        let mut state = self.state();
        state.lose_vm(index);
        state.instances[index].vm = None;
    }

    /// The Director loses the record of an orphan, as with a database restored from yesterday.
    pub fn forget_orphan(&self, disk: &DiskCid) {
        self.state().orphans.retain(|orphan| orphan.disk_cid != *disk);
    }

    /// The Director's record of an orphan is of another deployment: somebody wrote its CID where it does not belong.
    pub fn orphan_is_of(&self, disk: &DiskCid, deployment: &str) {
        let mut state = self.state();
        for orphan in state.orphans.iter_mut().filter(|orphan| orphan.disk_cid == *disk) {
            orphan.deployment_name = Some(deployment.to_owned());
        }
    }

    /// A disk has these tags and no others.
    pub fn retag(&self, disk: &DiskCid, tags: Tags) {
        if let Some(found) = self.state().disks.get_mut(disk) {
            found.disk.tags = tags;
        }
    }

    /// An instance's VM is made anew meanwhile, as the Director's resurrector does.
    pub fn replace_vm(&self, index: usize) {
        self.accept_task(Work::Resurrect(self.slug(index)), "", None);
    }

    /// Somebody makes a copy of an instance's recorded disk, of this size, in its zone.
    pub fn copy_disk_of(&self, index: usize, size_mib: u64) -> DiskCid {
        let mut state = self.state();
        let (az, disk) = (state.instances[index].az.clone(), state.instances[index].disk.clone());
        let content = disk.and_then(|disk| state.disk(&disk)).map(|disk| disk.content.clone());
        let shape = DiskShape { size_mib, zone: Some(cloud_zone(&az)), ..sold() };
        state.new_disk(&shape, content.unwrap_or_default())
    }

    /// A new disk with a file on it and no data directory.
    pub fn new_disk(&self, shape: &DiskShape, file: &str) -> DiskCid {
        let content = Content { file: file.to_owned(), ..Default::default() };
        self.state().new_disk(shape, content)
    }

    /// Overwrites the file of [`MemoryLandscape::new_disk`].
    pub fn write_file(&self, disk: &DiskCid, file: &str) {
        if let Some(found) = self.state().disk_mut(disk) {
            found.content.file = file.to_owned();
        }
    }

    /// The file of a disk.
    #[must_use]
    pub fn file_of(&self, disk: &DiskCid) -> Option<String> {
        self.state().disk(disk).map(|found| found.content.file.clone())
    }

    /// Attaches a disk to a new VM that no instance has, as another program's CPI would.
    pub fn attach_elsewhere(&self, disk: &DiskCid) -> VmCid {
        let mut state = self.state();
        let vm = state.new_vm();
        state.attach(disk, &vm);
        vm
    }

    /// A disk vanishes from the cloud, whoever had it.
    pub fn lose_disk(&self, disk: &DiskCid) {
        let mut state = self.state();
        state.detach(disk);
        state.delete_disk(disk);
    }

    /// Other texts that name this disk.
    #[must_use]
    pub fn other_forms(&self, disk: &DiskCid) -> Vec<DiskCid> {
        vec![other_form(name_of(disk).as_str()), name_of(disk)]
    }

    /// Detaches a disk behind everybody's back.
    pub fn detach_behind(&self, disk: &DiskCid) {
        self.state().detach(disk);
    }

    /// The VM that the cloud has a disk attached to.
    #[must_use]
    pub fn attached_to(&self, disk: &DiskCid) -> Option<VmCid> {
        self.state().disk(disk).and_then(|found| found.vm.clone())
    }

    /// The account's quota is used up, or is not any more.
    pub fn use_up_quota(&self, quota: Quota) {
        self.state().quota = quota;
    }

    /// A deploy gives an instance's server another value of a setting.
    pub fn set_setting(&self, index: usize, name: &str, value: &str) {
        self.state().instances[index].settings.insert(name.into(), value.into());
    }

    /// Somebody sets what the deployment does not know of, by `ALTER SYSTEM`.
    pub fn override_setting(&self, index: usize, found: SettingOverride) {
        self.state().instances[index].overrides.push(found);
    }

    /// PostgreSQL stops in good order (`monit stop postgres`); the agent goes on.
    pub async fn stop_server(&self, index: usize) {
        self.shut_down(index).await;
    }

    /// PostgreSQL starts again.
    pub async fn start_server(&self, index: usize) {
        self.boot(index).await.expect("it ran before");
    }

    /// The agent dies, PostgreSQL goes on.
    pub fn kill_agent(&self, index: usize) {
        let mut state = self.state();
        if let Some(vm) = state.vm_mut(index) {
            (vm.serves, vm.backup) = (false, BackupMode::Idle);
        }
    }

    /// The data directory of an instance's disk is gone: it does not start.
    pub fn lose_data(&self, index: usize) {
        let mut state = self.state();
        let disk = state.instances[index].disk.clone();
        if let Some(found) = disk.and_then(|disk| state.disk_mut(&disk)) {
            found.content.data = None;
        }
    }
}

/// What an account may still make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quota {
    /// As much as it likes.
    #[default]
    Ample,
    /// Neither disk nor snapshot.
    UsedUp,
}
