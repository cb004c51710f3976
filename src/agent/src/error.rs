//! What a hook or the daemon fails with.

use remount_core::{ExitCode, OperatorError, Retry};

use remount_host::tls::TlsError;
use remount_host::{AccountError, ConfigError, DiskFault, FileError, LockError};

use crate::refusal::Refusal;

/// The result of this program's functions.
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
    /// PostgreSQL is down, or did not become what was wanted in time.
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
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {detail}")]
    Program {
        /// Its name.
        program: String,
        /// What it printed.
        detail: String,
    },
    /// A call to the operating system failed.
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
    /// The service user does not exist, or cannot be changed to.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A file of Remount cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server, or a file of its data directory.
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
    fn disk_fault(&self) -> Option<DiskFault> {
        match self {
            Self::System { source, .. } | Self::File(FileError { source, .. }) => DiskFault::of(source),
            _ => None,
        }
    }

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
        if let Some(fault) = self.disk_fault() {
            return Some(fault.next_step().into());
        }
        match self {
            Self::Config(_) | Self::Tls(_) => Some("fix the job's properties and redeploy".into()),
            Self::Refused(refusal) => Some(refusal.next_step()),
            Self::Server { next, .. } => Some(next.clone()),
            Self::Late { archive: Archive::Slow, .. } => {
                Some("raise `drain.deadline_seconds` of the job remount-agent and redeploy".into())
            }
            Self::Late { archive: Archive::Dead, .. } => Some(
                "read the messages of `remount-wal` in PostgreSQL's log and fix their cause; until the next start archives \
                 it, this WAL is on this disk only"
                    .into(),
            ),
            Self::Program { .. } => Some("fix what its message says, then start the instance again".into()),
            Self::System { .. } => Some("fix the cause, then start the instance again".into()),
            Self::Account(_) => Some("check that this user exists on the VM: `id vcap`".into()),
            Self::File(_) => Some("check whether the disk of that file is full or read-only, and whether the file was changed by hand".into()),
            Self::Lock(_) => Some("wait until that process has ended; `fuser` on the file shows which one it is".into()),
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
