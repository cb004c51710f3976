//! Step 12: the standbys join. Not before the new timeline's first segment is archived: PostgreSQL takes the
//! parent's segment where the child's is missing, and would replay past the fork, silently, for ever.

use async_trait::async_trait;
use remount_core::{FORMAT, Fork, ForkRecord, Lsn, PlannedInstance, Role, TimelineId, WalSegment};
use serde_json::{Value, json};

use super::super::cx::Restore;
use super::super::{swap, tasks};
use super::last_wal::archived;
use super::standbys::all;
use crate::instances;
use crate::saga::{AfterFailure, Probe, Step};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Problem, Result};

pub struct Rejoin;

#[async_trait]
impl<'r> Step<Restore<'r>> for Rejoin {
    fn name(&self) -> &'static str {
        "rejoin"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        let timeline = timeline_of(cx).await?;
        let fork = archive_fork(cx, timeline).await?;
        retrying(cx.ctx.timeouts.retry, || cx.cluster.write_fork(&fork, &cx.lease))
            .await
            .map_err(FlowError::store("record the fork"))?;
        all(cx, |planned| join(cx, planned, timeline)).await?;
        let found = cx.instances().await?;
        for newcomer in cx.newcomers(&found) {
            cx.warn(format!(
                "{} joined during the restore and has a copy of what was given up: scale the group down by it, delete \
                 its disk, scale up again",
                newcomer.slug
            ));
        }
        Ok(json!({"timeline": timeline, "fork": fork.fork_lsn}))
    }

    async fn undo(&self, cx: &Restore<'r>) -> Result<()> {
        tasks::settle(cx).await?;
        all(cx, |planned| async { swap::stop(cx, planned, || {}).await.map(|_| ()) }).await
    }

    async fn probe(&self, _: &Restore<'r>) -> Result<Probe> {
        Ok(Probe::NotDone)
    }

    /// The restored primary serves by now, and going back would lose what its customers have written since:
    /// the standby is what is made good, by `remount resume`. A person may still choose the way back.
    fn after_failure(&self) -> AfterFailure {
        AfterFailure::Hold
    }

    fn by_hand(&self, cx: &Restore<'r>) -> Vec<String> {
        let stop = |planned: &PlannedInstance| {
            format!("bosh -d {} -n stop --no-converge {}", cx.plan.deployment, planned.instance)
        };
        cx.plan.standbys().map(stop).collect()
    }
}

/// The timeline of the restored primary; a process that goes on asks for it.
async fn timeline_of(cx: &Restore<'_>) -> Result<TimelineId> {
    if let Some(timeline) = cx.known().new_timeline {
        return Ok(timeline);
    }
    let instance = cx.instance(&cx.primary()?.instance).await?;
    let status = instances::status(cx.ctx, &instance).await?;
    let mut known = cx.known();
    known.new_timeline = Some(status.timeline);
    known.replayed_to = status.replayed_to;
    Ok(status.timeline)
}

/// Has the primary archive the first segment of its timeline, and waits for it and for the history.
async fn archive_fork(cx: &Restore<'_>, timeline: TimelineId) -> Result<ForkRecord> {
    let primary = &cx.primary()?.instance;
    let server = cx.server(primary).await?;
    let switched = retrying(cx.ctx.timeouts.retry, || server.switch_wal())
        .await
        .map_err(FlowError::server("switch WAL", primary))?;
    let fork = fork_of(cx, timeline).await?;
    let fork_segment = WalSegment::containing(timeline, fork.lsn, cx.plan.path.segment_size);
    archived(cx, &fork_segment).await?;
    archived(cx, &switched.last_segment).await?;
    cx.watch.note(format!("timeline {timeline} begins at {} and is archived", fork.lsn));
    Ok(ForkRecord { format: FORMAT, restore: cx.plan.id.clone(), timeline, fork_lsn: fork.lsn, fork_segment })
}

/// Where a timeline left its parent, once its history is archived.
pub async fn fork_of(cx: &Restore<'_>, timeline: TimelineId) -> Result<Fork> {
    let wal = cx.cluster.wal(cx.plan.path.system_identifier);
    let timeouts = &cx.ctx.timeouts;
    let (wal, what) = (&wal, format!("history of timeline {timeline} in the archive"));
    until(what, timeouts.archived, timeouts.poll, || async move {
        let history = retrying(timeouts.retry, || wal.history(timeline))
            .await
            .map_err(FlowError::store(format!("read the history of timeline {timeline}")))?;
        let fork = history.and_then(|history| history.forks.last().cloned());
        Ok(fork.map_or_else(|| Look::NotYet("it is not there".into()), Look::Found))
    })
    .await
}

/// Starts a standby on its new disk and waits until it has replayed a write that was made after its start.
async fn join(cx: &Restore<'_>, planned: &PlannedInstance, timeline: TimelineId) -> Result<()> {
    swap::start(cx, planned).await?;
    let primary = &cx.primary()?.instance;
    let server = cx.server(primary).await?;
    let probe = retrying(cx.ctx.timeouts.retry, || server.write_probe())
        .await
        .map_err(FlowError::server("write to the restored primary", primary))?;
    let instance = cx.instance(&planned.instance).await?;
    let timeouts = &cx.ctx.timeouts;
    let what = format!("{} follows on timeline {timeline} past {}", planned.instance, probe.lsn);
    let _waiting = cx.watch.waiting_for_postgres();
    until(what, timeouts.follow, timeouts.poll, || async {
        Ok(match instances::status(cx.ctx, &instance).await {
            Ok(status) => judge(&status, timeline, probe.lsn),
            Err(error) => Look::NotYet(Problem::of(&error).what),
        })
    })
    .await?;
    cx.watch.note(format!("{}: streams on timeline {timeline}", planned.instance));
    Ok(())
}

fn judge(status: &remount_postgres::ServerStatus, timeline: TimelineId, written: Lsn) -> Look<()> {
    let follows = status.role == Role::Standby && status.streaming && status.timeline == timeline;
    if follows && status.lsn >= written {
        return Look::Found(());
    }
    let streams = if status.streaming { "streams" } else { "does not stream" };
    Look::NotYet(format!("{} on timeline {} at {}, {streams}", status.role, status.timeline, status.lsn))
}
