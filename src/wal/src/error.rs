//! What can go wrong with a push or a fetch, and which exit code PostgreSQL gets.

use std::io;
use std::path::PathBuf;

use remount_core::{ClusterName, OperatorError, RestoreId, Retry, WalSegment};
use remount_host::ConfigError;
use remount_store::ArchiveFileError;

use crate::USAGE;

/// The result of this program's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Not determined by the deadline.
const UNDETERMINED: u8 = 200;
/// Known, and must not be delivered.
const REFUSED: u8 = 201;

/// A push or a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is none that PostgreSQL archives.
    #[error(transparent)]
    Name(ArchiveFileError),
    /// A file of this VM cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The control file cannot be read.
    #[error("the system identifier of this cluster is not known")]
    ControlFile {
        /// Why.
        source: remount_postgres::Error,
    },
    /// The record of an applied plan cannot be used.
    #[error("the record of an applied restore, {}, cannot be used: {detail}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A standby started before the fork was known.
    #[error(
        "restore {restore} is applied for a standby, but where its primary left the planned timeline is not recorded"
    )]
    NoFork {
        /// The restore.
        restore: RestoreId,
    },
    /// The segment lies beyond the point where the planned timelines left its own.
    #[error("{segment} is not on the planned timelines of restore {restore}, which continue with {expected}")]
    OffTimeline {
        /// What PostgreSQL asked for.
        segment: WalSegment,
        /// What it should have found.
        expected: WalSegment,
        /// The restore.
        restore: RestoreId,
    },
    /// The plan needs the segment and the archive does not have it.
    #[error("{segment} is needed by restore {restore} (up to {last}) and is not in the archive")]
    Gap {
        /// The segment.
        segment: WalSegment,
        /// The last one that the plan needs.
        last: WalSegment,
        /// The restore.
        restore: RestoreId,
    },
    /// There is nothing of the cluster in the store.
    #[error("the store holds nothing at all of cluster {cluster}")]
    UnknownCluster {
        /// The cluster.
        cluster: ClusterName,
    },
    /// The store failed.
    #[error("{file}: the archive failed")]
    Store {
        /// The file.
        file: String,
        /// How.
        source: remount_store::Error,
    },
    /// The store's configuration cannot be used.
    #[error("the store cannot be opened")]
    Open {
        /// Why.
        source: remount_store::Error,
    },
    /// The deadline has passed.
    #[error("no success within {seconds} s")]
    Deadline {
        /// The deadline.
        seconds: u64,
        /// The last failure; none where one call took all the time.
        #[source]
        last: Option<Box<Error>>,
    },
    /// The operating system gives no event loop.
    #[error("the runtime cannot be started")]
    Runtime {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The exit code of a failed fetch: always above 125, so that recovery stops.
    pub fn fetch_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Name(_) | Self::Open { .. } => USAGE,
            Self::OffTimeline { .. } | Self::Gap { .. } | Self::NoFork { .. } | Self::Record { .. } => {
                REFUSED
            }
            Self::Store { source: remount_store::Error::Damaged { .. }, .. } => REFUSED,
            _ => UNDETERMINED,
        }
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Store { source, .. } => source.retry(),
            // A file system that is not mounted yet looks like this, too.
            Self::UnknownCluster { .. } => Retry::Soon,
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        let text = match self {
            Self::Store { source, .. } | Self::Open { source } => return source.next_step(),
            Self::Deadline { last: Some(last), .. } => return last.next_step(),
            Self::Config(_) => "fix the properties of the job remount-agent and redeploy",
            Self::Name(_) => "set it as `archive_command` with %p, or as `restore_command` with %f and %p",
            Self::File { .. } | Self::Runtime { .. } => "check the VM: disk full, permissions, limits",
            Self::ControlFile { .. } => "check `postgres.data_directory`, and that the right disk is mounted",
            Self::Record { .. } => {
                "if a newer version of Remount wrote it, deploy that version; otherwise roll the restore back: `remount rollback`"
            }
            Self::NoFork { .. } => {
                "start the instance with `bosh start --no-converge`: its pre-start waits for the fork (`remount journal`)"
            }
            Self::OffTimeline { .. } => {
                "the expected segment is missing: look for it in the archive, or restore to a point before it"
            }
            Self::Gap { .. } => {
                "put the segment back into the archive, or restore to an earlier point (`remount plan`)"
            }
            Self::UnknownCluster { .. } => {
                "check `store.*`: bucket, prefix or root, and that the file system is mounted"
            }
            Self::Deadline { last: None, .. } => {
                "check that the store answers; PostgreSQL tries a push again by itself, a fetch when it is started again"
            }
        };
        Some(text.to_owned())
    }
}
