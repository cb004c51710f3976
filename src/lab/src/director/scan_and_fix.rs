//! `PUT /deployments/D/scan_and_fix`: what the health monitor's resurrector asks for. The agents of the named
//! instances are asked, and the VMs of those that do not answer are recreated.
//!
//! It does not wait for the deployment's lock: it fails, and the resurrector asks again. A new VM gets the
//! recorded disk and the jobs of the last deploy; they are started where the instance is to be started.

use remount_core::{InstanceSlug, VmCid};

use super::error::{DirectorError, Result};
use super::lifecycle;
use super::locks::with_free_deployment_lock;
use super::state::{Desired, Instance};
use super::task_context::TaskContext;
use super::vms::{self, Agent};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct ScanAndFix {
    pub(crate) deployment: String,
    pub(crate) instances: Vec<InstanceSlug>,
}

impl ScanAndFix {
    /// The job.
    pub(crate) fn perform(&self, cx: &TaskContext) -> Result<Option<String>> {
        let errors = with_free_deployment_lock(cx, &self.deployment, || {
            let mut stage = cx.stage("Applying problem resolutions", self.instances.len());
            let mut errors = Vec::new();
            for slug in &self.instances {
                let instance = cx.director.read(|s| s.instance(&self.deployment, slug).cloned())?;
                if is_silent(cx, &instance)
                    && let Err(error) = stage.track(&instance.label(), || recreate(cx, &instance))
                {
                    errors.push(format!("Error resolving problem for {}: {error}", instance.label()));
                }
            }
            Ok(errors)
        })?;
        if errors.is_empty() {
            return Ok(Some("scan and fix complete".into()));
        }
        Err(DirectorError::generic(errors.join("\n")))
    }
}

/// Whether it should have a VM whose agent answers, and has none.
fn is_silent(cx: &TaskContext, instance: &Instance) -> bool {
    let answers = |vm: &VmCid| cx.director.config.iaas.job_state(vm).is_ok();
    !instance.ignore && instance.desired != Desired::Detached && !instance.vm_cid().is_some_and(answers)
}

fn recreate(cx: &TaskContext, instance: &Instance) -> Result<()> {
    let (deployment, slug) = (&instance.deployment, &instance.slug);
    let set = |completed| {
        cx.director.write(|s| s.instance_mut(deployment, slug).map(|i| i.update_completed = completed))
    };
    vms::delete(cx, instance, Agent::Silent)?;
    let instance = cx.director.read(|s| s.instance(deployment, slug).cloned())?;
    let vm = vms::create(cx, &instance)?;
    set(false)?;
    cx.director.config.iaas.apply(&vm, &instance.rendered)?;
    if instance.desired == Desired::Started {
        let watch = cx.director.read(|s| s.group_of(&instance).map(|group| group.update.update_watch))?;
        lifecycle::start(cx, &instance, &vm, watch)?;
    }
    set(true)
}
