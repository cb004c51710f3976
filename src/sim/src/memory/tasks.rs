//! The Director's tasks: workers, the deployment's lock, checkpoints (`docs/reference/bosh-director.md`, sections 2, 7). What
//! they do to instances and disks is in `actions`.
//!
//! A task that is cancelled ends where it would begin, or at the checkpoint of an action; an attach has none.

use std::sync::Arc;
use std::time::Duration;

use remount_core::{DiskCid, InstanceSlug};
use remount_director::{StopKind, Task, TaskId, TaskState};
use tokio::sync::{MutexGuard, Notify};

use super::MemoryLandscape;
use super::faults::Fault;
use super::objects::BEGINNING;
use super::state::MemoryTask;

/// How long a Director's task waits for its deployment's lock.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long a start that needs writes waits for them.
const UPDATE_WATCH: Duration = Duration::from_secs(5);
/// A task's `result` is cut to about so many characters.
const RESULT_LENGTH: usize = 128;

/// What a task is to do.
#[derive(Clone, Debug)]
pub enum Work {
    Stop(InstanceSlug, StopKind),
    Start(InstanceSlug),
    Recreate(InstanceSlug),
    /// Makes a VM anew and leaves the instance as it is to be.
    Resurrect(InstanceSlug),
    /// Goes on until it is notified.
    Errand(Arc<Notify>),
    Attach(InstanceSlug, DiskCid),
    DeleteOrphan(DiskCid),
}

/// Code and message.
pub type Failure = (i64, String);

/// The code of a task that was cancelled.
const CANCELLED: i64 = 10_001;

impl Work {
    /// As a Director has it: an action names no instance.
    pub fn description(&self) -> String {
        match self {
            Self::Stop(..) => "stop instance".into(),
            Self::Start(_) => "start instance".into(),
            Self::Recreate(_) => "recreate instance".into(),
            Self::Resurrect(_) => "scan and fix".into(),
            Self::Errand(_) => "run errand check from deployment".into(),
            Self::Attach(instance, disk) => format!("attach disk '{disk}' to '{instance}'"),
            Self::DeleteOrphan(_) => "delete orphan disks".into(),
        }
    }

    pub const fn has_deployment(&self) -> bool {
        !matches!(self, Self::DeleteOrphan(_))
    }

    /// Attach and delete take no lock of the deployment.
    const fn locks(&self) -> bool {
        !matches!(self, Self::Attach(..) | Self::DeleteOrphan(_))
    }

    /// An attach that has begun is not cancelled any more.
    const fn has_checkpoints(&self) -> bool {
        !matches!(self, Self::Attach(..))
    }
}

/// The deployment's lock, as long as this lives.
struct HeldLock<'a> {
    landscape: &'a MemoryLandscape,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for HeldLock<'_> {
    fn drop(&mut self) {
        self.landscape.state().lock_holder = None;
    }
}

impl MemoryLandscape {
    /// Queues a task: it goes on whoever waits for it.
    pub(crate) fn accept_task(&self, work: Work, context: &str, fault: Option<Fault>) -> TaskId {
        let mut state = self.state();
        let id = TaskId(state.number());
        let task = Task {
            id,
            state: TaskState::Queued,
            word: word(TaskState::Queued),
            description: work.description(),
            result: None,
            deployment: work.has_deployment().then(|| self.deployment().to_string()),
            context_id: (!context.is_empty()).then(|| context.to_owned()),
            started_at: None,
        };
        state.tasks.push(MemoryTask { task, error: None });
        drop(state);
        let landscape = self.clone();
        tokio::spawn(async move { landscape.run_task(id, work, fault).await });
        id
    }

    /// Seconds since 1970 by the Director's clock.
    fn director_second(&self) -> i64 {
        BEGINNING.as_second() + i64::try_from(self.inner.begun.elapsed().as_secs()).unwrap_or(i64::MAX / 2)
    }

    /// A deploy that has ended well.
    pub(crate) fn note_deploy(&self) {
        let started_at = Some(self.director_second());
        let mut state = self.state();
        let task = Task {
            id: TaskId(state.number()),
            state: TaskState::Done,
            word: word(TaskState::Done),
            description: "create deployment".into(),
            result: Some(String::new()),
            deployment: Some(self.deployment().to_string()),
            context_id: None,
            started_at,
        };
        state.tasks.push(MemoryTask { task, error: None });
    }

    /// Runs a task to its end.
    async fn run_task(&self, id: TaskId, work: Work, fault: Option<Fault>) {
        let worker = self.inner.workers.acquire().await;
        let outcome = match self.begin(id) {
            Ok(()) => self.work(id, &work, fault).await,
            Err(failure) => Err(failure),
        };
        drop(worker);
        self.end(id, outcome);
    }

    /// A worker takes the task, unless it was cancelled in the queue.
    fn begin(&self, id: TaskId) -> Result<(), Failure> {
        self.checkpoint(id)?;
        let now = self.director_second();
        let mut state = self.state();
        if let Some(known) = state.task_mut(id) {
            known.task.started_at = Some(now);
            (known.task.state, known.task.word) = (TaskState::Processing, word(TaskState::Processing));
        }
        Ok(())
    }

    /// The task's result.
    async fn work(&self, id: TaskId, work: &Work, fault: Option<Fault>) -> Result<String, Failure> {
        let time = self.state().task_time;
        let slow = if let Some(Fault::SlowTask(time)) = fault { time } else { Duration::ZERO };
        tokio::time::sleep(time + slow).await;
        let _lock = if work.locks() { Some(self.lock(id).await?) } else { None };
        if work.has_checkpoints() {
            self.checkpoint(id)?;
        }
        match fault {
            Some(Fault::Locked) => return Err(self.locked_by(id)),
            Some(Fault::FailTask) => return Err((100, "injected".into())),
            _ => {}
        }
        let half = fault == Some(Fault::HalfTask);
        let result = self.perform(work, half).await?;
        if fault == Some(Fault::NeedsWrites) {
            self.await_writes(id, work).await?;
        }
        if half { Err((100, "injected after the work".into())) } else { Ok(result) }
    }

    /// Until a server takes writes; at most as long as the Director watches an update in a manifest of ours.
    async fn await_writes(&self, id: TaskId, work: &Work) -> Result<(), Failure> {
        let until = tokio::time::Instant::now() + UPDATE_WATCH;
        while self.state().primary().is_none() {
            self.checkpoint(id)?;
            if tokio::time::Instant::now() >= until {
                self.beside_is_down(work);
                return Err((450_001, "'postgres/0' is not running after update".into()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn beside_is_down(&self, work: &Work) {
        let Work::Start(slug) = work else { return };
        let mut state = self.state();
        if let Some(index) = state.position(slug) {
            state.instances[index].beside_is_down = true;
        }
    }

    async fn lock(&self, id: TaskId) -> Result<HeldLock<'_>, Failure> {
        let wait = self.state().lock_wait;
        match tokio::time::timeout(wait, self.inner.lock.lock()).await {
            Ok(guard) => {
                self.state().lock_holder = Some(id);
                Ok(HeldLock { landscape: self, _guard: guard })
            }
            Err(_) => {
                let holder = self.state().lock_holder;
                Err(self.locked_by(holder.unwrap_or(id)))
            }
        }
    }

    fn locked_by(&self, holder: TaskId) -> Failure {
        let description =
            self.state().task_mut(holder).map_or_else(String::new, |known| known.task.description.clone());
        let lock = format!("lock:deployment:{}", self.deployment());
        let message = format!(
            "Failed to acquire lock for {lock} uid: memory. Locking task id is {holder}, description: '{description}'"
        );
        (100, message)
    }

    /// Fails where the task was cancelled.
    fn checkpoint(&self, id: TaskId) -> Result<(), Failure> {
        let cancelled =
            self.state().task_mut(id).is_some_and(|known| known.task.state == TaskState::Cancelling);
        if cancelled { Err((CANCELLED, format!("Task {id} cancelled"))) } else { Ok(()) }
    }

    fn end(&self, id: TaskId, outcome: Result<String, Failure>) {
        let mut state = self.state();
        let Some(known) = state.task_mut(id) else { return };
        let (to, result) = match &outcome {
            Ok(result) => (TaskState::Done, cut(result)),
            Err((CANCELLED, _)) => (TaskState::Cancelled, "task cancelled".into()),
            Err((_, message)) => (TaskState::Error, cut(message)),
        };
        (known.task.state, known.task.word, known.task.result) = (to, word(to), Some(result));
        known.error = outcome.err();
    }
}

/// The Director's word for a state.
pub fn word(state: TaskState) -> String {
    format!("{state:?}").to_lowercase()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= RESULT_LENGTH {
        return text.to_owned();
    }
    let head: String = text.chars().take(RESULT_LENGTH).collect();
    format!("{head}...")
}
