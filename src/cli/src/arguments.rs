//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use remount_core::{BackupId, DeploymentName, GroupName, RestoreId};
use remount_store::OnFailure;

use crate::target::TargetArguments;

/// Where the job `restore` renders its configuration.
const DEFAULT_CONFIG: &str = "/var/vcap/jobs/restore/config/remount.json";

/// Backups of PostgreSQL as disk snapshots with WAL, and restores by swapping disks.
///
/// Exit codes: 0 done; 1 failed, nothing was changed; 2 wrong usage or configuration; 3 failed, changes undone;
/// 4 stuck, an operator is needed.
#[derive(Debug, Parser)]
#[command(name = "remount", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration, as the jobs render it.
    #[arg(long, global = true, default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Answer with JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a backup now.
    Backup(ClusterArguments),
    /// List the backups of a cluster, or of all.
    List {
        /// The deployment; all without it.
        #[arg(long)]
        deployment: Option<DeploymentName>,
        /// Its PostgreSQL group, where it has more than one.
        #[arg(long, requires = "deployment")]
        group: Option<GroupName>,
    },
    /// Show all that is known of one backup.
    Info {
        /// The backup's id.
        backup: BackupId,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// Plan a restore and check all that can be known beforehand; nothing is touched.
    Plan {
        #[command(flatten)]
        cluster: ClusterArguments,
        #[command(flatten)]
        target: TargetArguments,
    },
    /// Restore: request it for the errand, or run it from here.
    Restore(Box<RestoreArguments>),
    /// List the restore requests that the errand has not carried out yet.
    Requests,
    /// Show what a restore did, step by step; the newest one of a cluster without an id.
    Journal {
        /// The restore's id.
        restore: Option<RestoreId>,
        #[command(flatten)]
        cluster: ClusterArguments,
    },
    /// The entry points of the BOSH errands.
    Errand {
        #[command(subcommand)]
        errand: Errand,
    },
}

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub struct ClusterArguments {
    /// The deployment.
    #[arg(long)]
    pub deployment: DeploymentName,
    /// Its PostgreSQL group, where it has more than one.
    #[arg(long)]
    pub group: Option<GroupName>,
}

/// A restore.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct RestoreArguments {
    #[command(subcommand)]
    pub request: Option<RestoreCommand>,
    #[command(flatten)]
    pub wish: Option<RestoreWish>,
    /// Go on with a restore whose driver died, or that was held.
    #[arg(long, value_name = "RESTORE", conflicts_with_all = ["rollback", "RestoreWish"])]
    pub resume: Option<RestoreId>,
    /// Take such a restore back: the old disks return, and the cluster starts as it was.
    #[arg(long, value_name = "RESTORE", conflicts_with = "RestoreWish")]
    pub rollback: Option<RestoreId>,
    /// Run it from here, now; without this, use `restore request` and the errand.
    #[arg(long)]
    pub now: bool,
    /// Plan and check only; nothing is touched.
    #[arg(long)]
    pub dry_run: bool,
}

/// What is wanted.
#[derive(Clone, Debug, Args)]
pub struct RestoreWish {
    #[command(flatten)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    pub target: TargetArguments,
    /// What to do when a step fails for good.
    #[arg(long, value_enum, default_value_t = OnFailureArgument::Rollback)]
    pub on_failure: OnFailureArgument,
}

/// How it is asked for.
#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Store a request, which the errand `restore` carries out.
    Request(RestoreWish),
}

/// What to do when a step fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFailureArgument {
    /// The old disks go back, and the cluster starts as it was.
    Rollback,
    /// Everything stays as it is, for a person to look.
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
    /// Carry out the pending restore requests, and the one of the job's properties.
    Restore,
    /// Back up the deployments of the job's properties.
    Backup,
}
