//! The lease of a cluster: at most one backup or restore acts on it.
//!
//! | object | written by | means |
//! |---|---|---|
//! | `lease/<epoch>.json` | the taker, if absent | who holds this epoch, for what, for how long without a sign of life |
//! | `lease/<epoch>.beat` | the owner | its last sign of life, by the store's clock |
//! | `lease/<epoch>.released` | the owner | the epoch is over |
//! | `lease/probe-…` | a taker, for a moment | what the store's clock says now |
//!
//! Taking it is creating the epoch after the highest one, where that is released or silent for
//! longer than its own term. No clock but the store's is read, so a machine whose clock jumps
//! neither loses nor steals a lease. An epoch has ten digits and is signed by the control plane; what else lies there is
//! passed over, so that nobody who can write there can make the numbers run out, or hold a lease. Only the very
//! successor of an epoch ends it whoever wrote it: its owner stops, which is safe, and the next taker names the
//! object that has to go. The highest epoch is never deleted: a taker that slept while others held the
//! lease creates an old epoch, reads the list again and gives up.

mod keeper;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use log::warn;
use remount_core::ClusterName;
use remount_core::documents::{FORMAT, LeaseDocument, LeaseSign};
use serde::{Deserialize, Serialize};

use self::table::{EPOCH_DIGITS, Epoch, LeaseTable};
use crate::{ClusterStore, Created, Error, Metadata, Result, documents};

pub use self::keeper::Keeper;

/// What a lease is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A backup.
    Backup,
    /// A restore.
    Restore,
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
    /// When it ends by itself, without a further sign of life, by the store's clock.
    pub ends_at: Timestamp,
    /// Whether the last sign of life is older than the term, by the store's clock: the next taker
    /// gets the lease.
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
    cluster: ClusterStore,
    epoch: u64,
    term: Duration,
    /// The store was silent for a whole term: it has ended, and there is nothing to give back.
    ended: AtomicBool,
}

/// How often a taker tries again when another one was faster.
const TAKE_ATTEMPTS: u32 = 3;

/// Stores tell times in whole seconds.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);

/// Epochs that stay for people to read.
const KEPT_EPOCHS: u64 = 8;

impl Lease {
    pub(crate) async fn take(
        cluster: &ClusterStore,
        owner: &str,
        purpose: Purpose,
        term: Duration,
    ) -> Result<Self> {
        let document = LeaseDocument {
            format: FORMAT,
            owner: owner.to_owned(),
            purpose: purpose.to_string(),
            term_seconds: term.as_secs_f64(),
            nonce: rand::random(),
        };
        for _ in 0..TAKE_ATTEMPTS {
            let table = LeaseTable::read(cluster).await?;
            table.warn_of_strange();
            let newest = newest_or_none(cluster, &table).await?;
            if let Some(holder) = holder_of(cluster, &table, newest.as_ref()).await?
                && !holder.expired
            {
                return Err(leased(cluster.name(), holder));
            }
            let epoch = successor(cluster, newest.map_or(0, |(number, _)| number))?;
            if create(cluster, epoch, &document).await? {
                let inner = Inner { cluster: cluster.clone(), epoch, term, ended: AtomicBool::new(false) };
                let lease = Self { inner: Arc::new(inner) };
                if let Err(error) = lease.check().await {
                    lease.release().await?;
                    if let Error::Fenced { taken_by, .. } = error {
                        read(cluster, taken_by).await?; // One that nobody of us has signed is named.
                    }
                    return Err(error);
                }
                delete_old(cluster, &table, epoch).await;
                return Ok(lease);
            }
        }
        let source = format!("{TAKE_ATTEMPTS} others were faster").into();
        Err(Error::Unanswered { action: format!("take the lease of cluster {}", cluster.name()), source })
    }

    pub(crate) async fn holder(cluster: &ClusterStore) -> Result<Option<LeaseHolder>> {
        let table = LeaseTable::read(cluster).await?;
        let (newest, _) = table.newest(cluster, 0).await?;
        holder_of(cluster, &table, newest.as_ref()).await
    }

    /// The cluster whose lease it is.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        self.inner.cluster.name()
    }

    /// The fence: every later owner's is higher.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.epoch
    }

    /// Others may take the lease after so long without a sign of life.
    #[must_use]
    pub fn term(&self) -> Duration {
        self.inner.term
    }

    /// Asks the store whether the lease is still ours.
    ///
    /// # Errors
    /// [`Error::Fenced`] if a higher epoch exists: stop at once and change nothing more.
    pub async fn check(&self) -> Result<()> {
        let table = LeaseTable::read(&self.inner.cluster).await?;
        let epoch = self.inner.epoch;
        match table.taken_by(&self.inner.cluster, epoch).await? {
            None => Ok(()),
            Some(taken_by) => Err(Error::Fenced { cluster: self.cluster().to_string(), epoch, taken_by }),
        }
    }

    /// Checks, then gives a sign of life.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn beat(&self) -> Result<()> {
        self.check().await?;
        self.mark("beat").await
    }

    /// Gives the lease back. It is free at once. Where the store was silent for a whole term it has ended by itself, and
    /// nothing is sent: that store would only be waited for once more.
    ///
    /// # Errors
    /// The store did not answer; the lease then ends with its term.
    ///
    /// # Idempotence
    /// Releasing again, or after a take-over, is success.
    pub async fn release(&self) -> Result<()> {
        if self.inner.ended.load(Ordering::Acquire) {
            return Ok(());
        }
        self.mark("released").await
    }

    /// It was not renewed for a whole term.
    pub(super) fn note_end(&self) {
        self.inner.ended.store(true, Ordering::Release);
    }

    /// Beats three times per term in the background, until the keeper is dropped or the lease lost.
    #[must_use]
    pub fn keep(&self) -> Keeper {
        Keeper::start(self.clone())
    }

    async fn mark(&self, suffix: &str) -> Result<()> {
        let cluster = &self.inner.cluster;
        let path = cluster.path(&format!("lease/{:010}.{suffix}", self.inner.epoch));
        let content = documents::encode(&path, &LeaseSign { format: FORMAT, epoch: self.inner.epoch })?;
        cluster.objects.replace(&path, content).await
    }
}

/// Creates the epoch; `false` where another taker was faster.
async fn create(cluster: &ClusterStore, epoch: u64, document: &LeaseDocument) -> Result<bool> {
    let path = epoch_path(cluster, epoch);
    let content = documents::encode_signed(&path, document, &cluster.keys)?;
    if cluster.objects.create(&path, content, &Metadata::new()).await? == Created::New {
        return Ok(true);
    }
    // A create whose answer was lost finds its own object when it is repeated.
    Ok(read(cluster, epoch).await?.is_some_and(|winner| winner.nonce == document.nonce))
}

async fn read(cluster: &ClusterStore, epoch: u64) -> Result<Option<LeaseDocument>> {
    cluster.read_signed(&epoch_path(cluster, epoch)).await
}

/// The newest epoch. Where there are some and none is ours, the numbers could begin anew: that is refused.
async fn newest_or_none(cluster: &ClusterStore, table: &LeaseTable) -> Result<Option<(u64, LeaseDocument)>> {
    match table.newest(cluster, 0).await? {
        (Some(newest), _) => Ok(Some(newest)),
        (None, passed_over) => passed_over.into_iter().next().map_or(Ok(None), Err),
    }
}

fn successor(cluster: &ClusterStore, epoch: u64) -> Result<u64> {
    let next = epoch + 1;
    if next.to_string().len() > EPOCH_DIGITS {
        let detail = format!("it is the last epoch that {EPOCH_DIGITS} digits can name");
        return Err(documents::fault(&epoch_path(cluster, epoch), detail));
    }
    Ok(next)
}

async fn holder_of(
    cluster: &ClusterStore,
    table: &LeaseTable,
    newest: Option<&(u64, LeaseDocument)>,
) -> Result<Option<LeaseHolder>> {
    let Some((number, document)) = newest else {
        return Ok(None);
    };
    let (number, document) = (*number, document.clone());
    let Some(epoch) = table.epochs.get(&number).filter(|epoch| !epoch.released) else {
        return Ok(None);
    };
    let now = store_clock(cluster).await?;
    Ok(Some(LeaseHolder {
        epoch: number,
        ends_at: epoch.ends_at(document.term_seconds),
        expired: epoch.is_silent(now, document.term_seconds),
        owner: document.owner,
        purpose: document.purpose,
        since: epoch.taken_at,
        last_beat: epoch.last_sign,
    }))
}

impl Epoch {
    fn is_silent(&self, now: Timestamp, term_seconds: f64) -> bool {
        now > self.ends_at(term_seconds)
    }

    /// A term that no clock can show never ends.
    fn ends_at(&self, term_seconds: f64) -> Timestamp {
        let term = Duration::try_from_secs_f64(term_seconds).unwrap_or(Duration::MAX);
        let term = SignedDuration::try_from(term.saturating_add(CLOCK_GRAIN)).unwrap_or(SignedDuration::MAX);
        self.last_sign.saturating_add(term).unwrap_or(Timestamp::MAX)
    }
}

/// The store's clock: writes a probe and reads when it was written.
async fn store_clock(cluster: &ClusterStore) -> Result<Timestamp> {
    let path = cluster.path(&format!("lease/probe-{:016x}", rand::random::<u64>()));
    cluster.objects.replace(&path, Bytes::from_static(b"{}")).await?;
    let stat = cluster.objects.stat(&path).await;
    cluster.objects.delete(&path).await?;
    let (info, _) = stat?.ok_or_else(|| Error::Unanswered {
        action: format!("read the store's clock at {path}"),
        source: "a probe that was just written is not there".into(),
    })?;
    Ok(info.modified)
}

/// Deletes old epochs, so that a listing stays short. A failure does not end the lease; the next owner tries again.
async fn delete_old(cluster: &ClusterStore, table: &LeaseTable, epoch: u64) {
    for path in table.older_than(epoch.saturating_sub(KEPT_EPOCHS)) {
        if let Err(error) = cluster.objects.delete(path).await {
            warn!(object = path.as_str(), error:% = remount_core::with_causes(&error); "an old lease could not be deleted");
            return;
        }
    }
}

fn epoch_path(cluster: &ClusterStore, epoch: u64) -> String {
    cluster.path(&format!("lease/{epoch:010}.json"))
}

pub(crate) fn leased(cluster: &ClusterName, holder: LeaseHolder) -> Error {
    Error::Leased {
        cluster: cluster.as_str().into(),
        owner: holder.owner,
        purpose: holder.purpose.into(),
        since: holder.since,
        ends_at: holder.ends_at,
        epoch: holder.epoch,
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Prune => "prune",
        })
    }
}
