//! The restored primary's first start. It is over for the restore when the server has come to its target: the Director's
//! task may need longer. A process beside PostgreSQL that writes at its start (cloudfoundry/postgres-release's
//! `pg_janitor` sets roles and passwords) fails until the server takes writes, and the Director waits for all processes.

use std::sync::atomic::{AtomicU32, Ordering};

use remount_core::documents::PlannedInstance;
use remount_director::Instance;
use remount_host::Poll;
use remount_postgres::ServerStatus;

use super::context::{FirstStart, RestoreContext};
use super::{director_change, swap};
use crate::wait::until;
use crate::{Result, instances};

/// So often in a row the server has to say that it has arrived: a task that ends in the same moment tells more.
const SEEN: u32 = 2;

/// Starts it, until the Director's task has ended or the server is at its target, whichever comes first.
///
/// # Errors
/// The start failed before.
pub async fn start_until_arrived(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Result<()> {
    restore.notes().first_start = FirstStart::Unseen;
    let accepted = || {
        let mut notes = restore.notes();
        notes.first_start = notes.newest_task.map_or(FirstStart::Unseen, FirstStart::LeftOpen);
    };
    tokio::select! {
        biased;
        ended = swap::start_as(restore, primary, accepted) => {
            ended?;
            restore.notes().first_start = FirstStart::EndedWell;
        }
        () = arrived(restore, primary) => {
            let line = "at its target; the Director's start goes on meanwhile";
            restore.reporter.note(format!("{}: {line}", primary.instance));
        }
    }
    Ok(())
}

/// Waits for the Director's task that [`start_until_arrived`], or a process before this one, has left open. Where it
/// failed, the instance is started once more: now its server takes writes. So it is where this process has not seen the
/// end, after a pause or in a resume: the start may have failed since, and a job beside PostgreSQL would be down without
/// a word. The Director leaves alone what runs.
///
/// # Errors
/// The instance does not run.
pub async fn end_of_start(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Result<()> {
    let known = restore.notes().first_start;
    let ended_well = match known {
        FirstStart::EndedWell => true,
        FirstStart::LeftOpen(task) => director_change::start_ended_well(restore, task).await?,
        FirstStart::Unseen => {
            director_change::wait_for_start(restore).await?; // It holds the lock that the next one needs.
            false
        }
    };
    if !ended_well {
        swap::start(restore, primary).await?;
    }
    restore.notes().first_start = FirstStart::EndedWell;
    Ok(())
}

/// Ends the start that has been left open, so that the instance can be stopped: for a job that waits for writes it would
/// go on as long as the Director watches.
///
/// # Errors
/// The Director does not answer, or the lease is lost.
pub async fn cut_short(restore: &RestoreContext<'_>) -> Result<()> {
    let known = restore.notes().first_start;
    if known == FirstStart::EndedWell { Ok(()) } else { director_change::settle(restore).await }
}

/// Ends when the server has arrived. What it cannot say is no end: the start tells why.
async fn arrived(restore: &RestoreContext<'_>, primary: &PlannedInstance) {
    let Some(instance) = known(restore, primary).await else { return std::future::pending().await };
    let (seen, limit) = (AtomicU32::new(0), restore.ctx.timeouts.start);
    let ours = |status: &ServerStatus| {
        status.applied_restore.as_ref() == Some(&restore.plan.id) && status.recovery.arrived().is_some()
    };
    let waited = until(restore.ctx, "the target", limit, || async {
        let status = instances::status(restore.ctx, &instance).await;
        let times =
            if status.is_ok_and(|status| ours(&status)) { seen.load(Ordering::Relaxed) + 1 } else { 0 };
        seen.store(times, Ordering::Relaxed);
        Ok(if times >= SEEN { Poll::Ready(()) } else { Poll::NotYet(String::new()) })
    });
    if waited.await.is_err() {
        std::future::pending::<()>().await; // The start is cancelled too, and has the same limit.
    }
}

/// As it was before its stop, or, where another process has stopped it, as it is.
async fn known(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Option<Instance> {
    let before = restore.notes().primary.clone();
    if before.is_some() {
        return before;
    }
    let all = instances::all(restore.ctx, &restore.plan.deployment).await.ok()?;
    all.into_iter().find(|instance| instance.slug == primary.instance)
}
