//! The command line: commands, options, and their help.

mod disks;
mod errand;
mod restore;
mod target;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use remount_core::{BackupId, DeploymentName, GroupName, RestoreId};

pub use disks::{DisksArguments, DisksCommand, ReleaseArguments};
pub use errand::{Errand, UnavailableErrand};
pub use restore::{OnFailureArgument, RestoreArguments, RestoreCommand, RestoreOptions};
pub use target::TargetArguments;

/// Backups of PostgreSQL as disk snapshots with WAL, and restores by swapping disks.
///
/// Exit codes: 0 done; 1 failed, nothing was changed; 2 wrong usage or configuration; 3 failed, changes
/// undone; 4 stuck or held, an operator is needed.
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
        #[command(flatten)]
        cluster: ClusterFilter,
    },
    /// Plan a restore and run all checks; nothing is changed
    Plan(RestoreOptions),
    /// Restore: request it for the errand, or run it now
    Restore(Box<RestoreArguments>),
    /// Continue a restore that is held or stuck, or whose process died
    Resume {
        #[command(flatten)]
        restore: BegunRestore,
        /// What to do when a step fails
        #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
        on_failure: OnFailureArgument,
    },
    /// Roll back a restore, also a successful one, as long as its old disks exist
    Rollback(BegunRestore),
    /// Stop a running restore: it finishes its step and is rolled back
    Abort(BegunRestore),
    /// Show the steps of a restore
    Journal {
        /// The restore's id [default: the newest restore]
        restore: Option<RestoreId>,
        #[command(flatten)]
        cluster: ClusterFilter,
    },
    /// List the restore requests that the errand has not carried out yet
    Requests,
    /// List the old disks of restores, or release them
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

/// A restore that was begun.
#[derive(Clone, Debug, Args)]
pub struct BegunRestore {
    /// The restore's id (`remount journal`)
    pub restore: RestoreId,
    #[command(flatten)]
    pub cluster: ClusterFilter,
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
