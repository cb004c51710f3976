//! Runs a restore: from the beginning, from where its journal ends, or back.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use remount_core::documents::{OnFailure, Outcome, RestorePlan, RestoreRequest};
use remount_core::{ClusterName, RestoreId, RestoreTarget};
use remount_saga::{Progress, ProgressReporter, Run, StepOutputs};
use remount_store::{ClusterStore, Lease, Purpose};

use super::context::{ProcessNotes, RestoreContext};
use super::journal::RestoreJournal;
use super::pause;
use super::prepare::{Closing, STEPS_BEFORE, prepare};
use super::report::{self, RestoreReport};
use super::state::{RestorePhase, RestoreState};
use super::steps::{RestoreStep, restore_saga};
use super::{rollback_check, rollback_look};
use crate::owner::Owner;
use crate::{FlowContext, FlowError, Result};

/// All steps that are told, plan and preflight too.
const STEPS: usize = STEPS_BEFORE + RestoreStep::ALL.len();

/// Restores: all steps of `docs/design.md` section 7.
///
/// # Errors
/// [`FlowError::exit_code`] says what is true afterwards.
///
/// # Idempotence
/// A request that was begun before is resumed, one that has ended answers as it did then.
pub async fn run_restore(
    ctx: &FlowContext,
    request: RestoreRequest,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    let name = ClusterName::of(&request.deployment, request.group.as_ref());
    let cluster = ctx.store.cluster(&name.map_err(FlowError::usage)?);
    let begun = cluster.plan(&request.id).await.map_err(FlowError::store("look for the plan"))?;
    if begun.is_some() {
        return resume_restore(ctx, cluster.name(), &request.id, on_failure, progress).await;
    }
    refuse_leased(&cluster).await?;
    let reporter = ProgressReporter::new(progress, request.id.clone(), STEPS);
    let (plan, preflight, before) = prepare(ctx, &request, &reporter, Closing::WhereNeeded).await?;
    let lease = take_lease(ctx, &cluster).await?;
    let written = cluster.write_plan(&plan, &lease).await;
    if let Err(error) = written {
        release(&lease).await;
        return Err(FlowError::store("write the plan")(error));
    }
    let started = RestoreRun { ctx, cluster, lease, plan, reporter: &reporter, on_failure };
    let state = RestoreState::of(&request.id, Vec::new())?;
    let mut finished = started.go(state, Direction::Resume).await?;
    finished.steps.splice(0..0, before);
    finished.warnings.splice(0..0, preflight.warnings);
    Ok(finished)
}

/// Goes on with a restore whose process died, or that was held.
///
/// # Errors
/// As [`run_restore`]; [`remount_store::Error::Leased`] while its process still lives.
pub async fn resume_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    on_failure: OnFailure,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    again(ctx, cluster, restore, on_failure, progress, Direction::Resume).await
}

/// Rolls a restore back: one whose process died, one that was held, and one that ended well, as long as its old
/// disks exist. What was written since the restore stays on its disks, which the Director keeps as orphans.
///
/// # Errors
/// [`FlowError::Refused`] where it cannot be rolled back, [`FlowError::Stuck`];
/// [`remount_store::Error::Leased`] while its process still lives.
pub async fn rollback_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    progress: &dyn Progress,
) -> Result<()> {
    again(ctx, cluster, restore, OnFailure::Rollback, progress, Direction::RollBack).await.map(|_| ())
}

/// Goes on with a restore that is paused: it is promoted, and users can write from then on. A failure holds it.
///
/// # Errors
/// [`FlowError::Refused`] where it is not paused; as [`run_restore`].
pub async fn accept_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    again(ctx, cluster, restore, OnFailure::Hold, progress, Direction::Accept).await
}

/// Rolls back a restore that is paused. Nobody could write to it.
///
/// # Errors
/// [`FlowError::Refused`] where it is not paused; as [`rollback_restore`].
pub async fn give_up_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    progress: &dyn Progress,
) -> Result<()> {
    again(ctx, cluster, restore, OnFailure::Rollback, progress, Direction::GiveUp).await.map(|_| ())
}

/// Moves the target of a restore that is paused forward, replays to it, and pauses there again. A failure holds it.
///
/// # Errors
/// [`FlowError::Refused`] where it is not paused, or the target is not ahead of where it is: nothing was changed.
pub async fn forward_restore(
    ctx: &FlowContext,
    cluster: &ClusterName,
    restore: &RestoreId,
    target: RestoreTarget,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    again(ctx, cluster, restore, OnFailure::Hold, progress, Direction::MoveTarget(target)).await
}

/// Refuses first where another process holds the lease: its half-changed instances would be reported as problems.
async fn refuse_leased(cluster: &ClusterStore) -> Result<()> {
    cluster.must_be_free().await.map_err(FlowError::lease(cluster.name()))
}

async fn take_lease(ctx: &FlowContext, cluster: &ClusterStore) -> Result<Lease> {
    cluster
        .take_lease(&ctx.owner, Purpose::Restore, ctx.timeouts.lease_term)
        .await
        .map_err(FlowError::lease(cluster.name()))
}

/// Gives the lease back; where the store does not answer it ends with its term.
async fn release(lease: &Lease) {
    if let Err(error) = lease.release().await {
        log::warn!(error:% = remount_core::with_causes(&error), epoch = lease.epoch(); "the lease could not be released and ends with its term");
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
    let keeper = lease.keep();
    let begun = async {
        let (plan, state) = read_begun(&cluster, restore).await?;
        pause::must_fit(&plan, &state, &direction)?;
        match &direction {
            Direction::MoveTarget(target) => {
                pause::forward(ctx, &cluster, &lease, (plan, state), target).await
            }
            _ => Ok((plan, state)),
        }
    };
    let (plan, state) = match begun.await {
        Ok(read) => read,
        Err(error) => {
            release(&lease).await;
            return Err(error);
        }
    };
    drop(keeper); // The run keeps its own.
    let reporter = ProgressReporter::new(progress, restore.clone(), STEPS);
    RestoreRun { ctx, cluster, lease, plan, reporter: &reporter, on_failure }.go(state, direction).await
}

async fn read_begun(cluster: &ClusterStore, restore: &RestoreId) -> Result<(RestorePlan, RestoreState)> {
    let plan = cluster.plan(restore).await.map_err(FlowError::store("read the plan"))?;
    let missing = || FlowError::Usage(format!("cluster {} has no restore {restore}", cluster.name()));
    let state = RestoreState::read(cluster, restore).await?.with_our_steps(restore)?;
    Ok((plan.ok_or_else(missing)?, state))
}

/// Where a run goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// On, to its end or its pause.
    Resume,
    /// On from its pause, to its end.
    Accept,
    /// On from its pause to a later target, to its pause again.
    MoveTarget(RestoreTarget),
    /// Back.
    RollBack,
    /// Back from its pause.
    GiveUp,
}

impl Direction {
    const fn is_back(&self) -> bool {
        matches!(self, Self::RollBack | Self::GiveUp)
    }
}

/// A restore that has a plan, under its lease.
struct RestoreRun<'a> {
    ctx: &'a FlowContext,
    cluster: ClusterStore,
    lease: Lease,
    plan: RestorePlan,
    reporter: &'a ProgressReporter<'a>,
    on_failure: OnFailure,
}

impl RestoreRun<'_> {
    async fn go(self, state: RestoreState, direction: Direction) -> Result<RestoreReport> {
        let position = state.position().clone();
        let rolls_back_after_all = direction.is_back() && state.phase == RestorePhase::Restored;
        if let Some(outcome) = position.finished
            && !rolls_back_after_all
        {
            release(&self.lease).await;
            return self.ended(&state, outcome, &direction);
        }
        let owner = match Owner::of(self.ctx).await {
            Ok(owner) => owner,
            Err(error) => {
                release(&self.lease).await;
                return Err(error);
            }
        };
        let (cluster, lease, id) = (self.cluster.clone(), self.lease.clone(), self.plan.id.clone());
        let journal = RestoreJournal::new(cluster.clone(), id.clone(), lease.clone(), position.last);
        let journal = Arc::new(journal);
        let restore = RestoreContext {
            ctx: self.ctx,
            keeper: lease.keep(),
            cluster,
            lease,
            owner,
            outputs: StepOutputs::of_journal(state.events()),
            may_have_served: AtomicBool::new(state.may_have_served()),
            notes: Mutex::new(ProcessNotes::of(&state)),
            plan: self.plan,
            journal: journal.clone(),
            reporter: self.reporter,
        };
        let pauses = restore.plan.pause && direction != Direction::Accept;
        let (saga, on_failure) = (restore_saga(), self.on_failure);
        let run = Run {
            saga: &saga,
            context: &restore,
            journal: &*journal,
            reporter: self.reporter,
            steps_before: STEPS_BEFORE,
            cancellation: &self.ctx.cancellation,
            on_failure,
            pause_before: pauses.then_some(RestoreStep::Promote),
        };
        let ended = match direction {
            Direction::Resume | Direction::Accept | Direction::MoveTarget(_) => {
                let ended = run.run(position).await.map(|_| ());
                ended.map_err(|failure| FlowError::of_run(id.clone(), failure))
            }
            Direction::RollBack | Direction::GiveUp => match rollback_check::check(&restore).await {
                Ok(()) => {
                    run.roll_back(position).await.map_err(|failure| FlowError::of_run(id.clone(), failure))
                }
                refused => refused,
            },
        };
        let ended = match ended {
            Err(FlowError::Undone { restore: id, step, source, .. }) => {
                let differs = Some(rollback_look::differences(&restore).await);
                Err(FlowError::Undone { restore: id, step, differs, source })
            }
            ended => ended,
        };
        // The journal is the report's source, so that a resumed restore reports all its steps.
        let state = RestoreState::read(&self.cluster, &id).await;
        release(&self.lease).await;
        ended?;
        let warnings = std::mem::take(&mut restore.notes().warnings);
        report::of(restore.plan, &state?, warnings)
    }

    /// What a restore answers that ended before.
    fn ended(self, state: &RestoreState, outcome: Outcome, direction: &Direction) -> Result<RestoreReport> {
        if outcome == Outcome::Undone && !direction.is_back() {
            return Err(state.rolled_back(&self.plan.id));
        }
        report::of(self.plan, state, Vec::new())
    }
}
