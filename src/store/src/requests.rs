//! Restore requests: `bosh run-errand` takes no arguments, so what is wanted is stored first.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use remount_core::{DeploymentName, GroupName, RestoreId, RestoreTarget};
use serde::{Deserialize, Serialize};

use crate::{Objects, Result, documents};

/// What the saga does where a step has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The old disks go back.
    #[default]
    Rollback,
    /// Everything stays as it is, for a person to look.
    Hold,
}

/// A wish for a restore, to be carried out by the errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// [`remount_core::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// The restore's id, decided when it was asked for.
    pub id: RestoreId,
    /// The deployment to restore.
    pub deployment: DeploymentName,
    /// Its PostgreSQL group, where it has more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Where replay is to stop.
    pub target: RestoreTarget,
    /// Who asked for it.
    #[serde(default)]
    pub requested_by: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What to do when it fails midway.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOutcome {
    /// [`remount_core::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// When it ended.
    pub at: Timestamp,
    /// As [`remount_core::ExitCode`].
    pub exit_code: u8,
    /// For people.
    pub message: String,
}

/// The restore requests of a landscape.
#[derive(Clone, Debug)]
pub struct Requests {
    objects: Arc<dyn Objects>,
}

impl Requests {
    pub(crate) fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
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
        documents::write_once(&*self.objects, &path, documents::encode(&path, request)?).await
    }

    /// The request with this id.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where it cannot be read.
    pub async fn get(&self, id: &RestoreId) -> Result<Option<RestoreRequest>> {
        let path = request_path(id);
        let object = self.objects.read(&path).await?;
        object.map(|object| documents::decode(&path, &object.content)).transpose()
    }

    /// The requests without an outcome, oldest first.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where one cannot be read.
    pub async fn pending(&self) -> Result<Vec<RestoreRequest>> {
        let objects = self.objects.list(FOLDER).await?;
        let names: BTreeSet<_> = objects.iter().filter_map(|info| info.path.strip_prefix(FOLDER)).collect();
        let mut pending = Vec::new();
        for id in names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()) {
            if names.contains(format!("{id}.done.json").as_str()) {
                continue;
            }
            pending.extend(self.get(&id).await?);
        }
        Ok(pending)
    }

    /// Records how a request ended. The first outcome stays.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] where another outcome was recorded.
    pub async fn finish(&self, id: &RestoreId, outcome: &RequestOutcome) -> Result<()> {
        let path = outcome_path(id);
        documents::write_once(&*self.objects, &path, documents::encode(&path, outcome)?).await
    }

    /// How a request ended; none while it is pending.
    ///
    /// # Errors
    /// [`crate::Error::Document`] where it cannot be read.
    pub async fn outcome(&self, id: &RestoreId) -> Result<Option<RequestOutcome>> {
        let path = outcome_path(id);
        let object = self.objects.read(&path).await?;
        object.map(|object| documents::decode(&path, &object.content)).transpose()
    }
}

/// Where the requests lie.
const FOLDER: &str = "requests/";

fn request_path(id: &RestoreId) -> String {
    format!("{FOLDER}{id}.json")
}

fn outcome_path(id: &RestoreId) -> String {
    format!("{FOLDER}{id}.done.json")
}
