//! `remount plan` and `remount restore`: what is restored, and how.

use clap::{Args, Subcommand, ValueEnum};
use remount_core::documents::{AcceptedLoss, OnFailure};
use remount_core::{DeploymentName, GroupName};

use super::TargetArguments;
use crate::failure::Failure;

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
    /// Accept a loss by its name; without, a restore that would lose something is refused or undone
    #[arg(long, value_enum, value_name = "LOSS")]
    pub accept_loss: Vec<AcceptedLossArgument>,
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

/// A loss that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcceptedLossArgument {
    /// Commits whose WAL is not in the archive, of a restore to the newest commit
    UnarchivedWal,
}

impl From<AcceptedLossArgument> for AcceptedLoss {
    fn from(argument: AcceptedLossArgument) -> Self {
        match argument {
            AcceptedLossArgument::UnarchivedWal => Self::UnarchivedWal,
        }
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
