//! `remount-lab`: a landscape on one machine.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use remount_lab::vm;

/// A landscape on one machine: Director, disks, VMs.
#[derive(Debug, Parser)]
#[command(name = "remount-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The first process of a VM; started by the lab alone.
    #[command(hide = true)]
    VmInit,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::VmInit => match vm::init::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("vm-init: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
