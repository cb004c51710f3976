//! A restore that is paused: it stands at its target, in recovery, and a person has looked. Whether a command fits that,
//! and the move of its target forward. Replay goes forward alone: what it has replayed is on the disk.

use jiff::Timestamp;
use remount_core::documents::{AcceptedLoss, JournalEvent, RecoveryPath, RestorePlan, What};
use remount_core::{Lsn, MoreWal, RecoveryTarget, RestoreTarget, plan_recovery};
use remount_postgres::Recovery;
use remount_saga::Journal as _;
use remount_store::{ClusterStore, Lease};

use super::journal::RestoreJournal;
use super::planning;
use super::run::Direction;
use super::state::RestoreState;
use super::steps::RestoreStep;
use super::target_search::Question;
use super::unarchived::{ACCEPT, missing_wal};
use crate::{FlowContext, FlowError, Problem, Result, instances};

/// Looks whether a restore may go in this direction.
///
/// # Errors
/// [`FlowError::Refused`] where a pause asks for another command than the one that was given, or there is none.
pub fn must_fit(plan: &RestorePlan, state: &RestoreState, direction: &Direction) -> Result<()> {
    let id = &plan.id;
    let (what, problem) = match (direction, state.is_paused()) {
        (Direction::Resume, true) => (
            format!("`remount resume {id}`"),
            Problem::new(
                "it is paused, and waits for somebody who has looked at it",
                format!(
                    "`remount restore accept {id}` goes on, `remount restore forward {id} --to-time …` replays to a later point, `remount restore give-up {id}` puts the old disks back"
                ),
            ),
        ),
        (Direction::Accept | Direction::MoveTarget(_) | Direction::GiveUp, false) => {
            let command = match direction {
                Direction::Accept => "accept",
                Direction::MoveTarget(_) => "forward",
                _ => "give-up",
            };
            let next = format!(
                "`remount journal {id}` shows where it is; `remount resume {id}` or `remount rollback {id}` end it"
            );
            (format!("`remount restore {command} {id}`"), Problem::new("the restore is not paused", next))
        }
        _ => return Ok(()),
    };
    Err(FlowError::Refused { what, problems: vec![problem] })
}

/// Moves the target: step `recover`, and what came after it, is to be done again with the plan's next version. The
/// journal's event comes first: where the process dies between the two, the restore pauses where it was.
///
/// # Errors
/// [`FlowError::Refused`] where the target is not ahead, or the archive does not carry it; nothing was changed.
pub async fn forward(
    ctx: &FlowContext,
    cluster: &ClusterStore,
    lease: &Lease,
    begun: (RestorePlan, RestoreState),
    target: &RestoreTarget,
) -> Result<(RestorePlan, RestoreState)> {
    let (plan, state) = begun;
    let stands = stands_at(ctx, &plan).await?;
    let target = ahead(&plan, &stands, target).map_err(|problem| refused(&plan, problem))?;
    must_have_all(&plan, state.events(), &target)?;
    let path = path_to(cluster, &plan, &target).await?;
    let journal = RestoreJournal::new(cluster.clone(), plan.id.clone(), lease.clone(), state.position().last);
    let (step, why) = (RestoreStep::Recover.as_str().to_owned(), format!("to be replayed to {target}"));
    journal.append(What::Reopened { step, why }).await?;
    let next = RestorePlan { target, path, revision: plan.revision + 1, ..plan };
    cluster
        .write_plan_revision(&next, lease)
        .await
        .map_err(FlowError::store("write the plan's next version"))?;
    let state = RestoreState::read(cluster, &next.id).await?;
    Ok((next, state))
}

/// Where a paused restore stands.
struct PausedAt {
    lsn: Lsn,
    last_commit: Option<Timestamp>,
}

async fn stands_at(ctx: &FlowContext, plan: &RestorePlan) -> Result<PausedAt> {
    let no_primary = || FlowError::check("the plan names no primary", "begin a new restore");
    let primary = &plan.primary().ok_or_else(no_primary)?.instance;
    let all = instances::all(ctx, &plan.deployment).await?;
    let gone = || FlowError::check(format!("the Director no longer knows {primary}"), "deploy it as it was");
    let instance = all.iter().find(|instance| instance.slug == *primary).ok_or_else(gone)?;
    let status = instances::status_with_retry(ctx, instance).await?;
    match status.recovery {
        _ if status.applied_restore.as_ref() != Some(&plan.id) => {
            let what = format!("the disk of {primary} has not applied this restore");
            Err(refused(plan, Problem::new(what, format!("`remount rollback {}`", plan.id))))
        }
        Recovery::AtTarget { lsn, last_commit } => Ok(PausedAt { lsn, last_commit }),
        Recovery::AtEnd { lsn, .. } => {
            let what = format!("all WAL that the archive has is replayed already, up to {lsn}");
            let next = format!("`remount restore accept {0}` or `remount restore give-up {0}`", plan.id);
            Err(refused(plan, Problem::new(what, next)))
        }
        other => {
            let what = format!("{primary} is {other}");
            let next = format!("`remount restore accept {0}` or `remount restore give-up {0}`", plan.id);
            Err(refused(plan, Problem::new(what, next)))
        }
    }
}

/// The new target on the planned timeline, where it is certainly ahead of where replay stands.
fn ahead(plan: &RestorePlan, stands: &PausedAt, target: &RestoreTarget) -> Result<RestoreTarget, Problem> {
    let earlier = |at: String| {
        let next = format!(
            "replay goes forward alone: `remount restore give-up {}`, then restore to the earlier point",
            plan.id
        );
        Problem::new(format!("{} is not ahead of {at}, where the restore stands", target.target), next)
    };
    if target.timeline.is_some_and(|timeline| timeline != plan.path.history.timeline) {
        let what = format!("the restore is on timeline {}", plan.path.history.timeline);
        return Err(Problem::new(what, "leave `--timeline` away, or give the restore up"));
    }
    match &target.target {
        RecoveryTarget::Latest => {}
        RecoveryTarget::Lsn(lsn) if *lsn > stands.lsn => {}
        RecoveryTarget::Lsn(_) => return Err(earlier(stands.lsn.to_string())),
        RecoveryTarget::Time(time) => {
            let wanted = match plan.target.target {
                RecoveryTarget::Time(wanted) => Some(wanted),
                _ => None,
            };
            let at = wanted.max(stands.last_commit);
            match at {
                Some(at) if *time > at => {}
                Some(at) => return Err(earlier(at.to_string())),
                None => {
                    let what = "it is not known what time it is where the restore stands";
                    return Err(Problem::new(what, "name the point with --to-lsn, or --to-latest"));
                }
            }
        }
        RecoveryTarget::Xid(_) | RecoveryTarget::Name(_) | RecoveryTarget::Backup(_) => {
            let what = format!("whether {} is ahead of where the restore stands is not known", target.target);
            return Err(Problem::new(what, "name the point with --to-time, --to-lsn or --to-latest"));
        }
    }
    if target.from_backup.as_ref().is_some_and(|named| *named != plan.path.backup) {
        let what = format!("the restore began from backup {}", plan.path.backup);
        return Err(Problem::new(what, "leave `--from-backup` away, or give the restore up"));
    }
    let (timeline, from_backup) = (Some(plan.path.history.timeline), Some(plan.path.backup.clone()));
    Ok(RestoreTarget { timeline, from_backup, ..target.clone() })
}

/// To `latest` only where the archive has all, or that it has not was accepted when the restore was asked for. The old
/// primary's last records are on the restored disk already: they were put there when its plan was applied.
fn must_have_all(plan: &RestorePlan, events: &[JournalEvent], target: &RestoreTarget) -> Result<()> {
    if target.target != RecoveryTarget::Latest || plan.accepts(AcceptedLoss::UnarchivedWal) {
        return Ok(());
    }
    let Some(missing) = missing_wal(events)? else { return Ok(()) };
    let what = format!("commits of the old primary may be missing in the archive: {missing}");
    let next = format!(
        "`remount restore give-up {}`, fix what keeps the primary from archiving, then restore with `--to-latest`; or {ACCEPT}",
        plan.id
    );
    Err(refused(plan, Problem::new(what, next)))
}

/// What recovery has to read for the new target, from the backup that it began from.
async fn path_to(cluster: &ClusterStore, plan: &RestorePlan, target: &RestoreTarget) -> Result<RecoveryPath> {
    let backup = cluster.backup(&plan.path.backup).await.map_err(FlowError::store("read the backup"))?;
    let gone = || {
        let what = format!("backup {} was deleted", plan.path.backup);
        refused(plan, Problem::new(what, format!("`remount restore accept {}`", plan.id)))
    };
    let backups = [backup.ok_or_else(gone)?];
    let question = Question { backups: &backups, target };
    let archive =
        planning::archive(cluster, plan.path.system_identifier, MoreWal::Nothing, &question).await?;
    let found = plan_recovery(&backups, &archive, target);
    let found = found.map_err(|error| refused(plan, Problem::of(&error)))?;
    if found.history == plan.path.history {
        return Ok(RecoveryPath { new_timeline: plan.path.new_timeline, ..found });
    }
    let what = format!("the archive leads to it on timeline {}", found.history.timeline);
    Err(refused(
        plan,
        Problem::new(what, format!("`remount restore give-up {}`, then restore to it", plan.id)),
    ))
}

fn refused(plan: &RestorePlan, problem: Problem) -> FlowError {
    FlowError::Refused { what: format!("`remount restore forward {}`", plan.id), problems: vec![problem] }
}
