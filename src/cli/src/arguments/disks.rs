//! `remount disks`: which old disks are listed or released.

use clap::{Args, Subcommand};
use remount_core::RestoreId;

use super::ClusterFilter;

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
