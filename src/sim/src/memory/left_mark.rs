//! The mark that an earlier agent left, as the agent judges it (`src/agent/src/fence/decide.rs`): it goes only where the
//! store that it names says that no backup came of it.

use remount_core::BackupId;
use remount_core::documents::{BackupRecord, TombstoneKind};

use super::MemoryLandscape;

impl MemoryLandscape {
    /// Another agent starts. A mark that its predecessor left is removed where the server runs and the store says that the
    /// disk is no copy.
    pub async fn start_agent(&self, index: usize) {
        let mark = {
            let mut state = self.state();
            if let Some(vm) = state.vm_mut(index) {
                vm.serves = true;
            }
            let runs = state.running_data(index).is_some_and(|data| data.recovering.is_none());
            state.content_mut(index).and_then(|content| content.backup.clone()).filter(|_| runs)
        };
        let Some(mark) = mark else { return };
        if self.is_left_over(index, &mark).await
            && let Some(content) = self.state().content_mut(index)
            && content.backup.as_ref() == Some(&mark)
        {
            content.backup = None;
        }
    }

    /// What the store does not answer, and another store, prove nothing.
    async fn is_left_over(&self, index: usize, mark: &BackupId) -> bool {
        let marked_in = self.state().content_mut(index).and_then(|content| content.marked_in.clone());
        let store = self.cluster_store();
        let (Ok(id), Ok(None)) = (self.store().id().await, store.published().await) else { return false };
        if id != marked_in {
            return false;
        }
        match store.backup_record(mark).await {
            Ok(None) => true,
            Ok(Some(BackupRecord::Tombstone(stone))) => stone.tombstone == TombstoneKind::Failed,
            Ok(Some(BackupRecord::Manifest(_))) | Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use remount_core::BackupId;
    use remount_store::{Objects, Store};

    use crate::memory::{MemoryLandscape, MemoryObjects};

    #[tokio::test]
    async fn a_left_mark_goes_only_where_its_own_store_says_that_no_backup_came_of_it() {
        let objects = Arc::new(MemoryObjects::new());
        let direct: Arc<dyn Objects> = objects.clone();
        let landscape = MemoryLandscape::new(Store::new(direct, crate::keys::control_plane()), "pg-0001", 0);
        let store = landscape.store().ensure_id().await.expect("an id");
        let backup: BackupId = "20261123T004500Z-k3f9".parse().expect("an id");
        let mark = |of| {
            let mut state = landscape.state();
            let content = state.content_mut(0).expect("a disk");
            (content.backup, content.marked_in) = (Some(backup.clone()), of);
        };
        mark(Some(store.clone()));
        landscape.start_agent(0).await;
        assert_eq!(landscape.mark(0), None, "the store says that it never was a backup");
        mark(Some(store));
        objects.delete("store.json").await.expect("it goes");
        landscape.store().ensure_id().await.expect("another id");
        landscape.start_agent(0).await;
        assert_eq!(landscape.mark(0), Some(backup.clone()), "another store proves nothing");
    }
}
