//! What can go wrong with a Director.

use std::time::Duration;

use remount_core::{OperatorError, Retry};

use crate::TaskId;
use crate::answer::Busy;

/// A call to the Director failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or none that could be understood: what was asked for may have happened.
    #[error("{action}: the Director gave no usable answer")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Logging in was not answered, so that the change itself was never sent.
    #[error("{action}: nothing was sent, because the login was not answered")]
    NotSent {
        /// What was asked for.
        action: String,
        /// What went wrong.
        #[source]
        source: Box<Error>,
    },
    /// The credentials were not accepted, or their scope is too small.
    #[error("{action}: the Director refused the credentials ({detail})")]
    Unauthorized {
        /// What was asked for.
        action: String,
        /// The Director's message.
        detail: String,
    },
    /// The Director knows no such thing.
    #[error("{action}: not found ({detail})")]
    NotFound {
        /// What was asked for.
        action: String,
        /// The Director's message.
        detail: String,
    },
    /// The Director refused the request.
    #[error("{action}: the Director refused (code {code}: {detail})")]
    Refused {
        /// What was asked for.
        action: String,
        /// The Director's error code; 0 where it gave none.
        code: i64,
        /// The Director's message.
        detail: String,
    },
    /// A task ended in `error`, `cancelled` or `timeout`.
    #[error("Director task {task} ({description}) ended in {state}: {message}")]
    TaskFailed {
        /// The task.
        task: TaskId,
        /// What it was to do.
        description: String,
        /// Its last state.
        state: String,
        /// The Director's error code; 0 where it gave none. 100 is a lock that was not to be had.
        code: i64,
        /// The Director's whole message.
        message: String,
    },
    /// The deadline passed while the task was still going on.
    #[error("Director task {task} ({description}) is still {state} after {waited_seconds} s")]
    TaskTimeout {
        /// The task.
        task: TaskId,
        /// What it does.
        description: String,
        /// Its state then.
        state: String,
        /// How long it was waited for.
        waited_seconds: u64,
    },
    /// Somebody asked to stop while a task was followed.
    #[error("Director task {task} was not followed to its end, as this process was asked to stop")]
    Cancelled {
        /// The task; it goes on.
        task: TaskId,
    },
    /// The client's own configuration is wrong.
    #[error("Director client: {0}")]
    Config(String),
}

impl Error {
    /// Whether another task holds the deployment's lock (code 100).
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::TaskFailed { code: 100, message, .. } if message.contains("acquire lock"))
    }

    /// Whether a start failed in other jobs' pre-start scripts alone, and that of this job succeeded.
    #[must_use]
    pub fn spared_pre_start(&self, job: &str) -> bool {
        let Self::TaskFailed { message, .. } = self else { return false };
        let Some((_, told)) = message.split_once("pre-start scripts failed") else { return false };
        told.split_once("Successful Jobs:").is_some_and(|(_, jobs)| {
            jobs.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|named| named == job)
        })
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Unanswered { .. } | Self::NotSent { .. } => Retry::Soon,
            Self::TaskTimeout { .. } => Retry::Later,
            other if other.is_locked() => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unanswered { source, .. } => source.downcast_ref::<Busy>()?.retry_after,
            Self::NotSent { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::Unanswered { .. } | Self::NotSent { .. } => {
                "check that the Director answers (`bosh environment`), then run the command again".into()
            }
            // The Director answers 401 also where the credentials are right and the scope is too small.
            Self::Unauthorized { detail, .. } if detail.contains("scope") => {
                "give the client of `director.*` the scope bosh.admin: attaching disks needs it".into()
            }
            Self::Unauthorized { .. } => {
                "check `director.client_id` and its secret, or `director.username` and its password".into()
            }
            Self::NotFound { .. } => "check the name against `bosh deployments` and `bosh instances`".into(),
            Self::TaskTimeout { task, state, .. } if state == "queued" => {
                format!(
                    "all workers of the Director may be busy (`bosh tasks`); task {task} starts when one is free"
                )
            }
            Self::TaskTimeout { task, .. } | Self::TaskFailed { task, .. } => {
                format!("read `bosh task {task} --debug`")
            }
            Self::Config(_) => "fix the `director.*` properties and redeploy".into(),
            Self::Refused { .. } => {
                "fix what the Director's message names, then run the command again".into()
            }
            Self::Cancelled { task } => format!("follow it with `bosh task {task}`"),
        })
    }
}
