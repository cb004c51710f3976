//! Recovery targets: where replay is to stop.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BackupId, Lsn, TimelineId};

/// Where replay stops.
///
/// # Source
/// PostgreSQL documentation, chapter "Recovery Target" (`recovery_target_*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryTarget {
    /// The end of what is archived (after the cluster's last segment has been archived too).
    Latest,
    /// Before the first commit later than this time.
    Time(Timestamp),
    /// After the record that begins at this position.
    Lsn(Lsn),
    /// After the commit of this transaction.
    Xid(u64),
    /// At the restore point with this name (`pg_create_restore_point`).
    Name(String),
    /// As soon as this backup is consistent (`recovery_target = 'immediate'`).
    Backup(BackupId),
}

/// A target and the timeline on which it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTarget {
    /// Where replay stops.
    pub target: RecoveryTarget,
    /// The timeline on which the target lies. None: the one the cluster is on, as its running primary says, or the note
    /// of its stop, else a standby, else the newest in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<TimelineId>,
    /// `true` stops just before the target (`recovery_target_inclusive = off`); of LSN, time and xid only.
    #[serde(default)]
    pub exclusive: bool,
    /// The backup to begin from. None: the newest that ends before the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_backup: Option<BackupId>,
    /// `true` restores although the archive does not show the transaction or the restore point: where it is not
    /// there either, PostgreSQL finds out after the cluster was stopped. Or, for a time, although it is not known on
    /// which timeline the cluster was then: the present one is taken.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_unverified: bool,
}

impl RestoreTarget {
    /// The target on the timeline the cluster is on, inclusive.
    #[must_use]
    pub const fn of(target: RecoveryTarget) -> Self {
        Self { target, timeline: None, exclusive: false, from_backup: None, accept_unverified: false }
    }
}

/// For documents that need not say it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl fmt::Display for RecoveryTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("the latest archived commit"),
            Self::Time(time) => write!(f, "time {time}"),
            Self::Lsn(lsn) => write!(f, "LSN {lsn}"),
            Self::Xid(xid) => write!(f, "transaction {xid}"),
            Self::Name(name) => write!(f, "restore point `{name}`"),
            Self::Backup(backup) => write!(f, "backup {backup}"),
        }
    }
}

impl fmt::Display for RestoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = if self.exclusive { "just before " } else { "" };
        write!(f, "{before}{}", self.target)?;
        if let Some(timeline) = self.timeline {
            write!(f, " on timeline {timeline}")?;
        }
        if let Some(backup) = &self.from_backup {
            write!(f, " from backup {backup}")?;
        }
        f.write_str(if self.accept_unverified { ", unverified" } else { "" })
    }
}
