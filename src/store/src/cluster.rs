//! What lies in the store of one cluster: manifests, WAL, instances. Restores are in `restores.rs`,
//! leases in `lease/`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use remount_core::documents::{BackupManifest, FORMAT, InstanceNote};
use remount_core::{BackupId, ClusterName, InstanceId, SystemIdentifier};

use crate::parallel::in_parallel;
use crate::store::CLUSTERS;
use crate::{
    Error, Lease, LeaseHolder, Metadata, Objects, Purpose, Result, SigningKey, WalArchive, documents,
};

/// The store of one cluster.
#[derive(Clone)]
pub struct ClusterStore {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) key: SigningKey,
    name: ClusterName,
}

/// Every backup of a cluster, and what could not be read.
#[derive(Debug, Default)]
pub struct BackupSurvey {
    /// The backups that can be read, sorted by id.
    pub good: Vec<BackupManifest>,
    /// Why the others cannot: one error each.
    pub unreadable: Vec<Error>,
}

impl ClusterStore {
    pub(crate) fn new(objects: Arc<dyn Objects>, key: SigningKey, name: ClusterName) -> Self {
        Self { objects, key, name }
    }

    /// The cluster.
    #[must_use]
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// The system identifiers that the cluster has had, sorted.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn system_identifiers(&self) -> Result<Vec<SystemIdentifier>> {
        let names = self.objects.folders(&self.path("")).await?;
        let mut found: Vec<SystemIdentifier> = names.iter().filter_map(|name| name.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Whether anything of the cluster lies in the store. A cluster that was ever initialised has
    /// something there: nothing at all means that this is not its store.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn is_known(&self) -> Result<bool> {
        Ok(!self.objects.folders(&self.path("")).await?.is_empty())
    }

    /// Every backup over all system identifiers, sorted by id.
    ///
    /// # Errors
    /// One manifest that cannot be read fails the whole: retention must not decide without it. A
    /// restore may use [`Self::survey_backups`].
    pub async fn backups(&self) -> Result<Vec<BackupManifest>> {
        let mut survey = self.survey_backups().await?;
        if survey.unreadable.is_empty() { Ok(survey.good) } else { Err(survey.unreadable.remove(0)) }
    }

    /// Every backup that can be read, and why the others cannot.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn survey_backups(&self) -> Result<BackupSurvey> {
        let mut survey = BackupSurvey::default();
        let reads = in_parallel(self.backup_paths().await?, |path| async move {
            match self.read_backup(&path).await {
                Err(error @ Error::Document { .. }) => Ok(Err(error)),
                read => read.map(Ok),
            }
        });
        for read in reads.await? {
            match read {
                Ok(manifest) => survey.good.extend(manifest),
                Err(error) => survey.unreadable.push(error),
            }
        }
        survey.good.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(survey)
    }

    /// One backup.
    ///
    /// # Errors
    /// [`Error::Document`] where its manifest cannot be read.
    pub async fn backup(&self, id: &BackupId) -> Result<Option<BackupManifest>> {
        for system_identifier in self.system_identifiers().await? {
            let found = self.read_backup(&self.backup_path(system_identifier, id)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Writes a manifest, once. From then on the backup is good.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another manifest has this id.
    ///
    /// # Idempotence
    /// The same manifest again is success.
    pub async fn write_backup(&self, manifest: &BackupManifest, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        self.index_backup(&manifest.id).await?;
        let path = self.backup_path(manifest.system_identifier, &manifest.id);
        let content = documents::encode_signed(&path, manifest, &self.key)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// Deletes a manifest. One that is already gone counts as deleted.
    ///
    /// # Errors
    /// [`Error::Fenced`]; or the store did not answer.
    pub async fn delete_backup(&self, id: &BackupId, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        for system_identifier in self.system_identifiers().await? {
            self.objects.delete(&self.backup_path(system_identifier, id)).await?;
        }
        self.remove_backup_entry(id).await
    }

    /// The WAL of one of the cluster's system identifiers.
    #[must_use]
    pub fn wal(&self, system_identifier: SystemIdentifier) -> WalArchive {
        WalArchive::new(self.objects.clone(), &self.name, system_identifier)
    }

    /// Notes that an instance was initialised: its data must be there from now on.
    ///
    /// # Errors
    /// The store did not answer.
    ///
    /// # Idempotence
    /// Noting it again is success.
    pub async fn register_instance(&self, id: &InstanceId) -> Result<()> {
        let path = self.instance_path(id);
        let note = InstanceNote { format: FORMAT, instance: id.clone() };
        self.objects.create(&path, documents::encode(&path, &note)?, &Metadata::new()).await?;
        Ok(())
    }

    /// Whether the instance was ever initialised.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn is_registered(&self, id: &InstanceId) -> Result<bool> {
        Ok(self.objects.read(&self.instance_path(id)).await?.is_some())
    }

    /// Takes the cluster's lease: who may back up or restore it now.
    ///
    /// # Errors
    /// [`Error::Leased`] where another owner holds it; nothing was changed.
    pub async fn take_lease(&self, owner: &str, purpose: Purpose, term: Duration) -> Result<Lease> {
        Lease::take(self, owner, purpose, term).await
    }

    /// Who holds the lease, or let it expire without releasing it; none where it is released.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn lease_holder(&self) -> Result<Option<LeaseHolder>> {
        Lease::holder(self).await
    }

    /// A path below this cluster's folder.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{CLUSTERS}{}/{rest}", self.name)
    }

    /// Refuses the write of an owner whose lease was taken over.
    pub(crate) async fn fence(&self, lease: &Lease) -> Result<()> {
        assert_eq!(lease.cluster(), &self.name, "a lease fences its own cluster alone");
        lease.check().await
    }

    async fn backup_paths(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for system_identifier in self.system_identifiers().await? {
            let folder = self.path(&format!("{system_identifier}/backups/"));
            let is_manifest = |path: &String| {
                let name = path[folder.len()..].strip_suffix(".json");
                name.is_some_and(|name| BackupId::new(name).is_ok())
            };
            let listed = self.objects.list(&folder).await?;
            paths.extend(listed.into_iter().map(|info| info.path).filter(is_manifest));
        }
        Ok(paths)
    }

    /// Reads a manifest. One whose path is not its own was copied there, and is refused.
    async fn read_backup(&self, path: &str) -> Result<Option<BackupManifest>> {
        let Some(object) = self.objects.read(path).await? else {
            return Ok(None);
        };
        let manifest: BackupManifest = documents::decode_signed(path, &object.content, &self.key)?;
        let home = self.backup_path(manifest.system_identifier, &manifest.id);
        if manifest.cluster != self.name || home != path {
            let detail =
                format!("it is the manifest of backup {} of cluster {}", manifest.id, manifest.cluster);
            return Err(documents::fault(path, detail));
        }
        Ok(Some(manifest))
    }

    fn backup_path(&self, system_identifier: SystemIdentifier, id: &BackupId) -> String {
        self.path(&format!("{system_identifier}/backups/{id}.json"))
    }

    fn instance_path(&self, id: &InstanceId) -> String {
        self.path(&format!("instances/{id}.json"))
    }
}

impl fmt::Debug for ClusterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterStore")
            .field("name", &self.name)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}
