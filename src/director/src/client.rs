//! The Director over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use log::warn;
use remount_core::{DeploymentName, DiskCid, InstanceSlug, OperatorError as _, Retry};
use remount_host::{RetryPolicy, blocking, retry};
use ureq::http::Method;

use crate::calls::Calls;
use crate::events::{Failure, failure, output};
use crate::wire::{self, WireDeployment, WireDisk, WireInfo, WireLock, WireTask};
use crate::{
    Director, DirectorConfig, Error, Follow, Info, Instance, Lock, OrphanedDisk, Result, StopKind, TASK_PACE,
    Task, TaskId, TaskState, follow, route,
};

/// Asking every agent of a deployment takes 5 s for each that does not answer, several at a time.
const SURVEY_LIMIT: Duration = Duration::from_secs(300);

/// A Director over HTTP. Clones share connections and token.
///
/// Every call is sent once. Where the answer to a change is lost the error is [`Error::Unanswered`]: look before
/// asking again.
#[derive(Clone, Debug)]
pub struct HttpDirector {
    calls: Arc<Calls>,
    task_deadline: Duration,
    policy: RetryPolicy,
}

impl HttpDirector {
    /// The client. No request is made: a wrong address shows with the first call. `policy` is for the result of a task
    /// that the client itself has asked for.
    ///
    /// # Errors
    /// [`Error::Config`] with all that is wrong.
    pub fn new(config: &DirectorConfig, policy: &RetryPolicy) -> Result<Self> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        Ok(Self {
            calls: Arc::new(Calls::new(config)?),
            task_deadline: config.task_deadline(),
            policy: policy.clone(),
        })
    }

    async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Calls) -> Result<T> + Send + 'static,
    {
        let calls = self.calls.clone();
        let lost = |error| Error::Unanswered { action: "call the Director".into(), source: Box::new(error) };
        blocking(move || read(&calls), lost).await
    }

    /// Why a task failed: its events have the whole message and the code, the task itself a short text. Where the events
    /// are not answered the whole look at the task is not: without its code a lock would be taken for a failure.
    async fn failure_of(&self, task: Task) -> Error {
        let id = task.id;
        let told = match self.read(move |calls| output(calls, id, "event")).await {
            Ok(events) => failure(&events),
            Err(error) if error.retry() == Retry::Soon => return error,
            Err(error) => {
                warn!(task = id.0, error:% = remount_core::with_causes(&error); "the task's events cannot be read");
                None
            }
        };
        let short = || Failure { code: 0, message: task.result.clone().unwrap_or_default() };
        let Failure { code, message } = told.filter(|told| !told.message.is_empty()).unwrap_or_else(short);
        Error::TaskFailed { task: id, description: task.description, state: task.word, code, message }
    }

    /// Sends a change once.
    async fn change(
        &self,
        action: String,
        method: Method,
        path: String,
        context: Option<&str>,
    ) -> Result<TaskId> {
        let context = context.map(route::context).transpose()?.map(str::to_owned);
        self.read(move |calls| calls.change(&action, method, &path, context.as_deref())).await
    }
}

#[async_trait]
impl Director for HttpDirector {
    async fn info(&self) -> Result<Info> {
        self.read(|calls| Ok(calls.info::<WireInfo>()?.into())).await
    }

    async fn deployments(&self) -> Result<Vec<DeploymentName>> {
        let listed: Vec<WireDeployment> =
            self.read(|calls| calls.json("list the deployments", route::DEPLOYMENTS)).await?;
        let known = |wire: WireDeployment| {
            let name = DeploymentName::new(wire.name);
            name.inspect_err(
                |error| warn!(error:% = remount_core::with_causes(&error); "a deployment is passed over"),
            )
            .ok()
        };
        Ok(listed.into_iter().filter_map(known).collect())
    }

    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        let action = format!("list the instances of deployment {deployment}");
        let path = route::instances(deployment);
        let (asked, deployment) = (action.clone(), deployment.clone());
        let task = self.read(move |calls| calls.get_task(&asked, &path)).await?;
        let limit = SURVEY_LIMIT.min(self.task_deadline);
        let how = Follow {
            deadline: Instant::now() + limit,
            pace: TASK_PACE,
            cancellation: self.policy.cancellation(),
            progress: &|_| {},
        };
        follow(self, task, how).await?;
        // Asked again, every agent would be asked again.
        retry(&self.policy, || {
            let (action, deployment) = (action.clone(), deployment.clone());
            self.read(move |calls| wire::instances(&action, &deployment, &output(calls, task, "result")?))
        })
        .await
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        let path = route::stop(deployment, instance, kind)?;
        let action = format!("stop {instance} of deployment {deployment}");
        self.change(action, Method::POST, path, Some(context)).await
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        let path = route::start(deployment, instance)?;
        let action = format!("start {instance} of deployment {deployment}");
        self.change(action, Method::POST, path, Some(context)).await
    }

    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        let path = route::recreate(deployment, instance)?;
        let action = format!("recreate {instance} of deployment {deployment}");
        self.change(action, Method::POST, path, Some(context)).await
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        let path = route::attachment(deployment, instance, disk)?;
        let action = format!("attach disk {disk} to {instance} of deployment {deployment}");
        self.change(action, Method::PUT, path, None).await
    }

    async fn task(&self, task: TaskId) -> Result<Task> {
        let found = self.read(move |calls| {
            let wire: WireTask = calls.json(&format!("look at Director task {task}"), &route::task(task))?;
            Ok(Task::from(wire))
        });
        let found = found.await?;
        let has_failed = found.state.is_final() && found.state != TaskState::Done;
        if has_failed { Err(self.failure_of(found).await) } else { Ok(found) }
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        let action = format!("list the tasks of deployment {deployment}");
        let (open, newest) = (route::open_tasks(deployment), route::newest_tasks(deployment, limit));
        // The Director sorts by the time of the last change, which open tasks have not; where its database
        // puts those last the limit would cut off the very tasks that are looked for. Open ones come
        // first: one that ends in between is then in the second list.
        let mut found: Vec<Task> = self
            .read(move |calls| {
                let mut wire: Vec<WireTask> = calls.json(&action, &open)?;
                wire.extend(calls.json::<Vec<WireTask>>(&action, &newest)?);
                // The second list is the newer one, and the one that stays.
                Ok(wire.into_iter().rev().map(Task::from).collect())
            })
            .await?;
        found.sort_by_key(|task| std::cmp::Reverse(task.id));
        found.dedup_by_key(|task| task.id);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        let action = format!("cancel Director task {task}");
        match self.read(move |calls| calls.delete(&action, &route::cancel(task))).await {
            // Plain text: the task has ended already.
            Err(Error::Refused { code: 0, detail, .. }) if detail.contains("invalid state") => Ok(()),
            outcome => outcome,
        }
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        let listed: Vec<WireLock> = self.read(|calls| calls.json("list the locks", route::LOCKS)).await?;
        Ok(listed.into_iter().map(Lock::from).collect())
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        let listed: Vec<WireDisk> =
            self.read(|calls| calls.json("list the orphaned disks", route::DISKS)).await?;
        Ok(listed.into_iter().map(OrphanedDisk::from).collect())
    }

    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        let action = format!("delete orphaned disk {disk}");
        self.change(action, Method::DELETE, route::disk(disk), None).await
    }
}
