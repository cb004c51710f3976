//! What lies in the store of one cluster: manifests, WAL, instances. Restores are in `restores.rs`,
//! leases in `lease.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use remount_core::{BackupId, BackupManifest, ClusterName, InstanceId, SystemIdentifier};

use crate::{Error, Lease, LeaseHolder, Objects, Purpose, Result, SigningKey, WalArchive};

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
    pub async fn system_identifiers(&self) -> Result<Vec<SystemIdentifier>> {
        todo!()
    }

    /// Every backup over all system identifiers, sorted by id.
    ///
    /// # Errors
    /// One manifest that cannot be read fails the whole: retention must not decide without it. A
    /// restore may use [`Self::survey_backups`].
    pub async fn backups(&self) -> Result<Vec<BackupManifest>> {
        todo!()
    }

    /// Every backup that can be read, and why the others cannot.
    pub async fn survey_backups(&self) -> Result<BackupSurvey> {
        todo!()
    }

    /// One backup.
    pub async fn backup(&self, id: &BackupId) -> Result<Option<BackupManifest>> {
        todo!("{id}")
    }

    /// Writes a manifest, once. From then on the backup is good.
    ///
    /// # Idempotence
    /// The same manifest again is success.
    pub async fn write_backup(&self, manifest: &BackupManifest, lease: &Lease) -> Result<()> {
        todo!("{manifest:?} {lease:?}")
    }

    /// Deletes a manifest. One that is already gone counts as deleted.
    pub async fn delete_backup(&self, id: &BackupId, lease: &Lease) -> Result<()> {
        todo!("{id} {lease:?}")
    }

    /// The WAL of one of the cluster's system identifiers.
    #[must_use]
    pub fn wal(&self, system_identifier: SystemIdentifier) -> WalArchive {
        WalArchive::new(self.objects.clone(), self.name.clone(), system_identifier)
    }

    /// Notes that an instance was initialised: its data must be there from now on.
    ///
    /// # Idempotence
    /// Noting it again is success.
    pub async fn register_instance(&self, id: &InstanceId) -> Result<()> {
        todo!("{id}")
    }

    /// Whether the instance was ever initialised.
    pub async fn is_registered(&self, id: &InstanceId) -> Result<bool> {
        todo!("{id}")
    }

    /// Takes the cluster's lease: who may back up or restore it now.
    ///
    /// # Errors
    /// [`Error::Leased`] where another owner holds it; nothing was changed.
    pub async fn take_lease(&self, owner: &str, purpose: Purpose, term: Duration) -> Result<Lease> {
        Lease::take(self, owner, purpose, term).await
    }

    /// Who holds the lease, or let it expire without releasing it; none where it is released.
    pub async fn lease_holder(&self) -> Result<Option<LeaseHolder>> {
        todo!()
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
