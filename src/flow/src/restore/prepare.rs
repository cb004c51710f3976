//! Steps 1 and 2 of a restore: the plan is made and everything is looked at that can be known beforehand. Nothing is
//! touched, nothing journalled.

use remount_core::documents::{BackupRecord, RestorePlan, RestoreRequest};
use remount_core::{BackupId, PlanError};
use remount_saga::{ProgressKind, ProgressReporter, Quiet};
use remount_store::ClusterStore;

use super::preflight::{self, Findings};
use super::report::{PreflightReport, StepReport};
use super::target_search::{self, Question};
use super::{at_stake, estimate, last_written, planning, survey, wal_check};
use crate::{FlowContext, FlowError, Problem, Result};

/// Plan and preflight come before the saga's steps.
pub const STEPS_BEFORE: usize = 2;

/// Plans a restore and looks whether it could succeed, touching nothing (`--dry-run`).
///
/// # Errors
/// [`FlowError::Refused`] with every reason that was found.
pub async fn plan_restore(
    ctx: &FlowContext,
    request: &RestoreRequest,
) -> Result<(RestorePlan, PreflightReport)> {
    let reporter = ProgressReporter::new(&Quiet, request.id.clone(), STEPS_BEFORE);
    prepare(ctx, request, &reporter, Closing::Never).await.map(|(plan, report, _)| (plan, report))
}

/// Whether a running primary may be asked to close its present segment, so that a target in it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Nothing at all is changed.
    Never,
    /// A restore that goes on closes it anyway.
    WhereNeeded,
}

/// Steps 1 and 2.
pub async fn prepare(
    ctx: &FlowContext,
    request: &RestoreRequest,
    reporter: &ProgressReporter<'_>,
    closing: Closing,
) -> Result<(RestorePlan, PreflightReport, Vec<StepReport>)> {
    reporter.begin("plan", 1, ProgressKind::Begun);
    let outcome = plan_and_check(ctx, request, reporter, closing).await;
    if let Err(error) = &outcome {
        reporter.report(ProgressKind::Failed, Some(Problem::of(error).what));
    }
    outcome
}

async fn plan_and_check(
    ctx: &FlowContext,
    request: &RestoreRequest,
    reporter: &ProgressReporter<'_>,
    closing: Closing,
) -> Result<(RestorePlan, PreflightReport, Vec<StepReport>)> {
    let survey = survey::read(ctx, request).await?;
    let store = ctx.store.cluster(&survey.cluster);
    let mut findings = Findings::default();
    preflight::landscape(ctx, &survey, request, &mut findings);
    let path = path_of(ctx, &survey, &store, request, (closing, &mut findings)).await?;
    let seconds = reporter.report(ProgressKind::Done, None);
    let plan_step = StepReport::named("plan", seconds);
    reporter.begin("preflight", 2, ProgressKind::Begun);
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
    estimate::fill_in(&store, &path, &mut findings.report).await?;
    let mut plan = planning::plan(ctx, &survey, request, backup, path, &mut findings.problems);
    plan.estimate_seconds = findings.report.estimate_seconds;
    preflight::backup(ctx, &survey, backup, &plan, &mut findings).await;
    let wal = store.wal(plan.path.system_identifier).with_segments_of(plan.path.segment_size);
    plan.segments_verified =
        wal_check::preflight(ctx, &wal, &plan.path, request.options.verify, &mut findings).await?;
    at_stake::check(ctx, &store, &survey, &plan, &mut findings).await?;
    if !findings.problems.is_empty() {
        return Err(FlowError::Refused { what, problems: findings.problems });
    }
    let seconds = reporter.report(ProgressKind::Done, None);
    Ok((plan, findings.report, vec![plan_step, StepReport::named("preflight", seconds)]))
}

async fn path_of(
    ctx: &FlowContext,
    survey: &survey::Survey,
    store: &ClusterStore,
    request: &RestoreRequest,
    (closing, findings): (Closing, &mut Findings),
) -> Result<Result<remount_core::documents::RecoveryPath, Problem>> {
    let Some(system) = survey.system_identifier() else {
        let what = format!("cluster {} has no backup", survey.cluster);
        return Ok(Err(Problem::new(what, "look with `remount list` whether it goes by another name")));
    };
    let question = Question { backups: &survey.backups, target: &request.target };
    let more_to_come = last_written::more_to_come(survey, store, request).await?;
    let mut archive = planning::archive(store, system, more_to_come, &question).await?;
    if closing == Closing::WhereNeeded && target_search::may_be_unarchived(&archive) {
        findings.report.warnings.extend(target_search::close_segment(ctx, survey, store).await);
        archive = planning::archive(store, system, more_to_come, &question).await?;
    }
    match remount_core::plan_recovery(&survey.backups, &archive, &request.target) {
        Err(PlanError::UnknownBackup(id)) => Ok(Err(unusable(store, id).await?)),
        path => Ok(path.map_err(|error| Problem::of(&error))),
    }
}

/// Why a backup that was named is not among those that can be used.
async fn unusable(store: &ClusterStore, id: BackupId) -> Result<Problem> {
    match store.backup_record(&id).await {
        Err(error @ remount_store::Error::Document { .. }) => {
            let Problem { what, next } = Problem::of(&error);
            Ok(Problem { what: format!("the manifest of backup {id} is damaged: {what}"), next })
        }
        Err(error) => Err(FlowError::store("read the backup")(error)),
        Ok(Some(BackupRecord::Tombstone(tombstone))) => Ok(Problem::new(
            format!("backup {id} is no backup any more: {}", tombstone.why),
            "choose a backup from `remount list`",
        )),
        Ok(_) => Ok(Problem::of(&PlanError::UnknownBackup(id))),
    }
}
