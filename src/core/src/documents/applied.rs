//! `applied/<restore-id>.json` on the persistent disk: this disk has applied that plan. The agent writes it,
//! `remount-wal fetch` reads it to stay on the planned timelines.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ForkRecord, RecoveryPath};
use crate::{BackupId, RestoreId, RestoreTarget, Role};

/// A plan that a disk has applied, with its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedPlan {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The restore.
    pub restore: RestoreId,
    /// The how many-th plan of this disk it is, and of those that the disk was copied from. Ids do not tell: they are
    /// drawn when a restore is asked for, and one that was asked for earlier may run later.
    pub number: u32,
    /// The backup this disk was made from.
    pub backup: BackupId,
    /// What this instance became.
    pub role: Role,
    /// When the plan was applied, by the VM's clock.
    pub applied_at: Timestamp,
    /// What recovery reads.
    pub path: RecoveryPath,
    /// Where it stops.
    pub target: RestoreTarget,
    /// How recovery ended; none while it goes on.
    #[serde(default)]
    pub outcome: Option<RecoveryOutcome>,
    /// Standbys: where the restored primary left the planned timeline.
    #[serde(default)]
    pub fork: Option<ForkRecord>,
}

/// How a server's recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// The primary left recovery.
    Recovered,
    /// The standby streams.
    Streaming,
}

/// The plan that a disk has applied last.
#[must_use]
pub fn newest_plan(records: impl IntoIterator<Item = AppliedPlan>) -> Option<AppliedPlan> {
    records.into_iter().max_by_key(|record| record.number)
}

/// The plan whose recovery goes on: the newest record, where its outcome is open. An older open record was copied
/// along with the disk that a backup was taken of.
#[must_use]
pub fn open_plan(records: impl IntoIterator<Item = AppliedPlan>) -> Option<AppliedPlan> {
    newest_plan(records).filter(|newest| newest.outcome.is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(restore: &str, number: u32, outcome: Option<RecoveryOutcome>) -> AppliedPlan {
        serde_json::from_value(json!({
            "format": 1, "restore": restore, "number": number, "backup": "20261123T004500Z-k3f9", "role": "primary",
            "applied_at": "2026-11-23T10:00:00Z", "outcome": outcome, "target": {"target": "latest"},
            "path": {
                "backup": "20261123T004500Z-k3f9", "snapshot": "snap-1", "system_identifier": "7", "segment_size": 16_777_216,
                "history": {"timeline": 1, "forks": []}, "new_timeline": 2,
                "start_lsn": "0/2000028", "consistent_lsn": "0/2000100", "minimum_lsn": "0/3000000",
                "segments": ["000000010000000000000002", "000000010000000000000003"]
            }
        }))
        .unwrap()
    }

    #[test]
    fn only_the_newest_record_can_be_open() {
        let older = || record("20261123T100000Z-aaaa", 1, None);
        let newer = |outcome| record("20261124T100000Z-aaaa", 2, outcome);
        assert_eq!(open_plan([newer(None), older()]), Some(newer(None)));
        let ended = newer(Some(RecoveryOutcome::Recovered));
        assert_eq!(open_plan([older(), ended]), None, "the older one was copied with the disk");
        assert_eq!(open_plan([]), None);
    }

    #[test]
    fn a_restore_that_was_asked_for_before_another_and_ran_after_it_is_the_newest() {
        let ran_first = record("20261124T100000Z-aaaa", 1, Some(RecoveryOutcome::Recovered));
        let ran_last = record("20261123T100000Z-aaaa", 2, None);
        assert_eq!(open_plan([ran_last.clone(), ran_first]), Some(ran_last));
    }
}
