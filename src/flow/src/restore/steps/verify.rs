//! Step 11: the restored primary proves itself, while it is in recovery and nobody can write. Success is this, not the
//! end of tasks. With `--pause` the restore stops after it, for a person to look.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::{Lsn, TimelineId};
use remount_director::Instance;
use remount_postgres::{Recovery, ServerStatus};

use super::RestoreStep;
use crate::instances;
use crate::restore::archive::fork_of;
use crate::restore::context::RestoreContext;
use crate::restore::left_recovery::LEFT_BY_ITSELF;
use crate::wait::until;
use crate::{FlowError, Problem, Result};
use remount_host::Poll;
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Verify;

/// What the restored primary has proved: step `promote` has this state promoted, and no other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// The timeline that recovery follows.
    pub timeline: TimelineId,
    /// Where replay stopped.
    pub replayed_to: Lsn,
    /// When the last transaction that it replayed was committed, where it says so.
    pub last_commit: Option<Timestamp>,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Verify {
    type Output = Verified;

    const NAME: RestoreStep = RestoreStep::Verify;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Verified> {
        let (instance, status) = arrived(restore).await?;
        if status.recovery == Recovery::Ended {
            // PostgreSQL does not stop at a target where hot standby is not active, but goes on by itself.
            restore.put_aside(LEFT_BY_ITSELF).await?;
            restore.warn(format!("{}: {LEFT_BY_ITSELF}", instance.slug));
        }
        let (replayed_to, last_commit) = position(restore, &status).await?;
        check(restore, &status, replayed_to)?;
        restore.notes().primary = Some(instance);
        Ok(Verified { timeline: restore.plan.path.history.timeline, replayed_to, last_commit })
    }

    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(()) // The new disk goes as a whole.
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Verified>> {
        Ok(Probe::NotDone)
    }
}

/// Waits until the server is where the plan wants it. First at its address from before the stop, which an instance keeps
/// when its VM is recreated: asking the Director for it takes a task.
async fn arrived(restore: &RestoreContext<'_>) -> Result<(Instance, ServerStatus)> {
    let timeouts = &restore.ctx.timeouts;
    let before = restore.notes().primary.clone();
    if let Some(instance) = before
        && let Ok(status) = arrived_at(restore, &instance, timeouts.lost_answer).await
    {
        return Ok((instance, status));
    }
    let instance = restore.instance(&restore.primary()?.instance).await?;
    let status = arrived_at(restore, &instance, timeouts.verify).await?;
    Ok((instance, status))
}

async fn arrived_at(
    restore: &RestoreContext<'_>,
    instance: &Instance,
    limit: Duration,
) -> Result<ServerStatus> {
    let what = format!("{} at its target", instance.slug);
    let _waiting = restore.reporter.waiting_for_postgres();
    until(restore.ctx, what, limit, || async {
        Ok(match instances::status(restore.ctx, instance).await {
            Ok(status) if is_there(restore, &status) => Poll::Ready(status),
            Ok(status) => Poll::NotYet(status.recovery.to_string()),
            Err(error) => Poll::NotYet(Problem::of(&error).what),
        })
    })
    .await
}

/// What another disk's server says, or one that applied another plan, is told by the check.
fn is_there(restore: &RestoreContext<'_>, status: &ServerStatus) -> bool {
    let ours = status.applied_restore.as_ref() == Some(&restore.plan.id);
    !ours || status.recovery == Recovery::Ended || status.recovery.arrived().is_some()
}

/// Where replay stopped: what the server says, or where its timeline's history says that it began.
async fn position(restore: &RestoreContext<'_>, status: &ServerStatus) -> Result<(Lsn, Option<Timestamp>)> {
    match (&status.recovery, status.replayed_to) {
        (Recovery::AtTarget { lsn, last_commit } | Recovery::AtEnd { lsn, last_commit }, _) => {
            Ok((*lsn, *last_commit))
        }
        (Recovery::Ended, Some(lsn)) => Ok((lsn, None)),
        (Recovery::Ended, None) => Ok((fork_of(restore, status.timeline).await?.lsn, None)),
        _ => Ok((status.lsn, None)),
    }
}

fn check(restore: &RestoreContext<'_>, status: &ServerStatus, replayed_to: Lsn) -> Result<()> {
    let path = &restore.plan.path;
    let (minimum, mut wrong) = (restore.minimum_lsn()?, Vec::new());
    if status.system_identifier != path.system_identifier {
        wrong.push(format!(
            "system identifier {} instead of {}",
            status.system_identifier, path.system_identifier
        ));
    }
    if status.recovery != Recovery::Ended && !path.history.includes(status.timeline) {
        wrong.push(format!(
            "timeline {}, which does not lead to timeline {}",
            status.timeline, path.history.timeline
        ));
    }
    if status.applied_restore.as_ref() != Some(&restore.plan.id) {
        let applied = status.applied_restore.as_ref().map_or("none".into(), ToString::to_string);
        wrong.push(format!("its disk has applied restore {applied}"));
    }
    if replayed_to < minimum {
        wrong.push(format!("replay stopped at {replayed_to}, before {minimum}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let what = format!("the restored primary is not what was planned: {}", wrong.join("; "));
    Err(FlowError::check(what, "read PostgreSQL's log of the recovery below /var/vcap/sys/log/postgres"))
}
