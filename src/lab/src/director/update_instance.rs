//! `actions/stop|start|restart|recreate`: one instance, nothing else is converged.

use remount_core::InstanceSlug;

use super::error::{DirectorError, Result};
use super::lifecycle::{self, Drain, Intent};
use super::locks::with_deployment_lock;
use super::manifest::Lifecycle;
use super::plan::GroupPlan;
use super::snapshots;
use super::state::{Desired, Instance};
use super::task_context::TaskContext;
use super::vms::{self, Agent};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct UpdateInstance {
    pub(crate) deployment: String,
    pub(crate) slug: InstanceSlug,
    pub(crate) action: Action,
    /// `skip_drain=true`.
    pub(crate) drain: Drain,
    /// `ignore_unresponsive_agent=true`.
    pub(crate) silent_agent: SilentAgent,
}

/// The four actions; a hard stop takes the VM, and so does a recreate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Stop,
    HardStop,
    Start,
    Restart,
    Recreate,
}

/// What to do with an agent that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SilentAgent {
    Fails,
    IsIgnored,
}

impl Action {
    fn is_hard(self) -> bool {
        matches!(self, Self::HardStop | Self::Recreate)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Stop | Self::HardStop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
        }
    }
}

impl UpdateInstance {
    /// The job.
    pub(crate) fn perform(&self, cx: &TaskContext) -> Result<Option<String>> {
        with_deployment_lock(cx, &self.deployment, || {
            let instance = self.instance(cx)?;
            self.check(cx, &instance)?;
            let mut stage = cx.stage(&format!("Updating instance {}", instance.label()), 2);
            if self.action != Action::Start {
                self.stop(cx, &mut stage)?;
            }
            if !matches!(self.action, Action::Stop | Action::HardStop) {
                self.start(cx, &mut stage)?;
            }
            Ok(Some(instance.name()))
        })
    }

    fn instance(&self, cx: &TaskContext) -> Result<Instance> {
        cx.director.read(|s| s.instance(&self.deployment, &self.slug).cloned())
    }

    fn group(&self, cx: &TaskContext) -> Result<GroupPlan> {
        cx.director.read(|s| s.group_of(s.instance(&self.deployment, &self.slug)?).cloned())
    }

    fn check(&self, cx: &TaskContext, instance: &Instance) -> Result<()> {
        if self.group(cx)?.lifecycle == Lifecycle::Errand {
            let text = format!(
                "Isolated {} can not be run on instances of type errand. Try the bosh run-errand command.",
                self.action.word()
            );
            return Err(DirectorError { status: 422, ..DirectorError::new(90000, text) });
        }
        if instance.ignore {
            let text = format!(
                "You are trying to change the state of the ignored instance '{}'. This operation is not \
                 allowed. You need to unignore it first.",
                instance.name()
            );
            return Err(DirectorError::new(190_020, text));
        }
        Ok(())
    }

    fn set(&self, cx: &TaskContext, change: impl FnOnce(&mut Instance)) -> Result<()> {
        cx.director.write(|s| s.instance_mut(&self.deployment, &self.slug).map(change))
    }

    /// Asks the agent, as every plan for an instance with a VM begins.
    fn agent(&self, cx: &TaskContext, instance: &Instance) -> Result<Agent> {
        let Some(vm) = instance.vm_cid() else { return Ok(Agent::Answers) };
        match cx.director.config.iaas.job_state(vm) {
            Ok(_) => Ok(Agent::Answers),
            Err(_) if self.silent_agent == SilentAgent::IsIgnored => Ok(Agent::Silent),
            Err(error) => {
                let error = DirectorError::from(error);
                Err(DirectorError { message: format!("{}: {}", instance.name(), error.message), ..error })
            }
        }
    }

    fn stop(&self, cx: &TaskContext, stage: &mut super::task_context::Stage<'_>) -> Result<()> {
        let instance = self.instance(cx)?;
        let hard = self.action.is_hard();
        if instance.desired == Desired::Detached || (instance.desired == Desired::Stopped && !hard) {
            return Ok(());
        }
        let agent = self.agent(cx, &instance)?;
        stage.track("Stopping instance", || {
            cx.checkpoint()?;
            let intent = if hard { Intent::DeleteVm } else { Intent::KeepVm };
            if agent == Agent::Answers {
                lifecycle::stop(cx, &instance, intent, self.drain)?;
            }
            snapshots::take(cx, &instance, snapshots::Clean::Yes)?;
            self.set(cx, |i| i.desired = Desired::Stopped)
        })?;
        if hard {
            stage.track("Deleting VM", || {
                vms::delete(cx, &self.instance(cx)?, agent)?;
                self.set(cx, |i| i.desired = Desired::Detached)
            })?;
        }
        Ok(())
    }

    fn start(&self, cx: &TaskContext, stage: &mut super::task_context::Stage<'_>) -> Result<()> {
        let instance = self.instance(cx)?;
        let had_vm = instance.vm.is_some();
        if !had_vm {
            stage.track("Creating VM", || vms::create(cx, &instance))?;
        }
        let instance = self.instance(cx)?;
        let Some(vm) = instance.vm_cid() else { return Ok(()) };
        if had_vm && cx.director.config.iaas.job_state(vm)? == "running" {
            // Nothing to do, says the plan: the agent runs what it should.
            return Ok(());
        }
        stage.track("Starting instance", || {
            cx.checkpoint()?;
            // From here on the instance counts as started, even if it never runs.
            self.set(cx, |i| (i.desired, i.update_completed) = (Desired::Started, false))?;
            cx.director.config.iaas.apply(vm, &instance.rendered)?;
            lifecycle::start(cx, &instance, vm, self.group(cx)?.update.update_watch)?;
            self.set(cx, |i| i.update_completed = true)
        })
    }
}
