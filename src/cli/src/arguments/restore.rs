//! `remount plan` and `remount restore`: what is restored, and how.

use clap::{Args, Subcommand, ValueEnum};
use remount_core::documents::{self, AcceptedLoss, OnFailure, VerifyWal};
use remount_core::{DeploymentName, GroupName};

use super::{BegunRestore, TargetArguments};
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
    /// Go on with a restore that is paused: users can write from then on
    Accept(BegunRestore),
    /// Replay a restore that is paused to a later point, and pause there again
    Forward {
        #[command(flatten)]
        restore: BegunRestore,
        #[command(flatten)]
        target: TargetArguments,
    },
    /// Give up a restore that is paused: the old disks are attached again
    GiveUp(BegunRestore),
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
    /// Stop at the target, before anybody can write, to look; then `remount restore accept`, `forward` or `give-up`
    #[arg(long)]
    pub pause: bool,
    /// How much WAL is read and verified before anything is stopped
    #[arg(long, value_enum, default_value_t = VerifyArgument::Recent)]
    verify: VerifyArgument,
    /// Rebuild indexes after the promotion where a collation has another version than in the backup
    #[arg(long)]
    reindex: bool,
    /// Accept a loss by its name; without, a restore that would lose something is refused or undone
    #[arg(long, value_enum, value_name = "LOSS")]
    pub accept_loss: Vec<AcceptedLossArgument>,
    /// Plan and check only; nothing is changed
    #[arg(long)]
    pub dry_run: bool,
}

impl RestoreOptions {
    /// What is chosen beside the target.
    #[must_use]
    pub fn chosen(&self) -> documents::RestoreOptions {
        documents::RestoreOptions { verify: self.verify.into(), reindex: self.reindex }
    }

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

/// How much WAL is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyArgument {
    /// All of it, before anything is changed
    All,
    /// What fits into a bounded time, and more while disks are made
    Recent,
    /// Only that each segment is there
    None,
}

impl From<VerifyArgument> for VerifyWal {
    fn from(argument: VerifyArgument) -> Self {
        match argument {
            VerifyArgument::All => Self::All,
            VerifyArgument::Recent => Self::Recent,
            VerifyArgument::None => Self::None,
        }
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
