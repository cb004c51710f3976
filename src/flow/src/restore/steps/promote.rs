//! Step 12: the one moment from which users can write again. Until it nobody could, so that all before it is given up
//! without a loss; from it on no disk of the restore is deleted. What `verify` has seen is promoted, and nothing else: the
//! agent compares right before, because a restart, another plan or a hand may have moved the server since.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use remount_core::documents::StepTimes;
use remount_core::{Lsn, OperatorError as _, Retry, TimelineId};
use remount_director::Instance;
use remount_host::Poll;
use remount_postgres::{Promoted as NewTimeline, VerifiedPosition};
use remount_saga::{Probe, Step};
use serde::{Deserialize, Serialize};

use super::RestoreStep;
use super::verify::Verify;
use crate::restore::archive::fork_of;
use crate::restore::context::RestoreContext;
use crate::restore::first_start::end_of_start;
use crate::wait::until;
use crate::{FlowError, Result, instances};

/// The step.
pub struct Promote;

/// What the restored primary is from now on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Promoted {
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
impl<'r> Step<RestoreContext<'r>> for Promote {
    type Output = Promoted;

    const NAME: RestoreStep = RestoreStep::Promote;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Promoted> {
        restore.fence().await?;
        let verified = verified(restore)?;
        // Whatever comes of it, users may have written from now on.
        restore.may_have_served.store(true, Ordering::Release);
        let before = restore.notes().primary.clone();
        let instance = match before {
            Some(instance) => instance, // As `verify` has found it.
            None => restore.instance(&restore.primary()?.instance).await?,
        };
        let waiting = restore.reporter.waiting_for_postgres();
        let NewTimeline { timeline, replayed_to } = promoted(restore, &instance, &verified).await?;
        must_be_new(restore, timeline)?;
        let server = instances::server(restore.ctx, &instance)?;
        let probe = server
            .write_probe()
            .await
            .map_err(FlowError::server("write to the restored primary", &instance.slug))?;
        drop(waiting);
        let downtime = downtime(restore);
        let replayed_to = match replayed_to {
            Some(lsn) => lsn,
            None => fork_of(restore, timeline).await?.lsn,
        };
        verified
            .must_be(&VerifiedPosition { replayed_to, ..verified })
            .map_err(FlowError::server("promote the restored primary", &instance.slug))?;
        end_of_start(restore, restore.primary()?).await?;
        Ok(Promoted { timeline, replayed_to, written_at: probe.lsn, downtime })
    }

    /// The steps before bring the old disks back; the restored ones are put aside.
    async fn undo(&self, _: &RestoreContext<'r>) -> Result<()> {
        Ok(())
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Promoted>> {
        Ok(Probe::NotDone) // A server that is promoted is asked again and says what it is: nothing is done twice.
    }
}

/// What `verify` has left, in this process or in one before.
fn verified(restore: &RestoreContext<'_>) -> Result<VerifiedPosition> {
    let verified = restore.output::<Verify>()?.ok_or_else(|| {
        let what = format!("the journal of restore {} does not say what was verified", restore.plan.id);
        FlowError::check(what, format!("`remount rollback {}`, then restore again", restore.plan.id))
    })?;
    Ok(VerifiedPosition { timeline: verified.timeline, replayed_to: verified.replayed_to })
}

/// Has the server leave recovery, asking again while it does not answer.
async fn promoted(
    restore: &RestoreContext<'_>,
    instance: &Instance,
    verified: &VerifiedPosition,
) -> Result<NewTimeline> {
    let server = instances::server(restore.ctx, instance)?;
    let what = format!("{} promoted", instance.slug);
    until(restore.ctx, what, restore.ctx.timeouts.verify, || async {
        restore.fence().await?;
        match server.promote(&restore.plan.id, verified).await {
            Ok(promoted) => Ok(Poll::Ready(promoted)),
            Err(error) if error.retry() == Retry::Never => {
                Err(FlowError::server("promote the restored primary", &instance.slug)(error))
            }
            Err(error) => Ok(Poll::NotYet(remount_core::with_causes(&error))),
        }
    })
    .await
}

/// The planned timeline, or a later one: a promotion before this one may have taken the number.
fn must_be_new(restore: &RestoreContext<'_>, timeline: TimelineId) -> Result<()> {
    let path = &restore.plan.path;
    if timeline >= path.new_timeline && !path.history.includes(timeline) {
        return Ok(());
    }
    let what = format!("the restored primary is on timeline {timeline} instead of {}", path.new_timeline);
    Err(FlowError::check(what, "read PostgreSQL's log of the recovery below /var/vcap/sys/log/postgres"))
}

fn downtime(restore: &RestoreContext<'_>) -> Option<StepTimes> {
    let (since, waited) = restore.notes().down_since.take()?;
    let waited = restore.reporter.waited().since(waited);
    Some(StepTimes {
        seconds: since.elapsed().as_secs_f64(),
        director_seconds: waited.director.as_secs_f64(),
        postgres_seconds: waited.postgres.as_secs_f64(),
    })
}
