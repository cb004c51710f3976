//! Backups of one cluster: which were begun, which are good, which never will be.
//!
//! | object | means |
//! |---|---|
//! | `begun/<id>.json` | a backup of this id was begun; a snapshot of it may exist |
//! | `backups/<id>.json`, a manifest | it is good |
//! | `backups/<id>.json`, a tombstone | it will never be: no late manifest can take the name |
//! | none | nothing is known: nothing may be deleted |

use jiff::Timestamp;
use log::warn;
use remount_core::documents::{
    BackupBegunNote, BackupManifest, BackupRecord, FORMAT, Tombstone, TombstoneKind,
};
use remount_core::{BackupId, SystemIdentifier};
use serde::Deserialize;

use crate::parallel::in_parallel;
use crate::{ClusterStore, Created, Error, Lease, Metadata, Result, documents};

/// Every backup of a cluster, and what could not be read.
#[derive(Debug, Default)]
pub struct BackupSurvey {
    /// The backups that can be read, sorted by id.
    pub good: Vec<BackupManifest>,
    /// The ids that will never be backups, sorted.
    pub tombstones: Vec<Tombstone>,
    /// Why the others cannot: one error each.
    pub unreadable: Vec<Error>,
}

/// Tells the two documents apart that lie under one name.
#[derive(Deserialize)]
struct AnyRecord {
    tombstone: Option<TombstoneKind>,
}

impl ClusterStore {
    /// Every good backup over all system identifiers, sorted by id.
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
        let reads = in_parallel(self.run_documents("backups").await?, |path| async move {
            match self.read_record(&path).await {
                Err(error @ Error::Document { .. }) => Ok(Err(error)),
                read => read.map(Ok),
            }
        });
        for read in reads.await? {
            match read {
                Ok(Some(BackupRecord::Manifest(manifest))) => survey.good.push(*manifest),
                Ok(Some(BackupRecord::Tombstone(tombstone))) => survey.tombstones.push(tombstone),
                Ok(None) => {}
                Err(error) => survey.unreadable.push(error),
            }
        }
        survey.good.sort_by(|a, b| a.id.cmp(&b.id));
        survey.tombstones.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(survey)
    }

    /// One good backup.
    ///
    /// # Errors
    /// [`Error::Document`] where its manifest cannot be read.
    pub async fn backup(&self, id: &BackupId) -> Result<Option<BackupManifest>> {
        Ok(match self.backup_record(id).await? {
            Some(BackupRecord::Manifest(manifest)) => Some(*manifest),
            _ => None,
        })
    }

    /// What the store says of a backup; none where it knows nothing, which proves nothing.
    ///
    /// # Errors
    /// [`Error::Document`] where its document cannot be read.
    pub async fn backup_record(&self, id: &BackupId) -> Result<Option<BackupRecord>> {
        for system_identifier in self.system_identifiers().await? {
            let found = self.read_record(&self.backup_path(system_identifier, id)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether a document has this backup's name, read or not.
    pub(crate) async fn has_backup(&self, id: &BackupId) -> Result<bool> {
        for system_identifier in self.system_identifiers().await? {
            if self.objects.stat(&self.backup_path(system_identifier, id)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes that a backup is begun, before a snapshot of it can exist.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::Conflict`] where another backup has this id.
    ///
    /// # Idempotence
    /// The same note again is success.
    pub async fn note_begun(
        &self,
        id: &BackupId,
        system_identifier: SystemIdentifier,
        lease: &Lease,
    ) -> Result<()> {
        self.fence(lease).await?;
        let (cluster, epoch) = (self.name().clone(), lease.epoch());
        let note = BackupBegunNote { format: FORMAT, id: id.clone(), cluster, system_identifier, epoch };
        let path = self.begun_path(system_identifier, id);
        let content = documents::encode_signed(&path, &note, &self.keys)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// The backups that were begun and not settled since. A note that cannot be read is passed over: it proves nothing.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn begun_backups(&self) -> Result<Vec<BackupBegunNote>> {
        let reads = in_parallel(self.run_documents("begun").await?, |path| async move {
            match self.read_signed::<BackupBegunNote>(&path).await {
                Err(error @ Error::Document { .. }) => {
                    warn!(object = path.as_str(), error:% = remount_core::with_causes(&error); "this note of a backup proves nothing");
                    Ok(None)
                }
                read => read,
            }
        });
        Ok(reads.await?.into_iter().flatten().collect())
    }

    /// Forgets that a backup was begun: it is good, or nothing of it is left. No note counts as forgotten.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn forget_begun(&self, id: &BackupId, system_identifier: SystemIdentifier) -> Result<()> {
        self.objects.delete(&self.begun_path(system_identifier, id)).await
    }

    /// Writes a manifest, once. From then on the backup is good.
    ///
    /// # Errors
    /// [`Error::GivenUp`] where a tombstone has its name: its snapshot may be gone. [`Error::Conflict`] where another
    /// manifest has this id. [`Error::Fenced`]: where the lease was lost while it was written, the manifest may stand
    /// there and be good; [`Self::backup_record`] tells.
    ///
    /// # Idempotence
    /// The same manifest again is success.
    pub async fn write_backup(&self, manifest: &BackupManifest, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        self.index_backup(&manifest.id).await?;
        let path = self.backup_path(manifest.system_identifier, &manifest.id);
        let content = documents::encode_signed(&path, manifest, &self.keys)?;
        if self.objects.create(&path, content, &Metadata::new()).await? == Created::Existed {
            match self.read_record(&path).await? {
                Some(BackupRecord::Manifest(stands)) if *stands == *manifest => {}
                Some(BackupRecord::Tombstone(tombstone)) => {
                    return Err(Error::GivenUp { path, why: tombstone.why });
                }
                _ => return Err(Error::Conflict { path }),
            }
        }
        // The lease may have been lost between the check and the write.
        self.fence(lease).await
    }

    /// Says that a backup will never be, and answers what stands under its name from now on: the tombstone, or the
    /// manifest that was faster. It needs no lease: whoever is first decides, and for good.
    ///
    /// # Errors
    /// [`Error::Document`] where what stands there cannot be read: delete nothing.
    ///
    /// # Idempotence
    /// The first document stays.
    pub async fn give_up_backup(&self, tombstone: &Tombstone) -> Result<BackupRecord> {
        let path = self.backup_path(tombstone.system_identifier, &tombstone.id);
        let content = documents::encode_signed(&path, tombstone, &self.keys)?;
        if self.objects.create(&path, content, &Metadata::new()).await? == Created::New {
            return Ok(BackupRecord::Tombstone(tombstone.clone()));
        }
        let gone = || documents::fault(&path, "it was there, and then it was not".into());
        self.read_record(&path).await?.ok_or_else(gone)
    }

    /// Puts a tombstone in the place of a manifest: the backup is not kept any more. One that is gone already counts
    /// as done.
    ///
    /// # Errors
    /// [`Error::Fenced`]; or the store did not answer.
    pub async fn prune_backup(&self, id: &BackupId, at: Timestamp, why: &str, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let Some(manifest) = self.backup(id).await? else {
            return Ok(());
        };
        let tombstone = Tombstone {
            format: FORMAT,
            tombstone: TombstoneKind::Pruned,
            id: id.clone(),
            cluster: self.name().clone(),
            system_identifier: manifest.system_identifier,
            epoch: lease.epoch(),
            at,
            why: why.to_owned(),
        };
        let path = self.backup_path(manifest.system_identifier, id);
        let content = documents::encode_signed(&path, &tombstone, &self.keys)?;
        self.objects.replace(&path, content).await
    }

    /// The documents in a folder of each system identifier that have a backup's id as their name.
    async fn run_documents(&self, folder: &str) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for system_identifier in self.system_identifiers().await? {
            let folder = self.path(&format!("{system_identifier}/{folder}/"));
            let is_wanted = |path: &String| {
                let name = path[folder.len()..].strip_suffix(".json");
                name.is_some_and(|name| BackupId::new(name).is_ok())
            };
            let listed = self.objects.list(&folder).await?;
            paths.extend(listed.into_iter().map(|info| info.path).filter(is_wanted));
        }
        Ok(paths)
    }

    /// Reads what stands under a backup's name. A document whose path is not its own was copied there, and is refused.
    async fn read_record(&self, path: &str) -> Result<Option<BackupRecord>> {
        let Some(object) = documents::read(&*self.objects, path).await? else {
            return Ok(None);
        };
        let kind: AnyRecord = documents::decode_signed(path, &object.content, &self.keys)?;
        let (record, cluster, home) = if kind.tombstone.is_some() {
            let read: Tombstone = documents::decode_signed(path, &object.content, &self.keys)?;
            let home = self.backup_path(read.system_identifier, &read.id);
            (BackupRecord::Tombstone(read.clone()), read.cluster, home)
        } else {
            let read: BackupManifest = documents::decode_signed(path, &object.content, &self.keys)?;
            let home = self.backup_path(read.system_identifier, &read.id);
            (BackupRecord::Manifest(Box::new(read.clone())), read.cluster, home)
        };
        if cluster != *self.name() || home != path {
            let detail = format!("it is of cluster {cluster} and belongs to {home}");
            return Err(documents::fault(path, detail));
        }
        Ok(Some(record))
    }

    fn backup_path(&self, system_identifier: SystemIdentifier, id: &BackupId) -> String {
        self.path(&format!("{system_identifier}/backups/{id}.json"))
    }

    fn begun_path(&self, system_identifier: SystemIdentifier, id: &BackupId) -> String {
        self.path(&format!("{system_identifier}/begun/{id}.json"))
    }
}
