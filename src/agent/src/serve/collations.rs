//! The rebuilding of indexes after a restore: it takes longer than a request may, so it goes on by itself and is asked
//! how far it has come.

use std::sync::Arc;

use remount_core::RestoreId;
use remount_postgres::{CollationRefresh, LocalServer};
use tokio::sync::Mutex;

/// Keeps what is being rebuilt.
pub struct CollationKeeper {
    server: LocalServer,
    state: Mutex<Option<(RestoreId, CollationRefresh)>>,
}

impl CollationKeeper {
    /// Nothing is being rebuilt.
    pub fn new(server: LocalServer) -> Arc<Self> {
        Arc::new(Self { server, state: Mutex::new(None) })
    }

    /// Begins, or tells how far it has come. A failure is told once: who asks again begins again.
    pub async fn refresh(self: &Arc<Self>, restore: &RestoreId) -> CollationRefresh {
        let mut state = self.state.lock().await;
        match &*state {
            // One at a time, whoever asked for it.
            Some((_, CollationRefresh::Running)) => return CollationRefresh::Running,
            Some((of, done @ CollationRefresh::Done { .. })) if of == restore => return done.clone(),
            Some((of, CollationRefresh::Failed { .. })) if of == restore => {
                let failed = state.take().map(|(_, failed)| failed);
                return failed.unwrap_or(CollationRefresh::Running);
            }
            _ => {}
        }
        *state = Some((restore.clone(), CollationRefresh::Running));
        tokio::spawn(self.clone().rebuild(restore.clone()));
        CollationRefresh::Running
    }

    async fn rebuild(self: Arc<Self>, restore: RestoreId) {
        let ended = match self.server.refresh_collations().await {
            Ok(databases) => CollationRefresh::Done { databases },
            Err(error) => {
                log::warn!(restore:% = restore, error:% = remount_core::with_causes(&error); "the indexes were not rebuilt");
                CollationRefresh::Failed { what: remount_core::with_causes(&error) }
            }
        };
        *self.state.lock().await = Some((restore, ended));
    }
}
