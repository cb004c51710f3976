//! Why a restore cannot be planned, for the operator who has to choose another target.

use std::fmt;

use jiff::Timestamp;

use crate::{
    BackupId, CommitSpan, Lsn, OperatorError, RecoveryTarget, Retry, SystemIdentifier, TimelineId,
    TimelinePart, WalSegment,
};

/// Targets that can be reached: from the end of a backup to where the WAL after it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachable {
    /// The backup they are reached from.
    pub backup: BackupId,
    /// The first position: the backup's end.
    pub from: Lsn,
    /// The time of the backup's end.
    pub from_time: Timestamp,
    /// The end of the WAL after it.
    pub to: Lsn,
    /// The last commit before that end, where one is known.
    pub to_time: Option<Timestamp>,
}

/// When the cluster lived on a part of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The timeline.
    pub timeline: TimelineId,
    /// Where the part begins.
    pub from: Lsn,
    /// The first commit known of it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

/// Where the cluster was around a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// At the time: beside the wanted history.
    pub then: Life,
    /// The wanted history before the time.
    pub before: Option<Life>,
    /// The wanted history after the time.
    pub after: Option<Life>,
}

/// Why no restore to the target is possible. Nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no backup at all.
    #[error("there is no backup of the cluster with system identifier {0}")]
    NoBackup(SystemIdentifier),
    /// The backups are of another cluster than the archive.
    #[error("backup {backup} is of system identifier {found}, the WAL archive of {archive}")]
    OtherCluster {
        /// The archive's.
        archive: SystemIdentifier,
        /// The backup that was named, or the newest.
        backup: BackupId,
        /// The backup's.
        found: SystemIdentifier,
    },
    /// The named backup does not exist.
    #[error("backup {0} does not exist")]
    UnknownBackup(BackupId),
    /// Nothing tells of the timeline that was named.
    #[error("there is no timeline {wanted}: neither WAL, nor a history file, nor a backup is of it")]
    UnknownTimeline {
        /// The timeline that was named.
        wanted: TimelineId,
        /// Those that there are.
        known: Vec<TimelineId>,
    },
    /// The archive has no history file of a timeline that is needed.
    #[error("the archive has no history file of timeline {missing}, which timeline {wanted} needs")]
    MissingHistory {
        /// The timeline without one.
        missing: TimelineId,
        /// The timeline to restore.
        wanted: TimelineId,
    },
    /// Two timelines could be the one on which the cluster ran last.
    #[error(
        "it is not clear which timeline is the cluster's: {newest} is the newest, but {other} has later commits ({other_at})"
    )]
    TimelineUnclear {
        /// The newest in the archive.
        newest: TimelineId,
        /// The last sign of life on it.
        newest_at: Timestamp,
        /// Another one.
        other: TimelineId,
        /// The last sign of life on that one.
        other_at: Timestamp,
    },
    /// No backup ends before the target.
    #[error("{target} is before the first backup, {first} (it ends at {stop_lsn}, {stopped_at})")]
    BeforeFirstBackup {
        /// The target.
        target: RecoveryTarget,
        /// The oldest backup on the timeline.
        first: BackupId,
        /// Where it ends.
        stop_lsn: Lsn,
        /// When it ended.
        stopped_at: Timestamp,
    },
    /// The backup that was asked for ends after the target.
    #[error("{target} is before the end of backup {backup} ({stop_lsn}, {stopped_at})")]
    BeforeNamedBackup {
        /// The target.
        target: RecoveryTarget,
        /// The backup that was named.
        backup: BackupId,
        /// Where it ends.
        stop_lsn: Lsn,
        /// When it ended.
        stopped_at: Timestamp,
    },
    /// A timeline was left while the backup was being taken: it is consistent on neither timeline.
    #[error("the fork at {fork} lies inside backup {backup} ({start_lsn} to {stop_lsn})")]
    ForkInsideBackup {
        /// The backup.
        backup: BackupId,
        /// Where it begins.
        start_lsn: Lsn,
        /// Where it ends.
        stop_lsn: Lsn,
        /// The timeline it was taken on.
        timeline: TimelineId,
        /// The fork.
        fork: Lsn,
    },
    /// The backups that could serve are not on the timeline.
    #[error(
        "backup {backup} is on a part of timeline {timeline} that is not in the history of timeline {wanted}"
    )]
    AbandonedBackup {
        /// The backup.
        backup: BackupId,
        /// The timeline it was taken on.
        timeline: TimelineId,
        /// The timeline to restore.
        wanted: TimelineId,
    },
    /// The target lies on another branch.
    #[error("{target} is not on timeline {wanted} as far as it is archived, but timeline {holder} has it")]
    AbandonedTarget {
        /// The target.
        target: RecoveryTarget,
        /// The timeline to restore.
        wanted: TimelineId,
        /// The timeline that has it.
        holder: TimelineId,
    },
    /// At that time the cluster lived on another branch.
    #[error("{target} is not on timeline {wanted}: {lives}")]
    AbandonedTime {
        /// The target.
        target: RecoveryTarget,
        /// The timeline to restore.
        wanted: TimelineId,
        /// Where the cluster was around that time.
        lives: Box<Lives>,
    },
    /// Parts of timelines beside the history whose commits are not known: the cluster may have lived there then.
    #[error("whether {target} is on timeline {wanted} is not known: when the cluster lived on {} could not be found out", parts_of(.parts))]
    UnknownLives {
        /// The target.
        target: RecoveryTarget,
        /// The timeline to restore.
        wanted: TimelineId,
        /// The parts.
        parts: Vec<TimelinePart>,
    },
    /// The transaction has no end of its own.
    #[error("transaction {xid} was a part of transaction {whole}: replay never stops for a part")]
    PartOfTransaction {
        /// What was asked for.
        xid: u64,
        /// The transaction at whose end it ended.
        whole: u32,
    },
    /// A restore point's name was given more than once.
    #[error("there is more than one {target}: {}", list(.places))]
    SeveralPoints {
        /// The target.
        target: RecoveryTarget,
        /// Where, and when.
        places: Vec<(Lsn, Timestamp)>,
    },
    /// The archive does not show the transaction or the restore point.
    #[error("{target} is not in the archive ({searched} segments were searched{}){}", not_read(*.unread), only_prepared(*.prepared))]
    Unverified {
        /// The target.
        target: RecoveryTarget,
        /// Where the transaction was prepared, though it has not ended.
        prepared: Option<Lsn>,
        /// How many segments were looked at.
        searched: usize,
        /// How many could not be.
        unread: usize,
        /// Whether a primary runs, which has WAL that is not archived yet.
        running: bool,
    },
    /// A segment is missing between the backup and the target.
    #[error("a gap in the archive: segment {missing} of timeline {} is missing", missing.timeline)]
    Gap {
        /// The first missing segment, on the timeline it has to be of.
        missing: WalSegment,
        /// What can be reached before the gap.
        before: Option<Box<Reachable>>,
        /// What can be reached after it.
        after: Option<Box<Reachable>>,
        /// Whether the running cluster may still fill it.
        retry: Retry,
    },
    /// The archive ends before the target.
    #[error("{target} is beyond the end of the archive ({end} on timeline {wanted}{})", last_commit(*.commit))]
    BeyondEnd {
        /// The target.
        target: RecoveryTarget,
        /// The timeline to restore.
        wanted: TimelineId,
        /// Where its WAL ends: in the archive, or where a running primary has got to.
        end: Lsn,
        /// The last commit known.
        commit: Option<Timestamp>,
    },
    /// The time is in the future.
    #[error("{target} is in the future: the cluster's clock says {now}")]
    InFuture {
        /// The target.
        target: RecoveryTarget,
        /// The primary's clock.
        now: Timestamp,
    },
    /// PostgreSQL would give the restored cluster a timeline that was used before.
    #[error(
        "the restored cluster would take timeline {timeline}, which has no history file but was used before"
    )]
    TimelineTaken {
        /// The number.
        timeline: TimelineId,
    },
}

impl OperatorError for PlanError {
    fn retry(&self) -> Retry {
        match self {
            Self::Gap { retry, .. } => *retry,
            Self::InFuture { .. } | Self::Unverified { running: true, .. } => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::NoBackup(_) => "take a backup: `remount backup`. WAL alone restores nothing".into(),
            Self::OtherCluster { archive, .. } => format!(
                "the cluster was initialised again since the backup: choose a backup with system identifier {archive} (`remount list`), or stop the cluster to restore the old one over it"
            ),
            Self::UnknownBackup(_) => "choose a backup from `remount list`".into(),
            Self::UnknownTimeline { known, .. } => {
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                format!(
                    "choose one of those that there are with `--timeline` (property `restore.timeline`): {}",
                    known.join(", ")
                )
            }
            Self::MissingHistory { missing, wanted } => missing_history(*missing, *wanted),
            Self::TimelineUnclear { newest, other, .. } => format!(
                "name the timeline on which the cluster ran last: `--timeline {newest}` or `--timeline {other}` (property `restore.timeline`)"
            ),
            Self::BeforeFirstBackup { stop_lsn, stopped_at, .. } => {
                format!("choose a target at or after {stop_lsn} ({stopped_at}): no backup is older")
            }
            Self::BeforeNamedBackup { .. } => {
                "name an older backup, or none: then the newest before the target is used".into()
            }
            Self::ForkInsideBackup { timeline, .. } => format!(
                "choose another backup (`remount list`), or restore on the backup's own timeline: `--timeline {timeline}`"
            ),
            Self::AbandonedBackup { timeline: holder, .. } | Self::AbandonedTarget { holder, .. } => {
                format!("restore on that timeline: `--timeline {holder}` (property `restore.timeline`)")
            }
            Self::AbandonedTime { wanted, lives, .. } => format!(
                "to have it as it was then: `--timeline {}` (property `restore.timeline`); `--timeline {wanted}` stops where timeline {wanted}'s history had got to by then",
                lives.then.timeline
            ),
            Self::UnknownLives { wanted, .. } => format!(
                "name the timeline on which the cluster was then: `--timeline {wanted}` or one of those (property `restore.timeline`); `--accept-unverified` (property `restore.target.accept_unverified`) takes timeline {wanted} for it. The segments that could not be read are told by `remount plan --verify all`"
            ),
            Self::PartOfTransaction { whole, .. } => format!("choose the whole: `--to-xid {whole}`"),
            Self::SeveralPoints { .. } => {
                "choose one by its position: `--to-lsn` (a backup that begins between them, `--from-backup`, decides too)".into()
            }
            Self::Unverified { running, .. } => unverified(*running),
            Self::Gap { missing, before, after, .. } => gap(*missing, before.as_deref(), after.as_deref()),
            Self::BeyondEnd { target, end, commit, .. } => beyond_end(target, *end, *commit),
            Self::InFuture { .. } => "choose a time in the past, or the latest commit (`--to-latest`)".into(),
            Self::TimelineTaken { timeline } => format!(
                "put `{}.history` back into the archive; without it the new timeline's WAL would collide with the old one's",
                timeline.hex()
            ),
        })
    }
}

fn unverified(running: bool) -> String {
    let otherwise = "check it, or accept that PostgreSQL may find out after the stop that it does not exist: `--accept-unverified` (property `restore.target.accept_unverified`)";
    if running {
        format!(
            "where it was made just now, let the primary archive it (`SELECT pg_switch_wal()`) and plan again; else {otherwise}"
        )
    } else {
        otherwise.into()
    }
}

fn parts_of(parts: &[TimelinePart]) -> String {
    let named = |part: &TimelinePart| match part.to {
        Some(to) => format!("timeline {} from {} to {to}", part.timeline, part.from),
        None => format!("timeline {} from {} on", part.timeline, part.from),
    };
    parts.iter().map(named).collect::<Vec<_>>().join(", ")
}

fn list(places: &[(Lsn, Timestamp)]) -> String {
    places.iter().map(|(lsn, time)| format!("at {lsn} ({time})")).collect::<Vec<_>>().join(", ")
}

fn not_read(unread: usize) -> impl fmt::Display {
    fmt::from_fn(move |f| if unread == 0 { Ok(()) } else { write!(f, ", {unread} could not be") })
}

fn only_prepared(at: Option<Lsn>) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        at.map_or(Ok(()), |lsn| {
            write!(f, "; it was prepared at {lsn}, and neither committed nor rolled back")
        })
    })
}

/// Prints the last commit where one is known.
fn last_commit(commit: Option<Timestamp>) -> impl fmt::Display {
    fmt::from_fn(move |f| commit.map_or(Ok(()), |time| write!(f, ", last commit known {time}")))
}

fn missing_history(missing: TimelineId, wanted: TimelineId) -> String {
    let file = missing.hex();
    let otherwise = if missing == wanted {
        "an instance that was on that timeline has it in `pg_wal`; or name another timeline (`--timeline`)"
            .to_owned()
    } else {
        format!(
            "it holds the lines of `{}.history` up to the one that begins with its parent's number",
            wanted.hex()
        )
    };
    format!("put `{file}.history` back into the archive: {otherwise}")
}

fn gap(missing: WalSegment, before: Option<&Reachable>, after: Option<&Reachable>) -> String {
    let mut text = format!("put {missing} back into the archive if an instance still has it in `pg_wal`");
    for (side, reachable) in [("before", before), ("after", after)] {
        if let Some(reachable) = reachable {
            text.push_str(&format!("; {side} the gap you can reach {reachable}"));
        }
    }
    if before.is_none() && after.is_none() {
        text.push_str("; no backup avoids the gap");
    }
    text
}

fn beyond_end(target: &RecoveryTarget, end: Lsn, commit: Option<Timestamp>) -> String {
    match (target, commit) {
        (RecoveryTarget::Time(_), Some(commit)) => {
            format!(
                "choose a time before {commit}, or the latest commit (`--to-latest`): no later commit is archived"
            )
        }
        (RecoveryTarget::Time(_), None) => {
            "choose the latest commit (`--to-latest`) or a position (`--to-lsn`): the time of no commit is known".into()
        }
        _ => format!("choose a position before {end}, or the latest commit (`--to-latest`)"),
    }
}

impl Life {
    pub(super) const fn of(span: &CommitSpan) -> Self {
        let CommitSpan { part, first, last } = *span;
        Self { timeline: part.timeline, from: part.from, first, last }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "timeline {} from {} on has commits from {} to {}",
            self.timeline, self.from, self.first, self.last
        )
    }
}

impl fmt::Display for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { then, before, after } = self;
        write!(f, "the cluster was on timeline {} then ({then}", then.timeline)?;
        for life in [before, after].into_iter().flatten() {
            write!(f, "; {life}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) to {}", self.from, self.from_time, self.to)?;
        if let Some(time) = self.to_time {
            write!(f, " ({time})")?;
        }
        write!(f, " from backup {}", self.backup)
    }
}
