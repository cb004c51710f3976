//! `POST /deployments/D/errands/E/runs`. The deployment's lock is held from the first step to the last.
//!
//! The task is `done` whatever the script's exit code; the code is in the result output.

use std::hash::{DefaultHasher, Hash, Hasher};

use remount_core::InstanceSlug;
use serde::Deserialize;
use serde_json::json;

use super::error::{DirectorError, RUN_ERRAND, Result};
use super::lifecycle;
use super::locks::with_deployment_lock;
use super::manifest::Lifecycle;
use super::plan::GroupPlan;
use super::prepare::fingerprint;
use super::state::{Deployment, Desired, Instance};
use super::task_context::TaskContext;
use super::vms;
use crate::iaas::ErrandOutcome;

/// Above this an exit code stands for a signal: the errand counts as cancelled.
const LAST_EXIT_CODE: i32 = 128;

/// The body of the request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ErrandOptions {
    // The CLI writes `null` for what was not said.
    keep_alive: Option<bool>,
    when_changed: Option<bool>,
    instances: Option<Vec<InstanceFilter>>,
}

impl ErrandOptions {
    fn filters(&self) -> &[InstanceFilter] {
        self.instances.as_deref().unwrap_or_default()
    }
}

/// A group, and one of its instances by uuid or index.
#[derive(Clone, Debug, Deserialize)]
struct InstanceFilter {
    group: String,
    #[serde(default)]
    id: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct RunErrand {
    pub(crate) deployment: String,
    pub(crate) errand: String,
    pub(crate) options: ErrandOptions,
}

/// One run on one instance.
struct Run {
    slug: InstanceSlug,
    group: GroupPlan,
    job: String,
}

/// What `GET /deployments/D/errands` lists.
pub(crate) fn names(deployment: &Deployment) -> Vec<String> {
    let groups = deployment.groups.iter().filter(|g| g.lifecycle == Lifecycle::Errand);
    let mut names: Vec<String> = groups.map(|g| g.name.clone()).collect();
    let jobs = deployment.groups.iter().flat_map(|g| &g.jobs).filter(|job| job.runs_as_errand);
    for job in jobs {
        if !names.contains(&job.name) {
            names.push(job.name.clone());
        }
    }
    names
}

impl RunErrand {
    /// The job.
    pub(crate) fn perform(&self, cx: &TaskContext) -> Result<Option<String>> {
        with_deployment_lock(cx, &self.deployment, || {
            let mut stage = cx.stage("Preparing deployment", 1);
            let runs = stage.track("Preparing deployment", || self.select(cx))?;
            if runs.len() > 1 {
                cx.warn(
                    "Executing errand on multiple instances in parallel. Use the `--instance` flag to run \
                     the errand on a single instance.",
                );
            }
            let fingerprint = self.fingerprint(cx, &runs)?;
            if self.options.when_changed == Some(true) && self.ran_with(cx, fingerprint)? {
                return Ok(Some("skipped - no changes detected".into()));
            }
            let outcomes = self.run_all(cx, &runs)?;
            let count = |range: &dyn Fn(i32) -> bool| outcomes.iter().filter(|o| range(o.exit_code)).count();
            let succeeded = count(&|code| code == 0);
            if succeeded == outcomes.len() {
                cx.director.write(|s| {
                    s.deployment_mut(&self.deployment)
                        .map(|d| d.errand_runs.insert(self.errand.clone(), fingerprint))
                })?;
            }
            Ok(Some(format!(
                "{succeeded} succeeded, {} errored, {} canceled",
                count(&|code| code != 0 && code <= LAST_EXIT_CODE),
                count(&|code| code > LAST_EXIT_CODE)
            )))
        })
    }

    /// Which instances run it: those with a job of this name, else the errand group of this name.
    fn select(&self, cx: &TaskContext) -> Result<Vec<Run>> {
        let deployment = cx.director.read(|s| s.deployment(&self.deployment).cloned())?;
        let selected: Vec<&Instance> = deployment.instances.iter().filter(|i| self.wants(i)).collect();
        check_none_stopped(&selected)?;
        if let Some(filter) = self.options.filters().iter().find(|f| !selected.iter().any(|i| f.matches(i))) {
            let id = filter.id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
            let text = format!("No instances match selection criteria: [{}{id}]", filter.group);
            return Err(DirectorError::generic(text));
        }
        let has_job = |g: &GroupPlan| g.jobs.iter().any(|job| job.name == self.errand);
        let by_job: Vec<&GroupPlan> = deployment.groups.iter().filter(|g| has_job(g)).collect();
        if by_job.is_empty() {
            return self.select_group(&deployment, &selected);
        }
        let mut runs = Vec::new();
        for instance in selected {
            let Some(group) = by_job.iter().find(|g| g.name == instance.slug.group.as_str()) else {
                continue;
            };
            if instance.vm.is_none() && group.lifecycle == Lifecycle::Service {
                cx.warn(&format!(
                    "Skipping instance: {} no matching VM reference was found",
                    instance.label()
                ));
                continue;
            }
            runs.push(Run { slug: instance.slug.clone(), group: (*group).clone(), job: self.errand.clone() });
        }
        Ok(runs)
    }

    fn select_group(&self, deployment: &Deployment, selected: &[&Instance]) -> Result<Vec<Run>> {
        let group = deployment.groups.iter().find(|g| g.name == self.errand);
        let group = group.ok_or_else(|| DirectorError::errand_not_found(&self.errand))?;
        if group.lifecycle != Lifecycle::Errand {
            let text = format!(
                "Instance group '{}' is not an errand. To mark an instance group as an errand set its \
                 lifecycle to 'errand' in the deployment manifest.",
                group.name
            );
            return Err(DirectorError::new(RUN_ERRAND, text));
        }
        if !self.options.filters().is_empty() {
            let text = "Filtering by instances is not supported when running errand by instance group name";
            return Err(DirectorError::new(RUN_ERRAND, text));
        }
        let job = group.jobs.iter().find(|job| job.runs_as_errand);
        let job = job.ok_or_else(|| DirectorError::errand_not_found(&self.errand))?.name.clone();
        let first = selected.iter().find(|i| i.slug.group.as_str() == group.name);
        let first =
            first.ok_or_else(|| DirectorError::instance_not_found(&self.deployment, &self.errand, "0"))?;
        Ok(vec![Run { slug: first.slug.clone(), group: group.clone(), job }])
    }

    fn wants(&self, instance: &Instance) -> bool {
        self.options.filters().is_empty() || self.options.filters().iter().any(|f| f.matches(instance))
    }

    /// All at the same time, as the Director does.
    fn run_all(&self, cx: &TaskContext, runs: &[Run]) -> Result<Vec<ErrandOutcome>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = runs.iter().map(|run| scope.spawn(|| self.run(cx, run))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<ErrandOutcome>>| {
                thread.join().unwrap_or_else(|_| Err(DirectorError::generic("the errand's thread panicked")))
            };
            // Every thread is joined before the first error is answered.
            let outcomes: Vec<Result<ErrandOutcome>> = threads.into_iter().map(join).collect();
            outcomes.into_iter().collect()
        })
    }

    fn run(&self, cx: &TaskContext, run: &Run) -> Result<ErrandOutcome> {
        let is_group = run.group.lifecycle == Lifecycle::Errand;
        if is_group {
            self.bring_up(cx, run)?;
        }
        let outcome = self.run_script(cx, run);
        if is_group && self.options.keep_alive != Some(true) {
            // Its VM goes whether or not the task was cancelled.
            let instance = self.instance(cx, run)?;
            if let Some(vm) = instance.vm_cid() {
                cx.director.config.iaas.delete_vm(vm)?;
            }
            cx.director.write(|s| s.instance_mut(&self.deployment, &run.slug).map(|i| i.vm = None))?;
        }
        outcome
    }

    fn run_script(&self, cx: &TaskContext, run: &Run) -> Result<ErrandOutcome> {
        cx.checkpoint()?;
        let instance = self.instance(cx, run)?;
        let vm = instance.vm_cid().ok_or_else(|| DirectorError::generic("the instance has no VM"))?;
        let config = &cx.director.config;
        let mut stage = cx.stage("Running errand", 1);
        stage.track(&instance.label(), || {
            let outcome = config.iaas.run_errand(vm, &run.job, &|| cx.is_cancelled(), config.errand_limit)?;
            cx.result_line(&json!({
                "instance": {"group": instance.slug.group, "id": instance.slug.id},
                "errand_name": self.errand,
                "exit_code": outcome.exit_code,
                "stdout": outcome.stdout,
                "stderr": outcome.stderr,
                "logs": {"blobstore_id": null, "sha1": null},
            }));
            cx.checkpoint()?;
            Ok(outcome)
        })
    }

    fn bring_up(&self, cx: &TaskContext, run: &Run) -> Result<()> {
        let mut instance = self.instance(cx, run)?;
        if instance.vm.is_none() {
            let mut stage = cx.stage("Creating missing vms", 1);
            stage.track(&instance.label(), || vms::create(cx, &instance))?;
            instance = self.instance(cx, run)?;
        }
        let Some(vm) = instance.vm_cid() else { return Ok(()) };
        let mut stage = cx.stage(&format!("Updating instance {}", run.group.name), 1);
        stage.track(&instance.label(), || {
            super::update_disk::update(cx, &instance, vm, run.group.disk.as_ref())?;
            cx.director.config.iaas.apply(vm, &instance.rendered)?;
            lifecycle::start(cx, &instance, vm, run.group.update.canary_watch)
        })
    }

    fn instance(&self, cx: &TaskContext, run: &Run) -> Result<Instance> {
        cx.director.read(|s| s.instance(&self.deployment, &run.slug).cloned())
    }

    fn fingerprint(&self, cx: &TaskContext, runs: &[Run]) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for run in runs {
            let instance = self.instance(cx, run)?;
            (run.slug.to_string(), fingerprint(&instance)).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    fn ran_with(&self, cx: &TaskContext, fingerprint: u64) -> Result<bool> {
        cx.director.read(|s| {
            s.deployment(&self.deployment).map(|d| d.errand_runs.get(&self.errand) == Some(&fingerprint))
        })
    }
}

impl InstanceFilter {
    fn matches(&self, instance: &Instance) -> bool {
        let id = |id: &String| instance.slug.id.as_str() == id || instance.index.to_string() == *id;
        instance.slug.group.as_str() == self.group
            && self.id.as_ref().filter(|id| !id.is_empty()).is_none_or(id)
    }
}

/// Nobody knows why an operator stopped an instance, so no errand runs beside one.
fn check_none_stopped(selected: &[&Instance]) -> Result<()> {
    let stopped = selected.iter().filter(|i| i.desired == Desired::Stopped);
    let names: Vec<String> = stopped.map(|i| format!("'{}'", i.name())).collect();
    if names.is_empty() {
        return Ok(());
    }
    let text = format!("Instance(s) {} is stopped, unable to run errand. Maybe start vm?", names.join(","));
    Err(DirectorError::new(RUN_ERRAND, text))
}
