//! The fence: may PostgreSQL start on this disk? (`docs/design.md` section 5.)
//!
//! A disk made from a snapshot looks like the disk it was copied from. If PostgreSQL started on it, it
//! would recover to the instant of the snapshot, take writes on the old timeline and archive them:
//! nothing could undo that. `backup.json` is in every copy, and on a running disk only during a
//! backup. So a disk with data and without the mark starts without asking the store. One with the mark starts only after
//! the store has answered; where that answer was a plan, its record on the disk (`applied/`) is the answer from then on.
//! An empty disk is initialised only where the store says that the instance never had data.
//!
//! [`decide()`] holds the decision table, without input or output; this module reads the disk, asks the store, and
//! carries the decision out.

mod apply;
pub mod decide;
mod placed;
pub mod processes;

use std::time::Duration;

use remount_core::documents::{BackupRecord, ForkRecord, RestorePlan, TombstoneKind};
use remount_core::{BackupId, Role, WalSegment};
use remount_host::{Account, Deadline};
use remount_postgres::{DataDirectory, Identity};
use remount_store::{ClusterStore, Error as StoreError, Store};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::refusal::Refusal;
use crate::store_client::StoreClient;
pub use apply::{path_before, restore_command};
use decide::{Answer, BackupFate, Decision, Facts, decide};
pub use placed::tail as planned_tail;
use processes::Worker;

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

    /// Makes Remount's folders on the disk and on the VM.
    ///
    /// # Errors
    /// [`Error::Refused`]: the disk is missing. The file system's.
    pub fn make_folders(&self, account: Account) -> Result<()> {
        if !self.disk.is_mounted()? {
            let path = self.disk.mount_point().display().to_string();
            return Err(Error::Refused(Refusal::NotMounted { path }));
        }
        self.disk.create_folders(account)
    }

    /// Decides whether PostgreSQL may start on this disk, where a process may already work: it may start where this
    /// returns `Ok`.
    ///
    /// # Errors
    /// [`Error::Refused`]: it may not; nothing was changed. Others: a plan may be applied in part, which
    /// does no harm: the next pre-start applies it again.
    pub async fn guard(&self, worker: Option<Worker>) -> Result<()> {
        let facts = Facts::gather(&self.identity, &self.data, &self.disk, worker)?;
        let mut answer = None;
        loop {
            match decide(&facts, answer.as_ref()) {
                Decision::AskWhetherRegistered => answer = Some(self.whether_registered().await),
                Decision::AskAbout(backup) => {
                    answer = Some(about_copy(&self.store, &backup, self.deadline).await);
                }
                Decision::Start(why) => {
                    log::info!("{why}");
                    return Ok(());
                }
                Decision::Refuse(refusal) => return Err(Error::Refused(refusal)),
                Decision::RemoveMark => {
                    log::info!(
                        "the VM went down during a backup, which therefore does not exist: the mark is removed, a normal start"
                    );
                    return self.disk.remove_mark();
                }
                Decision::Apply(plan, role) => return self.carry_out(&plan, role).await,
            }
        }
    }

    /// An empty disk may be initialised only where the store answers that this instance never had data.
    async fn whether_registered(&self) -> Answer {
        let instance = &self.identity.instance;
        let question = |store: ClusterStore| async move { store.is_registered(&instance.id).await };
        match self.store.ask(self.deadline, question).await {
            Ok(registered) => Answer::Registered(registered),
            Err(source) => silence(&self.store, self.deadline, &source),
        }
    }

    async fn carry_out(&self, plan: &RestorePlan, role: Role) -> Result<()> {
        match role {
            Role::Primary => self.apply(plan, None).await,
            Role::Standby => {
                let fork = self.await_fork(plan).await?;
                self.apply(plan, Some(fork)).await
            }
        }
    }

    /// WAL first, while neither label nor signal is there: a crash on the way applies the plan again.
    async fn apply(&self, plan: &RestorePlan, fork: Option<ForkRecord>) -> Result<()> {
        let found = fork.as_ref();
        let question = |store: ClusterStore| async move { placed::needed(&store, plan, found).await };
        let (wal, tail) = self.store.ask(self.deadline, question).await?;
        for file in wal {
            file.put_into(&self.data)?;
            log::info!(restore:% = plan.id, segment:% = file.segment; "WAL that the archive does not give was put into pg_wal");
        }
        apply::apply(&self.disk, &self.data, &self.restore_command, plan, apply::Ends { fork, tail })
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
                    let (backup, detail) = (plan.path.backup.clone(), remount_core::with_causes(&source));
                    let refusal = Refusal::copy_and_unanswered(backup, deadline_seconds, detail);
                    return Err(Error::Refused(refusal));
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

/// What the store says of a copy: the published plan, and what became of the backup of its mark.
pub async fn about_copy(store: &StoreClient, backup: &BackupId, deadline: Deadline) -> Answer {
    let cluster = store.cluster().clone();
    let question = |store: Store| async move {
        let (id, cluster) = (store.id().await?, store.cluster(&cluster));
        Ok(match cluster.published().await? {
            Some(plan) => Answer::Planned(Box::new(plan)),
            None => Answer::Unplanned { backup: fate_of(&cluster, backup).await?, store: id },
        })
    };
    match store.ask_store(deadline, question).await {
        Ok(answer) => answer,
        Err(source) => silence(store, deadline, &source),
    }
}

/// What became of a backup: the store has its manifest, or the tombstone under the same name.
async fn fate_of(store: &ClusterStore, backup: &BackupId) -> Result<BackupFate, StoreError> {
    Ok(match store.backup_record(backup).await? {
        None => BackupFate::Unknown,
        Some(BackupRecord::Manifest(_)) => BackupFate::Good,
        Some(BackupRecord::Tombstone(stone)) => match stone.tombstone {
            TombstoneKind::Failed => BackupFate::Failed,
            TombstoneKind::Pruned => BackupFate::Pruned,
        },
    })
}

fn silence(store: &StoreClient, deadline: Deadline, source: &StoreError) -> Answer {
    let seconds = deadline.seconds();
    log::error!(cluster:% = store.cluster(), deadline_seconds = seconds; "the object store did not answer");
    Answer::Silence { seconds, detail: remount_core::with_causes(source) }
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
