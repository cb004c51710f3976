//! Step 11: the restored primary proves itself. Success is this, not the end of tasks.

use std::time::Duration;

use async_trait::async_trait;
use remount_core::{Lsn, Role, TimelineId};
use remount_director::Instance;
use remount_postgres::ServerStatus;
use serde_json::{Value, json};

use super::super::cx::Restore;
use crate::instances;
use crate::saga::{Probe, Step};
use crate::wait::{Look, retrying, until};
use crate::{FlowError, Problem, Result};

pub struct Verify;

#[async_trait]
impl<'r> Step<Restore<'r>> for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    async fn act(&self, cx: &Restore<'r>) -> Result<Value> {
        // Recovery has ended: whatever the checks find, users may have written by now.
        cx.known().may_have_served = true;
        let (instance, status) = promoted(cx).await?;
        let waiting = cx.watch.waiting_for_postgres();
        let replayed_to = replayed_to(cx, &status).await?;
        check(cx, &status, replayed_to)?;
        let server = instances::server(cx.ctx, &instance)?;
        let slug = &instance.slug;
        let probe = retrying(cx.ctx.timeouts.retry, || server.write_probe())
            .await
            .map_err(FlowError::server("write to the restored primary", slug))?;
        drop(waiting);
        let mut known = cx.known();
        known.replayed_to = Some(replayed_to);
        known.new_timeline = Some(status.timeline);
        let down = known.down_since.take();
        drop(known);
        let spent = down.map(|(since, spent)| (since.elapsed(), cx.watch.spent().since(spent)));
        Ok(json!({
            "timeline": status.timeline,
            "replayed_to": replayed_to,
            "written_at": probe.lsn,
            "downtime": spent.map(|(total, spent)| json!({
                "seconds": total.as_secs_f64(),
                "director_seconds": spent.director.as_secs_f64(),
                "postgres_seconds": spent.postgres.as_secs_f64(),
            })),
        }))
    }

    async fn undo(&self, _: &Restore<'r>) -> Result<()> {
        Ok(()) // The new disk goes as a whole.
    }

    async fn probe(&self, _: &Restore<'r>) -> Result<Probe> {
        Ok(Probe::NotDone)
    }
}

/// Looks at the address from before the stop, in polls: an instance keeps it when its VM is made anew. After
/// so many the Director is asked.
const QUICK_POLLS: u32 = 20;

/// Waits until the server answers and is out of recovery.
async fn promoted(cx: &Restore<'_>) -> Result<(Instance, ServerStatus)> {
    let timeouts = &cx.ctx.timeouts;
    let before = cx.known().primary.clone();
    if let Some(instance) = before
        && let Ok(status) = promoted_at(cx, &instance, timeouts.poll * QUICK_POLLS).await
    {
        return Ok((instance, status));
    }
    let instance = cx.instance(&cx.primary()?.instance).await?;
    let status = promoted_at(cx, &instance, timeouts.verify).await?;
    Ok((instance, status))
}

async fn promoted_at(cx: &Restore<'_>, instance: &Instance, limit: Duration) -> Result<ServerStatus> {
    let what = format!("{} out of recovery", instance.slug);
    let _waiting = cx.watch.waiting_for_postgres();
    until(what, limit, cx.ctx.timeouts.poll, || async {
        Ok(match instances::status(cx.ctx, instance).await {
            Ok(status) if status.role == Role::Primary => Look::Found(status),
            Ok(status) => Look::NotYet(format!("still in recovery at {}", status.lsn)),
            Err(error) => Look::NotYet(Problem::of(&error).what),
        })
    })
    .await
}

/// Where replay stopped: what the server says, or where its timeline's history says that it began.
async fn replayed_to(cx: &Restore<'_>, status: &ServerStatus) -> Result<Lsn> {
    if let Some(lsn) = status.replayed_to {
        return Ok(lsn);
    }
    Ok(super::rejoin::fork_of(cx, status.timeline).await?.lsn)
}

fn check(cx: &Restore<'_>, status: &ServerStatus, replayed_to: Lsn) -> Result<()> {
    let path = &cx.plan.path;
    let mut wrong = Vec::new();
    if status.system_identifier != path.system_identifier {
        wrong.push(format!(
            "system identifier {} instead of {}",
            status.system_identifier, path.system_identifier
        ));
    }
    if !is_new(cx, status.timeline) {
        wrong.push(format!("timeline {} instead of {}", status.timeline, path.new_timeline));
    }
    if status.applied_restore.as_ref() != Some(&cx.plan.id) {
        let applied = status.applied_restore.as_ref().map_or("none".into(), ToString::to_string);
        wrong.push(format!("its disk has applied restore {applied}"));
    }
    if replayed_to < cx.minimum_lsn() {
        wrong.push(format!("replay stopped at {replayed_to}, before {}", cx.minimum_lsn()));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let what = format!("the restored primary is not what was planned: {}", wrong.join("; "));
    Err(FlowError::check(what, "read PostgreSQL's log of the recovery below /var/vcap/sys/log/postgres"))
}

/// The planned timeline, or a later one: a retried recovery may have taken another number.
fn is_new(cx: &Restore<'_>, timeline: TimelineId) -> bool {
    let path = &cx.plan.path;
    timeline >= path.new_timeline && !path.history.includes(timeline)
}
