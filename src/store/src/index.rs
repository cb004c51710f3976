//! Which cluster an id belongs to.
//!
//! An entry is written before the backup or restore it points to, and deleted after it. An entry alone proves nothing;
//! what it points to may never have been written. It is a copy of what the clusters' own folders say: where it is
//! missing or wrong, the id is looked for in every cluster, and the entry is written again.

use std::collections::BTreeSet;

use bytes::Bytes;
use remount_core::documents::{FORMAT, IndexEntry};
use remount_core::{BackupId, ClusterName, RestoreId};

use crate::parallel::in_parallel;
use crate::{ClusterStore, Error, Objects, Result, Store, documents};

const BACKUPS: &str = "index/backups/";
const RESTORES: &str = "index/restores/";

impl Store {
    /// The cluster that a backup is of; none where no cluster has it. `within` is asked alone, where it is known.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn cluster_of_backup(
        &self,
        id: &BackupId,
        within: Option<&ClusterName>,
    ) -> Result<Option<ClusterStore>> {
        self.cluster_of(&Id::Backup(id), within).await
    }

    /// The cluster that a restore is of; none where no cluster has its plan. `within` is asked alone, where it is known.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn cluster_of_restore(
        &self,
        id: &RestoreId,
        within: Option<&ClusterName>,
    ) -> Result<Option<ClusterStore>> {
        self.cluster_of(&Id::Restore(id), within).await
    }

    /// The newest restore of all clusters.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn newest_restore(&self) -> Result<Option<(ClusterStore, RestoreId)>> {
        let ids = self.indexed_restores().await?;
        let found = if ids.is_empty() { self.unindexed_restores().await? } else { Vec::new() };
        for (id, cluster) in found.into_iter().rev() {
            if cluster.has_plan(&id).await? {
                return Ok(Some((cluster, id)));
            }
        }
        for id in ids.into_iter().rev() {
            let cluster = self.indexed(&Id::Restore(&id)).await?;
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
        let ids = self.indexed_restores().await?;
        let found = if ids.is_empty() { self.unindexed_restores().await? } else { Vec::new() };
        let found = found.into_iter().map(|(_, cluster)| cluster);
        // One entry that cannot be read must not hide the other clusters.
        let ids = ids.into_iter().collect();
        let indexed = in_parallel(ids, |id| async move { self.indexed(&Id::Restore(&id)).await }).await?;
        let clusters = found.chain(indexed.into_iter().flatten()).map(|cluster| cluster.name().clone());
        let clusters: BTreeSet<ClusterName> = clusters.collect();
        Ok(clusters.into_iter().collect())
    }

    async fn indexed_restores(&self) -> Result<BTreeSet<RestoreId>> {
        let listed = self.objects().list(RESTORES).await?;
        let id_of =
            |path: &str| path.strip_prefix(RESTORES)?.strip_suffix(".json")?.parse::<RestoreId>().ok();
        Ok(listed.iter().filter_map(|info| id_of(&info.path)).collect())
    }

    /// Every restore that lies in the store, oldest first; their entries are written again.
    async fn unindexed_restores(&self) -> Result<Vec<(RestoreId, ClusterStore)>> {
        let of_each = in_parallel(self.clusters().await?, |name| async move {
            let cluster = self.cluster(&name);
            let mut found = Vec::new();
            for id in cluster.restores().await? {
                cluster.index_again(&Id::Restore(&id)).await;
                found.push((id, cluster.clone()));
            }
            Ok::<_, Error>(found)
        });
        let mut all: Vec<_> = of_each.await?.into_iter().flatten().collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(all)
    }

    async fn cluster_of(&self, id: &Id<'_>, within: Option<&ClusterName>) -> Result<Option<ClusterStore>> {
        let candidates = match within {
            Some(name) => vec![name.clone()],
            None => match self.indexed(id).await? {
                Some(cluster) if cluster.has(id).await? => return Ok(Some(cluster)),
                _ => self.clusters().await?,
            },
        };
        let looked_at = in_parallel(candidates, |name| async move {
            let cluster = self.cluster(&name);
            cluster.has(id).await.map(|has| has.then_some(cluster))
        });
        let Some(cluster) = looked_at.await?.into_iter().flatten().next() else { return Ok(None) };
        cluster.index_again(id).await;
        Ok(Some(cluster))
    }

    /// What an entry says. One that cannot be read says nothing.
    async fn indexed(&self, id: &Id<'_>) -> Result<Option<ClusterStore>> {
        match read(&**self.objects(), &id.entry()).await {
            Ok(entry) => Ok(entry.map(|entry| self.cluster(&entry.cluster))),
            Err(error @ Error::Document { .. }) => {
                log::warn!(error:% = remount_core::with_causes(&error); "an index entry is ignored");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl ClusterStore {
    pub(crate) async fn index_backup(&self, id: &BackupId) -> Result<()> {
        self.index(&Id::Backup(id)).await
    }

    pub(crate) async fn index_restore(&self, id: &RestoreId) -> Result<()> {
        self.index(&Id::Restore(id)).await
    }

    async fn index(&self, id: &Id<'_>) -> Result<()> {
        let (path, content) = self.entry(id)?;
        documents::write_once(&*self.objects, &path, content).await
    }

    /// In the place of what stands there: what lies in this cluster is right. Who may only read looks for it again the
    /// next time.
    async fn index_again(&self, id: &Id<'_>) {
        let written = match self.entry(id) {
            Ok((path, content)) => self.objects.replace(&path, content).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            log::debug!(error:% = remount_core::with_causes(&error); "an index entry is not written again");
        }
    }

    fn entry(&self, id: &Id<'_>) -> Result<(String, Bytes)> {
        let (path, entry) = (id.entry(), IndexEntry { format: FORMAT, cluster: self.name().clone() });
        let content = documents::encode(&path, &entry)?;
        Ok((path, content))
    }

    async fn has(&self, id: &Id<'_>) -> Result<bool> {
        match id {
            Id::Backup(id) => self.has_backup(id).await,
            Id::Restore(id) => self.has_plan(id).await,
        }
    }
}

/// What an entry is of.
enum Id<'a> {
    Backup(&'a BackupId),
    Restore(&'a RestoreId),
}

impl Id<'_> {
    fn entry(&self) -> String {
        match self {
            Self::Backup(id) => format!("{BACKUPS}{id}.json"),
            Self::Restore(id) => format!("{RESTORES}{id}.json"),
        }
    }
}

async fn read(objects: &dyn Objects, path: &str) -> Result<Option<IndexEntry>> {
    let object = documents::read(objects, path).await?;
    object.map(|object| documents::decode(path, &object.content)).transpose()
}
