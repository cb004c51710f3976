//! Stopping and starting an instance's jobs, in the Director's order.
//!
//! | stop | start |
//! |---|---|
//! | pre-stop | pre-start |
//! | drain | monit start |
//! | monit stop | wait until `running` |
//! | post-stop | post-start |

use std::collections::BTreeMap;

use remount_core::VmCid;
use serde_json::json;

use super::error::{DirectorError, JOB_NOT_RUNNING, Result};
use super::manifest::WatchTime;
use super::state::Instance;
use super::task_context::TaskContext;

/// What becomes of the things around a stopped instance; pre-stop scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    KeepVm,
    DeleteVm,
    DeleteInstance,
    DeleteDeployment,
}

impl Intent {
    fn environment(self) -> BTreeMap<String, String> {
        let word = |delete: bool| (if delete { "delete" } else { "keep" }).to_owned();
        let instance = matches!(self, Self::DeleteInstance | Self::DeleteDeployment);
        BTreeMap::from([
            ("BOSH_VM_NEXT_STATE".to_owned(), word(self != Self::KeepVm)),
            ("BOSH_INSTANCE_NEXT_STATE".to_owned(), word(instance)),
            ("BOSH_DEPLOYMENT_NEXT_STATE".to_owned(), word(self == Self::DeleteDeployment)),
        ])
    }
}

/// What drain scripts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// Nothing: pre-stop and drain are skipped.
    Skip,
    /// The instance stops, or its disk changes.
    Shutdown,
    /// Its jobs change.
    Update,
}

/// Runs the stop hooks. An instance without a VM has nothing to stop.
pub(crate) fn stop(cx: &TaskContext, instance: &Instance, intent: Intent, drain: Drain) -> Result<()> {
    let Some(vm) = instance.vm_cid() else { return Ok(()) };
    let iaas = &cx.director.config.iaas;
    if drain != Drain::Skip {
        cx.debug(&format!("I, Running pre-stop for {}", instance.label()));
        iaas.run_script(vm, "pre-stop", &intent.environment())?;
        cx.debug(&format!("I, Running drain for {}", instance.label()));
        iaas.drain(vm, &drain_arguments(drain), &drain_environment(instance))?;
    }
    cx.debug(&format!("I, Stopping instance {}", instance.label()));
    iaas.stop(vm)?;
    cx.debug(&format!("I, Running post-stop for {}", instance.label()));
    Ok(iaas.run_script(vm, "post-stop", &BTreeMap::new())?)
}

/// Runs the start hooks and waits until the processes run.
pub(crate) fn start(cx: &TaskContext, instance: &Instance, vm: &VmCid, watch: WatchTime) -> Result<()> {
    let iaas = &cx.director.config.iaas;
    cx.debug(&format!("I, Running pre-start for {}", instance.label()));
    iaas.run_script(vm, "pre-start", &BTreeMap::new())?;
    cx.debug(&format!("I, Starting instance {}", instance.label()));
    iaas.start(vm)?;
    wait_until_running(cx, instance, vm, watch)?;
    cx.debug(&format!("I, Running post-start for {}", instance.label()));
    Ok(iaas.run_script(vm, "post-start", &BTreeMap::new())?)
}

fn wait_until_running(cx: &TaskContext, instance: &Instance, vm: &VmCid, watch: WatchTime) -> Result<()> {
    for pause in watch.schedule() {
        cx.pause(pause)?;
        if cx.director.config.iaas.job_state(vm)? == "running" {
            return Ok(());
        }
    }
    let text = format!("'{}' is not running after update. Review logs for failed jobs", instance.label());
    Err(DirectorError::new(JOB_NOT_RUNNING, text))
}

fn drain_arguments(drain: Drain) -> Vec<String> {
    let words: &[&str] = match drain {
        Drain::Update => &["job_changed", "hash_changed"],
        Drain::Shutdown | Drain::Skip => &["job_shutdown", "hash_unchanged"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn drain_environment(instance: &Instance) -> BTreeMap<String, String> {
    let state =
        json!({"persistent_disk": instance.managed_disk().map_or(0, |disk| disk.size_mib)}).to_string();
    BTreeMap::from([("BOSH_JOB_STATE".to_owned(), state.clone()), ("BOSH_JOB_NEXT_STATE".to_owned(), state)])
}
