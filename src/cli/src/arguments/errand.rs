//! `remount errand`: the entry points of the BOSH errands.

use clap::Subcommand;

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
