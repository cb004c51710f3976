//! Restores of one cluster: the plan, what is published to the VMs, the fork and the journal.

use log::warn;
use remount_core::RestoreId;
use remount_core::documents::{
    AbortRequest, FORMAT, ForkRecord, JournalEvent, PublishedPlan, RestorePlan, TailRecord,
};
use serde::de::DeserializeOwned;

use crate::parallel::in_parallel;
use crate::{ClusterStore, Created, Error, Lease, Metadata, Result, documents};

/// More often nobody moves the target of one restore.
const REVISIONS_MAX: u32 = 1000;

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
        self.index_restore(&plan.id).await?;
        let path = self.plan_path(&plan.id);
        let content = documents::encode_signed(&path, plan, &self.keys)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// Writes the next version of a plan: a paused restore's target was moved. Until it is written the one before
    /// counts.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another one has this number.
    pub async fn write_plan_revision(&self, plan: &RestorePlan, lease: &Lease) -> Result<()> {
        assert_eq!(&plan.cluster, self.name(), "a plan lies with its own cluster");
        assert!(plan.pause && plan.revision > 1, "only a restore that pauses has a second plan");
        self.fence(lease).await?;
        let path = self.revision_path(&plan.id, plan.revision);
        let content = documents::encode_signed(&path, plan, &self.keys)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// The newest version of the plan of a restore, its signature verified.
    ///
    /// # Errors
    /// [`Error::Document`] where it cannot be read.
    pub async fn plan(&self, id: &RestoreId) -> Result<Option<RestorePlan>> {
        let Some(mut newest) = self.plan_at(&self.plan_path(id), id, 1).await? else { return Ok(None) };
        // Only where a person was let look can the target have been moved.
        while newest.pause && newest.revision < REVISIONS_MAX {
            let next = newest.revision + 1;
            match self.plan_at(&self.revision_path(id, next), id, next).await? {
                Some(plan) => newest = plan,
                None => break,
            }
        }
        Ok(Some(newest))
    }

    async fn plan_at(&self, path: &str, id: &RestoreId, revision: u32) -> Result<Option<RestorePlan>> {
        let Some(plan) = self.read_signed::<RestorePlan>(path).await? else { return Ok(None) };
        if plan.revision != revision {
            return Err(documents::fault(path, format!("it is revision {} of the plan", plan.revision)));
        }
        if plan.id != *id || plan.cluster != *self.name() {
            let detail = format!("it is the plan of restore {} of cluster {}", plan.id, plan.cluster);
            return Err(documents::fault(path, detail));
        }
        Ok(Some(plan))
    }

    /// Whether a restore has a plan, read or not.
    ///
    /// # Errors
    /// The store did not answer.
    pub(crate) async fn has_plan(&self, id: &RestoreId) -> Result<bool> {
        Ok(self.objects.stat(&self.plan_path(id)).await?.is_some())
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
        let current = PublishedPlan {
            format: FORMAT,
            cluster: self.name().clone(),
            restore: id.clone(),
            epoch: lease.epoch(),
        };
        let content = documents::encode_signed(&path, &current, &self.keys)?;
        self.objects.replace(&path, content).await?;
        self.fence(lease).await
    }

    /// The plan that the VMs apply at their next start, its signature verified; none where none is published.
    ///
    /// # Errors
    /// [`Error::Document`] where it, or the note that names it, cannot be read.
    pub async fn published(&self) -> Result<Option<RestorePlan>> {
        let path = self.current_path();
        let Some(current) = self.read_signed::<PublishedPlan>(&path).await? else {
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

    /// Withdraws the published plan. None published counts as done.
    ///
    /// # Errors
    /// [`Error::Fenced`]; or the store did not answer.
    pub async fn withdraw(&self, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        self.objects.delete(&self.current_path()).await
    }

    /// Writes where the restored primary left the planned timelines, once.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another fork was recorded.
    ///
    /// # Idempotence
    /// The same fork again is success.
    pub async fn write_fork(&self, fork: &ForkRecord, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.restore_path(&fork.restore, "fork.json");
        let content = documents::encode_signed(&path, fork, &self.keys)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// Where the restored primary left the planned timelines; none until it is known.
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

    /// Writes which tail ends the WAL of a restore, in the place of an earlier one: a server that was started between two
    /// stops has another last segment, or more in it.
    ///
    /// # Errors
    /// [`Error::Fenced`]; the store did not answer.
    pub async fn write_tail(&self, tail: &TailRecord, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.restore_path(&tail.restore, "tail.json");
        let content = documents::encode_signed(&path, tail, &self.keys)?;
        self.objects.replace(&path, content).await
    }

    /// Which tail ends the WAL of a restore; none where the archive's own segments do.
    ///
    /// # Errors
    /// [`Error::Document`] where it cannot be read.
    pub async fn tail(&self, id: &RestoreId) -> Result<Option<TailRecord>> {
        let path = self.restore_path(id, "tail.json");
        let tail = self.read_signed::<TailRecord>(&path).await?;
        match tail {
            Some(tail) if tail.restore != *id => {
                Err(documents::fault(&path, format!("it is the tail of restore {}", tail.restore)))
            }
            tail => Ok(tail),
        }
    }

    /// Asks the driver of a restore to go no further and to roll it back. Needs no lease: the driver has it.
    ///
    /// # Errors
    /// The store does not answer.
    ///
    /// # Idempotence
    /// Who asked first stays on record.
    pub async fn request_abort(&self, id: &RestoreId, by: &str) -> Result<()> {
        let path = self.restore_path(id, "abort.json");
        let request = AbortRequest { format: FORMAT, by: by.to_owned() };
        let content = documents::encode_signed(&path, &request, &self.keys)?;
        self.objects.create(&path, content, &Metadata::new()).await.map(|_| ())
    }

    /// Who asked for the abort of a restore; none where it was not asked for. A request that is not signed asks for
    /// nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn abort_requested(&self, id: &RestoreId) -> Result<Option<String>> {
        let path = self.restore_path(id, "abort.json");
        match self.read_signed::<AbortRequest>(&path).await {
            Err(error @ Error::Document { .. }) => {
                warn!(error:% = remount_core::with_causes(&error); "nobody of us has asked for this abort: it is passed over");
                Ok(None)
            }
            read => Ok(read?.map(|abort| abort.by)),
        }
    }

    /// Appends an event to a restore's journal, under its own number.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another event has that number: another process writes this journal,
    /// read it again. [`Error::Fenced`]: do not act on the event, whether it was written or not.
    ///
    /// # Idempotence
    /// The same event again is success.
    pub async fn append_journal(&self, id: &RestoreId, event: &JournalEvent, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.restore_path(id, &format!("journal/{:06}.json", event.n));
        let content = documents::encode_signed(&path, event, &self.keys)?;
        if self.objects.create(&path, content, &Metadata::new()).await? == Created::Existed
            && self.journal_event(&path).await?.as_ref() != Some(event)
        {
            // Mostly the next owner's: a writer that slept after its check comes too late.
            self.fence(lease).await?;
            return Err(Error::Conflict { path });
        }
        // The lease may have been lost between the check and the write.
        self.fence(lease).await
    }

    /// The events of a restore's journal, in the order of their numbers.
    ///
    /// # Errors
    /// [`Error::Document`] where one is missing or cannot be read.
    pub async fn journal(&self, id: &RestoreId) -> Result<Vec<JournalEvent>> {
        let folder = self.restore_path(id, "journal/");
        let listed = self.objects.list(&folder).await?;
        let number = |path: &str| path[folder.len()..].strip_suffix(".json")?.parse::<u64>().ok();
        let numbered = listed.into_iter().filter_map(|info| Some((number(&info.path)?, info.path)));
        let mut paths = Vec::new();
        for ((n, path), expected) in numbered.zip(1..) {
            if n != expected {
                return Err(documents::fault(&path, "the event before it is missing".into()));
            }
            paths.push(path);
        }
        let events: Vec<Option<JournalEvent>> =
            in_parallel(paths, |path| async move { self.journal_event(&path).await }).await?;
        Ok(events.into_iter().flatten().collect())
    }

    /// The event of a restore's journal with the highest number; the ones before it are not looked at.
    ///
    /// # Errors
    /// [`Error::Document`] where it cannot be read.
    pub async fn last_event(&self, id: &RestoreId) -> Result<Option<JournalEvent>> {
        let listed = self.objects.list(&self.restore_path(id, "journal/")).await?;
        let last = listed.into_iter().map(|info| info.path).filter(|path| path.ends_with(".json")).max();
        match last {
            Some(path) => self.journal_event(&path).await,
            None => Ok(None),
        }
    }

    async fn journal_event(&self, path: &str) -> Result<Option<JournalEvent>> {
        self.read_signed(path).await
    }

    pub(crate) async fn read_signed<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let object = documents::read(&*self.objects, path).await?;
        object.map(|object| documents::decode_signed(path, &object.content, &self.keys)).transpose()
    }

    fn restore_path(&self, id: &RestoreId, rest: &str) -> String {
        self.path(&format!("restores/{id}/{rest}"))
    }

    fn plan_path(&self, id: &RestoreId) -> String {
        self.restore_path(id, "plan.json")
    }

    fn revision_path(&self, id: &RestoreId, revision: u32) -> String {
        self.restore_path(id, &format!("plan.{revision}.json"))
    }

    fn current_path(&self) -> String {
        self.path("restores/current.json")
    }
}
