//! The mark that an earlier agent left: of a backup that it died in, or of a disk that is a copy.
//!
//! Only the store tells the two apart. PostgreSQL may run on a copy: started by hand, or by another release's job before
//! the fence has looked. The mark is then all that still says so.

use remount_core::documents::{BackupMark, DiskOwner};
use remount_core::{StoreId, SystemIdentifier};
use remount_host::Deadline;
use remount_postgres::{ControlData, DataDirectory, Identity};

use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fence::about_copy;
use crate::fence::decide::{Decision, Facts, decide, owner_of};
use crate::store_client::StoreClient;

/// How long the store is asked; the daemon asks again.
const STORE_SECONDS: u64 = 5;

/// What becomes of a mark, and why.
pub enum Verdict {
    /// It goes.
    Remove(String),
    /// It stays.
    Keep(String),
}

/// Judges the marks of one instance's disk.
pub struct MarkJudge {
    identity: Identity,
    disk: Disk,
    data: DataDirectory,
    store: StoreClient,
}

impl MarkJudge {
    /// Of the instance with this configuration.
    pub fn new(config: &AgentConfig) -> Self {
        Self {
            identity: config.identity.clone(),
            disk: Disk::new(&config.directories),
            data: DataDirectory::new(&config.postgres.data_directory),
            store: config.store_client(),
        }
    }

    /// Whose the disk is, by what this VM is.
    pub fn owner(&self, data: SystemIdentifier) -> DiskOwner {
        owner_of(&self.identity, data)
    }

    /// The store that this agent archives into. The control plane has drawn its id before it begins a backup.
    ///
    /// # Errors
    /// The store does not answer, or has no id.
    pub async fn store_id(&self) -> Result<StoreId> {
        let deadline = Deadline::after_seconds(STORE_SECONDS);
        let asked = self.store.ask_store(deadline, |store| async move { store.id().await }).await;
        let problem = match asked {
            Ok(Some(id)) => return Ok(id),
            Ok(None) => "it has no store.json".to_owned(),
            Err(error) => remount_core::with_causes(&error),
        };
        Err(Error::Server {
            what: format!("there can be no backup without the object store: {problem}"),
            next: "compare the properties `store.*` of the jobs remount-agent and remount: both have to name one store".into(),
        })
    }

    /// Judges a mark that this process has not made.
    ///
    /// # Errors
    /// A record of ours, or the control file, cannot be read.
    pub async fn judge(&self, mark: &BackupMark) -> Result<Verdict> {
        let applied = self.disk.applied()?.into_iter().rev().find(|applied| applied.backup == mark.backup);
        match applied {
            Some(applied) if applied.outcome.is_none() => {
                return Ok(Verdict::Keep(format!("the recovery of restore {} is not over", applied.restore)));
            }
            // A crash between the record of the outcome and the removal.
            Some(applied) => return Ok(Verdict::Remove(format!("restore {} has ended", applied.restore))),
            None => {}
        }
        let answer = about_copy(&self.store, &mark.backup, Deadline::after_seconds(STORE_SECONDS)).await;
        let data = ControlData::read_system_identifier(self.data.path())?;
        let facts = Facts { mark: Some(mark.clone()), ..Facts::of_running(&self.identity, data) };
        Ok(match decide(&facts, Some(&answer)) {
            Decision::RemoveMark => Verdict::Remove(format!(
                "backup {} does not exist: an earlier agent died during it",
                mark.backup
            )),
            Decision::Refuse(refusal) => Verdict::Keep(format!("{refusal}; next: {}", refusal.next_step())),
            Decision::Apply(plan, _) => Verdict::Keep(format!(
                "the disk was made for restore {}, whose plan was not applied before PostgreSQL started",
                plan.id
            )),
            Decision::Start(why) => Verdict::Keep(why),
            Decision::AskWhetherRegistered | Decision::AskAbout(_) => {
                Verdict::Keep("the object store was not asked".into())
            }
        })
    }
}
