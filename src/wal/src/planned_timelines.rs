//! The timelines that a restore is bound to.
//!
//! PostgreSQL looks for a segment on the newest timeline first and, where the archive has none,
//! takes the parent's, without comparing it with the point where the parent was left: it would replay
//! past the fork, without an error. While a plan is applied and its outcome is open, the planned timelines are known here.

use std::path::Path;

use remount_core::documents::{self, AppliedPlan, open_plan};
use remount_core::{RestoreId, Role, SegmentSize, TimelineHistory, WalSegment};

use crate::error::{Error, Result};

/// The timelines that this server has to stay on.
#[derive(Debug)]
pub struct PlannedTimelines {
    /// The restore.
    pub restore: RestoreId,
    /// What this server is to become.
    pub role: Role,
    history: TimelineHistory,
    segment_size: SegmentSize,
    needed: (WalSegment, WalSegment),
}

impl PlannedTimelines {
    /// Those of the newest plan that this disk has applied; none where that is no longer open, or
    /// there is none.
    ///
    /// Only the newest counts: an older open one was copied along with the disk that a backup was
    /// taken of.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Record`]; [`Error::NoFork`] for a standby whose fork is not recorded.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        open_plan(records(folder)?).map(Self::of).transpose()
    }

    fn of(applied: AppliedPlan) -> Result<Self> {
        let path = applied.path;
        let history = match (applied.role, applied.fork) {
            (Role::Primary, _) => path.history,
            (Role::Standby, Some(fork)) => path.history.left_at(fork.fork_lsn, fork.timeline),
            (Role::Standby, None) => return Err(Error::NoFork { restore: applied.restore }),
        };
        let segment_size = path.segment_size;
        Ok(Self {
            restore: applied.restore,
            role: applied.role,
            history,
            segment_size,
            needed: path.segments,
        })
    }

    /// The segment with this number that is on the planned timelines.
    pub fn expected(&self, segment: WalSegment) -> WalSegment {
        self.history.expected(segment.number(self.segment_size), self.segment_size)
    }

    /// Whether a primary must not end its recovery at this segment: the plan needs it.
    pub fn needs(&self, segment: WalSegment) -> bool {
        let number = |segment: WalSegment| segment.number(self.segment_size);
        let (first, last) = self.needed;
        self.role == Role::Primary && (number(first)..=number(last)).contains(&number(segment))
    }

    /// The last segment that the plan needs.
    pub fn last_needed(&self) -> WalSegment {
        self.needed.1
    }
}

/// Every plan that this disk, and those it was copied from, have applied: the records say in which order, not their names.
fn records(folder: &Path) -> Result<Vec<AppliedPlan>> {
    let failed = |source| Error::File { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".json").is_some_and(|id| RestoreId::new(id).is_ok()) {
            found.push(record(&entry.path())?);
        }
    }
    Ok(found)
}

fn record(path: &Path) -> Result<AppliedPlan> {
    let text = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let wrong =
        |error: documents::DocumentError| Error::Record { path: path.to_owned(), detail: error.to_string() };
    documents::decode(&text).map_err(wrong)
}
