//! `restores/<id>/fork.json`: where the restored primary left the planned timeline.

use serde::{Deserialize, Serialize};

use crate::{Lsn, RestoreId, TimelineId, WalSegment};

/// Published after the restored primary was verified, for the standbys, which may not start before: PostgreSQL
/// falls back to the parent timeline's segment where the child's is missing, and would replay past the fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkRecord {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The restore it belongs to.
    pub restore: RestoreId,
    /// The new timeline.
    pub timeline: TimelineId,
    /// Where it begins.
    pub fork_lsn: Lsn,
    /// The new timeline's first segment, archived before this record was written.
    pub fork_segment: WalSegment,
}
