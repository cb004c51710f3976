//! The fence: may PostgreSQL start on this disk? (`docs/design.md` section 5.)
//!
//! A disk made from a snapshot looks like the disk it was copied from. If PostgreSQL started on it, it
//! would recover to the instant of the snapshot, take writes on the old timeline and archive them:
//! nothing could undo that. `backup.json` is in every copy, and on a running disk only during a
//! backup. So a disk without it starts without asking the store, and a disk with it starts only after
//! the store has answered.
//!
//! [`decide`] holds the decision tables, without input or output; this module reads the disk, asks the store, and
//! carries the decision out.

mod apply;
mod decide;
mod processes;

use std::time::Duration;

use remount_core::documents::{ForkRecord, RestorePlan};
use remount_core::{BackupId, WalSegment};
use remount_host::{Account, Deadline};
use remount_postgres::{DataDirectory, Identity};
use remount_store::{ClusterStore, Error as StoreError};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::refusal::Refusal;
use crate::store_client::StoreClient;
pub use apply::restore_command;
use decide::{Facts, Found, LocalDecision, PlanDecision, PlannedRole};

/// Between two requests to a store that answers: the primary's restore takes seconds to minutes.
const PAUSE: Duration = Duration::from_secs(1);

/// The fence of one instance.
pub struct Fence {
    identity: Identity,
    disk: Disk,
    data: DataDirectory,
    store: StoreClient,
    restore_command: String,
    deadline: Deadline,
}

impl Fence {
    /// Of the instance with this configuration; its deadline begins now.
    ///
    /// # Errors
    /// The path of this program, beside which `remount-wal` is, cannot be found.
    pub fn new(config: &AgentConfig) -> Result<Self> {
        Ok(Self {
            identity: config.identity.clone(),
            disk: Disk::new(&config.directories),
            data: DataDirectory::new(&config.postgres.data_directory),
            store: config.store_client(),
            restore_command: apply::restore_command(&config.path)?,
            deadline: Deadline::after_seconds(config.pre_start.deadline_seconds),
        })
    }

    /// Decides whether PostgreSQL may start on this disk: it may where this returns `Ok`.
    ///
    /// # Errors
    /// [`Error::Refused`]: it may not; nothing was changed. Others: a plan may be applied in part, which
    /// does no harm: the next pre-start applies it again.
    pub async fn guard(&self, account: Account) -> Result<()> {
        if !self.disk.is_mounted()? {
            let path = self.disk.mount_point().display().to_string();
            return Err(Error::Refused(Refusal::NotMounted { path }));
        }
        self.disk.create_folders(account)?;
        match decide::locally(Facts::gather(&self.identity.instance, &self.data, &self.disk)?) {
            LocalDecision::Start(why) => {
                log::info!("{why}");
                Ok(())
            }
            LocalDecision::Refuse(refusal) => Err(Error::Refused(refusal)),
            LocalDecision::AskWhetherRegistered => self.must_not_be_registered().await,
            LocalDecision::AskForPlan(backup) => {
                self.must_not_be_used(&backup)?;
                self.ask_for_plan(&backup).await
            }
        }
    }

    /// All jobs' pre-starts run at the same time: one of another release may have started a server on the copy, as
    /// an upgrade does. That cannot be prevented here, but it is refused.
    fn must_not_be_used(&self, backup: &BackupId) -> Result<()> {
        let Some((pid, name)) = processes::working_in(self.data.path())? else { return Ok(()) };
        Err(Error::Refused(Refusal::AlreadyUsed { backup: backup.clone(), pid, name }))
    }

    /// An empty disk may be initialised only where the store answers that this instance never had data.
    async fn must_not_be_registered(&self) -> Result<()> {
        let instance = &self.identity.instance;
        let question = |store: ClusterStore| async move { store.is_registered(&instance.id).await };
        match self.store.ask(self.deadline, question).await {
            Ok(false) => {
                log::info!("the disk is empty and this instance never had data: it may be initialised");
                Ok(())
            }
            Ok(true) => Err(Error::Refused(Refusal::DataMissing { instance: instance.clone() })),
            Err(source) => Err(self.unanswered(Refusal::empty_and_unanswered, &source)),
        }
    }

    async fn ask_for_plan(&self, backup: &BackupId) -> Result<()> {
        let (plan, is_complete) = self.published(backup).await?;
        let found = Found { backup, is_complete, instance: &self.identity.instance };
        match decide::with_plan(&found, plan.as_ref(), self.data.path())? {
            PlanDecision::ClearStaleMark => {
                log::info!(backup:% = backup; "the VM went down during a backup, which therefore does not exist: the mark is removed, a normal start");
                self.disk.remove_mark()
            }
            PlanDecision::Refuse(refusal) => Err(Error::Refused(refusal)),
            PlanDecision::Apply(plan, PlannedRole::Primary) => self.apply(plan, None),
            PlanDecision::Apply(plan, PlannedRole::Standby) => {
                let fork = self.await_fork(plan).await?;
                self.apply(plan, Some(fork))
            }
        }
    }

    fn apply(&self, plan: &RestorePlan, fork: Option<ForkRecord>) -> Result<()> {
        apply::apply(&self.disk, &self.data, &self.restore_command, plan, fork)
    }

    /// The published plan, and whether the backup of the mark was completed.
    async fn published(&self, backup: &BackupId) -> Result<(Option<RestorePlan>, bool)> {
        let question = |store: ClusterStore| async move {
            let plan = store.published().await?;
            let is_complete = plan.is_none() && store.backup(backup).await?.is_some();
            Ok((plan, is_complete))
        };
        let refusal = |seconds, detail| Refusal::copy_and_unanswered(backup.clone(), seconds, detail);
        let asked = self.store.ask(self.deadline, question).await;
        asked.map_err(|source| self.unanswered(refusal, &source))
    }

    fn unanswered(&self, refusal: impl Fn(u64, String) -> Refusal, source: &StoreError) -> Error {
        let mut detail = source.to_string();
        let mut cause = std::error::Error::source(source);
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        let deadline_seconds = self.deadline.seconds();
        log::error!(cluster:% = self.store.cluster(), deadline_seconds; "the object store did not answer");
        Error::Refused(refusal(deadline_seconds, detail))
    }

    /// A standby may not start before the new timeline's history *and* its first segment are archived:
    /// PostgreSQL would take the parent's segment in its place and replay past the fork, without an error.
    async fn await_fork(&self, plan: &RestorePlan) -> Result<ForkRecord> {
        let mut logged = String::new();
        let deadline_seconds = self.deadline.seconds();
        loop {
            let question = |store: ClusterStore| async move { find_fork(&store, plan).await };
            let missing = match self.store.ask(self.deadline, question).await {
                Ok(Fork::Ready(fork)) => return Ok(fork),
                Ok(Fork::Missing(what)) => what,
                Ok(Fork::Withdrawn) => {
                    return Err(Error::Refused(Refusal::Withdrawn { restore: plan.id.clone() }));
                }
                Err(source) => {
                    let backup = &plan.path.backup;
                    let refusal =
                        |seconds, detail| Refusal::copy_and_unanswered(backup.clone(), seconds, detail);
                    return Err(self.unanswered(refusal, &source));
                }
            };
            if logged != missing {
                log::info!(restore:% = plan.id, deadline_seconds; "waiting for {missing}");
                logged.clone_from(&missing);
            }
            if !self.deadline.pause(PAUSE).await {
                let restore = plan.id.clone();
                return Err(Error::Refused(Refusal::NoFork { restore, missing, seconds: deadline_seconds }));
            }
        }
    }
}

enum Fork {
    Ready(ForkRecord),
    Missing(String),
    Withdrawn,
}

async fn find_fork(store: &ClusterStore, plan: &RestorePlan) -> Result<Fork, StoreError> {
    let Some(fork) = store.fork(&plan.id).await? else {
        // A restore that is given up withdraws its plan: the fork will never come.
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
