//! A cloud that is consistent in the end: for a few looks after a change, looks and lists answer as before it. How
//! many, a seed decides for each change. What changes something acts on what is.

use std::collections::BTreeMap;
use std::time::Duration;

use remount_cloud::{Disk, Snapshot};
use remount_core::{DiskCid, SnapshotCid, VmCid};

use super::state::State;

/// The most looks that may still see the past.
const LOOKS: u64 = 3;

/// What was, as long as it is still seen.
#[derive(Debug, Default)]
pub struct Lag {
    /// None: every look sees what is.
    seed: Option<u64>,
    endless: bool,
    settle: Duration,
    disks: BTreeMap<DiskCid, Past<SeenDisk>>,
    snapshots: BTreeMap<SnapshotCid, Past<Snapshot>>,
}

#[derive(Clone, Debug)]
struct Past<T> {
    seen: Option<T>,
    looks: u64,
}

/// A disk as it is seen, and the VM it is seen at in the Director's words.
#[derive(Clone, Debug)]
pub struct SeenDisk {
    pub disk: Disk,
    pub vm: Option<VmCid>,
}

impl Lag {
    pub fn begin(&mut self, seed: u64) {
        // Short: a caller believes a no after so many looks, not by the clock alone.
        (self.seed, self.settle) = (Some(seed), Duration::from_millis(20));
    }

    /// What the cloud says it needs.
    pub const fn settles_within(&mut self, settle: Duration) {
        self.settle = settle;
    }

    /// What changes from now on is never shown.
    pub fn begin_endless(&mut self) {
        (self.seed, self.endless) = (Some(0), true);
    }

    pub const fn settle_time(&self) -> Duration {
        self.settle
    }

    /// Time passes: everything is seen as it is.
    pub fn settle(&mut self) {
        self.disks.clear();
        self.snapshots.clear();
    }

    /// A step of `SplitMix64`.
    fn looks(&mut self) -> u64 {
        let Some(seed) = &mut self.seed else { return 0 };
        if self.endless {
            return u64::MAX;
        }
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (LOOKS + 1)
    }
}

/// What this look sees, where it is the past.
fn look<K: Ord, T: Clone>(pasts: &mut BTreeMap<K, Past<T>>, key: &K) -> Option<Option<T>> {
    let past = pasts.get_mut(key)?;
    let seen = past.seen.clone();
    past.looks -= 1;
    if past.looks == 0 {
        pasts.remove(key);
    }
    Some(seen)
}

impl State {
    /// To be called before a disk is changed.
    pub fn remember_disk(&mut self, key: &DiskCid) {
        let looks = self.lag.looks();
        let seen = match self.lag.disks.get(key) {
            Some(past) => past.seen.clone(),
            None => self.disk_as_is(key),
        };
        if looks > 0 {
            self.lag.disks.insert(key.clone(), Past { seen, looks });
        } else {
            self.lag.disks.remove(key);
        }
    }

    /// To be called before a snapshot is made, tagged or deleted.
    pub fn remember_snapshot(&mut self, cid: &SnapshotCid) {
        let looks = self.lag.looks();
        let seen = match self.lag.snapshots.get(cid) {
            Some(past) => past.seen.clone(),
            None => self.snapshots.get(cid).map(|made| made.snapshot.clone()),
        };
        if looks > 0 {
            self.lag.snapshots.insert(cid.clone(), Past { seen, looks });
        } else {
            self.lag.snapshots.remove(cid);
        }
    }

    /// One look at a disk.
    pub fn see_disk(&mut self, key: &DiskCid) -> Option<SeenDisk> {
        look(&mut self.lag.disks, key).unwrap_or_else(|| self.disk_as_is(key))
    }

    /// One look at all disks.
    pub fn see_disks(&mut self) -> Vec<Disk> {
        let keys: Vec<DiskCid> = self.disks.keys().chain(self.lag.disks.keys()).cloned().collect();
        let keys: std::collections::BTreeSet<DiskCid> = keys.into_iter().collect();
        keys.iter().filter_map(|key| self.see_disk(key)).map(|seen| seen.disk).collect()
    }

    /// One look at a snapshot; `None` where it sees what is.
    pub fn see_past_snapshot(&mut self, cid: &SnapshotCid) -> Option<Option<Snapshot>> {
        look(&mut self.lag.snapshots, cid)
    }

    /// One look at all snapshots.
    pub fn see_snapshots(&mut self) -> Vec<Snapshot> {
        let keys: Vec<SnapshotCid> =
            self.snapshots.keys().chain(self.lag.snapshots.keys()).cloned().collect();
        let keys: std::collections::BTreeSet<SnapshotCid> = keys.into_iter().collect();
        let seen = keys.iter().filter_map(|cid| {
            let past = self.see_past_snapshot(cid);
            past.unwrap_or_else(|| self.snapshots.get(cid).map(|made| made.snapshot.clone()))
        });
        seen.collect()
    }

    fn disk_as_is(&self, key: &DiskCid) -> Option<SeenDisk> {
        let found = self.disks.get(key)?;
        Some(SeenDisk { disk: found.disk.clone(), vm: found.vm.clone() })
    }
}
