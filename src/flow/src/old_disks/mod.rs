//! Old disks: what restores have replaced, and what rollbacks have put aside. A rollback needs them, they cost money, and the
//! Director deletes its orphans by itself some day.
//!
//! | state      | means                                                                 | released      |
//! |------------|-----------------------------------------------------------------------|---------------|
//! | `kept`     | the restore has ended well, the time to keep is not over               | by name       |
//! | `holds_wal`| a loss was accepted: it may hold commits that the archive does not have | by name alone |
//! | `put_aside`| a rollback has put it aside: users may have written to it, and nothing else has that | by name alone |
//! | `due`      | the time to keep is over                                               | by name, due  |
//! | `needed`   | a restore that has not ended, or its rollback, could still need it     | never         |
//! | `attached` | an instance has it again, by the Director's record or in the cloud     | never         |
//! | `gone`     | neither Director nor cloud has it                                      | is success    |
//!
//! A restore that ended well leaves the cluster's former disks; one that was rolled back after it had served, the
//! disks it had made. A disk belongs to the newest restore that replaced it: after a rollback, a later restore may replace it
//! again. The time to keep is over when it is over by the store's clock since the journal was written, and by ours since the
//! time that its last event is signed with.

mod inventory;
mod ownership;
mod release;
mod started_restore;

use jiff::{SignedDuration, Timestamp};
use remount_core::documents::ReleaseNote;
use remount_core::{ClusterName, DeploymentName, DiskCid, InstanceSlug, RestoreId};
use serde::{Deserialize, Serialize};

pub use inventory::{Clocks, OldDisks, Scope, list_old_disks};
pub use release::{
    ReleaseOutcome, ReleaseRequest, ReleasedDisk, Selection, preview_release, release_old_disks,
};

use crate::Problem;

/// How long old disks are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldDiskRetention {
    /// From the end of the restore, in hours.
    pub keep_hours: u64,
    /// The Director deletes orphans of this age, in days (`director.disks.max_orphaned_age_in_days`).
    pub director_days: u64,
}

/// The Director counts from the swap, we from the end of the restore: replay, at most hours, lies between.
const MARGIN_HOURS: u64 = 12;
/// Ten years: what is longer is a slip of the keyboard.
const LONGEST_DAYS: u64 = 3650;

impl Default for OldDiskRetention {
    /// As the jobs' specs have it, for configurations without these properties.
    fn default() -> Self {
        Self { keep_hours: 24, director_days: 5 }
    }
}

impl OldDiskRetention {
    /// The longest time to keep that the Director leaves, in hours.
    #[must_use]
    pub const fn limit_hours(&self) -> u64 {
        (self.director_days.saturating_mul(24)).saturating_sub(MARGIN_HOURS)
    }

    /// When so many hours have passed; none where that is beyond all times.
    #[must_use]
    pub fn until(since: Timestamp, hours: u64) -> Option<Timestamp> {
        let seconds = i64::try_from(hours.checked_mul(3600)?).ok()?;
        since.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// When the Director deletes what is its orphan since then.
    #[must_use]
    pub fn director_deletes_at(&self, since: Timestamp) -> Option<Timestamp> {
        Self::until(since, self.director_days.saturating_mul(24))
    }

    /// A sentence on the Director's own date, for whoever is promised that a disk is kept.
    #[must_use]
    pub fn told(&self, since: Timestamp) -> String {
        let Self { director_days: days, .. } = self;
        let at = self.director_deletes_at(since).map(|at| at.strftime("%Y-%m-%d %H:%MZ").to_string());
        let at = at.map(|at| format!(", about {at}")).unwrap_or_default();
        format!("the Director deletes its orphaned disks after {days} days{at}, whatever Remount promises")
    }

    /// Why it cannot be so, and what to do instead.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let Self { keep_hours, director_days } = *self;
        if !(1..=LONGEST_DAYS).contains(&director_days) {
            let what = format!("`restore.director_orphan_days` is {director_days}, not 1 to {LONGEST_DAYS}");
            return Some(Problem::new(
                what,
                "set it to the Director's `director.disks.max_orphaned_age_in_days`",
            ));
        }
        if keep_hours <= self.limit_hours() {
            return None;
        }
        let what = format!(
            "`restore.keep_old_disks_hours` is {keep_hours}, more than {}: the Director deletes orphaned disks {director_days} days after the swap, and a restore may take {MARGIN_HOURS} h more",
            self.limit_hours()
        );
        let next = "keep them shorter, or raise `director.disks.max_orphaned_age_in_days` at the Director and then set `restore.director_orphan_days` to the same";
        Some(Problem::new(what, next))
    }
}

/// What became of an old disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldDiskState {
    /// The time to keep is not over.
    Kept,
    /// It may hold commits that the archive does not have: it never goes by itself.
    HoldsWal,
    /// Its restore had made it, served on it, and was rolled back: what users wrote meanwhile is there alone, so it
    /// never goes by itself.
    PutAside,
    /// The time to keep is over.
    Due,
    /// A restore or a rollback that has not ended could still need it.
    Needed,
    /// An instance has it again.
    Attached,
    /// Neither Director nor cloud has it.
    Gone,
}

impl std::fmt::Display for OldDiskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::HoldsWal => "holds_wal",
            Self::PutAside => "put_aside",
            Self::Due => "due",
            Self::Needed => "needed",
            Self::Attached => "attached",
            Self::Gone => "gone",
        })
    }
}

impl OldDiskState {
    /// Whether it never goes by itself here; the Director deletes its orphans all the same.
    #[must_use]
    pub const fn goes_by_name_alone(self) -> bool {
        matches!(self, Self::HoldsWal | Self::PutAside)
    }

    /// Whether it would be a loss if the Director deleted it now.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::HoldsWal | Self::PutAside | Self::Needed)
    }
}

/// A disk that a restore has replaced, or its rollback has put aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldDisk {
    /// The restore that replaced it, or made it.
    pub restore: RestoreId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its deployment.
    pub deployment: DeploymentName,
    /// The instance that had it.
    pub instance: InstanceSlug,
    /// The disk.
    pub disk: DiskCid,
    /// Its size; none where it is not known any more.
    pub size_mib: Option<u64>,
    /// Whether it is one that the restore had made, and its rollback put aside: it may hold what was written
    /// while the restored cluster served.
    pub is_restored: bool,
    /// Why that is not deleted at once; none of one that the restore replaced.
    pub put_aside_because: Option<String>,
    /// When the swap took it out, by the clock of the restore's driver; none where it did not yet.
    pub out_of_use_since: Option<Timestamp>,
    /// Seconds since then; for reading.
    pub age_seconds: Option<i64>,
    /// Until when it is kept, by the store's clock; none before the restore's end, and of one that goes by name alone.
    pub kept_until: Option<Timestamp>,
    /// From when on the Director deletes it; none where it is no orphan of the Director.
    pub director_deletes_at: Option<Timestamp>,
    /// What became of it.
    pub state: OldDiskState,
    /// What the archive does not have, and this disk may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
    /// Who gave it up; then only a crash or a failure has kept it.
    pub released: Option<ReleaseNote>,
}
