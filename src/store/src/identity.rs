//! Which store this is.
//!
//! A store without an id is one in which the control plane has never worked, or not the one that was meant: a changed
//! bucket or prefix. Nobody but the control plane gives it one.

use remount_core::StoreId;
use remount_core::documents::{FORMAT, StoreDocument};

use crate::{Created, Metadata, Result, Store, documents};

/// Where it lies.
const PATH: &str = "store.json";

impl Store {
    /// The store's id; none where the control plane has never worked in it. An id that was read is kept: it is
    /// written once.
    ///
    /// # Errors
    /// The store did not answer, or what it has cannot be read.
    pub async fn id(&self) -> Result<Option<StoreId>> {
        if let Some(id) = self.known_id.get() {
            return Ok(Some(id.clone()));
        }
        let Some(object) = documents::read(&**self.objects(), PATH).await? else {
            return Ok(None);
        };
        let document: StoreDocument = documents::decode(PATH, &object.content)?;
        Ok(Some(self.known_id.get_or_init(|| document.id).clone()))
    }

    /// The store's id, drawn where it has none yet. For the control plane alone.
    ///
    /// # Errors
    /// As [`Self::id`].
    ///
    /// # Idempotence
    /// The first id stays: of two who draw one at once, both get the winner's.
    pub async fn ensure_id(&self) -> Result<StoreId> {
        if let Some(id) = self.id().await? {
            return Ok(id);
        }
        let document = StoreDocument { format: FORMAT, id: StoreId::of(rand::random()) };
        let content = documents::encode(PATH, &document)?;
        if self.objects().create(PATH, content, &Metadata::new()).await? == Created::New {
            return Ok(self.known_id.get_or_init(|| document.id).clone());
        }
        let missing = || documents::fault(PATH, "it was there, and then it was not".into());
        self.id().await?.ok_or_else(missing)
    }
}
