//! [`Director`] over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, GroupName, InstanceId, InstanceSlug, VmCid};
use serde_json::Value;

use crate::config::DirectorConfig;
use crate::transport::{Answer, Transport, Verb};
use crate::{
    Director, Error, Info, Instance, Lock, OrphanedDisk, Progress, Result, StopKind, Task, TaskId, TaskState,
};

/// Between two looks at a task: short at first, because most tasks of a restore are.
const POLL_FIRST: Duration = Duration::from_millis(50);
/// And at the most.
const POLL_MOST: Duration = Duration::from_secs(1);
/// How long the Director's view of the instances may take.
const INSTANCES_LIMIT: Duration = Duration::from_secs(300);
/// `X-Bosh-Context-Id` may be this long (code 70010 beyond).
const CONTEXT_MOST: usize = 64;

/// A Director, over its HTTP API.
#[derive(Clone, Debug)]
pub struct HttpDirector {
    transport: Arc<Transport>,
}

impl HttpDirector {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn new(config: &DirectorConfig) -> Result<Self> {
        Ok(Self { transport: Arc::new(Transport::new(config)?) })
    }

    /// Runs blocking work on a thread of its own.
    async fn on_thread<T: Send + 'static>(
        &self,
        action: &str,
        work: impl FnOnce(&Transport) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let transport = Arc::clone(&self.transport);
        let done = tokio::task::spawn_blocking(move || work(&transport)).await;
        done.map_err(|error| Error::Unanswered { action: action.to_owned(), source: Box::new(error) })?
    }

    async fn read(&self, action: &'static str, path: String) -> Result<Value> {
        let answer = self.on_thread(action, move |transport| transport.get(action, &path)).await?;
        json(action, &answer.body)
    }

    /// Asks for a change that becomes a task.
    async fn submit(
        &self,
        verb: Verb,
        action: String,
        path: String,
        context: Option<&str>,
    ) -> Result<TaskId> {
        let context = context.map(|text| text.chars().take(CONTEXT_MOST).collect::<String>());
        let name = action.clone();
        let answer =
            self.on_thread(&name, move |t| t.change(verb, &action, &path, context.as_deref())).await?;
        task_of(&name, &answer)
    }

    async fn action(
        &self,
        what: &str,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        query: &str,
        context: &str,
    ) -> Result<TaskId> {
        let InstanceSlug { group, id } = instance;
        let path = format!("/deployments/{deployment}/instance_groups/{group}/{id}/actions/{what}{query}");
        self.submit(Verb::Post, format!("{what} {deployment} {instance}"), path, Some(context)).await
    }

    async fn task(&self, task: TaskId) -> Result<Task> {
        let value = self.read("read a task", format!("/tasks/{task}")).await?;
        parse_task(&value).ok_or_else(|| garbled("read a task", "the answer is no task"))
    }

    /// The error of a task that ended badly, whole: `result` is cut, the event output is not.
    async fn failure(&self, task: Task) -> Error {
        let id = task.id;
        let path = format!("/tasks/{id}/output?type=event");
        let events =
            self.on_thread("read a task's events", move |t| t.get("read a task's events", &path)).await;
        let body = events.map(|answer| answer.body).unwrap_or_else(|error| {
            log::warn!(task = id.0, error:%; "the task's events cannot be read, its short result has to do");
            String::new()
        });
        let found = body.lines().rev().find_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let message = event["error"]["message"].as_str()?.to_owned();
            Some((event["error"]["code"].as_i64().unwrap_or_default(), message))
        });
        let (code, message) = found.unwrap_or_else(|| (0, task.result.unwrap_or_default()));
        let state = format!("{:?}", task.state).to_lowercase();
        Error::TaskFailed { task: id, description: task.description, state, code, message }
    }
}

#[async_trait]
impl Director for HttpDirector {
    async fn info(&self) -> Result<Info> {
        let value = self.read("read the Director's info", "/info".into()).await?;
        serde_json::from_value(value).map_err(|error| garbled("read the Director's info", &error.to_string()))
    }

    async fn deployments(&self) -> Result<Vec<DeploymentName>> {
        let path = "/deployments?exclude_configs=true&exclude_releases=true&exclude_stemcells=true";
        let value = self.read("list deployments", path.into()).await?;
        let names = value.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
        names
            .map(|name| DeploymentName::new(name).map_err(|e| garbled("list deployments", &e.to_string())))
            .collect()
    }

    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        const ACTION: &str = "list instances";
        let path = format!("/deployments/{deployment}/instances?format=full");
        let answer = self.on_thread(ACTION, move |transport| transport.get(ACTION, &path)).await?;
        let task = task_of(ACTION, &answer)?;
        self.wait(task, Instant::now() + INSTANCES_LIMIT, &|_| {}).await?;
        let path = format!("/tasks/{task}/output?type=result");
        let output = self.on_thread(ACTION, move |transport| transport.get(ACTION, &path)).await?;
        let lines = output.body.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| json(ACTION, line).and_then(|value| parse_instance(&value))).collect()
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        let query = match kind {
            StopKind::Soft => "",
            StopKind::Hard => "?hard=true",
            StopKind::HardWithoutDrain => "?hard=true&skip_drain=true",
        };
        self.action("stop", deployment, instance, query, context).await
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        self.action("start", deployment, instance, "", context).await
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        let InstanceSlug { group, id } = instance;
        let query = format!("deployment={deployment}&job={group}&instance_id={id}&disk_properties=copy");
        let path = format!("/disks/{}/attachments?{query}", escape(disk.as_str()));
        self.submit(Verb::Put, format!("attach disk {disk} to {deployment} {instance}"), path, None).await
    }

    async fn wait(&self, task: TaskId, deadline: Instant, progress: Progress<'_>) -> Result<Task> {
        let began = Instant::now();
        let mut pause = POLL_FIRST;
        loop {
            let state = self.task(task).await?;
            progress(&state);
            if state.state == TaskState::Done {
                return Ok(state);
            }
            if state.state.is_final() {
                return Err(self.failure(state).await);
            }
            if Instant::now() >= deadline {
                let Task { description, state, .. } = state;
                let (state, waited_seconds) =
                    (format!("{state:?}").to_lowercase(), began.elapsed().as_secs());
                return Err(Error::TaskTimeout { task, description, state, waited_seconds });
            }
            tokio::time::sleep(pause).await;
            // Never slower than a twentieth of what has been waited: a long task needs no quick answer.
            pause = (began.elapsed() / 20).clamp(POLL_FIRST, POLL_MOST);
        }
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        let path = format!("/tasks?deployment={deployment}&limit={limit}&verbose=2");
        let value = self.read("list tasks", path).await?;
        Ok(value.as_array().into_iter().flatten().filter_map(parse_task).collect())
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        let path = format!("/task/{task}");
        let cancelled = self
            .on_thread("cancel a task", move |t| t.change(Verb::Delete, "cancel a task", &path, None))
            .await;
        match cancelled {
            // Finished meanwhile: there is nothing left to cancel.
            Err(Error::Refused { detail, .. }) if detail.contains("invalid state") => Ok(()),
            other => other.map(drop),
        }
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        let value = self.read("list locks", "/locks".into()).await?;
        serde_json::from_value(value).map_err(|error| garbled("list locks", &error.to_string()))
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        let value = self.read("list orphaned disks", "/disks".into()).await?;
        serde_json::from_value(value).map_err(|error| garbled("list orphaned disks", &error.to_string()))
    }

    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        let path = format!("/disks/{}", escape(disk.as_str()));
        self.submit(Verb::Delete, format!("delete orphaned disk {disk}"), path, None).await
    }
}

fn garbled(action: &str, detail: &str) -> Error {
    Error::Unanswered { action: action.to_owned(), source: detail.to_owned().into() }
}

fn json(action: &str, body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|error| garbled(action, &error.to_string()))
}

/// The task that a redirect leads to.
fn task_of(action: &str, answer: &Answer) -> Result<TaskId> {
    let path = answer.location.as_deref().unwrap_or_default();
    let id = path.rsplit_once("/tasks/").and_then(|(_, id)| id.parse().ok());
    id.map(TaskId)
        .ok_or_else(|| garbled(action, &format!("status {} leads to no task (`{path}`)", answer.status)))
}

fn parse_task(value: &Value) -> Option<Task> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let state = match value["state"].as_str()? {
        "queued" => TaskState::Queued,
        "cancelling" => TaskState::Cancelling,
        "done" => TaskState::Done,
        "error" => TaskState::Error,
        "cancelled" => TaskState::Cancelled,
        "timeout" => TaskState::Timeout,
        // What later Directors invent is taken for running: the caller's deadline ends the wait.
        _ => TaskState::Processing,
    };
    Some(Task {
        id: TaskId(value["id"].as_u64()?),
        state,
        description: text("description").unwrap_or_default(),
        result: text("result"),
        deployment: text("deployment"),
        context_id: text("context_id").filter(|id| !id.is_empty()),
        started_at: value["started_at"].as_i64(),
    })
}

fn parse_instance(value: &Value) -> Result<Instance> {
    const ACTION: &str = "list instances";
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let wrong = |error: remount_core::IdError| garbled(ACTION, &error.to_string());
    let needed =
        |name: &str| text(name).ok_or_else(|| garbled(ACTION, &format!("an instance has no `{name}`")));
    let group = GroupName::new(needed("job_name")?).map_err(wrong)?;
    let id = InstanceId::new(needed("id")?).map_err(wrong)?;
    let disks = value["disk_cids"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut disks: Vec<DiskCid> = disks.map(DiskCid::new).collect::<Result<_, _>>().map_err(wrong)?;
    if let (true, Some(disk)) = (disks.is_empty(), text("disk_cid")) {
        disks.push(DiskCid::new(disk).map_err(wrong)?);
    }
    Ok(Instance {
        slug: InstanceSlug { group, id },
        index: value["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or_default(),
        az: text("az"),
        vm: text("vm_cid").map(VmCid::new).transpose().map_err(wrong)?,
        ips: value["ips"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        disks,
        desired: text("state").unwrap_or_default(),
        job_state: text("job_state"),
        bootstrap: value["bootstrap"].as_bool().unwrap_or_default(),
        ignored: value["ignore"].as_bool().unwrap_or_default(),
        vm_type: text("vm_type"),
    })
}

/// Percent-encodes what a CID may hold and a path element may not (Azure's have `:` and `;`).
fn escape(cid: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    cid.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
