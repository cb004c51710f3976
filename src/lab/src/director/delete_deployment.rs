//! `DELETE /deployments/D`: instances go, their disks become orphans.

use super::error::{DirectorError, Result};
use super::lifecycle::{self, Drain, Intent};
use super::locks::with_deployment_lock;
use super::orphans::let_go;
use super::state::{Desired, Instance};
use super::task_context::TaskContext;
use super::vms::{self, Agent};

/// `force=true` goes on where an agent or the CPI fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    No,
    Yes,
}

/// The job.
pub(crate) fn perform(cx: &TaskContext, deployment: &str, force: Force) -> Result<Option<String>> {
    with_deployment_lock(cx, deployment, || {
        let instances = cx.director.read(|s| s.deployment(deployment).map(|d| d.instances.clone()))?;
        if instances.iter().any(|i| i.ignore) {
            let text = format!(
                "You are trying to delete deployment '{deployment}', which contains ignored instance(s). \
                 Operation not allowed."
            );
            return Err(DirectorError::new(190_021, text));
        }
        let mut stage = cx.stage("Deleting instances", instances.len());
        for instance in &instances {
            let name = instance.label();
            stage.track(&name, || {
                match (delete_instance(cx, instance, Intent::DeleteDeployment), force) {
                    (Err(error), Force::Yes) => give_up(cx, instance, &error),
                    (outcome, _) => outcome,
                }
            })?;
        }
        cx.director.write(|s| {
            s.reserved_ips.remove(deployment);
            s.deployments.remove(deployment);
        });
        Ok(Some(format!("/deployments/{deployment}")))
    })
}

/// Stops an instance, deletes its VM, orphans its disks, forgets it.
pub(crate) fn delete_instance(cx: &TaskContext, instance: &Instance, intent: Intent) -> Result<()> {
    cx.checkpoint()?;
    if instance.desired == Desired::Started {
        lifecycle::stop(cx, instance, intent, Drain::Shutdown)?;
    }
    vms::delete(cx, instance, Agent::Answers)?;
    forget(cx, instance)
}

/// Goes on without what failed: the VM goes unasked, if it can, and the instance is forgotten.
fn give_up(cx: &TaskContext, instance: &Instance, error: &DirectorError) -> Result<()> {
    cx.warn(&format!("{}: {error}", instance.label()));
    if let Err(error) = vms::delete(cx, instance, Agent::Silent) {
        cx.warn(&format!("{}: {error}", instance.label()));
    }
    forget(cx, instance)
}

fn forget(cx: &TaskContext, instance: &Instance) -> Result<()> {
    let (deployment, slug) = (&instance.deployment, &instance.slug);
    cx.director.write(|s| {
        for disk in &instance.disks {
            let_go(s, deployment, slug, &disk.cid)?;
        }
        s.deployment_mut(deployment)?.instances.retain(|i| i.slug != *slug);
        Ok(())
    })
}
