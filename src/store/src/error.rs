//! What can go wrong with the object store.

use jiff::Timestamp;
use remount_core::{Advice, Retry};

/// A call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or none that could be understood.
    #[error("{action}: the object store gave no usable answer")]
    Unanswered {
        /// What was asked for.
        action: String,
        /// What went wrong on the way.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refused for good: credentials, bucket, permission.
    #[error("{action}: the object store refused")]
    Refused {
        /// What was asked for.
        action: String,
        /// The store's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A document cannot be read: its HMAC, its format or its content is wrong.
    #[error("{path}: {detail}")]
    Document {
        /// The object.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Another owner holds the lease.
    #[error("cluster {cluster} is leased to {owner} for {purpose} since {since} (epoch {epoch})")]
    Leased {
        /// The cluster.
        cluster: String,
        /// Who holds it.
        owner: String,
        /// For what.
        purpose: String,
        /// Since when.
        since: Timestamp,
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
    /// The configuration is wrong.
    #[error("store configuration: {0}")]
    Config(String),
}

impl Advice for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Unanswered { .. } => Retry::Soon,
            Self::Leased { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::Unanswered { .. } => "check that the store answers and run the command again".into(),
            Self::Refused { .. } => "check the `store.*` properties: bucket, credentials, permissions".into(),
            Self::Document { .. } => {
                "check `store.signing_key`; restore the object from the bucket's versions if it was changed"
                    .into()
            }
            Self::Leased { .. } => {
                "wait until it has ended (`remount journal`); a dead owner's lease ends by itself".into()
            }
            Self::Fenced { .. } => "another process goes on with the work: `remount journal`".into(),
            Self::Conflict { .. } => {
                "two clusters may write to one archive: compare `store.*` and cluster names".into()
            }
            Self::Config(_) => "mend the `store.*` properties".into(),
        })
    }
}
