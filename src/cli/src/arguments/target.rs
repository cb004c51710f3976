//! Recovery targets on the command line.

use clap::Args;
use jiff::Timestamp;
use remount_core::{BackupId, Lsn, RecoveryTarget, RestoreTarget, TimelineId};

use crate::failure::Failure;

/// Where replay stops, and on which timeline.
#[derive(Clone, Debug, Args)]
pub struct TargetArguments {
    #[command(flatten)]
    to: To,
    /// The timeline of the target [default: the cluster's present one]
    #[arg(long)]
    timeline: Option<TimelineId>,
    /// The backup to begin from [default: the newest one before the target]
    #[arg(long, value_name = "BACKUP", conflicts_with = "to_backup")]
    from_backup: Option<BackupId>,
    /// Stop just before the target (time, LSN or transaction)
    #[arg(long, conflicts_with_all = ["to_latest", "to_name", "to_backup"])]
    exclusive: bool,
    /// Go on though the archive does not show the transaction or restore point, or on which timeline the cluster was at
    /// the time
    #[arg(long, conflicts_with_all = ["to_latest", "to_lsn", "to_backup"])]
    accept_unverified: bool,
}

/// At most one of these. A struct of its own: clap takes all fields of a struct into its group.
#[derive(Clone, Debug, Args)]
#[group(id = "to", multiple = false)]
struct To {
    /// To the newest commit
    #[arg(long)]
    to_latest: bool,
    /// To this time, for example 2026-11-23T10:15:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<Timestamp>,
    /// To the record at this LSN, for example 0/4012F88
    #[arg(long, value_name = "LSN")]
    to_lsn: Option<Lsn>,
    /// To the commit of this transaction
    #[arg(long, value_name = "XID", value_parser = clap::value_parser!(u64).range(1..))]
    to_xid: Option<u64>,
    /// To this restore point (pg_create_restore_point)
    #[arg(long, value_name = "NAME", value_parser = restore_point)]
    to_name: Option<String>,
    /// To the end of this backup
    #[arg(long, value_name = "BACKUP")]
    to_backup: Option<BackupId>,
}

/// What the parser says of a text that is no time helps nobody.
fn time(text: &str) -> Result<Timestamp, String> {
    let told = "it is not a time (as 2026-11-23T10:15:00Z, with its zone)";
    text.parse().map_err(|_| told.to_owned())
}

/// PostgreSQL's restore points have up to 63 bytes (`MAXFNAMELEN`).
fn restore_point(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len()) && !text.contains(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("a restore point has 1 to 63 bytes and no line break".into()) }
}

impl TargetArguments {
    /// The target.
    ///
    /// # Errors
    /// None was named: `latest` is a choice too, and never a default.
    pub fn target(&self) -> Result<RestoreTarget, Failure> {
        let latest = self.to.to_latest.then_some(RecoveryTarget::Latest);
        let named = latest
            .or(self.to.to_time.map(RecoveryTarget::Time))
            .or(self.to.to_lsn.map(RecoveryTarget::Lsn))
            .or(self.to.to_xid.map(RecoveryTarget::Xid))
            .or_else(|| self.to.to_name.clone().map(RecoveryTarget::Name))
            .or_else(|| self.to.to_backup.clone().map(RecoveryTarget::Backup));
        let missing = || {
            let next = "choose one of --to-latest, --to-time, --to-lsn, --to-xid, --to-name, --to-backup";
            Failure::usage("no target is named", next)
        };
        Ok(RestoreTarget {
            timeline: self.timeline,
            exclusive: self.exclusive,
            accept_unverified: self.accept_unverified,
            from_backup: self.from_backup.clone(),
            ..RestoreTarget::of(named.ok_or_else(missing)?)
        })
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

    fn read(words: &[&str]) -> RestoreTarget {
        let line = Line::try_parse_from(["x"].iter().chain(words)).unwrap();
        line.target.target().unwrap_or_else(|failure| panic!("{}", failure.text()))
    }

    #[test]
    fn each_target_is_read() {
        let id: BackupId = "20261123T004500Z-k3f9".parse().unwrap();
        let pairs = [
            (["--to-lsn", "0/4012F88"], RecoveryTarget::Lsn("0/4012F88".parse().unwrap())),
            (["--to-xid", "742"], RecoveryTarget::Xid(742)),
            (["--to-name", "before"], RecoveryTarget::Name("before".into())),
            (["--to-backup", id.as_str()], RecoveryTarget::Backup(id.clone())),
            (
                ["--to-time", "2026-11-23T12:15:00+02:00"],
                RecoveryTarget::Time("2026-11-23T10:15:00Z".parse().unwrap()),
            ),
        ];
        for (words, target) in pairs {
            assert_eq!(read(&words), RestoreTarget::of(target));
        }
        let target =
            read(&["--to-xid", "742", "--timeline", "2", "--exclusive", "--from-backup", id.as_str()]);
        assert_eq!((target.timeline, target.exclusive), (TimelineId::new(2).ok(), true));
        assert_eq!(target.from_backup, Some(id));
    }

    #[test]
    fn latest_is_never_a_default() {
        let line = Line::try_parse_from(["x"]).unwrap();
        assert!(line.target.target().is_err());
        assert_eq!(read(&["--to-latest"]).target, RecoveryTarget::Latest);
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in ["2026-11-23T10:15:00", "yesterday", "2026-11-23"] {
            let told = Line::try_parse_from(["x", "--to-time", text]).unwrap_err().to_string();
            assert!(told.contains("not a time (as 2026-11-23T10:15:00Z, with its zone)"), "{told}");
            assert!(!told.contains("parse"), "{told}");
        }
    }

    #[test]
    fn no_transaction_has_the_number_0() {
        assert!(Line::try_parse_from(["x", "--to-xid", "0"]).is_err());
    }
}
