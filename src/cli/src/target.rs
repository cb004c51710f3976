//! Recovery targets, as they are typed.

use clap::Args;
use jiff::Timestamp;
use remount_core::{BackupId, Lsn, RecoveryTarget, RestoreTarget, TimelineId};

/// Where replay is to stop: exactly one of the `--to-…`.
#[derive(Clone, Debug, Args)]
#[group(id = "to", required = true, multiple = false, args = ["to_latest", "to_time", "to_lsn", "to_xid", "to_name", "to_backup"])]
pub struct TargetArguments {
    /// The newest commit that is archived, or will be once the cluster stops.
    #[arg(long)]
    to_latest: bool,
    /// Before the first commit later than this time, as 2026-11-23T10:15:00Z.
    #[arg(long, value_name = "TIME")]
    to_time: Option<Timestamp>,
    /// After the record at this position, as 0/4012F88.
    #[arg(long, value_name = "LSN")]
    to_lsn: Option<Lsn>,
    /// After the commit of this transaction.
    #[arg(long, value_name = "XID")]
    to_xid: Option<u64>,
    /// At this restore point (pg_create_restore_point).
    #[arg(long, value_name = "NAME", value_parser = restore_point)]
    to_name: Option<String>,
    /// As this backup has it, and nothing later.
    #[arg(long, value_name = "BACKUP")]
    to_backup: Option<BackupId>,
    /// The timeline the target lies on; the cluster's present one without it.
    #[arg(long)]
    timeline: Option<TimelineId>,
    /// The backup to begin from; the newest that fits without it.
    #[arg(long, value_name = "BACKUP", conflicts_with = "to_backup")]
    from_backup: Option<BackupId>,
    /// Stop just before the target: of a time, position or transaction.
    #[arg(long, conflicts_with_all = ["to_latest", "to_name", "to_backup"])]
    exclusive: bool,
}

/// PostgreSQL's restore points have up to 63 bytes (`MAXFNAMELEN`).
fn restore_point(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len()) && !text.contains(['\n', '\0']);
    if fits { Ok(text.to_owned()) } else { Err("a restore point has 1 to 63 bytes and no line break".into()) }
}

impl TargetArguments {
    /// The target.
    pub fn target(&self) -> RestoreTarget {
        let target = self
            .to_time
            .map(RecoveryTarget::Time)
            .or(self.to_lsn.map(RecoveryTarget::Lsn))
            .or(self.to_xid.map(RecoveryTarget::Xid))
            .or_else(|| self.to_name.clone().map(RecoveryTarget::Name))
            .or_else(|| self.to_backup.clone().map(RecoveryTarget::Backup))
            .unwrap_or(RecoveryTarget::Latest);
        let mut wanted = RestoreTarget::of(target);
        wanted.timeline = self.timeline;
        wanted.exclusive = self.exclusive;
        wanted.from_backup = self.from_backup.clone();
        wanted
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        target: TargetArguments,
    }

    fn read(words: &[&str]) -> Result<RestoreTarget, String> {
        let line = Line::try_parse_from(["x"].iter().chain(words)).map_err(|error| error.to_string())?;
        Ok(line.target.target())
    }

    #[test]
    fn one_target_is_read_and_two_or_none_are_refused() {
        let target = read(&["--to-lsn", "0/4012F88", "--timeline", "1", "--exclusive"]).unwrap();
        assert_eq!(target.target, RecoveryTarget::Lsn("0/4012F88".parse().unwrap()));
        assert!(target.exclusive);
        assert_eq!(read(&["--to-latest"]).unwrap(), RestoreTarget::of(RecoveryTarget::Latest));
        for words in [
            &[][..],
            &["--to-latest", "--to-xid", "7"],
            &["--to-latest", "--exclusive"],
            &["--to-time", "soon"],
        ] {
            assert!(read(words).is_err(), "{words:?} was accepted");
        }
    }
}
