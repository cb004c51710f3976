//! The Director itself: its configuration, its state, and the threads that work on its tasks.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::config::LabDirectorConfig;
use super::error::{DirectorError, Result};
use super::faults::FaultKind;
use super::ids::uuid;
use super::state::State;
use super::task_context::TaskContext;
use super::tasks::{Job, NewTask, Queue};

/// How long a worker waits before it looks at the queue without having been woken.
const IDLE: Duration = Duration::from_secs(1);

/// One Director.
pub(crate) struct LabDirector {
    pub(crate) config: LabDirectorConfig,
    pub(crate) uuid: String,
    pub(crate) stopping: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

/// Without the state: rendered files and tokens are secrets.
impl fmt::Debug for LabDirector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabDirector").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

impl LabDirector {
    pub(crate) fn new(config: LabDirectorConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            uuid: uuid(),
            stopping: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The state; a panicking job cannot leave it half changed, as no job holds it across a call.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the state until it changed, or `limit` passed.
    pub(crate) fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes everybody who waits for a change.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.changed.notify_all();
        outcome
    }

    /// Queues a task.
    pub(crate) fn enqueue(&self, new: NewTask, job: Job) -> u64 {
        self.write(|state| state.tasks.enqueue(new, job))
    }

    /// Starts the workers and their heartbeat.
    pub(crate) fn start_threads(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let mut threads = Vec::new();
        for number in 0..self.config.workers.max(1) {
            let dedicated = self.config.dedicated_status_worker && self.config.workers > 1 && number == 0;
            let only = dedicated.then_some(Queue::Urgent);
            let director = Arc::clone(self);
            let builder = std::thread::Builder::new().name(format!("worker_{}", number + 1));
            threads.push(builder.spawn(move || director.work(only))?);
        }
        let director = Arc::clone(self);
        let builder = std::thread::Builder::new().name("checkpoints".into());
        threads.push(builder.spawn(move || director.confirm_living())?);
        Ok(threads)
    }

    /// Tells all threads to end at their next checkpoint.
    pub(crate) fn stop(&self) {
        self.write(|_| self.stopping.store(true, Ordering::Relaxed));
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A worker's life: one task after the other.
    fn work(self: Arc<Self>, only: Option<Queue>) {
        while let Some((id, job)) = self.next_task(only) {
            self.run(id, job);
        }
    }

    fn next_task(&self, only: Option<Queue>) -> Option<(u64, Job)> {
        let mut state = self.lock();
        while !self.is_stopping() {
            let State { tasks, faults, .. } = &mut *state;
            if let Some(next) = tasks.next(only, |row| faults.holds(row.operation, &row.about())) {
                return Some(next);
            }
            state = self.wait(state, IDLE);
        }
        None
    }

    fn run(self: &Arc<Self>, id: u64, job: Job) {
        let found = self.read(|s| s.tasks.get(id).map(|row| (row.operation, row.about())));
        let Ok((operation, about)) = found else { return };
        if self.write(|s| s.faults.take(operation, &about, |k| k == FaultKind::WorkerDies)).is_some() {
            self.write(|s| s.tasks.get_mut(id).map(|row| row.abandoned = true)).unwrap_or_default();
            return;
        }
        let cx = TaskContext { director: Arc::clone(self), id, operation, about };
        let outcome = catch_unwind(AssertUnwindSafe(|| perform(&cx, job)))
            .unwrap_or_else(|panic| Err(DirectorError::generic(panic_text(panic.as_ref()))));
        self.write(|s| {
            if let Ok(row) = s.tasks.get_mut(id) {
                row.finish(outcome);
            }
        });
    }

    fn confirm_living(self: Arc<Self>) {
        let mut state = self.lock();
        let interval = self.config.checkpoint_interval;
        let mut next = std::time::Instant::now() + interval;
        while !self.is_stopping() {
            if std::time::Instant::now() >= next {
                state.tasks.confirm_living();
                next = std::time::Instant::now() + interval;
            }
            let left = next.saturating_duration_since(std::time::Instant::now());
            state = self.wait(state, left.max(Duration::from_millis(1)));
        }
    }
}

fn perform(cx: &TaskContext, job: Job) -> Result<Option<String>> {
    let delay = cx.director.write(|s| s.faults.task_delay(cx.operation, &cx.about));
    if delay > Duration::ZERO {
        cx.pause(delay)?;
    }
    cx.fail_if_told(FaultKind::FailBefore)?;
    let outcome = job(cx)?;
    // An attach rolls its rows back itself, before it comes here.
    cx.fail_if_told(FaultKind::FailAfter)?;
    Ok(outcome)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the task's code panicked: {}", text.unwrap_or_default())
}
