//! What a listing of `lease/` says.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use log::warn;
use remount_core::documents::LeaseDocument;

use super::{epoch_path, read};
use crate::{ClusterStore, Error, ObjectInfo, Result, documents};

/// The epochs of a cluster's lease that are still listed.
#[derive(Debug, Default)]
pub(crate) struct LeaseTable {
    pub(crate) epochs: BTreeMap<u64, Epoch>,
    /// Every file, with the epoch it belongs to.
    files: Vec<(u64, String)>,
    /// What looks like an epoch and is none: they have ten digits. An owner has never written it.
    strange: Vec<String>,
    /// Probes whose writer died before it could delete them.
    stale_probes: Vec<String>,
}

/// One epoch.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) taken_at: Timestamp,
    /// When it was taken or the last beat after that.
    pub(crate) last_sign: Timestamp,
    pub(crate) released: bool,
}

/// So many digits has the number of an epoch: a larger one cannot be written, and none can wrap.
pub(crate) const EPOCH_DIGITS: usize = 10;

/// So many documents that nobody of us has signed are looked at.
const PASSED_OVER: usize = 16;

/// A probe lives for moments.
const PROBE_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl LeaseTable {
    pub(crate) async fn read(cluster: &ClusterStore) -> Result<Self> {
        let folder = cluster.path("lease/");
        Ok(Self::of(&folder, &cluster.objects.list(&folder).await?))
    }

    fn of(folder: &str, listed: &[ObjectInfo]) -> Self {
        let mut table = Self::default();
        let newest = listed.iter().map(|info| info.modified).max();
        for info in listed {
            let name = info.path.strip_prefix(folder).unwrap_or(&info.path);
            match parse(name) {
                Some((number, _)) => table.files.push((number, info.path.clone())),
                None if name.starts_with("probe-") => {
                    let age = newest.map(|newest| newest.duration_since(info.modified));
                    if age.is_some_and(|age| age > PROBE_LIFE) {
                        table.stale_probes.push(info.path.clone());
                    }
                }
                None if name.ends_with(".json") => table.strange.push(info.path.clone()),
                None => {}
            }
        }
        table.add_epochs(folder, listed);
        table
    }

    /// Only `.json` makes an epoch: a beat or release that outlives it means nothing.
    fn add_epochs(&mut self, folder: &str, listed: &[ObjectInfo]) {
        let named = |info: &ObjectInfo| {
            let (number, suffix) = parse(info.path.strip_prefix(folder)?)?;
            Some((number, suffix.to_owned(), info.modified))
        };
        let files: Vec<_> = listed.iter().filter_map(named).collect();
        for (number, _, taken_at) in files.iter().filter(|(_, suffix, _)| suffix == "json") {
            let epoch = Epoch { taken_at: *taken_at, last_sign: *taken_at, released: false };
            self.epochs.insert(*number, epoch);
        }
        for (number, suffix, modified) in &files {
            let Some(epoch) = self.epochs.get_mut(number) else {
                continue;
            };
            epoch.last_sign = epoch.last_sign.max(*modified);
            epoch.released |= suffix == "released";
        }
    }

    /// The newest epoch above `above` that the control plane has signed. Others are passed over: somebody else wrote
    /// them. None where there is none; which ones were passed over comes along.
    ///
    /// # Errors
    /// The store did not answer, or so many are not signed that looking further is no use.
    pub(crate) async fn newest(
        &self,
        cluster: &ClusterStore,
        above: u64,
    ) -> Result<(Option<(u64, LeaseDocument)>, Vec<Error>)> {
        let mut passed_over = Vec::new();
        for (&number, _) in self.epochs.range(above.saturating_add(1)..).rev() {
            match read(cluster, number).await {
                Ok(Some(document)) => return Ok((Some((number, document)), passed_over)),
                Ok(None) => {} // Deleted since it was listed.
                Err(error @ Error::Document { .. }) if passed_over.len() < PASSED_OVER => {
                    warn!(error:% = remount_core::with_causes(&error); "this is no epoch of the lease: it is passed over");
                    passed_over.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((None, passed_over))
    }

    /// The epoch that has taken the lease over from the owner of `epoch`, as far as can be told. Its very successor has,
    /// whoever wrote it. A later one has where we have signed it, or where somebody has whose key is not on our list: this
    /// process may have slept while keys were replaced, and to stop is safe. What is no signed document is passed over.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub(crate) async fn taken_by(&self, cluster: &ClusterStore, epoch: u64) -> Result<Option<u64>> {
        if self.epochs.contains_key(&(epoch + 1)) {
            return Ok(Some(epoch + 1));
        }
        let (newest, passed_over) = self.newest(cluster, epoch).await?;
        if let Some((number, _)) = newest {
            return Ok(Some(number));
        }
        if passed_over.is_empty() {
            return Ok(None);
        }
        for (&number, _) in self.epochs.range(epoch.saturating_add(1)..).rev() {
            let object = documents::read(&*cluster.objects, &epoch_path(cluster, number)).await?;
            if object.is_some_and(|object| documents::is_strangers(&object.content, &cluster.keys)) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Warns of what lies among the epochs and is none.
    pub(crate) fn warn_of_strange(&self) {
        for path in &self.strange {
            warn!(object = path.as_str(); "this is no epoch of the lease: those have ten digits");
        }
    }

    /// What may be deleted: files of epochs below `limit`, and forgotten probes.
    pub(crate) fn older_than(&self, limit: u64) -> impl Iterator<Item = &String> {
        let old = self.files.iter().filter(move |(number, _)| *number < limit).map(|(_, path)| path);
        old.chain(&self.stale_probes)
    }
}

fn parse(name: &str) -> Option<(u64, &str)> {
    let (number, suffix) = name.split_once('.')?;
    let known = matches!(suffix, "json" | "beat" | "released");
    let is_epoch = number.len() == EPOCH_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    if known && is_epoch { Some((number.parse().ok()?, suffix)) } else { None }
}
