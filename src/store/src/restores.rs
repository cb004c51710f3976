//! Restores of one cluster: the plan, what is published to the VMs, the fork and the journal.

use remount_core::{ClusterName, FORMAT, ForkRecord, RestoreId, RestorePlan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ClusterStore, Created, Error, Lease, Metadata, Result, documents};

/// `restores/current.json`, signed: which plan the VMs apply at their next start. The plan itself
/// is written once and stays where it is, so that the two cannot differ.
#[derive(Serialize, Deserialize)]
struct Current {
    format: u32,
    cluster: ClusterName,
    restore: RestoreId,
    /// Of the lease under which it was published.
    epoch: u64,
}

/// `abort.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Abort {
    format: u32,
    by: String,
}

/// `restores/<id>/journal/<n>.json`.
#[derive(Serialize, Deserialize)]
struct Entry {
    format: u32,
    /// Of the lease under which it was written.
    epoch: u64,
    event: Value,
}

impl ClusterStore {
    /// Writes a plan, once.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another plan has this id.
    ///
    /// # Idempotence
    /// The same plan again is success.
    pub async fn write_plan(&self, plan: &RestorePlan, lease: &Lease) -> Result<()> {
        assert_eq!(&plan.cluster, self.name(), "a plan lies with its own cluster");
        self.fence(lease).await?;
        let path = self.plan_path(&plan.id);
        let content = documents::encode_signed(&path, plan, &self.key)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// The plan of a restore, its HMAC verified.
    ///
    /// # Errors
    /// [`Error::Document`] where it cannot be read.
    pub async fn plan(&self, id: &RestoreId) -> Result<Option<RestorePlan>> {
        let path = self.plan_path(id);
        let Some(plan) = self.read_signed::<RestorePlan>(&path).await? else {
            return Ok(None);
        };
        if plan.id != *id || plan.cluster != *self.name() {
            let detail = format!("it is the plan of restore {} of cluster {}", plan.id, plan.cluster);
            return Err(documents::fault(&path, detail));
        }
        Ok(Some(plan))
    }

    /// The ids of every restore that was begun, oldest first.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn restores(&self) -> Result<Vec<RestoreId>> {
        let names = self.objects.folders(&self.path("restores/")).await?;
        Ok(names.into_iter().filter_map(|name| RestoreId::new(name).ok()).collect())
    }

    /// Makes a plan the one that the VMs apply at their next start.
    ///
    /// # Errors
    /// [`Error::Fenced`]: where the lease was lost while it was written, it may stand there; the new
    /// owner publishes or withdraws as it goes on.
    ///
    /// # Idempotence
    /// Publishing it again is success; so is publishing in the place of another plan.
    pub async fn publish(&self, id: &RestoreId, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.current_path();
        let current = Current {
            format: FORMAT,
            cluster: self.name().clone(),
            restore: id.clone(),
            epoch: lease.epoch(),
        };
        let content = documents::encode_signed(&path, &current, &self.key)?;
        self.objects.replace(&path, content).await?;
        self.fence(lease).await
    }

    /// The plan that the VMs apply at their next start, its HMAC verified; none where none is published.
    ///
    /// # Errors
    /// [`Error::Document`] where it, or the note that names it, cannot be read.
    pub async fn published(&self) -> Result<Option<RestorePlan>> {
        let path = self.current_path();
        let Some(current) = self.read_signed::<Current>(&path).await? else {
            return Ok(None);
        };
        if current.cluster != *self.name() {
            return Err(documents::fault(&path, format!("it belongs to cluster {}", current.cluster)));
        }
        let plan = self.plan(&current.restore).await?;
        let missing =
            || documents::fault(&path, format!("the plan of restore {} is not there", current.restore));
        plan.ok_or_else(missing).map(Some)
    }

    /// Takes the published plan back. None published counts as done.
    ///
    /// # Errors
    /// [`Error::Fenced`]; or the store did not answer.
    pub async fn withdraw(&self, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        self.objects.delete(&self.current_path()).await
    }

    /// Writes where the restored primary left the planned line, once.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another fork was recorded.
    ///
    /// # Idempotence
    /// The same fork again is success.
    pub async fn write_fork(&self, fork: &ForkRecord, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.restore_path(&fork.restore, "fork.json");
        let content = documents::encode_signed(&path, fork, &self.key)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// Where the restored primary left the planned line; none until it is known.
    ///
    /// # Errors
    /// [`Error::Document`] where it cannot be read.
    pub async fn fork(&self, id: &RestoreId) -> Result<Option<ForkRecord>> {
        let path = self.restore_path(id, "fork.json");
        let fork = self.read_signed::<ForkRecord>(&path).await?;
        match fork {
            Some(fork) if fork.restore != *id => {
                Err(documents::fault(&path, format!("it is the fork of restore {}", fork.restore)))
            }
            fork => Ok(fork),
        }
    }

    /// Asks the driver of a restore to go no further and to take it back. Needs no lease: the driver has it.
    ///
    /// # Errors
    /// The store does not answer.
    ///
    /// # Idempotence
    /// Who asked first stays on record.
    pub async fn ask_abort(&self, id: &RestoreId, by: &str) -> Result<()> {
        let path = self.restore_path(id, "abort.json");
        let content = documents::encode(&path, &Abort { format: FORMAT, by: by.to_owned() })?;
        self.objects.create(&path, content, &Metadata::new()).await.map(|_| ())
    }

    /// Who asked for the end of a restore; none where nobody did.
    ///
    /// # Errors
    /// The store does not answer, or what it has cannot be read.
    pub async fn abort_asked(&self, id: &RestoreId) -> Result<Option<String>> {
        let path = self.restore_path(id, "abort.json");
        let object = self.objects.read(&path).await?;
        let decode = |content: &[u8]| documents::decode::<Abort>(&path, content);
        Ok(object.map(|object| decode(&object.content)).transpose()?.map(|abort| abort.by))
    }

    /// Appends the `n`-th event of a restore's journal.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another event has that number: somebody else writes this journal,
    /// read it again. [`Error::Fenced`]: do not act on the event, whether it was written or not.
    ///
    /// # Idempotence
    /// The same event again is success.
    pub async fn append_journal(&self, id: &RestoreId, lease: &Lease, n: u64, event: &Value) -> Result<()> {
        self.fence(lease).await?;
        let path = self.restore_path(id, &format!("journal/{n:06}.json"));
        let entry = Entry { format: FORMAT, epoch: lease.epoch(), event: event.clone() };
        let content = documents::encode(&path, &entry)?;
        if self.objects.create(&path, content, &Metadata::new()).await? == Created::Existed {
            let written = self.journal_event(&path).await?;
            if written.as_ref() != Some(event) {
                // Mostly the next owner's: a writer that slept after its check comes too late.
                self.fence(lease).await?;
                return Err(Error::Conflict { path });
            }
        }
        // The lease may have been lost between the check and the write.
        self.fence(lease).await
    }

    /// The events of a restore's journal, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::Document`] where one is missing or cannot be read.
    pub async fn journal(&self, id: &RestoreId) -> Result<Vec<Value>> {
        let folder = self.restore_path(id, "journal/");
        let mut events = Vec::new();
        let mut last: Option<u64> = None;
        for info in self.objects.list(&folder).await? {
            let number = |name: &str| name.strip_suffix(".json")?.parse().ok();
            let Some(n) = number(&info.path[folder.len()..]) else {
                continue;
            };
            if last.is_some_and(|last| last + 1 != n) {
                return Err(documents::fault(&info.path, "the event before it is missing".into()));
            }
            last = Some(n);
            events.extend(self.journal_event(&info.path).await?);
        }
        Ok(events)
    }

    async fn journal_event(&self, path: &str) -> Result<Option<Value>> {
        let object = self.objects.read(path).await?;
        let decode = |content: &[u8]| documents::decode::<Entry>(path, content);
        Ok(object.map(|object| decode(&object.content)).transpose()?.map(|entry| entry.event))
    }

    async fn read_signed<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let object = self.objects.read(path).await?;
        object.map(|object| documents::decode_signed(path, &object.content, &self.key)).transpose()
    }

    fn restore_path(&self, id: &RestoreId, rest: &str) -> String {
        self.path(&format!("restores/{id}/{rest}"))
    }

    fn plan_path(&self, id: &RestoreId) -> String {
        self.restore_path(id, "plan.json")
    }

    fn current_path(&self) -> String {
        self.path("restores/current.json")
    }
}
