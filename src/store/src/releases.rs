//! Which old disks of a restore were given up, and by whom: that restore cannot be rolled back any more.

use jiff::Timestamp;
use remount_core::RestoreId;
use remount_core::documents::ReleaseNote;

use crate::{ClusterStore, Lease, Metadata, Result, documents};

impl ClusterStore {
    /// Notes that a restore's old disks are given up.
    ///
    /// # Errors
    /// [`crate::Error::Fenced`]: delete nothing.
    ///
    /// # Idempotence
    /// Who gave them up first stays on record; noting it again is success.
    pub async fn note_release(&self, note: &ReleaseNote, lease: &Lease) -> Result<()> {
        self.fence(lease).await?;
        let path = self.release_path(&note.restore);
        let content = documents::encode_signed(&path, note, &self.keys)?;
        self.objects.create(&path, content, &Metadata::new()).await?;
        // The lease may have been lost between the check and the write.
        self.fence(lease).await
    }

    /// Who gave up a restore's old disks; none where they were not given up.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where the note cannot be read.
    pub async fn release_note(&self, id: &RestoreId) -> Result<Option<ReleaseNote>> {
        self.read_signed(&self.release_path(id)).await
    }

    /// When the newest event of a restore's journal was written, by the store's clock: with a driver's clock
    /// that runs ahead, disks would be given up too early.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn journal_written_at(&self, id: &RestoreId) -> Result<Option<Timestamp>> {
        let events = self.objects.list(&self.path(&format!("restores/{id}/journal/"))).await?;
        Ok(events.last().map(|info| info.modified))
    }

    fn release_path(&self, id: &RestoreId) -> String {
        self.path(&format!("restores/{id}/released.json"))
    }
}
