//! The restored primary's first start. It is over for the restore when the server has come to its target: the Director's
//! task may need longer. A process beside PostgreSQL that writes at its start (cloudfoundry/postgres-release's
//! `pg_janitor` sets roles and passwords) fails until the server takes writes, and the Director waits for all processes.

use std::sync::atomic::{AtomicU32, Ordering};

use remount_core::documents::PlannedInstance;
use remount_host::Poll;
use remount_postgres::ServerStatus;

use super::context::RestoreContext;
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
    tokio::select! {
        biased;
        ended = swap::start(restore, primary) => ended,
        () = arrived(restore) => {
            let line = "at its target; the Director's start goes on meanwhile";
            restore.reporter.note(format!("{}: {line}", primary.instance));
            let mut notes = restore.notes();
            notes.open_start = notes.newest_task;
            Ok(())
        }
    }
}

/// Waits for the Director's task that [`start_until_arrived`], or a process before this one, has left open. Where it
/// failed, the instance is started once more: now its server takes writes.
///
/// # Errors
/// The instance does not run.
pub async fn end_of_start(restore: &RestoreContext<'_>, primary: &PlannedInstance) -> Result<()> {
    let open = restore.notes().open_start.take();
    let ended_well = match open {
        Some(task) => director_change::start_ended_well(restore, task).await?,
        // How those of a process before this one ended is not known.
        None => !director_change::wait_for_start(restore).await?,
    };
    if ended_well { Ok(()) } else { swap::start(restore, primary).await }
}

/// Ends when the server has arrived. What it cannot say is no end: the start tells why.
async fn arrived(restore: &RestoreContext<'_>) {
    let Some(instance) = restore.notes().primary.clone() else { return std::future::pending().await };
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
