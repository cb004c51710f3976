//! `PUT /disks/CID/attachments`: another disk takes the place of a stopped instance's own.
//!
//! No deployment lock is taken. All rows change in one transaction at the end, but what was done to
//! the machine before a failure stays done: a failed attach leaves the old disk detached while the
//! database says it is attached. That is the Director's rule, not an oversight here.

use remount_core::{DiskCid, InstanceSlug};
use serde_json::{Value, json};

use super::disk_steps;
use super::error::{ATTACH_STATE, DirectorError, Result};
use super::faults::FaultKind;
use super::state::{Desired, Disk, Instance, OrphanDisk, State};
use super::task_context::TaskContext;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct AttachDisk {
    pub(crate) deployment: String,
    pub(crate) group: String,
    /// The uuid; an index is not accepted.
    pub(crate) instance_id: String,
    pub(crate) disk: DiskCid,
    pub(crate) properties: DiskProperties,
}

/// Where the new row's size and properties come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskProperties {
    /// `disk_properties=copy`: the row of the disk that is replaced.
    Copy,
    /// Size 1 and nothing: the next deploy will migrate the data away.
    Unknown,
}

/// What the transaction has changed so far; nobody else sees it before [`commit`].
struct Transaction {
    orphaned: Option<Disk>,
    size_mib: u64,
    cloud_properties: Value,
}

impl AttachDisk {
    /// The job.
    pub(crate) fn perform(&self, cx: &TaskContext) -> Result<Option<String>> {
        let instance = self.valid_instance(cx)?;
        let mut transaction = Transaction { orphaned: None, size_mib: 1, cloud_properties: json!({}) };
        if let Some(previous) = instance.managed_disk() {
            self.handle_previous(cx, &instance, previous, &mut transaction)?;
        }
        cx.fail_if_told(FaultKind::FailMidway)?;
        let row = cx.director.read(|state| self.new_row(state, &transaction))?;
        if let (Desired::Stopped, Some(vm)) = (instance.desired, instance.vm_cid()) {
            disk_steps::attach(cx, &instance, vm, &row.cid)?;
        }
        cx.fail_if_told(FaultKind::FailAfter)?;
        cx.director.write(|state| self.commit(state, &instance.slug, transaction.orphaned, row))?;
        Ok(Some(format!(
            "attached disk '{}' to '{}/{}' in deployment '{}'",
            self.disk, self.group, self.instance_id, self.deployment
        )))
    }

    fn valid_instance(&self, cx: &TaskContext) -> Result<Instance> {
        let name =
            format!("Instance '{}/{}' in deployment '{}'", self.group, self.instance_id, self.deployment);
        let found = cx.director.read(|state| {
            let deployment = state.deployments.get(&self.deployment)?;
            let wanted =
                |i: &&Instance| i.slug.group.as_str() == self.group && i.slug.id.as_str() == self.instance_id;
            deployment.instances.iter().find(wanted).cloned()
        });
        let instance = found.ok_or_else(|| DirectorError::new(520_001, format!("{name} was not found")))?;
        if instance.ignore {
            let text =
                format!("{name} is in 'ignore' state. Attaching disks to ignored instances is not allowed.");
            return Err(DirectorError::new(ATTACH_STATE, text));
        }
        if instance.desired == Desired::Started {
            return Err(DirectorError::new(ATTACH_STATE, format!("{name} must be in 'bosh stopped' state")));
        }
        Ok(instance)
    }

    fn handle_previous(
        &self,
        cx: &TaskContext,
        instance: &Instance,
        previous: &Disk,
        transaction: &mut Transaction,
    ) -> Result<()> {
        let inactive = Disk { active: false, ..previous.clone() };
        if self.properties == DiskProperties::Copy {
            transaction.size_mib = inactive.size_mib;
            transaction.cloud_properties = inactive.cloud_properties.clone();
        }
        if let (Desired::Stopped, Some(vm)) = (instance.desired, instance.vm_cid()) {
            disk_steps::detach(cx, instance, vm, &inactive)?;
        }
        transaction.orphaned = Some(inactive);
        Ok(())
    }

    /// The new row; an orphan's keeps its own size and properties.
    fn new_row(&self, state: &State, transaction: &Transaction) -> Result<Disk> {
        let just_orphaned = transaction.orphaned.as_ref().filter(|disk| disk.cid == self.disk);
        let orphan = state.orphans.iter().map(|o| &o.disk).find(|disk| disk.cid == self.disk);
        if let Some(orphan) = just_orphaned.or(orphan) {
            return Ok(Disk { active: true, ..orphan.clone() });
        }
        self.check_unique(state, None)?;
        let row = Disk {
            cid: self.disk.clone(),
            size_mib: transaction.size_mib,
            cloud_properties: transaction.cloud_properties.clone(),
            active: true,
            snapshots: Vec::new(),
        };
        Ok(row)
    }

    /// Another row with this CID would break the unique column.
    fn check_unique(&self, state: &State, replaced: Option<(&InstanceSlug, &DiskCid)>) -> Result<()> {
        let is_other = |(instance, disk): (&Instance, &Disk)| {
            disk.cid == self.disk && replaced != Some((&instance.slug, &disk.cid))
        };
        match state.recorded_disks().any(is_other) {
            true => Err(DirectorError::generic("disk_cid unique")),
            false => Ok(()),
        }
    }

    fn commit(
        &self,
        state: &mut State,
        slug: &InstanceSlug,
        orphaned: Option<Disk>,
        row: Disk,
    ) -> Result<()> {
        let old_cid = orphaned.as_ref().map(|disk| disk.cid.clone());
        self.check_unique(state, old_cid.as_ref().map(|cid| (slug, cid)))?;
        let instance = state.instance_mut(&self.deployment, slug)?;
        instance.disks.retain(|disk| Some(&disk.cid) != old_cid.as_ref());
        let orphan = orphaned.filter(|disk| disk.cid != row.cid).map(|disk| OrphanDisk::of(instance, disk));
        instance.disks.push(row);
        state.orphans.retain(|o| o.disk.cid != self.disk);
        state.orphans.extend(orphan);
        Ok(())
    }
}
