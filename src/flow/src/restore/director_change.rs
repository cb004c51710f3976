//! Changes by the Director, followed to their end. A lost answer is settled by looking for the task; a
//! lock that another task holds is waited for.

use std::time::{Duration, Instant as StdInstant};

use remount_core::{DiskCid, InstanceSlug};
use remount_director::{Error, Follow, QueueNotice, StopKind, Task, TaskId, TaskState, follow};
use tokio::time::{Instant, sleep};

use super::context::RestoreContext;
use super::lock_notice::name_the_lock;
use crate::{FlowError, Result};

/// How often a request is sent again whose answer was lost and of which the Director knows no task.
const MAX_SENDS: u32 = 3;
/// How many of a deployment's newest tasks are searched.
const SEARCHED: u32 = 50;
/// Between two attempts at a lock; each makes the Director wait 10 s for it.
const LOCK_PAUSE: Duration = Duration::from_millis(750);
/// Our job on the database's VMs.
const AGENT_JOB: &str = "remount-agent";
/// Between two attempts at a login.
const LOGIN_PAUSE: Duration = Duration::from_secs(1);

/// A change to one instance.
#[derive(Clone, Debug)]
pub enum Change<'x> {
    /// Stop it.
    Stop(StopKind),
    /// Start it.
    Start,
    /// Recreate its VM: its agent does not answer.
    Recreate,
    /// Put a disk in the place of its own.
    Attach(&'x DiskCid),
}

impl Change<'_> {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Stop(_) => "stop",
            Self::Start => "start",
            Self::Recreate => "recreate",
            Self::Attach(_) => "attach",
        }
    }

    fn limit(&self, restore: &RestoreContext<'_>) -> Duration {
        match self {
            Self::Stop(_) => restore.ctx.timeouts.stop,
            Self::Start | Self::Recreate => restore.ctx.timeouts.start,
            Self::Attach(_) => restore.ctx.timeouts.attach,
        }
    }

    fn action(&self, instance: &InstanceSlug) -> String {
        match self {
            Self::Attach(disk) => format!("attach disk {disk} to {instance}"),
            other => format!("{} {instance}", other.verb()),
        }
    }
}

/// Makes a change and waits for its end. `accepted` is called when the Director has taken it.
pub async fn change(
    restore: &RestoreContext<'_>,
    instance: &InstanceSlug,
    change: Change<'_>,
    accepted: impl Fn(),
) -> Result<()> {
    let _waiting = restore.reporter.waiting_for_director();
    let locked_until = Instant::now() + restore.ctx.timeouts.lock;
    let (mut attempt, mut disturbed) = (0, false);
    loop {
        attempt += 1;
        let task = accept(restore, instance, &change, attempt).await?;
        accepted();
        match follow_task(restore, task, change.limit(restore)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_locked() && Instant::now() < locked_until => {
                name_the_lock(restore, &change.action(instance), &error).await;
                pause(restore, LOCK_PAUSE, "the Director's lock").await?;
            }
            // BOSH runs all jobs' pre-starts in parallel: one that walks through the data directory (`chown -R`, as
            // cloudfoundry/postgres-release's does) stumbles over the files that applying a plan removes. Applied it is
            // by then, so that a second start finds nothing to remove.
            Err(error)
                if matches!(change, Change::Start) && !disturbed && error.spared_pre_start(AGENT_JOB) =>
            {
                disturbed = true;
                restore
                    .reporter
                    .note(format!("{instance}: another job's pre-start failed beside ours, once more"));
            }
            Err(error) => return Err(FlowError::director(change.action(instance))(error)),
        }
    }
}

/// Sends the request until the Director has a task for it.
async fn accept(
    restore: &RestoreContext<'_>,
    instance: &InstanceSlug,
    change: &Change<'_>,
    attempt: u32,
) -> Result<TaskId> {
    let context = context_of(restore, instance, change, attempt);
    let failed = || FlowError::director(change.action(instance));
    let mut sending = 1;
    let login_until = Instant::now() + restore.ctx.timeouts.login;
    loop {
        restore.fence().await?;
        let task = match send(restore, instance, change, &context).await {
            // Only here: by the next try another process may have taken over.
            Err(error @ Error::NotSent { .. }) if Instant::now() < login_until => {
                log::warn!(error:% = remount_core::with_causes(&error); "nothing was sent, trying again");
                pause(restore, LOGIN_PAUSE, "a login at the Director").await?;
                continue;
            }
            Err(Error::Unanswered { action, source }) => {
                restore.reporter.note(format!("{action}: no answer, looking for the task"));
                match lost(restore, change, &context).await.map_err(failed())? {
                    Some(task) => task,
                    None if sending < MAX_SENDS => {
                        sending += 1;
                        continue;
                    }
                    None => return Err(failed()(Error::Unanswered { action, source })),
                }
            }
            outcome => outcome.map_err(failed())?,
        };
        let mut notes = restore.notes();
        notes.newest_task = notes.newest_task.max(Some(task));
        return Ok(task);
    }
}

async fn send(
    restore: &RestoreContext<'_>,
    instance: &InstanceSlug,
    change: &Change<'_>,
    context: &str,
) -> Result<TaskId, Error> {
    let (director, deployment) = (&restore.ctx.director, &restore.plan.deployment);
    match change {
        Change::Stop(kind) => director.stop(deployment, instance, *kind, context).await,
        Change::Start => director.start(deployment, instance, context).await,
        Change::Recreate => director.recreate(deployment, instance, context).await,
        Change::Attach(disk) => director.attach_disk(deployment, instance, disk).await,
    }
}

/// At most 64 characters: the restore, this process's lease, what is wanted of whom, which attempt.
fn context_of(
    restore: &RestoreContext<'_>,
    instance: &InstanceSlug,
    change: &Change<'_>,
    attempt: u32,
) -> String {
    let id: String = instance.id.as_str().chars().take(8).collect();
    let n = restore.notes().newest_task.map_or(0, |task| task.0);
    format!("{}-e{}-{}-{id}-{n}-{attempt}", restore.plan.id, restore.lease.epoch(), change.verb())
}

/// The task of a request whose answer was lost; none where the Director has none after a while.
async fn lost(
    restore: &RestoreContext<'_>,
    change: &Change<'_>,
    context: &str,
) -> Result<Option<TaskId>, Error> {
    let deadline = Instant::now() + restore.ctx.timeouts.lost_answer;
    let floor = restore.notes().newest_task;
    loop {
        let tasks = newest(restore).await?;
        let ours = |task: &&Task| match change {
            Change::Attach(disk) => Some(task.id) > floor && names(task, disk),
            _ => task.context_id.as_deref() == Some(context),
        };
        if let Some(task) = tasks.iter().find(ours) {
            return Ok(Some(task.id));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        // The wish to stop does not end this: whether the change was made has to be known.
        sleep(restore.ctx.timeouts.poll.first).await;
    }
}

async fn newest(restore: &RestoreContext<'_>) -> Result<Vec<Task>, Error> {
    restore.ctx.director.tasks(&restore.plan.deployment, SEARCHED).await
}

/// Whether an attach task is about this disk: tasks of that kind carry no context, but name the CID.
fn names(task: &Task, disk: &DiskCid) -> bool {
    let words = task.description.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'));
    words.into_iter().any(|word| word == disk.as_str())
}

async fn follow_task(restore: &RestoreContext<'_>, task: TaskId, limit: Duration) -> Result<(), Error> {
    let queue = QueueNotice::since(StdInstant::now());
    let progress = |task: &Task| {
        log::debug!(task = task.id.0, state:% = task.state; "waiting for the Director");
        if let Some(line) = queue.notice(task, StdInstant::now()) {
            restore.reporter.note(line);
        }
    };
    let deadline = StdInstant::now() + limit;
    let how = Follow {
        deadline,
        pace: restore.ctx.timeouts.task,
        cancellation: &restore.ctx.cancellation,
        progress: &progress,
    };
    follow(&*restore.ctx.director, task, how).await.map(|_| ())
}

/// Waits a moment, unless somebody asks to stop.
async fn pause(restore: &RestoreContext<'_>, pause: Duration, what: &str) -> Result<()> {
    let waiting_for = || FlowError::WaitCancelled { waiting_for: what.into() };
    let cancelled = restore.ctx.cancellation.run_until_cancelled(sleep(pause)).await;
    cancelled.ok_or_else(waiting_for)
}

/// Notes the newest task, so that a lost answer's task can be told from an old one of the same disk.
pub async fn note_newest(restore: &RestoreContext<'_>) -> Result<()> {
    let tasks = newest(restore).await.map_err(FlowError::director("read the newest tasks"))?;
    let mut notes = restore.notes();
    notes.newest_task = notes.newest_task.max(tasks.iter().map(|task| task.id).max());
    Ok(())
}

/// Waits until no task of this restore goes on any more: a process before this one, or a wait that gave up,
/// may have left some. A start is cancelled: it would wait for a replay that is not wanted any more.
pub async fn settle(restore: &RestoreContext<'_>) -> Result<()> {
    let action = "wait for the open tasks of this restore";
    let disks = restore.notes().new_disks.values().cloned().collect::<Vec<_>>();
    let olds = restore.plan.instances.iter().filter_map(|planned| planned.old_disk.clone());
    let disks: Vec<DiskCid> = disks.into_iter().chain(olds).collect();
    let tasks = newest(restore).await.map_err(FlowError::director(action))?;
    let open = tasks.into_iter().filter(|task| !task.state.is_final() && is_ours(restore, task, &disks));
    for task in open {
        restore
            .reporter
            .note(format!("Director task {} ({}) is still {}", task.id, task.description, task.state));
        if task.context_id.as_deref().is_some_and(|context| context.contains("-start-")) {
            restore.fence().await?; // By now it may be the start of the process that took over.
            restore.ctx.director.cancel(task.id).await.map_err(FlowError::director(action))?;
        }
        let _waiting = restore.reporter.waiting_for_director();
        match follow_task(restore, task.id, restore.ctx.timeouts.stop).await {
            Ok(()) | Err(Error::TaskFailed { .. }) => {}
            Err(error) => return Err(FlowError::director(action)(error)),
        }
    }
    note_newest(restore).await
}

/// Waits for a start that a process before this one asked for: replay may take long and must not start again.
/// Answers whether there was one. How it ended does not matter here: starting again shows it.
pub async fn wait_for_start(restore: &RestoreContext<'_>) -> Result<bool> {
    let action = "wait for the start that a process before this one asked for";
    let tasks = newest(restore).await.map_err(FlowError::director(action))?;
    let mut waited = false;
    for task in tasks.into_iter().filter(|task| !task.state.is_final() && is_ours(restore, task, &[])) {
        waited = true;
        let _waiting = restore.reporter.waiting_for_director();
        match follow_task(restore, task.id, restore.ctx.timeouts.start).await {
            Ok(()) | Err(Error::TaskFailed { .. }) => {}
            Err(error) => return Err(FlowError::director(action)(error)),
        }
    }
    note_newest(restore).await?;
    Ok(waited)
}

/// Waits for the end of a start. Answers whether it did all that it was to do.
pub async fn start_ended_well(restore: &RestoreContext<'_>, task: TaskId) -> Result<bool> {
    let _waiting = restore.reporter.waiting_for_director();
    match follow_task(restore, task, restore.ctx.timeouts.start).await {
        Ok(()) => Ok(true),
        Err(Error::TaskFailed { .. }) => Ok(false),
        Err(error) => Err(FlowError::director("wait for the start of the restored primary")(error)),
    }
}

fn is_ours(restore: &RestoreContext<'_>, task: &Task, disks: &[DiskCid]) -> bool {
    let context = task.context_id.as_deref().unwrap_or_default();
    let asked = context.starts_with(restore.plan.id.as_str());
    asked || (task.state != TaskState::Done && disks.iter().any(|disk| names(task, disk)))
}
