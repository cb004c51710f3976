//! The lease of a cluster: at most one backup or restore acts on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClusterStore, Error, Result};

/// What a lease is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A backup.
    Backup,
    /// A restore.
    Restore,
    /// A drill: a restore into another deployment.
    Drill,
    /// Deleting what retention no longer keeps.
    Prune,
}

/// Who holds a cluster's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The lease's epoch.
    pub epoch: u64,
    /// Who.
    pub owner: String,
    /// For what.
    pub purpose: String,
    /// Since when, by the store's clock.
    pub since: Timestamp,
    /// The last sign of life, by the store's clock.
    pub last_beat: Timestamp,
    /// Whether the last sign of life is older than the term, by the store's clock.
    pub expired: bool,
}

/// A held lease. Clones are the same lease. Dropping it does not release it: a process that dies
/// leaves its work open, and the term is the time others wait before they take it over.
#[derive(Clone, Debug)]
pub struct Lease {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: u64,
}

/// Beats in the background until it is dropped.
#[derive(Debug)]
pub struct Keeper {}

impl Lease {
    pub(crate) async fn take(
        cluster: &ClusterStore,
        owner: &str,
        purpose: Purpose,
        term: Duration,
    ) -> Result<Self> {
        todo!("{} {owner} {purpose} {term:?}", cluster.name())
    }

    /// The fence: every later owner's is higher.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// Asks the store whether the lease is still ours.
    ///
    /// # Errors
    /// [`Error::Fenced`] if a higher epoch exists: stop at once and change nothing more.
    pub async fn check(&self) -> Result<()> {
        todo!()
    }

    /// Checks, then gives a sign of life.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn beat(&self) -> Result<()> {
        todo!()
    }

    /// Gives the lease back. It is free at once.
    ///
    /// # Idempotence
    /// Releasing again, or after a take-over, is success.
    pub async fn release(&self) -> Result<()> {
        todo!()
    }

    /// Beats three times per term in the background, until the keeper is dropped or the lease lost.
    #[must_use]
    pub fn keep(&self) -> Keeper {
        todo!()
    }
}

impl Keeper {
    /// Whether the lease is lost: taken over, or not renewed for a whole term.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        todo!()
    }

    /// Waits until the lease is lost; why.
    pub async fn lost(&mut self) -> Error {
        todo!()
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Drill => "drill",
            Self::Prune => "prune",
        })
    }
}
