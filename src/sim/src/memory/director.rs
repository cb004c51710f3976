//! `Director` in memory: accepting requests and answering questions. What the tasks do is in `tasks`.

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, InstanceSlug};
use remount_director::{
    Director, Error, Info, Instance, Lock, OrphanedDisk, Result, StopKind, Task, TaskId, TaskState,
};

use super::World;
use super::faults::{Fault, lost};
use super::state::{MemoryTask, State};
use super::tasks::Work;

/// The Director of a [`World`].
#[derive(Debug)]
pub struct MemoryDirector(pub World);

fn unanswered(call: &str) -> Error {
    Error::Unanswered { action: call.into(), source: lost() }
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
        Err(Error::NotFound {
            action: "read".into(),
            detail: format!("Deployment '{deployment}' doesn't exist"),
        })
    }

    /// Accepts a request: its task goes on whoever waits for it.
    fn accept(&self, call: &'static str, about: &str, work: Work, context: &str) -> Result<TaskId> {
        let fault = self.0.fault(call, about);
        match fault {
            Some(Fault::LoseRequest) => return Err(unanswered(call)),
            Some(Fault::Refuse) => {
                return Err(Error::Refused { action: call.into(), code: 190_000, detail: "injected".into() });
            }
            _ => {}
        }
        let id = {
            let mut state = self.0.state();
            let id = TaskId(state.number());
            let task = Task {
                id,
                state: TaskState::Queued,
                word: "queued".into(),
                description: work.description(),
                result: None,
                deployment: work.has_deployment().then(|| self.0.deployment().to_string()),
                context_id: (!context.is_empty()).then(|| context.to_owned()),
                started_at: None,
            };
            state.tasks.push(MemoryTask { task, error: None, cancelled: false });
            id
        };
        let world = self.0.clone();
        tokio::spawn(async move { world.run_task(id, work, fault).await });
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

    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        self.look("director.instances")?;
        self.exists(deployment)?;
        let state = self.0.state();
        Ok((0..state.instances.len()).map(|index| shown(&state, index)).collect())
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        self.exists(deployment)?;
        assert!(
            context.len() <= 64,
            "the Director refuses context ids of more than 64 characters: {context}"
        );
        self.accept("director.stop", &instance.to_string(), Work::Stop(instance.clone(), kind), context)
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.exists(deployment)?;
        assert!(
            context.len() <= 64,
            "the Director refuses context ids of more than 64 characters: {context}"
        );
        self.accept("director.start", &instance.to_string(), Work::Start(instance.clone()), context)
    }

    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.exists(deployment)?;
        self.accept("director.recreate", &instance.to_string(), Work::Recreate(instance.clone()), context)
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        self.exists(deployment)?;
        let work = Work::Attach(instance.clone(), disk.clone());
        self.accept("director.attach", &instance.to_string(), work, "")
    }

    async fn task(&self, task: TaskId) -> Result<Task> {
        self.look("director.task")?;
        let found = self.0.state().tasks.iter().find(|known| known.task.id == task).cloned();
        let found = found.ok_or_else(|| Error::NotFound {
            action: "read task".into(),
            detail: format!("Task {task} doesn't exist"),
        })?;
        if !found.task.state.is_final() || found.task.state == TaskState::Done {
            let word = format!("{:?}", found.task.state).to_lowercase();
            return Ok(Task { word, ..found.task });
        }
        let (code, message) = found.error.unwrap_or_default();
        let state = format!("{:?}", found.task.state).to_lowercase();
        Err(Error::TaskFailed { task, description: found.task.description, state, code, message })
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        self.look("director.tasks")?;
        let state = self.0.state();
        let of = |known: &&MemoryTask| known.task.deployment.as_deref() == Some(deployment.as_str());
        Ok(state.tasks.iter().rev().filter(of).take(limit as usize).map(|known| known.task.clone()).collect())
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        self.look("director.cancel")?;
        if let Some(known) = self.0.state().tasks.iter_mut().find(|known| known.task.id == task) {
            known.cancelled = true;
        }
        Ok(())
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        self.look("director.locks")?;
        let held = self.0.inner.lock.try_lock().is_err();
        let lock = || Lock {
            kind: "deployment".into(),
            resource: vec![self.0.deployment().to_string()],
            task_id: Some("1".into()),
        };
        Ok(held.then(lock).into_iter().collect())
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        self.look("director.orphaned_disks")?;
        Ok(self.0.state().orphans.clone())
    }

    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        self.accept("director.delete_orphaned_disk", disk.as_str(), Work::DeleteOrphan(disk.clone()), "")
    }
}

fn shown(state: &State, index: usize) -> Instance {
    let instance = &state.instances[index];
    let vm = instance.vm.as_ref().and_then(|vm| state.vms.get(vm));
    let job_state = vm.map(|vm| match (vm.answers, vm.running) {
        (false, _) => "unresponsive agent",
        (true, true) => "running",
        (true, false) if instance.desired == "started" => "failing",
        (true, false) => "stopped",
    });
    Instance {
        slug: instance.slug.clone(),
        index: instance.index,
        az: Some(instance.az.clone()),
        vm: instance.vm.clone(),
        ips: vec![format!("127.0.0.{}", index + 1)],
        disks: instance.disk.iter().cloned().collect(),
        desired: instance.desired.clone(),
        job_state: job_state.map(str::to_owned),
        bootstrap: index == 0,
        ignored: false,
        vm_type: None,
    }
}
