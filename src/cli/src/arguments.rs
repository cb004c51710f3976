//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use remount_core::documents::OnFailure;
use remount_core::{BackupId, DeploymentName, GroupName, RestoreId};

use crate::failure::Failure;
use crate::target::TargetArguments;

/// Backups of PostgreSQL as disk snapshots with WAL, and restores by swapping disks.
///
/// Exit codes: 0 done; 1 failed, nothing was changed; 2 wrong usage or configuration; 3 failed, changes
/// undone; 4 stuck, an operator is needed.
#[derive(Debug, Parser)]
#[command(name = "remount", version, max_term_width = 80)]
pub struct Arguments {
    /// The configuration, of the job `remount` or of an errand [default: that of the job `remount`]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer with JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error
    #[arg(long, global = true)]
    pub verbose: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a backup now
    Backup {
        /// The deployment; without it, those of the errand `backup` whose file is the configuration
        #[arg(long)]
        deployment: Option<DeploymentName>,
        /// Its PostgreSQL group, where it has more than one
        #[arg(long, requires = "deployment")]
        group: Option<GroupName>,
    },
    /// List the backups of a cluster, or of all
    List(ClusterFilter),
    /// Show all that is known of a backup
    Info {
        /// The backup's id
        backup: BackupId,
    },
    /// Plan a restore and check all that can be known beforehand; nothing is touched
    Plan(WishArguments),
    /// Restore: request it for the errand, or run it from here
    Restore(Box<RestoreArguments>),
    /// Go on with a restore whose driver died, that was held or is stuck
    Resume {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
        /// What to do when a step fails for good
        #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
        on_failure: OnFailureArgument,
    },
    /// Take a restore back, also one that ended well: the old disks return, while they exist
    Rollback {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
    },
    /// Ask the process that restores to go no further: before its next step it goes back
    Abort {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
    },
    /// Show what a restore did, step by step
    Journal {
        /// The restore's id; without it, the newest restore
        restore: Option<RestoreId>,
        #[command(flatten)]
        cluster: ClusterFilter,
    },
    /// List the restore requests that the errand has not carried out yet
    Requests,
    /// List the old disks that restores have put aside, or release them
    Disks(Box<DisksArguments>),
    /// Check what backups and restores need before they need it: Director, store, certificates
    Check {
        /// Ask what does not answer again, for up to two minutes
        #[arg(long)]
        wait: bool,
        /// Read the configuration only; ask nobody
        #[arg(long, conflicts_with = "wait")]
        offline: bool,
    },
    /// The entry points of the BOSH errands
    Errand {
        /// Which
        #[command(subcommand)]
        errand: Errand,
    },
}

/// One cluster, or all.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterFilter {
    /// The deployment; all without it
    #[arg(long)]
    pub deployment: Option<DeploymentName>,
    /// Its PostgreSQL group, where it has more than one
    #[arg(long, requires = "deployment")]
    pub group: Option<GroupName>,
}

/// Old disks.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DisksArguments {
    /// What to do with them
    #[command(subcommand)]
    pub how: Option<DisksCommand>,
    #[command(flatten)]
    pub cluster: ClusterFilter,
    /// Those too that are gone
    #[arg(long)]
    pub all: bool,
}

/// What is done with old disks.
#[derive(Debug, Subcommand)]
pub enum DisksCommand {
    /// Delete old disks: the way back from their restore ends there
    Release(ReleaseArguments),
}

/// Which old disks go.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["restore", "due"])]
pub struct ReleaseArguments {
    /// The restore whose old disks go, though the time to keep them is not over
    #[arg(conflicts_with = "deployment")]
    pub restore: Option<RestoreId>,
    /// All that are due: the time to keep them is over
    #[arg(long)]
    pub due: bool,
    #[command(flatten)]
    pub cluster: ClusterFilter,
    /// Say what would go; nothing is touched
    #[arg(long)]
    pub dry_run: bool,
}

/// Restores.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RestoreArguments {
    /// How
    #[command(subcommand)]
    pub how: Option<RestoreCommand>,
    #[command(flatten)]
    pub wish: WishArguments,
    /// Run it from here, now
    #[arg(long)]
    pub now: bool,
}

/// How a restore is asked for.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Store a request, which the errand `restore` carries out
    Request(WishArguments),
    /// Run it from here, now
    Run(WishArguments),
}

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct WishArguments {
    /// The deployment to restore
    #[arg(long)]
    deployment: Option<DeploymentName>,
    /// Its PostgreSQL group, where it has more than one
    #[arg(long, requires = "deployment")]
    pub group: Option<GroupName>,
    #[command(flatten)]
    pub target: TargetArguments,
    /// What to do when a step fails for good
    #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
    pub on_failure: OnFailureArgument,
    /// Plan and check only; nothing is touched
    #[arg(long)]
    pub dry_run: bool,
}

impl WishArguments {
    /// The deployment.
    ///
    /// # Errors
    /// None was named.
    pub fn deployment(&self) -> Result<DeploymentName, Failure> {
        let missing = || {
            Failure::usage(
                "no deployment is named",
                "name it with --deployment; `remount list` shows those with backups",
            )
        };
        self.deployment.clone().ok_or_else(missing)
    }
}

/// What to do when a step fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailureArgument {
    /// The old disks go back, and the cluster starts as it was
    Rollback,
    /// Everything stays as it is, for a person to look
    Hold,
}

impl From<OnFailureArgument> for OnFailure {
    fn from(argument: OnFailureArgument) -> Self {
        match argument {
            OnFailureArgument::Rollback => Self::Rollback,
            OnFailureArgument::Hold => Self::Hold,
        }
    }
}

/// The errands.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Errand {
    /// Carry out the pending restore requests, and the one of the job's properties
    Restore,
    /// Back up the deployments of the job's properties
    Backup,
    #[command(flatten)]
    Absent(Absent),
}

/// Errands whose jobs are there, but whose work is not: they say so and fail.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Absent {
    /// Not in this version
    Drill,
    /// Not in this version
    Prune,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let words = std::iter::once("remount").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_documented_line_is_understood() {
        for line in [
            "backup --deployment pg-0001 --group postgres",
            "backup",
            "list",
            "list --deployment pg-0001 --json",
            "info 20261123T004500Z-k3f9",
            "plan --deployment pg-0001 --to-latest",
            "restore request --deployment pg-0001 --to-time 2026-11-23T10:15:00Z --exclusive",
            "restore run --deployment pg-0001 --to-lsn 0/4012F88 --timeline 2 --on-failure hold",
            "restore --now --deployment pg-0001 --to-xid 742",
            "restore --dry-run --deployment pg-0001 --to-name before-migration",
            "resume 20261123T004500Z-k3f9 --on-failure hold",
            "rollback 20261123T004500Z-k3f9",
            "abort 20261123T004500Z-k3f9",
            "journal 20261123T004500Z-k3f9",
            "journal --deployment pg-0001",
            "disks",
            "disks --deployment pg-0001 --all --json",
            "disks release 20261123T004500Z-k3f9 --dry-run",
            "disks release --due --deployment pg-0001 --json",
            "requests --config /tmp/remount.json",
            "errand restore --config /tmp/remount.json",
            "errand backup",
            "errand drill",
            "errand prune",
            "check --wait",
        ] {
            read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "restore --now --deployment pg --to-latest --to-xid 7",
            "restore --now --deployment pg --to-latest --exclusive",
            "resume",
            "rollback 20261123T004500Z-k3f9 --on-failure hold",
            "restore --now --deployment ../pg --to-latest",
            "restore request --deployment pg --to-time yesterday",
            "list --group postgres",
            "info latest",
            "errand clean",
            "disks release",
            "disks release 20261123T004500Z-k3f9 --due",
            "disks release 20261123T004500Z-k3f9 --deployment pg-0001",
            "disks --all release --due",
            "",
        ] {
            assert!(read(line).is_err(), "`{line}` was understood");
        }
    }

    #[test]
    fn the_configuration_may_be_named_before_and_after_the_command() {
        for line in ["--config /a list", "list --config /a"] {
            assert_eq!(read(line).unwrap().config, Some("/a".into()));
        }
    }
}
