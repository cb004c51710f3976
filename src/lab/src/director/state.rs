//! What the Director's database would hold, in memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use remount_core::{DiskCid, GroupName, InstanceId, InstanceSlug, SnapshotCid, VmCid};
use serde_json::Value;

use super::auth::Token;
use super::error::{DirectorError, Result};
use super::faults::FaultList;
use super::links::Provider;
use super::locks::LockRow;
use super::manifest::Stemcell;
use super::plan::GroupPlan;
use super::tasks::TaskTable;
use super::variables::VariableTable;
use crate::iaas::RenderedJob;

/// Everything, behind one mutex. It has no `Debug`: rendered files, manifests and tokens are secrets.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) deployments: BTreeMap<String, Deployment>,
    pub(crate) orphans: Vec<OrphanDisk>,
    pub(crate) tasks: TaskTable,
    pub(crate) locks: BTreeMap<String, LockRow>,
    pub(crate) variables: VariableTable,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) faults: FaultList,
    pub(crate) resurrection_paused: bool,
    /// Addresses that running deploys have planned with, by deployment.
    pub(crate) reserved_ips: BTreeMap<String, Vec<String>>,
}

/// A deployment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    /// As it was sent, with its `((variables))`; none before the first deploy ended well.
    pub(crate) manifest: Option<String>,
    pub(crate) teams: Vec<String>,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) instances: Vec<Instance>,
    /// The links it provides.
    pub(crate) providers: Vec<Provider>,
    /// Errands that succeeded, with the fingerprint of what they ran on.
    pub(crate) errand_runs: BTreeMap<String, u64>,
}

/// What an instance is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    Started,
    Stopped,
    Detached,
}

impl Desired {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Detached => "detached",
        }
    }
}

/// An instance's VM.
#[derive(Clone, Debug)]
pub(crate) struct Vm {
    pub(crate) cid: VmCid,
    pub(crate) agent_id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) stemcell: Stemcell,
}

/// An instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) deployment: String,
    pub(crate) slug: InstanceSlug,
    pub(crate) index: u32,
    pub(crate) az: String,
    pub(crate) ip: String,
    pub(crate) bootstrap: bool,
    pub(crate) desired: Desired,
    pub(crate) ignore: bool,
    pub(crate) vm: Option<Vm>,
    pub(crate) disks: Vec<Disk>,
    /// The jobs as the last deploy rendered them.
    pub(crate) rendered: Vec<RenderedJob>,
    /// False from the beginning of an update to its good end.
    pub(crate) update_completed: bool,
}

impl Instance {
    /// `group/uuid`.
    pub(crate) fn name(&self) -> String {
        self.slug.to_string()
    }

    /// `group/uuid (index)`.
    pub(crate) fn label(&self) -> String {
        format!("{} ({})", self.slug, self.index)
    }

    /// The disk the Director believes to be attached.
    pub(crate) fn managed_disk(&self) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.active)
    }

    /// The VM's CID.
    pub(crate) fn vm_cid(&self) -> Option<&VmCid> {
        self.vm.as_ref().map(|vm| &vm.cid)
    }

    fn is(&self, group: &GroupName, id: &InstanceId) -> bool {
        self.slug.group == *group && self.slug.id == *id
    }
}

/// A row of the persistent disks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disk {
    pub(crate) cid: DiskCid,
    pub(crate) size_mib: u64,
    pub(crate) cloud_properties: Value,
    pub(crate) active: bool,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A snapshot the Director took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) cid: SnapshotCid,
    pub(crate) created_at: Timestamp,
    pub(crate) clean: bool,
}

/// A disk that was let go.
#[derive(Clone, Debug)]
pub(crate) struct OrphanDisk {
    pub(crate) disk: Disk,
    pub(crate) az: String,
    pub(crate) deployment: String,
    pub(crate) instance: String,
    pub(crate) orphaned_at: Timestamp,
}

impl OrphanDisk {
    pub(crate) fn of(instance: &Instance, disk: Disk) -> Self {
        Self {
            disk,
            az: instance.az.clone(),
            deployment: instance.deployment.clone(),
            instance: instance.name(),
            orphaned_at: Timestamp::now(),
        }
    }
}

impl State {
    pub(crate) fn deployment(&self, name: &str) -> Result<&Deployment> {
        self.deployments.get(name).ok_or_else(|| DirectorError::deployment_not_found(name))
    }

    pub(crate) fn deployment_mut(&mut self, name: &str) -> Result<&mut Deployment> {
        self.deployments.get_mut(name).ok_or_else(|| DirectorError::deployment_not_found(name))
    }

    /// The instance with this index or uuid.
    pub(crate) fn find(&self, deployment: &str, group: &str, index_or_id: &str) -> Result<&Instance> {
        check_index_or_id(index_or_id)?;
        let index = index_or_id.parse::<u32>().ok();
        let wanted = |i: &&Instance| {
            i.slug.group.as_str() == group
                && index.map_or(i.slug.id.as_str() == index_or_id, |index| i.index == index)
        };
        let found = self.deployment(deployment)?.instances.iter().find(wanted);
        found.ok_or_else(|| DirectorError::instance_not_found(deployment, group, index_or_id))
    }

    /// The instance as it is now.
    pub(crate) fn instance(&self, deployment: &str, slug: &InstanceSlug) -> Result<&Instance> {
        let found = self.deployment(deployment)?.instances.iter().find(|i| i.is(&slug.group, &slug.id));
        found.ok_or_else(|| gone(deployment, slug))
    }

    /// The group of an instance, as the last deploy planned it.
    pub(crate) fn group_of(&self, instance: &Instance) -> Result<&GroupPlan> {
        let group = instance.slug.group.as_str();
        let found = self.deployment(&instance.deployment)?.groups.iter().find(|g| g.name == group);
        found.ok_or_else(|| gone(&instance.deployment, &instance.slug))
    }

    /// The instance, to be changed.
    pub(crate) fn instance_mut(&mut self, deployment: &str, slug: &InstanceSlug) -> Result<&mut Instance> {
        let found =
            self.deployment_mut(deployment)?.instances.iter_mut().find(|i| i.is(&slug.group, &slug.id));
        found.ok_or_else(|| gone(deployment, slug))
    }

    /// Every recorded disk with its instance; orphans are not among them.
    pub(crate) fn recorded_disks(&self) -> impl Iterator<Item = (&Instance, &Disk)> {
        let instances = self.deployments.values().flat_map(|d| &d.instances);
        instances.flat_map(|i| i.disks.iter().map(move |disk| (i, disk)))
    }
}

fn gone(deployment: &str, slug: &InstanceSlug) -> DirectorError {
    DirectorError::instance_not_found(deployment, slug.group.as_str(), slug.id.as_str())
}

/// An index is a number, an id looks like a uuid (70002).
fn check_index_or_id(text: &str) -> Result<()> {
    let is_uuid = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if is_uuid || text.parse::<u32>().is_ok() {
        return Ok(());
    }
    Err(DirectorError::new(70002, format!("Invalid instance index or id '{text}'")))
}
