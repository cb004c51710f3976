//! What the Director refuses with: an HTTP status, a code and a sentence, or the same in a task.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::iaas::IaasError;

/// What this module's calls answer.
pub(crate) type Result<T> = std::result::Result<T, DirectorError>;

/// A refusal or failure, with the Director's own code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DirectorError {
    /// The HTTP status where it answers a request.
    pub(crate) status: u16,
    /// The Director's code; 0 marks a plain text answer.
    pub(crate) code: i64,
    /// The sentence.
    pub(crate) message: String,
}

/// A lock, the CPI, or anything that has no code of its own.
pub(crate) const GENERIC: i64 = 100;
/// The task was cancelled.
pub(crate) const TASK_CANCELLED: i64 = 10001;
/// A disk that should be attached is not, says the CPI.
pub(crate) const DISK_NOT_ATTACHED: i64 = 390_001;
/// The processes do not run in time.
pub(crate) const JOB_NOT_RUNNING: i64 = 400_007;
/// The agent has another disk than the record.
pub(crate) const DISK_OUT_OF_SYNC: i64 = 400_010;
/// The manifest cannot be used.
pub(crate) const BAD_MANIFEST: i64 = 440_001;
/// The errand cannot run.
pub(crate) const RUN_ERRAND: i64 = 510_000;
/// The instance is in the wrong state for an attach.
pub(crate) const ATTACH_STATE: i64 = 520_003;

impl DirectorError {
    /// A failure with status 400.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    /// A failure without a code of its own.
    pub(crate) fn generic(message: impl Into<String>) -> Self {
        Self::new(GENERIC, message)
    }

    /// The manifest cannot be used.
    pub(crate) fn manifest(message: impl Into<String>) -> Self {
        Self::new(BAD_MANIFEST, message)
    }

    /// The task was cancelled.
    pub(crate) fn cancelled(task: u64) -> Self {
        Self::new(TASK_CANCELLED, format!("Task {task} cancelled"))
    }

    /// No such task.
    pub(crate) fn task_not_found(task: &str) -> Self {
        Self { status: 404, code: 10000, message: format!("Task {task} not found") }
    }

    /// No such deployment.
    pub(crate) fn deployment_not_found(name: &str) -> Self {
        Self { status: 404, code: 70000, message: format!("Deployment '{name}' doesn't exist") }
    }

    /// No such instance.
    pub(crate) fn instance_not_found(deployment: &str, group: &str, index_or_id: &str) -> Self {
        let message = format!("'{deployment}/{group}/{index_or_id}' doesn't exist");
        Self { status: 404, code: 70001, message }
    }

    /// No such errand.
    pub(crate) fn errand_not_found(name: &str) -> Self {
        Self { status: 404, code: 70009, message: format!("Errand '{name}' doesn't exist") }
    }

    /// The route does not exist, or not for this content type.
    pub(crate) fn no_endpoint(path: &str) -> Self {
        Self { status: 404, code: 0, message: format!("Endpoint '{path}' not found.") }
    }

    /// The caller's scopes do not suffice.
    pub(crate) fn scope(expected: &[String]) -> Self {
        let message = format!("Require one of the scopes: {}", expected.join(", "));
        Self { status: 401, code: 600_000, message }
    }
}

impl From<IaasError> for DirectorError {
    fn from(error: IaasError) -> Self {
        let code = match &error {
            IaasError::Cpi { .. } => GENERIC,
            IaasError::Agent(_) => 450_001,
            IaasError::Timeout { .. } => 450_002,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for DirectorError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = match self.code {
            0 => self.message,
            code => json!({"code": code, "description": self.message}).to_string(),
        };
        (status, [(header::CONTENT_TYPE, "text/html;charset=utf-8")], body).into_response()
    }
}
