//! What can go wrong with the object store.

use jiff::Timestamp;
use remount_core::{OperatorError, Retry};

/// A call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or none that could be understood.
    #[error("{action}: the object store gave no usable answer")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store does not let us in, and says why.
    #[error("{action}: {denial}")]
    Denied {
        /// What was asked for.
        action: String,
        /// Why.
        denial: Denial,
        /// The store's message.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused for good: its configuration, the bucket.
    #[error("{action}: the object store refused")]
    Refused {
        /// What was asked for.
        action: String,
        /// The store's message.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The filesystem of the store has no room.
    #[error("{action}: the object store is full")]
    Full {
        /// What was asked for.
        action: String,
        /// The operating system's message.
        #[source]
        source: std::io::Error,
    },
    /// A document cannot be read: its signature, its format or its content is wrong.
    #[error("{path}: {detail}")]
    Document {
        /// The object.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A document was to be signed by somebody who has no private key.
    #[error("{path} cannot be written: this program has no private key to sign it with")]
    CannotSign {
        /// The object.
        path: String,
    },
    /// Another owner holds the lease.
    #[error("cluster {cluster} is leased to {owner} for {purpose} since {since} (epoch {epoch})")]
    Leased {
        /// The cluster.
        cluster: Box<str>,
        /// Who holds it.
        owner: String,
        /// For what.
        purpose: Box<str>,
        /// Since when.
        since: Timestamp,
        /// When it ends, if its owner gives no further sign of life.
        ends_at: Timestamp,
        /// Its epoch.
        epoch: u64,
    },
    /// This owner's lease was taken over by a later epoch: it must stop at once.
    #[error("the lease of cluster {cluster} (epoch {epoch}) was taken over by epoch {taken_by}")]
    Fenced {
        /// The cluster.
        cluster: String,
        /// The epoch that was lost.
        epoch: u64,
        /// The epoch that holds it.
        taken_by: u64,
    },
    /// The object exists with other content.
    #[error("{path} exists with other content")]
    Conflict {
        /// The object.
        path: String,
    },
    /// A backup was given up: its tombstone stands where its manifest was to go.
    #[error("{path} is a tombstone, the backup was given up: {why}")]
    GivenUp {
        /// The object.
        path: String,
        /// What the tombstone says.
        why: String,
    },
    /// A file that was to be archived is not what its name says. Nothing was written.
    #[error("{file} cannot be archived")]
    Unfit {
        /// Its name.
        file: String,
        /// What is wrong with it.
        #[source]
        fault: SegmentFault,
    },
    /// An archived file is not what was pushed. Nothing of it may be used.
    #[error("{path} is damaged in the store")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// The place where an archived file was to go did not accept it.
    #[error("{file} cannot be written")]
    Target {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder of the store is not there.
    #[error("`store.root`: {root} is not a folder: is its filesystem mounted?")]
    NotMounted {
        /// Where it should be.
        root: String,
    },
    /// The configuration is wrong.
    #[error("store configuration: {0}")]
    Config(String),
}

/// Why the store does not let us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// We may not do this.
    #[error("the object store denies permission")]
    Permission,
    /// The credentials were good once.
    #[error("the credentials of the object store have expired")]
    Expired,
    /// The credentials never were good, or are not any more.
    #[error("the object store does not accept the credentials")]
    Credentials,
    /// A request's time is signed with it.
    #[error("this machine's clock differs too much from the object store's")]
    Clock,
}

impl Denial {
    /// S3's codes, by what they mean.
    const CODES: [(&'static str, Self); 10] = [
        ("AccessDenied", Self::Permission),
        ("AllAccessDisabled", Self::Permission),
        ("ExpiredToken", Self::Expired),
        ("TokenRefreshRequired", Self::Expired),
        ("RequestExpired", Self::Expired),
        ("InvalidAccessKeyId", Self::Credentials),
        ("SignatureDoesNotMatch", Self::Credentials),
        ("InvalidToken", Self::Credentials),
        ("InvalidSecurity", Self::Credentials),
        ("RequestTimeTooSkewed", Self::Clock),
    ];

    /// What an error says that quotes one of S3's codes.
    pub(crate) fn quoted_in(text: &str) -> Option<Self> {
        let quotes = |code: &str| text.contains(&format!("\"{code}\""));
        Self::CODES.iter().find(|(code, _)| quotes(code)).map(|(_, denial)| *denial)
    }

    /// New credentials and a clock that is set can come meanwhile.
    const fn retry(self) -> Retry {
        match self {
            Self::Permission | Self::Credentials => Retry::Never,
            Self::Expired | Self::Clock => Retry::Soon,
        }
    }

    const fn next_step(self) -> &'static str {
        match self {
            Self::Permission => {
                "compare what these credentials may do with manifests/policies (a folder: its owner and mode)"
            }
            Self::Expired => {
                "look why the VM's instance profile gives no new ones, or set new `store.access_key_id` and `store.secret_access_key` and deploy"
            }
            Self::Credentials => {
                "check `store.access_key_id` and `store.secret_access_key`, and that the key is active"
            }
            Self::Clock => {
                "set the clock of this VM: `chronyc tracking` shows how far it is off, and whether it is being set"
            }
        }
    }
}

/// Why a file is not the WAL that its name says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    /// The file is shorter or longer than a segment.
    #[error("it has {actual_bytes} bytes, a segment of this cluster has {expected_bytes}")]
    Size {
        /// Of the file.
        actual_bytes: u64,
        /// Of a segment.
        expected_bytes: u64,
    },
    /// There is nothing in it but zeros.
    #[error("it holds nothing but zeros")]
    Zeros,
    /// It does not begin as WAL does.
    #[error("its first page does not begin as WAL of PostgreSQL 15 to 18 does (magic {0:#06X})")]
    Magic(u16),
    /// Its first page has no long header, or one that cannot be.
    #[error("its first page has no valid header: {0}")]
    Header(String),
    /// It was written by another cluster.
    #[error(
        "it was written by the cluster with system identifier {actual}, the archive is that of {expected}"
    )]
    SystemIdentifier {
        /// In the file.
        actual: u64,
        /// Of the archive.
        expected: u64,
    },
    /// It was written on a timeline that does not fit its name.
    #[error("it was written on timeline {actual}, its name says {expected}")]
    Timeline {
        /// In the file.
        actual: u32,
        /// In the name.
        expected: u32,
    },
    /// It lies at another place of the log.
    #[error("it begins at {actual}, its name says {expected}")]
    Address {
        /// In the file.
        actual: remount_core::Lsn,
        /// In the name.
        expected: remount_core::Lsn,
    },
    /// The text of a history file cannot be read.
    #[error("it is not a timeline history: {0}")]
    History(String),
    /// The text of a backup's history file cannot be one.
    #[error("it is not the history of a backup")]
    BackupHistory,
}

/// Why an archived file is not what was pushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It cannot be decompressed.
    #[error("it cannot be decompressed ({codec}): {detail}")]
    Codec {
        /// As its header says.
        codec: String,
        /// The decompressor's message.
        detail: String,
    },
    /// It has another length.
    #[error("it has {actual_bytes} bytes, {expected_bytes} were pushed")]
    Length {
        /// Now.
        actual_bytes: u64,
        /// When it was pushed.
        expected_bytes: u64,
    },
    /// It has other content.
    #[error("its SHA-256 is not the one it was pushed with")]
    Checksum,
    /// It is longer than any file of its kind.
    #[error("it has more than {most_bytes} bytes, or says so: no file of this name is so long")]
    TooLong {
        /// What is possible.
        most_bytes: u64,
    },
    /// Its header is missing or cannot be read.
    #[error("its header cannot be read: {0}")]
    Header(String),
    /// The object lies under a name that is not its own.
    #[error("it is not the file its name says: {0}")]
    Content(#[source] SegmentFault),
}

/// Rounded up: nobody is sent too early.
fn whole_second(time: Timestamp) -> Timestamp {
    let up = jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Ceil);
    time.round(up).unwrap_or(time)
}

impl Error {
    /// An object has more bytes than anything that Remount writes there.
    #[must_use]
    pub fn too_long(path: &str, most: u64) -> Self {
        let detail = format!("it has more than {most} bytes: Remount has not written it");
        Self::Document { path: path.to_owned(), detail }
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Unanswered { .. } => Retry::Soon,
            Self::Leased { .. } => Retry::Later,
            Self::Denied { denial, .. } => denial.retry(),
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::Unanswered { .. } => "check that the object store answers, then run the command again".into(),
            Self::Denied { denial, .. } => denial.next_step().into(),
            Self::Refused { .. } => "check the `store.*` properties: bucket, credentials, permissions".into(),
            Self::Full { .. } => {
                "enlarge the filesystem that `store.root` is on, or free room there; WAL waits on the servers' disks meanwhile"
                    .into()
            }
            Self::Document { .. } => {
                "check `signing.public_keys` (a replaced key stays in the list while its documents count); restore the object from the bucket's versions if it was changed"
                    .into()
            }
            Self::Leased { ends_at, .. } => format!(
                "wait until its owner has ended (`remount journal`); if it is dead, run the command again after {}: its lease \
                 has ended then",
                whole_second(*ends_at)
            ),
            Self::Fenced { .. } => "another process continues the work; follow it with `remount journal`".into(),
            Self::Conflict { .. } => {
                "two clusters may write to one archive: compare `store.*` and cluster names".into()
            }
            Self::CannotSign { .. } => {
                "run it on a VM of the control plane, whose job `remount` has `signing.private_key`".into()
            }
            Self::GivenUp { .. } => "run the backup again; this one's snapshot is deleted".into(),
            Self::Unfit { .. } => {
                "find out what else writes into this data directory's pg_wal, or archives under this cluster's name".into()
            }
            Self::Damaged { .. } => {
                "restore the object from the bucket's versions, or restore to a point before it".into()
            }
            Self::Target { .. } => "check whether the disk that the file goes to is full or read-only".into(),
            Self::NotMounted { .. } => {
                "mount it on this VM, or fix the `store.*` properties and redeploy".into()
            }
            Self::Config(_) => "fix the `store.*` properties and redeploy".into(),
        })
    }
}
