//! `requests/<id>.json`: a restore that was asked for. `bosh run-errand` takes no arguments, so what is wanted is
//! stored first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeploymentName, GroupName, RestoreId, RestoreTarget};

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

/// A request for a restore, to be carried out by the errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// [`super::FORMAT`] of the writer; readers refuse a larger one.
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
    /// Whether it stops when the target is reached, before anybody can write, for a person to look.
    #[serde(default)]
    pub pause: bool,
    /// What to do when it fails midway.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOutcome {
    /// [`super::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// When it ended.
    pub at: Timestamp,
    /// As [`crate::ExitCode`].
    pub exit_code: u8,
    /// For people.
    pub message: String,
}
