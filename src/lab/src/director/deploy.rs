//! `POST /deployments` and the converging `PUT …/jobs/…?state=`: the whole deployment is brought to
//! what its manifest says, and whatever else is pending comes along.

use std::collections::{BTreeMap, BTreeSet};

use remount_core::InstanceSlug;

use super::error::{DirectorError, Result};
use super::lifecycle::{Drain, Intent};
use super::locks::with_deployment_lock;
use super::manifest::Lifecycle;
use super::plan::GroupPlan;
use super::prepare::{self, Prepared};
use super::state::{Deployment, Desired, Instance};
use super::task_context::TaskContext;
use super::update_deployed::{InstanceUpdate, VmAge};
use super::{delete_deployment, vms};
use crate::iaas::RenderedJob;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Deploy {
    pub(crate) deployment: String,
    pub(crate) manifest: String,
    pub(crate) changes: Vec<StateChange>,
    /// Groups whose pre-stop and drain are skipped; `*` for all.
    pub(crate) skip_drain: Option<String>,
    pub(crate) silent_agents: SilentAgents,
    pub(crate) vms: Recreation,
}

/// `?state=` for a group, an instance, or (`*`) all.
#[derive(Clone, Debug)]
pub(crate) struct StateChange {
    pub(crate) group: String,
    pub(crate) index: Option<u32>,
    pub(crate) to: NewState,
}

/// The words of `?state=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewState {
    Is(Desired),
    Restart,
    Recreate,
}

/// What an agent that does not answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SilentAgents {
    Fail,
    /// `fix=true`.
    Recreate,
}

/// Which VMs are recreated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recreation {
    AsNeeded,
    /// `recreate=true`.
    All,
}

impl NewState {
    /// The word of the API.
    pub(crate) fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "started" => Self::Is(Desired::Started),
            "stopped" => Self::Is(Desired::Stopped),
            "detached" => Self::Is(Desired::Detached),
            "restart" => Self::Restart,
            "recreate" => Self::Recreate,
            other => return Err(DirectorError::new(140_008, format!("Invalid state '{other}'"))),
        })
    }
}

/// One instance with where it is to go.
struct Step {
    group: GroupPlan,
    slug: InstanceSlug,
    rendered: Vec<RenderedJob>,
    target: Desired,
    asked: Option<NewState>,
    /// What its agent said before anything was changed; none where there was no VM to ask.
    seen: Option<Seen>,
}

/// What an agent said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Running,
    NotRunning,
    Silent,
}

impl Deploy {
    /// The job.
    pub(crate) fn perform(&self, cx: &TaskContext) -> Result<Option<String>> {
        with_deployment_lock(cx, &self.deployment, || {
            let mut stage = cx.stage("Preparing deployment", 1);
            let (prepared, seen) = stage.track("Preparing deployment", || {
                Ok((prepare::prepare(cx, &self.manifest)?, self.ask_agents(cx)?))
            })?;
            let obsolete = self.bind(cx, &prepared)?;
            for instance in obsolete {
                delete_deployment::delete_instance(cx, &instance, Intent::DeleteInstance)?;
            }
            let steps = self.steps(cx, prepared, &seen)?;
            let fresh = create_missing_vms(cx, &self.deployment, &steps)?;
            let changed = self.update(cx, &steps, &fresh)?;
            if changed {
                post_deploy(cx, &self.deployment)?;
            }
            let manifest = self.manifest.clone();
            cx.director.write(|s| s.deployment_mut(&self.deployment).map(|d| d.manifest = Some(manifest)))?;
            Ok(Some(format!("/deployments/{}", self.deployment)))
        })
    }

    /// Asks every agent, before anything is changed: one that is silent fails the deploy without `fix`.
    fn ask_agents(&self, cx: &TaskContext) -> Result<BTreeMap<InstanceSlug, Seen>> {
        let instances = cx
            .director
            .read(|s| s.deployments.get(&self.deployment).map(|d| d.instances.clone()).unwrap_or_default());
        let mut seen = BTreeMap::new();
        for instance in instances.iter().filter(|i| !i.ignore) {
            let Some(vm) = instance.vm_cid() else { continue };
            let said = match (cx.director.config.iaas.job_state(vm), self.silent_agents) {
                (Ok(state), _) if state == "running" => Seen::Running,
                (Ok(_), _) => Seen::NotRunning,
                (Err(_), SilentAgents::Recreate) => Seen::Silent,
                (Err(error), SilentAgents::Fail) => {
                    let error = DirectorError::from(error);
                    let message = format!("{}: {}", instance.name(), error.message);
                    return Err(DirectorError { message, ..error });
                }
            };
            seen.insert(instance.slug.clone(), said);
        }
        Ok(seen)
    }

    /// Records groups, links and new instances; answers the instances that the manifest has no more.
    fn bind(&self, cx: &TaskContext, prepared: &Prepared) -> Result<Vec<Instance>> {
        cx.director.write(|state| {
            let deployment = state
                .deployments
                .entry(self.deployment.clone())
                .or_insert_with(|| Deployment { name: self.deployment.clone(), ..Deployment::default() });
            let planned: Vec<&Instance> = prepared.groups.iter().flat_map(|g| &g.instances).collect();
            let is_planned = |i: &&Instance| planned.iter().any(|p| p.slug == i.slug);
            let obsolete: Vec<Instance> =
                deployment.instances.iter().filter(|i| !is_planned(i)).cloned().collect();
            if let Some(ignored) = obsolete.iter().find(|i| i.ignore) {
                let text = format!("You are trying to delete the ignored instance '{}'.", ignored.name());
                return Err(DirectorError::new(190_021, text));
            }
            deployment.groups = prepared.groups.iter().map(|g| g.plan.clone()).collect();
            deployment.tags = prepared.tags.clone();
            deployment.providers = prepared.providers.clone();
            let known: BTreeSet<InstanceSlug> = deployment.instances.iter().map(|i| i.slug.clone()).collect();
            let new = planned.into_iter().filter(|i| !known.contains(&i.slug)).cloned();
            deployment.instances.extend(new);
            Ok(obsolete)
        })
    }

    fn steps(
        &self,
        cx: &TaskContext,
        prepared: Prepared,
        seen: &BTreeMap<InstanceSlug, Seen>,
    ) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for (group, rendered) in prepared.groups.into_iter().zip(prepared.rendered) {
            for (planned, rendered) in group.instances.into_iter().zip(rendered) {
                let now = cx.director.read(|s| s.instance(&self.deployment, &planned.slug).cloned())?;
                if now.ignore {
                    continue;
                }
                if group.plan.lifecycle == Lifecycle::Errand {
                    cx.director.write(|s| {
                        s.instance_mut(&self.deployment, &now.slug).map(|i| i.rendered = rendered)
                    })?;
                    continue;
                }
                let asked = self.asked_of(&now);
                let target = match asked {
                    Some(NewState::Is(desired)) => desired,
                    Some(_) => Desired::Started,
                    None => now.desired,
                };
                let seen = seen.get(&now.slug).copied();
                steps.push(Step { group: group.plan.clone(), slug: now.slug, rendered, target, asked, seen });
            }
        }
        Ok(steps)
    }

    fn asked_of(&self, instance: &Instance) -> Option<NewState> {
        let fits = |c: &&StateChange| {
            (c.group == "*" || c.group == instance.slug.group.as_str())
                && c.index.is_none_or(|index| index == instance.index)
        };
        self.changes.iter().find(fits).map(|change| change.to)
    }

    /// Updates what needs it, group by group, canaries first; says whether anything did.
    fn update(&self, cx: &TaskContext, steps: &[Step], fresh: &BTreeSet<InstanceSlug>) -> Result<bool> {
        let mut changed = false;
        let mut group = String::new();
        let mut updated_of_group = 0;
        for step in steps {
            if step.group.name != group {
                (group, updated_of_group) = (step.group.name.clone(), 0);
            }
            let instance = cx.director.read(|s| s.instance(&self.deployment, &step.slug).cloned())?;
            let update = self.update_of(step, &instance, fresh, updated_of_group);
            if !update.is_needed(&instance) {
                continue;
            }
            cx.checkpoint()?;
            let mut stage = cx.stage(&format!("Updating instance {}", step.group.name), 1);
            stage.track(&instance.label(), || update.perform(cx, &instance))?;
            updated_of_group += 1;
            changed = true;
        }
        Ok(changed)
    }

    fn update_of<'a>(
        &self,
        step: &'a Step,
        instance: &Instance,
        fresh: &BTreeSet<InstanceSlug>,
        updated: u32,
    ) -> InstanceUpdate<'a> {
        let is_canary = updated < step.group.update.canaries;
        let update = step.group.update;
        let skips = |name: &String| name == "*" || *name == step.group.name;
        let silent = step.seen == Some(Seen::Silent);
        let runs_wrongly = match step.target {
            Desired::Started => step.seen == Some(Seen::NotRunning),
            Desired::Stopped => step.seen == Some(Seen::Running),
            Desired::Detached => false,
        };
        let outdated = instance.vm.as_ref().is_some_and(|vm| vm.stemcell != step.group.stemcell);
        let recreate =
            self.vms == Recreation::All || step.asked == Some(NewState::Recreate) || silent || outdated;
        let vm = match (fresh.contains(&instance.slug), recreate && step.target == Desired::Started) {
            (true, _) => VmAge::Fresh,
            (false, true) if silent => VmAge::ToBeReplacedSilently,
            (false, true) => VmAge::ToBeReplaced,
            (false, false) => VmAge::Kept,
        };
        InstanceUpdate {
            target: step.target,
            rendered: &step.rendered,
            disk: step.group.disk.as_ref(),
            watch: if is_canary { update.canary_watch } else { update.update_watch },
            drain: if self.skip_drain.as_ref().is_some_and(skips) { Drain::Skip } else { Drain::Update },
            vm,
            restart: step.asked == Some(NewState::Restart) || runs_wrongly,
        }
    }
}

fn create_missing_vms(cx: &TaskContext, deployment: &str, steps: &[Step]) -> Result<BTreeSet<InstanceSlug>> {
    let mut fresh = BTreeSet::new();
    let mut stage = cx.stage("Creating missing vms", steps.len());
    for step in steps.iter().filter(|step| step.target != Desired::Detached) {
        let instance = cx.director.read(|s| s.instance(deployment, &step.slug).cloned())?;
        if instance.vm.is_none() {
            stage.track(&instance.label(), || vms::create(cx, &instance))?;
            fresh.insert(instance.slug);
        }
    }
    Ok(fresh)
}

fn post_deploy(cx: &TaskContext, deployment: &str) -> Result<()> {
    let instances = cx.director.read(|s| s.deployment(deployment).map(|d| d.instances.clone()))?;
    for instance in instances.iter().filter(|i| i.desired == Desired::Started && !i.ignore) {
        if let Some(vm) = instance.vm_cid() {
            cx.director.config.iaas.run_script(vm, "post-deploy", &std::collections::BTreeMap::new())?;
        }
    }
    Ok(())
}
