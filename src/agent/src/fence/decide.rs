//! The fence's decision table (`docs/design.md` section 5), without input or output.
//!
//! | mounted | data | `backup.json` | applied for it | instance had data | decision |
//! |---|---|---|---|---|---|
//! | no | | | | | refuse |
//! | yes | none | absent | | this VM saw it | refuse |
//! | yes | none | absent | | not known here | ask the store: refuse, or initialise |
//! | yes | none | present | | | refuse |
//! | yes | there | absent | | | start; the store is not asked |
//! | yes | there | present | yes | | start: a crash in recovery resumes it |
//! | yes | there | present | no | | refuse where a process works on it; else ask the store |
//!
//! | published plan | the mark is | the store has of the backup | decision |
//! |---|---|---|---|
//! | the store does not answer | | | refuse |
//! | of another backup, or of another cluster's data | | | refuse: the wrong disk |
//! | of this backup, without this instance | | | refuse |
//! | of this backup, this instance a primary | | | apply |
//! | of this backup, this instance a standby | | | wait for the fork, apply |
//! | none | of another store | | refuse: this one knows nothing of it |
//! | none | of another instance, cluster or data | | refuse: a copy, whatever the store says |
//! | none | this instance's own | a manifest, or the tombstone of a backup that there was | refuse: a copy without a restore |
//! | none | this instance's own | nothing, or the tombstone of a backup that failed | the VM went down during it: remove the mark, start |
//!
//! A complete backup with its mark still on the disk is a copy for certain: the manifest is written
//! after the mark was removed from the running disk.

use remount_core::documents::{BackupMark, DiskOwner, RestorePlan};
use remount_core::{BackupId, InstanceSlug, Role, StoreId, SystemIdentifier};
use remount_postgres::{DataDirectory, DataState, Identity};

use super::processes::Worker;
use crate::disk::Disk;
use crate::error::Result;
use crate::refusal::Refusal;

/// What the disk and the VM say.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server that is to start.
    pub identity: Identity,
    /// Where the disk should be, where it is not.
    pub missing_at: Option<String>,
    /// What the data directory holds.
    pub data: Data,
    /// The mark.
    pub mark: Option<BackupMark>,
    /// The backups of the plans that this disk has applied.
    pub applied: Vec<BackupId>,
    /// Whether this VM has seen data on its disk.
    pub seen_here: bool,
    /// A process that works on the data already.
    pub worker: Option<Worker>,
}

impl Facts {
    /// Of a server that runs, so that its disk is there; without a mark.
    pub fn of_running(identity: &Identity, system_identifier: SystemIdentifier) -> Self {
        Self {
            identity: identity.clone(),
            missing_at: None,
            data: Data::Cluster(system_identifier),
            mark: None,
            applied: Vec::new(),
            seen_here: true,
            worker: None,
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The control file, the mark or a record cannot be read.
    pub fn gather(
        identity: &Identity,
        data: &DataDirectory,
        disk: &Disk,
        worker: Option<Worker>,
    ) -> Result<Self> {
        let path = || disk.mount_point().display().to_string();
        let missing_at = if disk.is_mounted()? { None } else { Some(path()) };
        Ok(Self {
            identity: identity.clone(),
            missing_at,
            data: match data.state()? {
                DataState::Empty => Data::None,
                DataState::Cluster(control) => Data::Cluster(control.system_identifier),
            },
            mark: disk.backup_mark()?,
            applied: disk.applied()?.into_iter().map(|applied| applied.backup).collect(),
            seen_here: disk.initialised()?.is_some(),
            worker,
        })
    }
}

/// What a data directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    None,
    /// The data of this cluster.
    Cluster(SystemIdentifier),
}

/// What the store says.
#[derive(Debug)]
pub enum Answer {
    /// Whether this instance ever had data.
    Registered(bool),
    /// A plan is published.
    Planned(Box<RestorePlan>),
    /// None is; what is known of the mark's backup.
    Unplanned {
        /// What became of the backup.
        backup: BackupFate,
        /// The store's id; none where the control plane has never worked in it.
        store: Option<StoreId>,
    },
    /// Nothing, for so long.
    Silence {
        /// How long it was asked.
        seconds: u64,
        /// The last error.
        detail: String,
    },
}

/// What became of a backup, by what the store has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupFate {
    /// It never ended: the store has nothing.
    Unknown,
    /// A tombstone: it failed, and will never be a backup.
    Failed,
    /// A manifest.
    Good,
    /// A tombstone: it was a backup, and is deleted.
    Pruned,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// PostgreSQL may start.
    Start(String),
    /// It may not.
    Refuse(Refusal),
    /// The store has to say whether this instance ever had data.
    AskWhetherRegistered,
    /// The store has to say what the copy is for.
    AskAbout(BackupId),
    /// It is no copy: remove the mark; PostgreSQL may start.
    RemoveMark,
    /// Apply the plan for this role.
    Apply(Box<RestorePlan>, Role),
}

/// Decides; without an answer of the store what can be decided without it.
pub fn decide(facts: &Facts, answer: Option<&Answer>) -> Decision {
    if let Some(path) = &facts.missing_at {
        return Decision::Refuse(Refusal::NotMounted { path: path.clone() });
    }
    match (&facts.data, &facts.mark) {
        (Data::None, None) => of_empty(facts, answer),
        (Data::None, Some(mark)) => {
            Decision::Refuse(Refusal::CopyWithoutData { backup: mark.backup.clone() })
        }
        (Data::Cluster(_), None) => Decision::Start("the disk has no mark: a normal start".into()),
        (Data::Cluster(_), Some(mark)) if facts.applied.contains(&mark.backup) => {
            let backup = &mark.backup;
            let why =
                format!("the plan for backup {backup} was applied to this disk before: recovery goes on");
            Decision::Start(why)
        }
        (Data::Cluster(found), Some(mark)) => of_marked(facts, *found, mark, answer),
    }
}

fn of_empty(facts: &Facts, answer: Option<&Answer>) -> Decision {
    let missing = || Refusal::DataMissing { instance: facts.identity.instance.clone() };
    match answer {
        _ if facts.seen_here => Decision::Refuse(missing()),
        Some(Answer::Registered(true)) => Decision::Refuse(missing()),
        Some(Answer::Registered(false)) => Decision::Start(
            "the disk is empty and this instance never had data: it may be initialised".into(),
        ),
        Some(Answer::Silence { seconds, detail }) => {
            Decision::Refuse(Refusal::EmptyAndUnanswered { seconds: *seconds, detail: detail.clone() })
        }
        Some(Answer::Planned(_) | Answer::Unplanned { .. }) | None => Decision::AskWhetherRegistered,
    }
}

fn of_marked(facts: &Facts, data: SystemIdentifier, mark: &BackupMark, answer: Option<&Answer>) -> Decision {
    let backup = || mark.backup.clone();
    if let Some(Worker { pid, name }) = facts.worker.clone() {
        return Decision::Refuse(Refusal::AlreadyUsed { backup: backup(), pid, name });
    }
    match answer {
        Some(Answer::Planned(plan)) => of_planned(facts, data, mark, plan),
        Some(Answer::Unplanned { store, .. }) if store.as_ref() != Some(&mark.store) => {
            // It knows nothing of the backup, and that proves nothing.
            let (found, wanted) = (mark.store.clone(), store.clone());
            Decision::Refuse(Refusal::OtherStore { backup: backup(), found, wanted })
        }
        Some(Answer::Unplanned { backup, .. }) => of_unplanned(facts, data, mark, *backup),
        Some(Answer::Silence { seconds, detail }) => {
            Decision::Refuse(Refusal::copy_and_unanswered(backup(), *seconds, detail.clone()))
        }
        Some(Answer::Registered(_)) | None => Decision::AskAbout(backup()),
    }
}

/// Whose disk it was is no matter: a restore gives the primary's to the standbys.
fn of_planned(facts: &Facts, data: SystemIdentifier, mark: &BackupMark, plan: &RestorePlan) -> Decision {
    let instance = &facts.identity.instance;
    let restore = plan.id.clone();
    if plan.path.backup != mark.backup {
        let (wanted, found) = (plan.path.backup.clone(), mark.backup.clone());
        return Decision::Refuse(Refusal::WrongDisk { restore, wanted, found });
    }
    let Some(role) = role_in(plan, instance) else {
        return Decision::Refuse(Refusal::NotPlanned { restore, instance: instance.clone() });
    };
    let (wanted, found) = (plan.path.system_identifier, data);
    if wanted != found {
        return Decision::Refuse(Refusal::OtherCluster { restore, wanted, found });
    }
    Decision::Apply(Box::new(plan.clone()), role)
}

fn of_unplanned(facts: &Facts, data: SystemIdentifier, mark: &BackupMark, record: BackupFate) -> Decision {
    let backup = mark.backup.clone();
    let me = owner_of(&facts.identity, data);
    if mark.owner != me {
        let (found, wanted) = (Box::new(mark.owner.clone()), Box::new(me));
        return Decision::Refuse(Refusal::CopyOfAnother { backup, found, wanted });
    }
    match record {
        BackupFate::Good | BackupFate::Pruned => Decision::Refuse(Refusal::NoPlan { backup }),
        BackupFate::Unknown | BackupFate::Failed => Decision::RemoveMark,
    }
}

/// Whose the disk is by what this VM is and by what lies on it.
pub fn owner_of(identity: &Identity, data: SystemIdentifier) -> DiskOwner {
    DiskOwner {
        cluster: identity.cluster.clone(),
        system_identifier: data,
        instance: identity.instance.id.clone(),
    }
}

fn role_in(plan: &RestorePlan, instance: &InstanceSlug) -> Option<Role> {
    plan.instances.iter().find(|planned| planned.instance == *instance).map(|planned| planned.role)
}

#[cfg(test)]
mod tests;
