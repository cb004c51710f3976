//! `Director` in memory: accepting requests and answering questions. The tasks are in `tasks`, what they do in
//! `actions`.

use std::time::Duration;

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, InstanceSlug};
use remount_director::{
    Director, Error, Info, Instance, Lock, OrphanedDisk, Result, StopKind, Task, TaskId, TaskState,
};

use tokio::time::timeout;

use super::MemoryLandscape;
use super::faults::{Fault, lost};
use super::state::{MemoryTask, State};
use super::tasks::{Work, word};

/// The longest context that is sent (else the Director says 70010).
const LONGEST_CONTEXT: usize = 64;
/// How long the client waits for the report of all agents.
const SURVEY_LIMIT: Duration = Duration::from_secs(300);

/// The Director of a [`MemoryLandscape`].
#[derive(Debug)]
pub struct MemoryDirector(pub MemoryLandscape);

fn unanswered(call: &str) -> Error {
    Error::Unanswered { action: call.into(), source: lost() }
}

fn not_found(action: &str, detail: String) -> Error {
    Error::NotFound { action: action.into(), detail }
}

/// An index is no instance.
fn check_uuid(instance: &InstanceSlug) -> Result<()> {
    let id = instance.id.as_str();
    if id.len() == 36 && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Error::Config(format!("`{instance}` does not end in the instance's uuid")))
}

impl MemoryDirector {
    fn look(&self, call: &'static str) -> Result<()> {
        match self.0.fault(call, "") {
            None => Ok(()),
            Some(Fault::LoseAnswer | Fault::LoseRequest) => Err(unanswered(call)),
            Some(_) => Err(Error::Refused { action: call.into(), code: 190_000, detail: "injected".into() }),
        }
    }

    fn exists(&self, deployment: &DeploymentName) -> Result<()> {
        if deployment == self.0.deployment() {
            return Ok(());
        }
        Err(not_found("read a deployment", format!("code 70000: Deployment '{deployment}' doesn't exist")))
    }

    /// What the client looks at before it sends an action, and the Director before it takes it.
    fn check_action(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<()> {
        check_uuid(instance)?;
        let fits = (1..=LONGEST_CONTEXT).contains(&context.len())
            && context.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(Error::Config(format!(
                "context `{context}` is not 1 to {LONGEST_CONTEXT} characters"
            )));
        }
        self.exists(deployment)?;
        match self.0.state().position(instance) {
            Some(_) => Ok(()),
            None => Err(not_found(
                "change an instance",
                format!("code 70001: '{deployment}/{instance}' doesn't exist"),
            )),
        }
    }

    /// Accepts a request: its task goes on whoever waits for it.
    fn accept(&self, call: &'static str, about: &str, work: Work, context: &str) -> Result<TaskId> {
        let fault = self.0.fault(call, about);
        match fault {
            Some(Fault::LoseRequest) => return Err(unanswered(call)),
            Some(Fault::NotSent) => {
                let source = Box::new(unanswered("log in"));
                return Err(Error::NotSent { action: call.to_owned(), source });
            }
            Some(Fault::Refuse) => {
                return Err(Error::Refused { action: call.into(), code: 190_000, detail: "injected".into() });
            }
            _ => {}
        }
        let id = self.0.accept_task(work, context, fault);
        if fault == Some(Fault::LoseAnswer) { Err(unanswered(call)) } else { Ok(id) }
    }
}

#[async_trait]
impl Director for MemoryDirector {
    async fn info(&self) -> Result<Info> {
        self.look("director.info")?;
        Ok(Info {
            name: "memory".into(),
            uuid: "00000000-0000-4000-8000-000000000000".into(),
            version: "1".into(),
            user: Some("remount".into()),
        })
    }

    async fn deployments(&self) -> Result<Vec<DeploymentName>> {
        self.look("director.deployments")?;
        Ok(vec![self.0.deployment().clone()])
    }

    /// Asking every agent is a task of its own: it waits for a worker.
    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        self.look("director.instances")?;
        self.exists(deployment)?;
        let Ok(_worker) = timeout(SURVEY_LIMIT, self.0.inner.workers.acquire()).await else {
            let task = TaskId(self.0.state().number());
            let (description, state) = ("retrieve vm-stats".into(), "queued".into());
            return Err(Error::TaskTimeout {
                task,
                description,
                state,
                waited_seconds: SURVEY_LIMIT.as_secs(),
            });
        };
        let state = self.0.state();
        Ok((0..state.instances.len()).map(|index| shown(&state, deployment, index)).collect())
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        self.check_action(deployment, instance, context)?;
        self.accept("director.stop", &instance.to_string(), Work::Stop(instance.clone(), kind), context)
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.check_action(deployment, instance, context)?;
        self.accept("director.start", &instance.to_string(), Work::Start(instance.clone()), context)
    }

    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.check_action(deployment, instance, context)?;
        self.accept("director.recreate", &instance.to_string(), Work::Recreate(instance.clone()), context)
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        check_uuid(instance)?;
        self.exists(deployment)?;
        let work = Work::Attach(instance.clone(), disk.clone());
        self.accept("director.attach", &instance.to_string(), work, "")
    }

    async fn task(&self, task: TaskId) -> Result<Task> {
        self.look("director.task")?;
        let found =
            self.0.state().task_mut(task).cloned().ok_or_else(|| unknown_task("look at a task", task))?;
        match found.error {
            None => Ok(found.task),
            Some((code, message)) => {
                let Task { description, word: state, .. } = found.task;
                Err(Error::TaskFailed { task, description, state, code, message })
            }
        }
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        self.look("director.tasks")?;
        let state = self.0.state();
        let of = |known: &&MemoryTask| known.task.deployment.as_deref() == Some(deployment.as_str());
        Ok(state.tasks.iter().rev().filter(of).take(limit as usize).map(|known| known.task.clone()).collect())
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        self.look("director.cancel")?;
        let mut state = self.0.state();
        let known = state.task_mut(task).ok_or_else(|| unknown_task("cancel a task", task))?;
        if !known.task.state.is_final() {
            (known.task.state, known.task.word) = (TaskState::Cancelling, word(TaskState::Cancelling));
        }
        Ok(())
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        self.look("director.locks")?;
        let lock = |holder: TaskId| Lock {
            kind: "deployment".into(),
            resource: vec![self.0.deployment().to_string()],
            task_id: Some(holder.to_string()),
        };
        Ok(self.0.state().lock_holder.map(lock).into_iter().collect())
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        self.look("director.orphaned_disks")?;
        Ok(self.0.state().orphans.clone())
    }

    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        if self.0.state().instances.iter().any(|instance| instance.disk.as_ref() == Some(disk)) {
            return Err(Error::Refused {
                action: format!("delete orphaned disk {disk}"),
                code: 520_000,
                detail: format!("Deleting persistent disk is not supported: [\"{disk}\"]"),
            });
        }
        self.accept("director.delete_orphaned_disk", disk.as_str(), Work::DeleteOrphan(disk.clone()), "")
    }
}

fn unknown_task(action: &str, task: TaskId) -> Error {
    not_found(action, format!("code 10000: Task {task} not found"))
}

fn shown(state: &State, deployment: &DeploymentName, index: usize) -> Instance {
    let instance = &state.instances[index];
    let vm = instance.vm.as_ref().and_then(|vm| state.vms.get(vm));
    let job_state = vm.map(|vm| match (vm.answers, vm.running) {
        (false, _) => "unresponsive agent",
        (true, true) if instance.beside_is_down => "failing",
        (true, true) => "running",
        (true, false) if instance.desired == "started" => "failing",
        (true, false) => "stopped",
    });
    Instance {
        deployment: deployment.clone(),
        slug: instance.slug.clone(),
        index: instance.index,
        az: Some(instance.az.clone()),
        vm: instance.vm.clone(),
        ips: instance.vm.iter().map(|_| super::server::address_of(index)).collect(),
        disks: instance.disk.iter().cloned().collect(),
        desired: instance.desired.clone(),
        job_state: job_state.map(str::to_owned),
        bootstrap: index == 0,
        ignored: instance.ignored,
        vm_type: None,
    }
}
