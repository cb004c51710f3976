//! The plan that a restored primary recovers by: from its application until the driver has promoted the server.
//! `remount-agent serve`, the hooks and the job `postgres` all ask here whether there is one.

use remount_core::documents::{AppliedPlan, RecoveryOutcome};
use remount_core::{RestoreId, Role};
use remount_postgres::{Error as PostgresError, Forwarded, LocalServer, Promoted, Recovery};
use remount_postgres::{RecoveryGoal, RecoverySettings, Signal, VerifiedPosition};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::Result;
use crate::fence::{path_before, planned_tail, restore_command};
use crate::postgres_job;
use remount_host::Deadline;

/// How long the store is asked for the newest version of a plan: its driver waits for the answer.
const PLAN_SECONDS: u64 = 20;

/// The plan by which this disk's server recovers as a primary; none where that is over, or there was none.
///
/// # Errors
/// A record cannot be read.
pub fn as_primary(disk: &Disk) -> Result<Option<AppliedPlan>> {
    let newest = disk.applied()?.pop();
    Ok(newest.filter(|applied| applied.role == Role::Primary && applied.outcome.is_none()))
}

/// Ends the recovery of a primary that stands where it was verified, records that, and makes its roles those of the
/// deployment again.
///
/// # Errors
/// [`PostgresError::NoRestore`], [`PostgresError::NotVerified`]; or PostgreSQL's: it is in recovery, or out of it and not
/// recorded yet. Ask again.
pub async fn promote(
    config: &AgentConfig,
    restore: &RestoreId,
    verified: &VerifiedPosition,
) -> Result<Promoted> {
    let disk = Disk::new(&config.directories);
    let newest = disk.applied()?.pop();
    let applied = newest.filter(|applied| applied.restore == *restore && applied.role == Role::Primary);
    let applied = applied.ok_or_else(|| PostgresError::NoRestore(restore.clone()))?;
    let server = LocalServer::new(config.postgres.clone());
    let promoted = server.promote(&applied.target, verified).await?;
    conclude(&disk, applied)?;
    if let Some(file) = &config.postgres_config_file {
        postgres_job::apply_roles(file, &server).await?; // They are those of the snapshot.
    }
    log::info!(restore:%, timeline:% = promoted.timeline; "the restored primary takes writes");
    Ok(promoted)
}

/// Takes the newest version of a plan over for the next start of its recovery. The record comes first: until the
/// settings are there and count, the server is not where its record wants it, and is not promoted.
///
/// # Errors
/// [`PostgresError::NoRestore`], the store's, or a file cannot be written: repeat it.
pub async fn forward(config: &AgentConfig, restore: &RestoreId) -> Result<Forwarded> {
    let disk = Disk::new(&config.directories);
    let none = || PostgresError::NoRestore(restore.clone());
    let applied = as_primary(&disk)?.filter(|applied| applied.restore == *restore).ok_or_else(none)?;
    let server = LocalServer::new(config.postgres.clone());
    if server.recovery(None).await? == Recovery::Ended {
        return Err(none().into());
    }
    let question = |store: remount_store::ClusterStore| async move {
        let Some(plan) = store.plan(restore).await? else { return Ok(None) };
        let tail = planned_tail(&store, &plan).await?;
        Ok(Some((plan, tail)))
    };
    let found = config.store_client().ask(Deadline::after_seconds(PLAN_SECONDS), question).await?;
    let (plan, tail) = found.filter(|(plan, _)| plan.path.backup == applied.backup).ok_or_else(none)?;
    let settings = RecoverySettings::of(&plan, RecoveryGoal::Reach, &restore_command(&config.path)?);
    let signal = Signal::of(Role::Primary, &plan.target);
    let target = plan.target.clone();
    let path = path_before(&plan.path, tail.as_ref()); // It was placed by the fence.
    disk.record(&AppliedPlan { path, target: plan.target, ..applied })?;
    let changed = server.data_directory().move_target(restore, &settings, signal)?;
    let needs_restart = !server.runs_to(&target).await?;
    log::info!(restore:%, target:%, changed, needs_restart; "the recovery has the plan's newest target");
    Ok(Forwarded { needs_restart })
}

/// The outcome first: a crash in between leaves the mark, which the daemon then removes as a stale one.
///
/// # Errors
/// The file system's.
pub fn conclude(disk: &Disk, applied: AppliedPlan) -> Result<()> {
    let outcome = match applied.role {
        Role::Primary => RecoveryOutcome::Recovered,
        Role::Standby => RecoveryOutcome::Streaming,
    };
    disk.record(&AppliedPlan { outcome: Some(outcome), ..applied.clone() })?;
    let mark = disk.backup_mark()?;
    if mark.is_some_and(|mark| mark.backup == applied.backup) {
        disk.remove_mark()?; // The disk is no copy any more: it has a timeline of its own.
    }
    log::info!(restore:% = applied.restore, role:% = applied.role; "the plan's recovery has ended");
    Ok(())
}
