//! What a hook or the daemon fails with.

use remount_core::{ExitCode, OperatorError, Retry};

use remount_host::tls::TlsError;
use remount_host::{AccountError, ConfigError, FileError, LockError};

use crate::refusal::Refusal;

/// What this program's functions answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A hook or the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong. Nothing was changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The fence refuses: PostgreSQL may not start on this disk.
    #[error("PostgreSQL may not start: {0}")]
    Refused(Refusal),
    /// PostgreSQL is down, or never got where it should.
    #[error("{what}")]
    Server {
        /// What was waited for, and PostgreSQL's own reason.
        what: String,
        /// What to do.
        next: String,
    },
    /// What a drain waits for did not come in time.
    #[error("{what} within {seconds} s")]
    Late {
        /// What did not happen.
        what: String,
        /// The limit.
        seconds: u64,
        /// Whether more time would have helped.
        archive: Archive,
    },
    /// A program of PostgreSQL's failed.
    #[error("{program} failed: {detail}")]
    Program {
        /// Its name.
        program: String,
        /// Its words.
        detail: String,
    },
    /// Something of the operating system.
    #[error("{action}")]
    System {
        /// What was tried.
        action: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process does this already.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The service user cannot be acted as.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server or a file of ours.
    #[error(transparent)]
    Postgres(#[from] remount_postgres::Error),
    /// The object store.
    #[error(transparent)]
    Store(#[from] remount_store::Error),
}

/// What the archive did while it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// It took files, or was not waited for yet.
    Slow,
    /// It took nothing.
    Dead,
}

impl Error {
    /// What the exit code tells of the state of the world.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Tls(_) | Self::Postgres(remount_postgres::Error::Config(_)) => {
                ExitCode::Usage
            }
            _ => ExitCode::Unchanged,
        }
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Server { .. } | Self::Late { .. } | Self::Program { .. } | Self::Lock(_) => Retry::Later,
            Self::Postgres(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Config(_)
            | Self::Tls(_)
            | Self::Refused(_)
            | Self::System { .. }
            | Self::Account(_)
            | Self::File(_) => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Config(_) | Self::Tls(_) => Some("fix the job's properties and redeploy".into()),
            Self::Refused(refusal) => Some(refusal.next_step()),
            Self::Server { next, .. } => Some(next.clone()),
            Self::Late { archive: Archive::Slow, .. } => {
                Some("give it more time: `drain.deadline_seconds` of the job remount-agent".into())
            }
            Self::Late { archive: Archive::Dead, .. } => Some(
                "look at the words of `remount-wal` in PostgreSQL's log; until the next start has archived it, the WAL is \
                 on this disk alone"
                    .into(),
            ),
            Self::Program { .. } => Some("fix what its message says, then start the instance again".into()),
            Self::System { .. } | Self::Account(_) => None,
            Self::File(_) => Some("look at that file: is its disk full, or read-only? was it changed by hand?".into()),
            Self::Lock(_) => Some("wait until it has ended, or look for it with `fuser`".into()),
            Self::Postgres(error) => error.next_step(),
            Self::Store(error) => error.next_step(),
        }
    }
}

/// Says what was tried when the operating system refused.
pub fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let action = action.into();
    move |source| Error::System { action, source }
}
