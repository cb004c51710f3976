//! Step 11: the restored primary proves itself. Success is this, not the end of tasks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::documents::StepTimes;
use remount_core::{Lsn, Role, TimelineId};
use remount_director::Instance;
use remount_postgres::ServerStatus;

use super::RestoreStep;
use crate::instances;
use crate::restore::archive::fork_of;
use crate::restore::context::RestoreContext;
use crate::wait::until;
use crate::{FlowError, Problem, Result};
use remount_host::Poll;
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Verify;

/// What the restored primary has proved.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// The timeline it is on.
    pub timeline: TimelineId,
    /// Where replay stopped.
    pub replayed_to: Lsn,
    /// The position of the write that was tried.
    pub written_at: Lsn,
    /// How long nothing served; none where another process had stopped the primary.
    pub downtime: Option<StepTimes>,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Verify {
    type Output = Verified;

    const NAME: RestoreStep = RestoreStep::Verify;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Verified> {
        // Recovery has ended: whatever the checks find, users may have written by now.
        restore.may_have_served.store(true, Ordering::Release);
        let (instance, status) = promoted(restore).await?;
        let waiting = restore.reporter.waiting_for_postgres();
        let replayed_to = replayed_to(restore, &status).await?;
        check(restore, &status, replayed_to)?;
        let server = instances::server(restore.ctx, &instance)?;
        let slug = &instance.slug;
        let probe =
            server.write_probe().await.map_err(FlowError::server("write to the restored primary", slug))?;
        drop(waiting);
        let down = restore.notes().down_since.take();
        let downtime = down.map(|(since, waited)| {
            let waited = restore.reporter.waited().since(waited);
            StepTimes {
                seconds: since.elapsed().as_secs_f64(),
                director_seconds: waited.director.as_secs_f64(),
                postgres_seconds: waited.postgres.as_secs_f64(),
            }
        });
        Ok(Verified { timeline: status.timeline, replayed_to, written_at: probe.lsn, downtime })
    }

    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(()) // The new disk goes as a whole.
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Verified>> {
        Ok(Probe::NotDone)
    }
}

/// Waits until the server answers and is out of recovery. First at its address from before the stop, which an
/// instance keeps when its VM is recreated: asking the Director for it takes a task.
async fn promoted(restore: &RestoreContext<'_>) -> Result<(Instance, ServerStatus)> {
    let timeouts = &restore.ctx.timeouts;
    let before = restore.notes().primary.clone();
    if let Some(instance) = before
        && let Ok(status) = promoted_at(restore, &instance, timeouts.lost_answer).await
    {
        return Ok((instance, status));
    }
    let instance = restore.instance(&restore.primary()?.instance).await?;
    let status = promoted_at(restore, &instance, timeouts.verify).await?;
    Ok((instance, status))
}

async fn promoted_at(
    restore: &RestoreContext<'_>,
    instance: &Instance,
    limit: Duration,
) -> Result<ServerStatus> {
    let what = format!("{} out of recovery", instance.slug);
    let _waiting = restore.reporter.waiting_for_postgres();
    until(restore.ctx, what, limit, || async {
        Ok(match instances::status(restore.ctx, instance).await {
            Ok(status) if status.role == Role::Primary => Poll::Ready(status),
            Ok(status) => Poll::NotYet(format!("still in recovery at {}", status.lsn)),
            Err(error) => Poll::NotYet(Problem::of(&error).what),
        })
    })
    .await
}

/// Where replay stopped: what the server says, or where its timeline's history says that it began.
async fn replayed_to(restore: &RestoreContext<'_>, status: &ServerStatus) -> Result<Lsn> {
    if let Some(lsn) = status.replayed_to {
        return Ok(lsn);
    }
    Ok(fork_of(restore, status.timeline).await?.lsn)
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
    if !is_new(restore, status.timeline) {
        wrong.push(format!("timeline {} instead of {}", status.timeline, path.new_timeline));
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

/// The planned timeline, or a later one: a retried recovery may have taken another number.
fn is_new(restore: &RestoreContext<'_>, timeline: TimelineId) -> bool {
    let path = &restore.plan.path;
    timeline >= path.new_timeline && !path.history.includes(timeline)
}
