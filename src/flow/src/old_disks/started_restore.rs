//! What a restore's journal says of its old disks.

use jiff::Timestamp;
use remount_core::documents::{ReleaseNote, RestorePlan};
use remount_store::ClusterStore;

use crate::restore::{RestorePhase, RestoreState, missing_wal};
use crate::{FlowError, Result};

/// A restore that was begun.
#[derive(Clone, Debug)]
pub struct StartedRestore {
    /// Its plan.
    pub plan: RestorePlan,
    /// Where it is.
    pub state: RestoreState,
    /// When its journal was last written, by the store's clock.
    pub written_at: Option<Timestamp>,
    /// The signed time of its last event, by the clock of the process that wrote it. On a shared file system the store's
    /// time is whatever a database VM has set it to.
    pub signed_at: Option<Timestamp>,
    /// Who gave up its old disks.
    pub released: Option<ReleaseNote>,
    /// What the archive does not have of the former primary's WAL, as was accepted.
    pub missing_wal: Option<String>,
}

impl StartedRestore {
    /// Reads a restore; none where it never began.
    ///
    /// # Errors
    /// The store does not answer, or what it has of the restore cannot be used.
    pub async fn read(store: &ClusterStore, plan: RestorePlan) -> Result<Option<Self>> {
        let id = plan.id.clone();
        let state = RestoreState::read(store, &id).await?;
        if state.phase == RestorePhase::NotBegun {
            return Ok(None);
        }
        let written_at = store.journal_written_at(&id).await;
        let written_at = written_at.map_err(FlowError::store(format!("look when restore {id} ended")))?;
        let released = store.release_note(&id).await;
        let released = released
            .map_err(FlowError::store(format!("look whether the disks of restore {id} were released")))?;
        let missing_wal = missing_wal(state.events())?;
        let signed_at = state.events().last().map(|event| event.at);
        Ok(Some(Self { plan, state, written_at, signed_at, released, missing_wal }))
    }

    /// How far it is.
    pub const fn phase(&self) -> RestorePhase {
        self.state.phase
    }
}
