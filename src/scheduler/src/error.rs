//! Why the scheduler cannot run.

use remount_core::{ExitCode, OperatorError, Retry};
use remount_host::{ConfigError, NoRemountJob};

/// The result of this program's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The scheduler cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The job `remount` is not on this VM.
    #[error(transparent)]
    NoRemountJob(#[from] NoRemountJob),
    /// A call to the operating system failed.
    #[error("{action}")]
    System {
        /// What was tried.
        action: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What the exit code tells of the state of the world.
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::NoRemountJob(_) => ExitCode::Usage,
            Self::System { .. } => ExitCode::Unchanged,
        }
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Config(_) => Some("fix the properties of the job remount-scheduler and redeploy".into()),
            Self::NoRemountJob(error) => error.next_step(),
            Self::System { .. } => Some("fix the cause, then restart the job remount-scheduler".into()),
        }
    }
}

/// Says what was tried when the operating system refused.
pub fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let action = action.into();
    move |source| Error::System { action, source }
}
