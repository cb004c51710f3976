//! The command line: commands, options, and their help.

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
    /// The configuration file, of the job `remount` or of an errand [default: that of the job `remount`]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Print debug messages on standard error
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
        /// The deployment [default: those of `backup.deployments` in the configuration of the errand `backup`]
        #[arg(long)]
        deployment: Option<DeploymentName>,
        /// Its PostgreSQL group, if it has more than one
        #[arg(long, requires = "deployment")]
        group: Option<GroupName>,
    },
    /// List the backups of one cluster or of all
    List(ClusterFilter),
    /// Show one backup
    Info {
        /// The backup's id
        backup: BackupId,
    },
    /// Plan a restore and run all checks; nothing is changed
    Plan(RestoreOptions),
    /// Restore: request it for the errand, or run it now
    Restore(Box<RestoreArguments>),
    /// Continue a restore that is held or stuck, or whose process died
    Resume {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
        /// What to do when a step fails
        #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
        on_failure: OnFailureArgument,
    },
    /// Roll back a restore, also a successful one, as long as its old disks exist
    Rollback {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
    },
    /// Stop a running restore: it finishes its step and is rolled back
    Abort {
        /// The restore's id (`remount journal`)
        restore: RestoreId,
    },
    /// Show the steps of a restore
    Journal {
        /// The restore's id [default: the newest restore]
        restore: Option<RestoreId>,
        #[command(flatten)]
        cluster: ClusterFilter,
    },
    /// List the restore requests that the errand has not carried out yet
    Requests,
    /// List the old disks that restores have put aside, or release them
    Disks(Box<DisksArguments>),
    /// Check that Director, store, cloud and certificates can be used
    Check {
        /// Try again, for up to two minutes, what does not answer
        #[arg(long)]
        wait: bool,
        /// Check the configuration only; send no request
        #[arg(long, conflicts_with = "wait")]
        offline: bool,
    },
    /// The entry points of the BOSH errands
    Errand {
        /// The errand
        #[command(subcommand)]
        errand: Errand,
    },
}

/// One cluster, or all.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterFilter {
    /// The deployment [default: all]
    #[arg(long)]
    pub deployment: Option<DeploymentName>,
    /// Its PostgreSQL group, if it has more than one
    #[arg(long, requires = "deployment")]
    pub group: Option<GroupName>,
}

/// The arguments of `remount disks`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DisksArguments {
    /// What to do with them
    #[command(subcommand)]
    pub how: Option<DisksCommand>,
    #[command(flatten)]
    pub cluster: ClusterFilter,
    /// Include disks that do not exist any more
    #[arg(long)]
    pub all: bool,
}

/// What to do with old disks.
#[derive(Debug, Subcommand)]
pub enum DisksCommand {
    /// Delete old disks: their restores cannot be rolled back any more
    Release(ReleaseArguments),
}

/// Which old disks are deleted.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["restore", "due"])]
pub struct ReleaseArguments {
    /// Delete the old disks of this restore, even if they are to be kept longer
    #[arg(conflicts_with = "deployment")]
    pub restore: Option<RestoreId>,
    /// Delete all old disks that need not be kept any longer
    #[arg(long)]
    pub due: bool,
    #[command(flatten)]
    pub cluster: ClusterFilter,
    /// Print what would be deleted; nothing is changed
    #[arg(long)]
    pub dry_run: bool,
}

/// The arguments of `remount restore`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RestoreArguments {
    /// How the restore is started
    #[command(subcommand)]
    pub how: Option<RestoreCommand>,
    #[command(flatten)]
    pub options: RestoreOptions,
    /// Run it now, in this process
    #[arg(long)]
    pub now: bool,
}

/// How a restore is started.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Store a request, which the errand `restore` carries out
    Request(RestoreOptions),
    /// Run it now, in this process
    Run(RestoreOptions),
}

/// Options of a restore.
#[derive(Clone, Debug, Args)]
pub struct RestoreOptions {
    /// The deployment to restore
    #[arg(long)]
    deployment: Option<DeploymentName>,
    /// Its PostgreSQL group, if it has more than one
    #[arg(long, requires = "deployment")]
    pub group: Option<GroupName>,
    #[command(flatten)]
    pub target: TargetArguments,
    /// What to do when a step fails
    #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
    pub on_failure: OnFailureArgument,
    /// Plan and check only; nothing is changed
    #[arg(long)]
    pub dry_run: bool,
}

impl RestoreOptions {
    /// The deployment.
    ///
    /// # Errors
    /// No deployment was named.
    pub fn deployment(&self) -> Result<DeploymentName, Failure> {
        let missing = || {
            Failure::usage(
                "no deployment is named",
                "name it with --deployment; `remount list` shows the deployments that have backups",
            )
        };
        self.deployment.clone().ok_or_else(missing)
    }
}

/// What to do when a step fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailureArgument {
    /// Roll back: the old disks are attached again and the cluster starts as it was
    Rollback,
    /// Hold: leave everything as it is for an operator to decide
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
    Unavailable(UnavailableErrand),
}

/// Errands whose jobs exist and whose work is not in this version: they fail with a message.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum UnavailableErrand {
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
