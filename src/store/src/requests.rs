//! Restore requests: `bosh run-errand` takes no arguments, so what is wanted is stored first.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use remount_core::RestoreId;
use remount_core::documents::{RequestOutcome, RestoreRequest};

use crate::{Error, Keyring, ObjectInfo, Objects, Result, documents};

/// What waits for the errand.
#[derive(Debug, Default)]
pub struct PendingRequests {
    /// The requests, oldest first.
    pub requests: Vec<RestoreRequest>,
    /// Why the others cannot be carried out: one error each, which names the object.
    pub unreadable: Vec<Error>,
}

/// The restore requests of a landscape.
#[derive(Clone)]
pub struct Requests {
    objects: Arc<dyn Objects>,
    keys: Keyring,
}

impl Requests {
    pub(crate) fn new(objects: Arc<dyn Objects>, keys: Keyring) -> Self {
        Self { objects, keys }
    }

    /// Stores a request.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] where another request has this id.
    ///
    /// # Idempotence
    /// The same request again is success.
    pub async fn put(&self, request: &RestoreRequest) -> Result<()> {
        let path = request_path(&request.id);
        documents::write_once(&*self.objects, &path, documents::encode_signed(&path, request, &self.keys)?)
            .await
    }

    /// The request with this id.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where it cannot be read.
    pub async fn get(&self, id: &RestoreId) -> Result<Option<RestoreRequest>> {
        let path = request_path(id);
        let object = documents::read(&*self.objects, &path).await?;
        let request: Option<RestoreRequest> =
            object.map(|object| documents::decode_signed(&path, &object.content, &self.keys)).transpose()?;
        match request {
            Some(request) if request.id != *id => {
                Err(documents::fault(&path, format!("it is request {}", request.id)))
            }
            request => Ok(request),
        }
    }

    /// The requests without an outcome, oldest first. One that cannot be read or verified keeps nobody from the others.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn pending(&self) -> Result<PendingRequests> {
        let objects = self.objects.list(FOLDER).await?;
        let names: BTreeSet<_> = objects.iter().filter_map(|info| info.path.strip_prefix(FOLDER)).collect();
        let mut pending = PendingRequests::default();
        for id in names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()) {
            if names.contains(format!("{id}.done.json").as_str()) {
                continue;
            }
            match self.get(&id).await {
                Ok(request) => pending.requests.extend(request),
                Err(error @ Error::Document { .. }) => pending.unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(pending)
    }

    /// Records how a request ended. The first outcome stays.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] where another outcome was recorded.
    pub async fn finish(&self, id: &RestoreId, outcome: &RequestOutcome) -> Result<()> {
        let path = outcome_path(id);
        documents::write_once(&*self.objects, &path, documents::encode_signed(&path, outcome, &self.keys)?)
            .await
    }

    /// Deletes requests that ended long ago, by the store's clock: looking for the pending ones stays one short
    /// listing. What a request became is in its restore's journal.
    ///
    /// # Errors
    /// The store did not answer; the next call goes on.
    pub async fn prune(&self) -> Result<()> {
        let objects = self.objects.list(FOLDER).await?;
        let Some(newest) = objects.iter().map(|info| info.modified).max() else {
            return Ok(());
        };
        let ended = |info: &ObjectInfo| {
            let id = info.path.strip_prefix(FOLDER)?.strip_suffix(".done.json")?.parse().ok()?;
            (newest.duration_since(info.modified) > KEPT).then_some(id)
        };
        for id in objects.iter().filter_map(ended) {
            // The request first: without its outcome it would be pending again.
            self.objects.delete(&request_path(&id)).await?;
            self.objects.delete(&outcome_path(&id)).await?;
        }
        Ok(())
    }

    /// How a request ended; none while it is pending.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where it cannot be read.
    pub async fn outcome(&self, id: &RestoreId) -> Result<Option<RequestOutcome>> {
        let path = outcome_path(id);
        let object = documents::read(&*self.objects, &path).await?;
        object.map(|object| documents::decode_signed(&path, &object.content, &self.keys)).transpose()
    }
}

/// How long the outcome of a request is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Where the requests lie.
const FOLDER: &str = "requests/";

fn request_path(id: &RestoreId) -> String {
    format!("{FOLDER}{id}.json")
}

fn outcome_path(id: &RestoreId) -> String {
    format!("{FOLDER}{id}.done.json")
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("objects", &self.objects).finish_non_exhaustive()
    }
}
