//! The store as a whole: its clusters and its requests.

use std::fmt;
use std::sync::{Arc, OnceLock};

use remount_core::{ClusterName, StoreId};

use crate::{ClusterStore, Objects, Requests, Result, SigningKey};

/// Where the clusters lie.
pub(crate) const CLUSTERS: &str = "clusters/";

/// The object store of a landscape.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn Objects>,
    key: SigningKey,
    pub(crate) known_id: Arc<OnceLock<StoreId>>,
}

impl Store {
    /// The store in `objects`, its documents signed with `key`.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, key: SigningKey) -> Self {
        Self { objects, key, known_id: Arc::default() }
    }

    /// The objects themselves.
    #[must_use]
    pub fn objects(&self) -> &Arc<dyn Objects> {
        &self.objects
    }

    /// What lies in the store of one cluster; there may be nothing yet.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> ClusterStore {
        ClusterStore::new(self.objects.clone(), self.key.clone(), name.clone())
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
        Requests::new(self.objects.clone())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("objects", &self.objects).finish_non_exhaustive()
    }
}
