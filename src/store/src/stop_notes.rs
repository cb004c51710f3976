//! What instances left unarchived when they were stopped last: `instances/<id>.stopped.json`.

use jiff::Timestamp;
use remount_core::InstanceId;
use remount_core::documents::StopNote;

use crate::{ClusterStore, Result, documents};

impl ClusterStore {
    /// Notes what an instance left when it stopped, in the place of an earlier note.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn write_stop_note(&self, note: &StopNote) -> Result<()> {
        let path = self.stop_note_path(&note.instance);
        self.objects.replace(&path, documents::encode(&path, note)?).await
    }

    /// What an instance left when it stopped last; none where it has been started since, or could not say.
    ///
    /// # Errors
    /// [`Error::Document`](crate::Error::Document) where it cannot be read.
    pub async fn stop_note(&self, id: &InstanceId) -> Result<Option<StopNote>> {
        let path = self.stop_note_path(id);
        let Some(object) = documents::read(&*self.objects, &path).await? else { return Ok(None) };
        let note: StopNote = documents::decode(&path, &object.content)?;
        if note.instance != *id {
            return Err(documents::fault(&path, format!("it is the note of instance {}", note.instance)));
        }
        Ok(Some(note))
    }

    /// When the note of an instance's stop was written, by the store's clock.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn stop_noted_at(&self, id: &InstanceId) -> Result<Option<Timestamp>> {
        let found = self.objects.stat(&self.stop_note_path(id)).await?;
        Ok(found.map(|(info, _)| info.modified))
    }

    /// Forgets the last stop of an instance, which is started or stopped again. No note counts as forgotten.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn forget_stop_note(&self, id: &InstanceId) -> Result<()> {
        self.objects.delete(&self.stop_note_path(id)).await
    }

    fn stop_note_path(&self, id: &InstanceId) -> String {
        self.path(&format!("instances/{id}.stopped.json"))
    }
}
