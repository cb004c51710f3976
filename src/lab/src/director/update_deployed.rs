//! A deploy's update of one instance: stop, disk, VM, files, start.

use super::error::Result;
use super::lifecycle::{self, Drain, Intent};
use super::manifest::WatchTime;
use super::plan::DiskPlan;
use super::prepare::{fingerprint, fingerprint_of};
use super::snapshots::{self, Clean};
use super::state::{Desired, Instance};
use super::task_context::TaskContext;
use super::update_disk;
use super::vms::{self, Agent};
use crate::iaas::RenderedJob;

/// Where one instance is to go.
#[derive(Debug)]
pub(crate) struct InstanceUpdate<'a> {
    pub(crate) target: Desired,
    pub(crate) rendered: &'a [RenderedJob],
    pub(crate) disk: Option<&'a DiskPlan>,
    pub(crate) watch: WatchTime,
    pub(crate) drain: Drain,
    pub(crate) vm: VmAge,
    /// A restart was asked for, or the agent runs what it should not, or does not run what it should.
    pub(crate) restart: bool,
}

/// What is to happen to the instance's VM, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmAge {
    /// This deploy made it: nothing runs there yet.
    Fresh,
    Kept,
    ToBeReplaced,
    /// Its agent does not answer: it is deleted without asking it.
    ToBeReplacedSilently,
}

impl InstanceUpdate<'_> {
    /// Whether anything differs.
    pub(crate) fn is_needed(&self, instance: &Instance) -> bool {
        self.restart
            || self.vm != VmAge::Kept
            || !instance.update_completed
            || instance.desired != self.target
            || fingerprint(instance) != fingerprint_of(self.rendered)
            || (self.target == Desired::Started && update_disk::differs(instance, self.disk))
    }

    /// Does it. The instance counts as half updated until it ends well.
    pub(crate) fn perform(&self, cx: &TaskContext, before: &Instance) -> Result<()> {
        self.set(cx, before, |i| i.update_completed = false)?;
        if before.desired == Desired::Started
            && !matches!(self.vm, VmAge::Fresh | VmAge::ToBeReplacedSilently)
        {
            self.stop(cx, before)?;
        }
        match self.target {
            // The files of a stopped instance stay as they are; its next start brings the new ones.
            Desired::Stopped => {}
            Desired::Detached => vms::delete(cx, before, Agent::Answers)?,
            Desired::Started => self.bring_up(cx, before)?,
        }
        let rendered = self.rendered.to_vec();
        self.set(cx, before, |i| {
            (i.desired, i.rendered, i.update_completed) = (self.target, rendered, true);
        })
    }

    fn set(&self, cx: &TaskContext, instance: &Instance, change: impl FnOnce(&mut Instance)) -> Result<()> {
        cx.director.write(|s| s.instance_mut(&instance.deployment, &instance.slug).map(change))
    }

    fn stop(&self, cx: &TaskContext, instance: &Instance) -> Result<()> {
        let keeps_vm = self.vm == VmAge::Kept && self.target != Desired::Detached;
        let shuts_down =
            !keeps_vm || self.target == Desired::Stopped || update_disk::differs(instance, self.disk);
        let drain = match self.drain {
            Drain::Update if shuts_down => Drain::Shutdown,
            other => other,
        };
        let intent = if keeps_vm { Intent::KeepVm } else { Intent::DeleteVm };
        lifecycle::stop(cx, instance, intent, drain)?;
        snapshots::take(cx, instance, Clean::Yes).map(|_| ())
    }

    fn bring_up(&self, cx: &TaskContext, before: &Instance) -> Result<()> {
        let read = || cx.director.read(|s| s.instance(&before.deployment, &before.slug).cloned());
        match self.vm {
            VmAge::ToBeReplaced => vms::delete(cx, before, Agent::Answers)?,
            VmAge::ToBeReplacedSilently => vms::delete(cx, before, Agent::Silent)?,
            VmAge::Fresh | VmAge::Kept => {}
        }
        let instance = read()?;
        let vm = match instance.vm_cid() {
            Some(vm) => vm.clone(),
            None => vms::create(cx, &instance)?,
        };
        update_disk::update(cx, &read()?, &vm, self.disk)?;
        let rendered = self.rendered.to_vec();
        self.set(cx, before, |i| (i.desired, i.rendered) = (Desired::Started, rendered))?;
        cx.director.config.iaas.apply(&vm, self.rendered)?;
        lifecycle::start(cx, &read()?, &vm, self.watch)
    }
}
