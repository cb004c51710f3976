//! The store as a whole: its clusters and its requests.

use std::fmt;
use std::sync::{Arc, OnceLock};

use remount_core::{ClusterName, StoreId};

use crate::{ClusterStore, Keyring, Objects, Requests, Result};

/// Where the clusters lie.
pub(crate) const CLUSTERS: &str = "clusters/";

/// The object store of a landscape.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    keys: Keyring,
    pub(crate) known_id: Arc<OnceLock<StoreId>>,
}

impl Store {
    /// The store in `objects`, its documents signed and verified with `keys`.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, keys: Keyring) -> Self {
        Self { objects, keys, known_id: Arc::default() }
    }

    /// The objects themselves.
    #[must_use]
    pub fn objects(&self) -> &Arc<dyn Objects> {
        &self.objects
    }

    /// The keys that sign and verify its documents.
    #[must_use]
    pub const fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// What lies in the store of one cluster; there may be nothing yet.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> ClusterStore {
        ClusterStore::new(self.objects.clone(), self.keys.clone(), name.clone())
    }

    /// Every cluster of which anything lies in the store, sorted.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn clusters(&self) -> Result<Vec<ClusterName>> {
        let names = self.objects.folders(CLUSTERS).await?;
        Ok(names.into_iter().filter_map(|name| ClusterName::new(name).ok()).collect())
    }

    /// The restore requests.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::new(self.objects.clone(), self.keys.clone())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("objects", &self.objects).finish_non_exhaustive()
    }
}
