//! Runs the saga: from the beginning, from where a journal ends, or back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use remount_core::{ClusterName, DiskCid, InstanceSlug, Lsn, RestoreId, RestorePlan, TimelineId};
use remount_store::{ClusterStore, Lease, LeaseHolder, OnFailure, Purpose, RestoreRequest};
use serde_json::Value;

use super::cx::{Known, Restore};
use super::preflight::{self, Findings};
use super::report::{DowntimeSplit, PreflightReport, RestoreReport, StepReport};
use super::{back, estimate, planning, steps, survey};
use crate::saga::{self, Event, EventKind, Journal, Position, Run, Watch};
use crate::wait::retrying;
use crate::{FlowContext, FlowError, Problem, Progress, Quiet, Result, StepEventKind};

/// Plan and preflight come before the saga's steps.
const STEPS_BEFORE: usize = 2;

/// Plans a restore and looks whether it could succeed, touching nothing (`--dry-run`).
///
/// # Errors
/// [`FlowError::Refused`] with every reason that was found.
pub async fn plan_restore(
    ctx: &FlowContext,
    request: &RestoreRequest,
) -> Result<(RestorePlan, PreflightReport)> {
    let watch = Watch::new(&Quiet, request.id.to_string(), STEPS_BEFORE);
    planned(ctx, request, &watch).await.map(|(plan, report, _)| (plan, report))
}

/// Restores: all steps of DESIGN section 7.
///
/// # Errors
/// [`FlowError::exit_code`] says what is true afterwards.
///
/// # Idempotence
/// A request that was begun before is gone on with, one that has ended answers as it did then.
pub async fn run_restore(
    ctx: &FlowContext,
    request: RestoreRequest,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    let cluster = ctx.store.cluster(&super::cluster_of(&request.deployment, request.group.as_ref())?);
    let begun = retrying(ctx.timeouts.retry, || cluster.plan(&request.id)).await;
    if begun.map_err(FlowError::store("look for the plan"))?.is_some() {
        return resume_restore(ctx, cluster.name(), &request.id, on_failure, progress).await;
    }
    refuse_leased(ctx, &cluster).await?;
    let saga_length = steps::restore_saga().names().len();
    let watch = Watch::new(progress, request.id.to_string(), STEPS_BEFORE + saga_length);
    let (plan, report, before) = planned(ctx, &request, &watch).await?;
    let lease = take_lease(ctx, &cluster).await?;
    let written = retrying(ctx.timeouts.retry, || cluster.write_plan(&plan, &lease)).await;
    if let Err(error) = written {
        release(&lease).await;
        return Err(FlowError::store("write the plan")(error));
    }
    let restore = Going { ctx, cluster, lease, plan, events: Vec::new(), watch: &watch, on_failure };
    let mut finished = restore.go(Direction::Forward).await?;
    finished.steps.splice(0..0, before);
    finished.warnings.splice(0..0, report.warnings);
    Ok(finished)
}

/// Goes on with a restore whose driver died, or that was held.
///
/// # Errors
/// As [`run_restore`]; [`remount_store::Error::Leased`] while its driver still lives.
pub async fn resume_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    again(ctx, cluster, restore, on_failure, progress, Direction::Forward).await
}

/// Takes a restore back: one whose driver died, one that was held, and one that ended well, as long as its old
/// disks exist. What was written since the restore stays on its disks, which the Director keeps as orphans.
///
/// # Errors
/// [`FlowError::Refused`] where it cannot be taken back, [`FlowError::Stuck`];
/// [`remount_store::Error::Leased`] while its driver still lives.
pub async fn rollback_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    progress: &dyn Progress,
) -> Result<()> {
    again(ctx, cluster, restore, OnFailure::Rollback, progress, Direction::Back).await.map(|_| ())
}

/// Steps 1 and 2.
async fn planned(
    ctx: &FlowContext,
    request: &RestoreRequest,
    watch: &Watch<'_>,
) -> Result<(RestorePlan, PreflightReport, Vec<StepReport>)> {
    watch.begin("plan", 1, StepEventKind::Begun);
    let outcome = plan_and_check(ctx, request, watch).await;
    if let Err(error) = &outcome {
        watch.tell(StepEventKind::Failed, Some(Problem::of(error).what));
    }
    outcome
}

async fn plan_and_check(
    ctx: &FlowContext,
    request: &RestoreRequest,
    watch: &Watch<'_>,
) -> Result<(RestorePlan, PreflightReport, Vec<StepReport>)> {
    let survey = survey::read(ctx, request).await?;
    let store = ctx.store.cluster(&survey.cluster);
    let mut findings = Findings::default();
    preflight::landscape(ctx, &survey, request, &mut findings);
    let path = path_of(ctx, &survey, &store, request).await?;
    let seconds = watch.tell(StepEventKind::Done, None);
    let plan_step = StepReport::named("plan", seconds);
    watch.begin("preflight", 2, StepEventKind::Begun);
    let made = match path {
        Err(problem) => {
            findings.problems.insert(0, problem);
            None
        }
        Ok(path) => {
            survey.backups.iter().find(|backup| backup.id == path.backup).map(|backup| (backup, path))
        }
    };
    let what = format!("restore of {} to {}", survey.cluster, request.target);
    let Some((backup, path)) = made else {
        return Err(FlowError::Refused { what, problems: findings.problems });
    };
    estimate::fill_in(ctx, &store, &path, &mut findings.report).await?;
    let mut plan = planning::plan(ctx, &survey, request, backup, path);
    plan.estimate_seconds = findings.report.estimate_seconds;
    preflight::backup(ctx, &survey, backup, &plan, &mut findings).await;
    if !findings.problems.is_empty() {
        return Err(FlowError::Refused { what, problems: findings.problems });
    }
    let seconds = watch.tell(StepEventKind::Done, None);
    Ok((plan, findings.report, vec![plan_step, StepReport::named("preflight", seconds)]))
}

async fn path_of(
    ctx: &FlowContext,
    survey: &survey::Survey,
    store: &ClusterStore,
    request: &RestoreRequest,
) -> Result<Result<remount_core::RecoveryPath, Problem>> {
    let Some(system) = survey.system_identifier() else {
        let what = format!("cluster {} has no backup", survey.cluster);
        return Ok(Err(Problem::new(what, "look with `remount list` whether it goes by another name")));
    };
    let archive = planning::archive(ctx, store, system, survey.primary_status()).await?;
    let path = remount_core::plan_recovery(&survey.backups, &archive, &request.target);
    Ok(path.map_err(|error| Problem::of(&error)))
}

/// Who works on the cluster now is said before its half-changed instances are looked at and found wanting.
async fn refuse_leased(ctx: &FlowContext, cluster: &ClusterStore) -> Result<()> {
    let action = format!("take the lease of cluster {}", cluster.name());
    let holder = retrying(ctx.timeouts.retry, || cluster.lease_holder()).await;
    match holder.map_err(FlowError::store(action.clone()))? {
        Some(holder) if !holder.expired => {
            let LeaseHolder { epoch, owner, purpose, since, .. } = holder;
            let cluster = cluster.name().to_string();
            let source = remount_store::Error::Leased { cluster, owner, purpose, since, epoch };
            Err(FlowError::Store { action, source })
        }
        _ => Ok(()),
    }
}

async fn take_lease(ctx: &FlowContext, cluster: &ClusterStore) -> Result<Lease> {
    cluster
        .take_lease(&ctx.owner, Purpose::Restore, ctx.timeouts.lease_term)
        .await
        .map_err(FlowError::store(format!("take the lease of cluster {}", cluster.name())))
}

/// Gives the lease back; where the store does not answer it ends with its term.
async fn release(lease: &Lease) {
    if let Err(error) = lease.release().await {
        log::warn!(error:% = error, epoch = lease.epoch(); "the lease could not be released and ends with its term");
    }
}

async fn again(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    on_failure: OnFailure,
    progress: &dyn Progress,
    direction: Direction,
) -> Result<RestoreReport> {
    let cluster = ctx.store.cluster(cluster);
    let lease = take_lease(ctx, &cluster).await?;
    let read = read_begun(ctx, &cluster, restore).await;
    let (plan, events) = match read {
        Ok(read) => read,
        Err(error) => {
            release(&lease).await;
            return Err(error);
        }
    };
    let length = steps::restore_saga().names().len();
    let watch = Watch::new(progress, restore.to_string(), STEPS_BEFORE + length);
    Going { ctx, cluster, lease, plan, events, watch: &watch, on_failure }.go(direction).await
}

async fn read_begun(
    ctx: &FlowContext,
    cluster: &ClusterStore,
    restore: &RestoreId,
) -> Result<(RestorePlan, Vec<Event>)> {
    let plan = retrying(ctx.timeouts.retry, || cluster.plan(restore))
        .await
        .map_err(FlowError::store("read the plan"))?
        .ok_or_else(|| FlowError::Usage(format!("cluster {} has no restore {restore}", cluster.name())))?;
    Ok((plan, saga::read(cluster, restore, ctx.timeouts.retry).await?))
}

/// Where a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// A restore under its lease.
struct Going<'a> {
    ctx: &'a FlowContext,
    cluster: ClusterStore,
    lease: Lease,
    plan: RestorePlan,
    events: Vec<Event>,
    watch: &'a Watch<'a>,
    on_failure: OnFailure,
}

impl Going<'_> {
    async fn go(self, direction: Direction) -> Result<RestoreReport> {
        let saga = steps::restore_saga();
        let restore = self.plan.id.clone();
        let position = match Position::replay(&saga.names(), &self.events) {
            Ok(position) => position,
            Err(detail) => {
                release(&self.lease).await;
                return Err(FlowError::Journal { restore, detail });
            }
        };
        let goes_back_after_all =
            direction == Direction::Back && position.finished.as_deref() == Some("restored");
        if let Some(outcome) = &position.finished
            && !goes_back_after_all
        {
            release(&self.lease).await;
            return self.ended(outcome, &position, direction);
        }
        let journal = Journal::new(
            self.cluster.clone(),
            restore,
            self.lease.clone(),
            position.last,
            self.ctx.timeouts.retry,
        );
        let cx = Restore {
            ctx: self.ctx,
            cluster: self.cluster.clone(),
            lease: self.lease.clone(),
            keeper: self.lease.keep(),
            known: Mutex::new(known_from(&self.events)),
            plan: self.plan,
            watch: self.watch,
        };
        let run = Run {
            saga: &saga,
            cx: &cx,
            journal: &journal,
            watch: self.watch,
            before: STEPS_BEFORE,
            cancellation: &self.ctx.cancellation,
            on_failure: self.on_failure,
        };
        let outcome = match direction {
            Direction::Forward => run.run(position).await,
            Direction::Back => match back::check(&cx).await {
                Ok(()) => run.back(position).await,
                refused => refused,
            },
        };
        // The journal is the report's source, so that a resumed restore reports all its steps.
        let events = saga::read(&self.cluster, &cx.plan.id, self.ctx.timeouts.retry).await;
        release(&self.lease).await;
        outcome?;
        let known = cx.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(report(cx.plan, known, &events?))
    }

    /// What a restore answers that ended before.
    fn ended(self, outcome: &str, position: &Position, direction: Direction) -> Result<RestoreReport> {
        let restore = self.plan.id.clone();
        if outcome == "undone" && direction == Direction::Forward {
            let (step, what) = position.failure.clone().unwrap_or_default();
            let source = Box::new(FlowError::Check { what, next: None });
            return Err(FlowError::Undone { restore, step, source });
        }
        let known = known_from(&self.events);
        Ok(report(self.plan, known, &self.events))
    }
}

/// What the steps that are done have written down for those after them.
fn known_from(events: &[Event]) -> Known {
    let outcome = |step: &str| {
        let done = events.iter().rev().find(|event| event.step == step && event.event == EventKind::Done);
        done.and_then(|event| event.detail.get("outcome")).cloned().unwrap_or_default()
    };
    Known {
        last_write: lsn(&outcome("last_wal"), "last_write"),
        last_segment: lsn(&outcome("recover"), "last_segment_begins"),
        replayed_to: lsn(&outcome("verify"), "replayed_to"),
        new_timeline: timeline(&outcome("verify")),
        may_have_served: may_have_served(events),
        backup: serde_json::from_value(outcome("finish").get("backup").cloned().unwrap_or_default()).ok(),
        ..Known::default()
    }
}

/// Whether users may have written to the restored primary: it was about to be verified, so its recovery had ended.
/// That it is not what was planned does not make what they wrote worth less.
pub fn may_have_served(events: &[Event]) -> bool {
    events.iter().any(|event| event.step == "verify" && event.event == EventKind::Intended)
}

fn lsn(outcome: &Value, key: &str) -> Option<Lsn> {
    outcome.get(key)?.as_str()?.parse().ok()
}

fn timeline(outcome: &Value) -> Option<TimelineId> {
    serde_json::from_value(outcome.get("timeline")?.clone()).ok()
}

/// What a restore did, by its journal: also long after it, and by another process.
///
/// # Errors
/// The store does not answer, or the journal cannot be read.
pub async fn read_report(
    cluster: &ClusterStore,
    plan: RestorePlan,
    retry: Duration,
) -> Result<RestoreReport> {
    let events = saga::read(cluster, &plan.id, retry).await?;
    let known = known_from(&events);
    Ok(report(plan, known, &events))
}

fn report(plan: RestorePlan, known: Known, events: &[Event]) -> RestoreReport {
    let done = events.iter().filter(|event| event.event == EventKind::Done);
    let steps: Vec<StepReport> = done.map(step_of).collect();
    let (downtime_seconds, downtime) = downtime(&steps, events);
    let olds = plan.instances.iter();
    let old_disks: Vec<(InstanceSlug, DiskCid)> = olds
        .filter_map(|planned| planned.old_disk.clone().map(|disk| (planned.instance.clone(), disk)))
        .collect();
    RestoreReport {
        restore: plan.id.clone(),
        steps,
        downtime_seconds,
        downtime,
        estimate_seconds: plan.estimate_seconds,
        new_timeline: known.new_timeline.unwrap_or(plan.path.new_timeline),
        replayed_to: known.replayed_to,
        old_disks,
        backup: known.backup,
        warnings: known.warnings,
        plan,
    }
}

fn step_of(event: &Event) -> StepReport {
    let seconds = |key: &str| event.detail.get(key).and_then(Value::as_f64).unwrap_or_default();
    StepReport {
        name: event.step.clone(),
        downtime: DOWN.contains(&event.step.as_str()),
        seconds: seconds("seconds"),
        director_seconds: seconds("director_seconds"),
        postgres_seconds: seconds("postgres_seconds"),
    }
}

/// The steps in which nothing serves.
const DOWN: [&str; 4] = ["stop_primary", "swap_primary", "recover", "verify"];

/// What `verify` measured; after a take-over what the journal's times and the steps' shares say.
fn downtime(steps: &[StepReport], events: &[Event]) -> (f64, DowntimeSplit) {
    let verified = events.iter().rev().find(|event| event.step == "verify" && event.event == EventKind::Done);
    let measured = verified.and_then(|event| {
        let of = |key: &str| event.detail.pointer(&format!("/outcome/downtime/{key}"))?.as_f64();
        Some((of("seconds")?, of("director_seconds")?, of("postgres_seconds")?))
    });
    let (total, director, postgres) = measured.unwrap_or_else(|| {
        let down = || steps.iter().filter(|step| DOWN.contains(&step.name.as_str()));
        let stopped = events.iter().find(|event| event.step == "stop_primary");
        let total = stopped.zip(verified).map(|(from, to)| to.at.duration_since(from.at).as_secs_f64());
        let director: f64 = down().map(|step| step.director_seconds).sum();
        (total.unwrap_or_default(), director, down().map(|step| step.postgres_seconds).sum())
    });
    let remount_seconds = (total - director - postgres).max(0.0);
    (total, DowntimeSplit { director_seconds: director, postgres_seconds: postgres, remount_seconds })
}
