//! Step 13: the standbys join. Not before the new timeline's first segment is archived: PostgreSQL takes the
//! parent's segment where the child's is missing, and would replay past the fork, silently, for ever.

use async_trait::async_trait;
use remount_core::documents::{FORMAT, ForkRecord, PlannedInstance};
use remount_core::{Lsn, Role, TimelineId, WalSegment};

use super::RestoreStep;
use super::promote::Promote;
use super::standbys::all;
use crate::instances;
use crate::restore::archive::{archived, fork_of};
use crate::restore::context::RestoreContext;
use crate::restore::{director_change, reindex, swap};
use crate::wait::until;
use crate::{FlowError, Problem, Result};
use remount_host::Poll;
use remount_saga::{AfterFailure, Probe, Step};
use serde::{Deserialize, Serialize};

/// The step.
pub struct Rejoin;

/// What the step leaves.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rejoined {
    /// The new timeline.
    pub timeline: TimelineId,
    /// Where it left the planned one.
    pub fork: Lsn,
}

#[async_trait]
impl<'r> Step<RestoreContext<'r>> for Rejoin {
    type Output = Rejoined;

    const NAME: RestoreStep = RestoreStep::Rejoin;
    const AFTER_FAILURE: AfterFailure = AfterFailure::Hold;

    async fn act(&self, restore: &RestoreContext<'r>) -> Result<Rejoined> {
        let missing = || {
            FlowError::check("step `promote` has left no timeline", "go on with the version that began it")
        };
        let timeline = restore.output::<Promote>()?.ok_or_else(missing)?.timeline;
        let primary = restore.server(&restore.primary()?.instance).await?;
        reindex::begin_where_asked(restore, &*primary).await;
        let fork = archive_fork(restore, timeline).await?;
        restore
            .cluster
            .write_fork(&fork, &restore.lease)
            .await
            .map_err(FlowError::store("record the fork"))?;
        all(restore, |planned| join(restore, planned, timeline)).await?;
        let found = restore.instances().await?;
        for newcomer in restore.newcomers(&found) {
            restore.warn(format!(
                "{} joined during the restore and has a copy of what was given up: scale the group down by it, delete \
                 its disk, scale up again",
                newcomer.slug
            ));
        }
        Ok(Rejoined { timeline, fork: fork.fork_lsn })
    }

    async fn undo(&self, restore: &RestoreContext<'r>) -> Result<()> {
        director_change::settle(restore).await?;
        all(restore, |planned| async { swap::stop(restore, planned, || {}).await.map(|_| ()) }).await
    }

    async fn probe(&self, _: &RestoreContext<'r>) -> Result<Probe<Rejoined>> {
        Ok(Probe::NotDone)
    }

    fn by_hand(&self, restore: &RestoreContext<'r>) -> Vec<String> {
        let stop = |planned: &PlannedInstance| {
            format!("bosh -d {} -n stop --no-converge {}", restore.plan.deployment, planned.instance)
        };
        restore.plan.standbys().map(stop).collect()
    }
}

/// Has the primary archive the first segment of its timeline, and waits for it and for the history.
async fn archive_fork(restore: &RestoreContext<'_>, timeline: TimelineId) -> Result<ForkRecord> {
    let primary = &restore.primary()?.instance;
    let server = restore.server(primary).await?;
    let switched = server.switch_wal().await.map_err(FlowError::server("switch WAL", primary))?;
    let fork = fork_of(restore, timeline).await?;
    let fork_segment = WalSegment::containing(timeline, fork.lsn, restore.plan.path.segment_size);
    archived(restore, &fork_segment).await?;
    archived(restore, &switched.last_segment).await?;
    restore.reporter.note(format!("timeline {timeline} begins at {} and is archived", fork.lsn));
    Ok(ForkRecord {
        format: FORMAT,
        restore: restore.plan.id.clone(),
        timeline,
        fork_lsn: fork.lsn,
        fork_segment,
    })
}

/// Starts a standby on its new disk and waits until it has replayed a write that was made after its start.
async fn join(restore: &RestoreContext<'_>, planned: &PlannedInstance, timeline: TimelineId) -> Result<()> {
    swap::start(restore, planned).await?;
    let primary = &restore.primary()?.instance;
    let server = restore.server(primary).await?;
    let probe =
        server.write_probe().await.map_err(FlowError::server("write to the restored primary", primary))?;
    let instance = restore.instance(&planned.instance).await?;
    let timeouts = &restore.ctx.timeouts;
    let what = format!("{} follows on timeline {timeline} past {}", planned.instance, probe.lsn);
    let _waiting = restore.reporter.waiting_for_postgres();
    until(restore.ctx, what, timeouts.follow, || async {
        Ok(match instances::status(restore.ctx, &instance).await {
            Ok(status) => follows(&status, timeline, probe.lsn),
            Err(error) => Poll::NotYet(Problem::of(&error).what),
        })
    })
    .await?;
    restore.reporter.note(format!("{}: streams on timeline {timeline}", planned.instance));
    Ok(())
}

fn follows(status: &remount_postgres::ServerStatus, timeline: TimelineId, written: Lsn) -> Poll<()> {
    let follows = status.role == Role::Standby && status.streaming && status.timeline == timeline;
    if follows && status.lsn >= written {
        return Poll::Ready(());
    }
    let streams = if status.streaming { "streams" } else { "does not stream" };
    Poll::NotYet(format!("{} on timeline {} at {}, {streams}", status.role, status.timeline, status.lsn))
}
