//! What can go wrong with a backup or a restore, and what is true afterwards.

use jiff::Timestamp;
use remount_core::{ClusterName, ExitCode, InstanceSlug, OperatorError, RestoreId, Retry, with_causes};
use remount_saga::{Failure, SagaError};
use serde::{Deserialize, Serialize};

use crate::RestoreStep;

/// The next step where the world is not any more what the plan was made for.
pub(crate) const RUN_AGAIN: &str = "run the command again; it makes a new plan";

/// What this crate's calls answer.
pub type Result<T, E = FlowError> = std::result::Result<T, E>;

/// One reason why a restore or a backup cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, as a sentence.
    pub what: String,
    /// What to do about it.
    pub next: Option<String>,
}

impl Problem {
    /// A problem with what to do about it.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: Some(next.into()) }
    }

    /// The problem that an error is.
    pub fn of(error: &dyn OperatorError) -> Self {
        Self { what: with_causes(error), next: error.next_step() }
    }
}

/// A flow failed.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// What was asked for makes no sense; nothing was changed.
    #[error("{0}")]
    Usage(String),
    /// Preflight says no; nothing was changed.
    #[error("{what} cannot begin: {}", list(.problems))]
    Refused {
        /// What was wanted.
        what: String,
        /// Every reason, not only the first.
        problems: Vec<Problem>,
    },
    /// The cloud.
    #[error("{action}")]
    Cloud {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: remount_cloud::Error,
    },
    /// The Director.
    #[error("{action}")]
    Director {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: remount_director::Error,
    },
    /// A server or its agent.
    #[error("{action} on {instance}")]
    Server {
        /// What was being done.
        action: String,
        /// On which instance.
        instance: Box<InstanceSlug>,
        /// Why it failed.
        #[source]
        source: remount_postgres::Error,
    },
    /// The object store.
    #[error("{action}")]
    Store {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: remount_store::Error,
    },
    /// A wait ended without what was waited for.
    #[error("{waiting_for}: not within {seconds} s{}", last(.last_seen))]
    Deadline {
        /// What was waited for.
        waiting_for: String,
        /// How long.
        seconds: u64,
        /// What the last look showed.
        last_seen: Option<String>,
        /// What to do next.
        next: Option<String>,
    },
    /// The world is not as the step left it or needs it.
    #[error("{what}")]
    Check {
        /// What is not as it must be.
        what: String,
        /// What to do next.
        next: Option<String>,
    },
    /// Somebody asked to stop.
    #[error("cancelled before step `{step}`")]
    Cancelled {
        /// The step that did not begin.
        step: String,
    },
    /// Somebody asked to stop in the middle of a wait.
    #[error("the wait for {waiting_for} was ended, as this process was asked to stop")]
    WaitCancelled {
        /// What was waited for.
        waiting_for: String,
    },
    /// Somebody asked to stop in the middle: the journal says how far it came, and the lease is free.
    #[error("restore {restore} stopped at step `{step}`, as this process was asked to")]
    Interrupted {
        /// The restore.
        restore: RestoreId,
        /// The step that did not begin, or is not over.
        step: RestoreStep,
        /// How to go on.
        commands: Vec<String>,
    },
    /// Somebody asked, by `remount abort`, that the restore goes no further.
    #[error("{by} aborted it before step `{step}`")]
    Aborted {
        /// Who.
        by: String,
        /// The step that did not begin.
        step: String,
    },
    /// A step failed and everything was undone.
    #[error("restore {restore} failed at step `{step}`; everything was undone{}", as_it_was(.differs))]
    Undone {
        /// The restore.
        restore: RestoreId,
        /// The step that failed.
        step: RestoreStep,
        /// What a look at the cluster found that is not as it was; none where nobody looked.
        differs: Option<Vec<String>>,
        /// Why.
        #[source]
        source: Box<FlowError>,
    },
    /// It was asked to go on, and was rolled back before.
    #[error("restore {restore} was rolled back at {at}; nothing is left to do")]
    RolledBack {
        /// The restore.
        restore: RestoreId,
        /// When its rollback had ended.
        at: Timestamp,
        /// Why; none where an operator wanted it.
        #[source]
        source: Option<Box<FlowError>>,
    },
    /// A step failed and everything stays as it is, as was asked for or because a rollback would lose more.
    #[error("restore {restore} is held at step `{step}`")]
    Held {
        /// The restore.
        restore: RestoreId,
        /// The step that failed.
        step: RestoreStep,
        /// How to go on.
        commands: Vec<String>,
        /// Why.
        #[source]
        source: Box<FlowError>,
    },
    /// An undo failed: the cluster is between two states.
    #[error("restore {restore} is stuck: step `{step}` cannot be undone")]
    Stuck {
        /// The restore.
        restore: RestoreId,
        /// The step whose undo failed.
        step: RestoreStep,
        /// How to finish by hand.
        commands: Vec<String>,
        /// Why.
        #[source]
        source: Box<FlowError>,
    },
    /// The lease was lost on the way: another process goes on with the work.
    #[error("restore {restore} was taken over by another process before step `{step}`")]
    TakenOver {
        /// The restore.
        restore: RestoreId,
        /// The step at which it was noticed.
        step: RestoreStep,
        /// Why.
        #[source]
        source: Box<FlowError>,
    },
    /// Old disks were given up, and not all of them could be deleted, or that is unknown.
    #[error("release of the old disks of restore {restore}: {deleted} of {of} are deleted for certain")]
    ReleaseUnfinished {
        /// The restore.
        restore: RestoreId,
        /// How many are deleted.
        deleted: usize,
        /// How many were to be.
        of: usize,
        /// Why not all.
        #[source]
        source: Box<FlowError>,
    },
    /// The journal cannot be followed: nothing was changed by this attempt.
    #[error("the journal of restore {restore} cannot be followed: {detail}")]
    Journal {
        /// The restore.
        restore: RestoreId,
        /// What is wrong with it.
        detail: String,
    },
}

impl FlowError {
    /// What the failure says of the state of the world.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Undone { differs: Some(differs), .. } if !differs.is_empty() => ExitCode::Stuck,
            Self::Undone { .. } | Self::RolledBack { .. } => ExitCode::Undone,
            Self::ReleaseUnfinished { .. }
            | Self::Held { .. }
            | Self::Stuck { .. }
            | Self::TakenOver { .. }
            | Self::Interrupted { .. } => ExitCode::Stuck,
            _ => ExitCode::Unchanged,
        }
    }

    /// What is true of a restore that did not end well.
    pub(crate) fn of_run(restore: RestoreId, failure: Failure<RestoreStep, Self>) -> Self {
        match failure {
            Failure::Undone { step, source } => {
                Self::Undone { restore, step, differs: None, source: Box::new(source) }
            }
            Failure::Held { step, next, source } => {
                Self::Held { restore, step, commands: next, source: Box::new(source) }
            }
            Failure::Stuck { step, next, source } => {
                Self::Stuck { restore, step, commands: next, source: Box::new(source) }
            }
            Failure::TakenOver { step, source } => {
                Self::TakenOver { restore, step, source: Box::new(source) }
            }
            Failure::Interrupted { step, next } => Self::Interrupted { restore, step, commands: next },
        }
    }

    /// Whether another owner has the lease by now: everything has to stop at once.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Store { source: remount_store::Error::Fenced { .. }, .. })
    }

    pub(crate) fn cloud(action: impl Into<String>) -> impl FnOnce(remount_cloud::Error) -> Self {
        move |source| Self::Cloud { action: action.into(), source }
    }

    pub(crate) fn director(action: impl Into<String>) -> impl FnOnce(remount_director::Error) -> Self {
        move |source| Self::Director { action: action.into(), source }
    }

    pub(crate) fn store(action: impl Into<String>) -> impl FnOnce(remount_store::Error) -> Self {
        move |source| Self::Store { action: action.into(), source }
    }

    /// The lease of a cluster cannot be had.
    pub(crate) fn lease(cluster: &ClusterName) -> impl FnOnce(remount_store::Error) -> Self {
        let cluster = cluster.clone();
        move |source| {
            let action = match source {
                remount_store::Error::Leased { .. } => format!("cluster {cluster} is in use"),
                _ => format!("take the lease of cluster {cluster}"),
            };
            Self::Store { action, source }
        }
    }

    pub(crate) fn server(
        action: impl Into<String>,
        instance: &InstanceSlug,
    ) -> impl FnOnce(remount_postgres::Error) -> Self {
        move |source| Self::Server { action: action.into(), instance: Box::new(instance.clone()), source }
    }

    /// Why, for a sentence that says already what was asked of whom.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Server { source: remount_postgres::Error::Unreachable { address, source, .. }, .. } => {
                format!("its agent at {address}: {}", with_causes(&**source))
            }
            Self::Server { source, .. } => with_causes(source),
            error => with_causes(error),
        }
    }

    pub(crate) fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    pub(crate) fn check(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Check { what: what.into(), next: Some(next.into()) }
    }
}

impl SagaError for FlowError {
    fn is_fenced(&self) -> bool {
        Self::is_fenced(self)
    }

    fn is_aborted(&self) -> bool {
        matches!(self, Self::Aborted { .. })
    }

    fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled { .. }
                | Self::WaitCancelled { .. }
                | Self::Director { source: remount_director::Error::Cancelled { .. }, .. }
        )
    }

    fn aborted(by: String, step: &str) -> Self {
        Self::Aborted { by, step: step.to_owned() }
    }

    fn cancelled(step: &str) -> Self {
        Self::Cancelled { step: step.to_owned() }
    }

    fn journalled(error: String) -> Self {
        Self::Check { what: error, next: None }
    }

    fn output(step: &str, error: &serde_json::Error) -> Self {
        Self::check(
            format!("what step `{step}` has left cannot be used ({error})"),
            "go on with the version of Remount that began the restore",
        )
    }

    fn problem(&self) -> String {
        Problem::of(self).what
    }
}

impl OperatorError for FlowError {
    fn retry(&self) -> Retry {
        match self {
            Self::Cloud { source, .. } => source.retry(),
            Self::Director { source, .. } => source.retry(),
            Self::Server { source, .. } => source.retry(),
            Self::Store { source, .. } => source.retry(),
            Self::Deadline { .. } => Retry::Later,
            Self::Undone { source, .. } => source.retry(),
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Refused { problems, .. } => {
                join(problems.iter().filter_map(|problem| problem.next.clone()))
            }
            Self::Cloud { source, .. } => source.next_step(),
            Self::Director { source, .. } => source.next_step(),
            Self::Server { source, .. } => source.next_step(),
            Self::Store { source, .. } => source.next_step(),
            Self::Deadline { next, .. } | Self::Check { next, .. } => next.clone(),
            Self::Undone { differs: Some(differs), .. } if !differs.is_empty() => Some(
                "look why the primary does not start (`bosh instances --ps`, its logs; a full disk: enlarge it), then start it: \
                 `bosh start --no-converge`".into(),
            ),
            Self::Undone { source, .. } => source.next_step(),
            Self::Held { commands, .. }
            | Self::Stuck { commands, .. }
            | Self::Interrupted { commands, .. } => join(commands.iter().cloned()),
            Self::ReleaseUnfinished { restore, .. } => {
                Some(format!("run it again, it goes on with the rest: `remount disks release {restore}`"))
            }
            Self::RolledBack { restore, .. } => {
                Some(format!("`remount journal {restore}` shows what it did; to restore, request it again"))
            }
            Self::TakenOver { restore, .. } => Some(format!("follow it with `remount journal {restore}`")),
            Self::Journal { restore, .. } => Some(format!(
                "read it with `remount journal {restore}`; what each step leaves is in docs/runbook.md, section Stuck"
            )),
            Self::Cancelled { .. } | Self::WaitCancelled { .. } => {
                Some("run the command again when it is to go on".into())
            }
            Self::Usage(_) | Self::Aborted { .. } => None,
        }
    }
}

/// The problems of a refusal, one per line where there are several.
fn list(problems: &[Problem]) -> String {
    match problems {
        [only] => only.what.clone(),
        several => several.iter().map(|problem| format!("\n  - {}", problem.what)).collect(),
    }
}

/// It is said only of a cluster that was looked at.
fn as_it_was(differs: &Option<Vec<String>>) -> String {
    match differs.as_deref() {
        None => String::new(),
        Some([]) => ", the cluster is as it was".into(),
        Some(found) => format!(", but the cluster is not as it was: {}", found.join("; ")),
    }
}

fn last(seen: &Option<String>) -> String {
    seen.as_ref().map(|seen| format!(" (last seen: {seen})")).unwrap_or_default()
}

/// One line per step to take, each once.
fn join(steps: impl Iterator<Item = String>) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    for step in steps {
        if !lines.contains(&step) {
            lines.push(step);
        }
    }
    if lines.is_empty() { None } else { Some(lines.join("\n       ")) }
}
