//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// PostgreSQL's archive_command and restore_command.
#[derive(Debug, Parser)]
#[command(name = "remount-wal", version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Archives a WAL file: `archive_command = 'remount-wal push --config FILE %p'`
    Push {
        /// The agent's configuration
        #[arg(long)]
        config: PathBuf,
        /// The file, relative to the data directory (%p)
        path: PathBuf,
    },
    /// Delivers a WAL file: `restore_command = 'remount-wal fetch --config FILE %f %p'`
    Fetch {
        /// The agent's configuration
        #[arg(long)]
        config: PathBuf,
        /// The file's name (%f)
        file: String,
        /// Where to put it, relative to the data directory (%p)
        path: PathBuf,
    },
}
