//! What lies in the store of one cluster: WAL, instances. Backups are in `backups.rs`, restores in `restores.rs`,
//! leases in `lease/`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use remount_core::documents::{FORMAT, InstanceNote};
use remount_core::{ClusterName, InstanceId, SystemIdentifier};

use crate::store::CLUSTERS;
use crate::{Keyring, Lease, LeaseHolder, Metadata, Objects, Purpose, Result, WalArchive, documents, lease};

/// The store of one cluster.
#[derive(Clone)]
pub struct ClusterStore {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) keys: Keyring,
    name: ClusterName,
}

impl ClusterStore {
    pub(crate) fn new(objects: Arc<dyn Objects>, keys: Keyring, name: ClusterName) -> Self {
        Self { objects, keys, name }
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
        Ok(documents::read(&*self.objects, &self.instance_path(id)).await?.is_some())
    }

    /// Takes the cluster's lease: who may back up or restore it now.
    ///
    /// # Errors
    /// [`crate::Error::Leased`] where another owner holds it; nothing was changed.
    pub async fn take_lease(&self, owner: &str, purpose: Purpose, term: Duration) -> Result<Lease> {
        Lease::take(self, owner, purpose, term).await
    }

    /// Looks whether the lease can be taken now, without taking it.
    ///
    /// # Errors
    /// [`crate::Error::Leased`]; or the store did not answer.
    pub async fn must_be_free(&self) -> Result<()> {
        match self.lease_holder().await? {
            Some(holder) if !holder.expired => Err(lease::leased(&self.name, holder)),
            _ => Ok(()),
        }
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
