//! Which cluster an id belongs to.
//!
//! An entry is written before the backup or restore it points to, and deleted after it: an id that is there can be
//! found. An entry alone proves nothing; what it points to may never have been written.

use std::collections::BTreeSet;

use remount_core::documents::{FORMAT, IndexEntry};
use remount_core::{BackupId, ClusterName, RestoreId};

use crate::parallel::in_parallel;
use crate::{ClusterStore, Error, Objects, Result, Store, documents};

const BACKUPS: &str = "index/backups/";
const RESTORES: &str = "index/restores/";

impl Store {
    /// The cluster that a backup is of; none where this id was never given.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn cluster_of_backup(&self, id: &BackupId) -> Result<Option<ClusterStore>> {
        self.cluster_at(&backup_entry(id)).await
    }

    /// The cluster that a restore is of; none where this id was never given.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn cluster_of_restore(&self, id: &RestoreId) -> Result<Option<ClusterStore>> {
        self.cluster_at(&restore_entry(id)).await
    }

    /// The newest restore of all clusters.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn newest_restore(&self) -> Result<Option<(ClusterStore, RestoreId)>> {
        let listed = self.objects().list(RESTORES).await?;
        let id_of =
            |path: &str| path.strip_prefix(RESTORES)?.strip_suffix(".json")?.parse::<RestoreId>().ok();
        let ids: BTreeSet<RestoreId> = listed.iter().filter_map(|info| id_of(&info.path)).collect();
        for id in ids.into_iter().rev() {
            let cluster = match self.cluster_of_restore(&id).await {
                Ok(cluster) => cluster,
                Err(error @ Error::Document { .. }) => {
                    skip(&error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // The entry comes first: its plan may never have been written.
            if let Some(cluster) = cluster
                && cluster.has_plan(&id).await?
            {
                return Ok(Some((cluster, id)));
            }
        }
        Ok(None)
    }

    /// The clusters that were ever restored, sorted: far fewer than there are.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn restored_clusters(&self) -> Result<Vec<ClusterName>> {
        let listed = self.objects().list(RESTORES).await?;
        let paths = listed.into_iter().map(|info| info.path).collect();
        // One entry that cannot be read must not hide the other clusters.
        let found = in_parallel(paths, |path| async move {
            match read(&**self.objects(), &path).await {
                Err(error @ Error::Document { .. }) => {
                    skip(&error);
                    Ok(None)
                }
                read => read,
            }
        })
        .await?;
        let clusters: BTreeSet<ClusterName> =
            found.into_iter().flatten().map(|entry| entry.cluster).collect();
        Ok(clusters.into_iter().collect())
    }

    async fn cluster_at(&self, path: &str) -> Result<Option<ClusterStore>> {
        Ok(read(&**self.objects(), path).await?.map(|entry| self.cluster(&entry.cluster)))
    }
}

impl ClusterStore {
    pub(crate) async fn index_backup(&self, id: &BackupId) -> Result<()> {
        self.index(&backup_entry(id)).await
    }

    pub(crate) async fn index_restore(&self, id: &RestoreId) -> Result<()> {
        self.index(&restore_entry(id)).await
    }

    async fn index(&self, path: &str) -> Result<()> {
        let entry = IndexEntry { format: FORMAT, cluster: self.name().clone() };
        documents::write_once(&*self.objects, path, documents::encode(path, &entry)?).await
    }
}

fn skip(error: &Error) {
    log::warn!(error:% = error; "an index entry is ignored");
}

async fn read(objects: &dyn Objects, path: &str) -> Result<Option<IndexEntry>> {
    let object = documents::read(objects, path).await?;
    object.map(|object| documents::decode(path, &object.content)).transpose()
}

fn backup_entry(id: &BackupId) -> String {
    format!("{BACKUPS}{id}.json")
}

fn restore_entry(id: &RestoreId) -> String {
    format!("{RESTORES}{id}.json")
}
