//! The fence: may PostgreSQL start on this disk? (DESIGN section 5.)
//!
//! A disk made from a snapshot looks like the disk it was copied from. Started as it is, PostgreSQL
//! would recover to the instant of the snapshot, take writes on the old timeline and archive them:
//! nothing could undo that. `backup.json` is in every copy, and on a running disk only during a
//! backup. So a disk without it starts without asking anybody, and a disk with it never starts
//! unasked.
//!
//! [`decide`] holds the table, pure; this module asks the disk and the store, and carries it out.

mod apply;
mod decide;
mod processes;
mod refusal;

use std::time::Duration;

use remount_core::documents::{ForkRecord, RestorePlan};
use remount_core::{BackupId, WalSegment};
use remount_store::{ClusterStore, Error as StoreError};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::store_client;
use decide::{Facts, Found, LocalDecision, PlanDecision, PlannedRole};
pub use refusal::Refusal;
use remount_host::Account;
use remount_host::Deadline;

/// Between two looks at a store that answers: the primary's restore takes seconds to minutes.
const PAUSE: Duration = Duration::from_secs(1);

/// Judges the disk. When this answers `Ok`, PostgreSQL may start.
///
/// # Errors
/// [`Error::Refused`]: it may not; nothing was changed. Others: a plan may be applied by half, which
/// does no harm: the next pre-start applies it again.
pub async fn guard(config: &AgentConfig, account: Account) -> Result<()> {
    let deadline = Deadline::after_seconds(config.pre_start.deadline_seconds);
    let disk = Disk::new(&config.directories);
    if !disk.is_mounted()? {
        return Err(Error::Refused(Refusal::NotMounted { path: disk.mount_point().display().to_string() }));
    }
    disk.create_folders(account)?;
    match decide::locally(Facts::gather(config, &disk)?) {
        LocalDecision::Start(why) => {
            log::info!("{why}");
            Ok(())
        }
        LocalDecision::Refuse(refusal) => Err(Error::Refused(refusal)),
        LocalDecision::AskWhetherRegistered => must_not_be_registered(config, deadline).await,
        LocalDecision::AskForPlan(backup) => {
            must_not_be_used(config, &backup)?;
            ask_for_plan(config, &disk, &backup, deadline).await
        }
    }
}

/// All jobs' pre-starts run at the same time: one of another release may have started a server on the copy, as
/// an upgrade does. That cannot be prevented from here, but it is not to go on unseen.
fn must_not_be_used(config: &AgentConfig, backup: &BackupId) -> Result<()> {
    let found = processes::working_in(&config.postgres.data_directory)?;
    let Some((pid, name)) = found else { return Ok(()) };
    Err(Error::Refused(Refusal::AlreadyUsed { backup: backup.clone(), pid, name }))
}

/// An empty disk may be initialised only where the store answers that this instance never had data.
async fn must_not_be_registered(config: &AgentConfig, deadline: Deadline) -> Result<()> {
    let id = &config.identity.instance.id;
    let asked =
        store_client::ask(
            config,
            deadline,
            |store: ClusterStore| async move { store.is_registered(id).await },
        );
    match asked.await {
        Ok(false) => {
            log::info!("the disk is empty and this instance never had data: it may be initialised");
            Ok(())
        }
        Ok(true) => Err(Error::Refused(Refusal::DataMissing { instance: config.identity.instance.clone() })),
        Err(source) => Err(unanswered(config, Refusal::empty_and_unanswered, deadline, &source)),
    }
}

async fn ask_for_plan(
    config: &AgentConfig,
    disk: &Disk,
    backup: &BackupId,
    deadline: Deadline,
) -> Result<()> {
    let (plan, is_complete) = published(config, backup, deadline).await?;
    let found = Found { backup, is_complete, instance: &config.identity.instance };
    match decide::with_plan(&found, plan.as_ref(), &config.postgres.data_directory)? {
        PlanDecision::ClearStaleMark => {
            log::info!(backup:% = backup; "the VM went down during a backup: that backup is void, this is a normal start");
            disk.remove_mark()
        }
        PlanDecision::Refuse(refusal) => Err(Error::Refused(refusal)),
        PlanDecision::Apply(plan, PlannedRole::Primary) => apply::apply(config, disk, plan, None),
        PlanDecision::Apply(plan, PlannedRole::Standby) => {
            let fork = await_fork(config, plan, deadline).await?;
            apply::apply(config, disk, plan, Some(fork))
        }
    }
}

/// The published plan, and whether the backup of the mark was completed.
async fn published(
    config: &AgentConfig,
    backup: &BackupId,
    deadline: Deadline,
) -> Result<(Option<RestorePlan>, bool)> {
    let look = |store: ClusterStore| async move {
        let plan = store.published().await?;
        let is_complete = plan.is_none() && store.backup(backup).await?.is_some();
        Ok((plan, is_complete))
    };
    let refusal = |seconds, detail| Refusal::copy_and_unanswered(backup.clone(), seconds, detail);
    let asked = store_client::ask(config, deadline, look).await;
    asked.map_err(|source| unanswered(config, refusal, deadline, &source))
}

fn unanswered(
    config: &AgentConfig,
    refusal: impl Fn(u64, String) -> Refusal,
    deadline: Deadline,
    source: &StoreError,
) -> Error {
    let mut detail = source.to_string();
    let mut cause = std::error::Error::source(source);
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    log::error!(cluster:% = config.identity.cluster, deadline_seconds = deadline.seconds(); "the object store did not answer");
    Error::Refused(refusal(deadline.seconds(), detail))
}

/// A standby may not start before the new timeline's history *and* its first segment are archived:
/// PostgreSQL would take the parent's segment in its place and replay past the fork, without a word.
async fn await_fork(config: &AgentConfig, plan: &RestorePlan, deadline: Deadline) -> Result<ForkRecord> {
    let mut said = String::new();
    loop {
        let look = |store: ClusterStore| async move { look_for_fork(&store, plan).await };
        let looked = store_client::ask(config, deadline, look).await;
        let missing = match looked {
            Ok(Fork::Ready(fork)) => return Ok(fork),
            Ok(Fork::Missing(what)) => what,
            Ok(Fork::Withdrawn) => {
                return Err(Error::Refused(Refusal::Withdrawn { restore: plan.id.clone() }));
            }
            Err(source) => {
                let backup = plan.path.backup.clone();
                let refusal = |seconds, detail| Refusal::copy_and_unanswered(backup.clone(), seconds, detail);
                return Err(unanswered(config, refusal, deadline, &source));
            }
        };
        if said != missing {
            log::info!(restore:% = plan.id, deadline_seconds = deadline.seconds(); "waiting for {missing}");
            said.clone_from(&missing);
        }
        if !deadline.pause(PAUSE).await {
            let seconds = deadline.seconds();
            return Err(Error::Refused(Refusal::NoFork { restore: plan.id.clone(), missing, seconds }));
        }
    }
}

enum Fork {
    Ready(ForkRecord),
    Missing(String),
    Withdrawn,
}

async fn look_for_fork(store: &ClusterStore, plan: &RestorePlan) -> Result<Fork, StoreError> {
    let Some(fork) = store.fork(&plan.id).await? else {
        // Whoever gives the restore up takes the plan back; waiting on would be in vain.
        let published = store.published().await?;
        let stands = published.is_some_and(|now| now.id == plan.id);
        let what = "the restored primary to be verified (fork.json)";
        return Ok(if stands { Fork::Missing(what.into()) } else { Fork::Withdrawn });
    };
    let wal = store.wal(plan.path.system_identifier);
    if wal.history(fork.timeline).await?.is_none() {
        return Ok(Fork::Missing(format!("the history of timeline {} in the archive", fork.timeline)));
    }
    let segment: WalSegment = fork.fork_segment;
    if !wal.contains(&segment).await? {
        return Ok(Fork::Missing(format!("segment {segment} in the archive")));
    }
    Ok(Fork::Ready(fork))
}
