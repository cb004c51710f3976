//! The commands of `remount-lab`.

mod break_it;
mod deploy;
mod errand;
mod exec;
mod fill;
mod instance;
mod kill_point;
mod proofs;
mod scenarios;
mod signal;
mod status;
mod trial;
mod up;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::folder::Folder;
use crate::vm;

/// Where a landscape lies unless told otherwise.
const DEFAULT_DIR: &str = "/var/lib/remount-lab";

/// A landscape on this machine: a Director, disks, VMs with real PostgreSQL, and Remount's own jobs on them.
#[derive(Debug, Parser)]
#[command(name = "remount-lab", version, about, max_term_width = 100)]
pub struct Arguments {
    /// The landscape's folder. Landscapes in different folders run side by side.
    #[arg(long, global = true, default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a landscape up: Director, control plane, and clusters of a primary and a standby.
    Up(up::Up),
    /// Say what is where.
    Status(status::Status),
    /// Take the landscape down and remove its folder.
    Down,
    /// Run an errand of the deployment `remount`; its output comes as it is written.
    RunErrand(errand::RunErrand),
    /// Run a command on an instance, as root.
    Exec(exec::Exec),
    /// Run the `remount` command line on the control VM: `remount-lab remount -- list --deployment pg-0001`.
    Remount(exec::Remount),
    /// Stop an instance through the Director (`bosh stop --no-converge`).
    Stop(instance::Stop),
    /// Start an instance through the Director (`bosh start --no-converge`).
    Start(instance::Start),
    /// Restart an instance through the Director (`bosh restart --no-converge`).
    Restart(instance::Restart),
    /// Make an instance's VM anew through the Director (`bosh recreate --no-converge`).
    Recreate(instance::Recreate),
    /// Have the Director look for silent agents and make their VMs anew, as the health monitor does.
    Resurrect(instance::Resurrect),
    /// Print a deployment's manifest (`bosh manifest`).
    Manifest(deploy::Manifest),
    /// Deploy a manifest (`bosh deploy`).
    Deploy(deploy::Deploy),
    /// Attach a disk to a stopped instance through the Director (`bosh attach-disk`).
    AttachDisk(instance::AttachDisk),
    /// Make a disk from the newest snapshot in an instance's zone and print its CID.
    CloneSnapshot(instance::CloneSnapshot),
    /// Break something, for tests and exercises.
    Break(break_it::Break),
    /// Print the password of a cluster's customer (user and database `app`).
    Secret(status::SecretOf),
    /// Run the whole job: load, backup, disaster, restore, comparison with the old way.
    Demo(scenarios::DemoArguments),
    /// Break every step of backup and restore in every way, and look at the world after each.
    Proofs(proofs::ProofsArguments),
    /// A ledger of acknowledged transactions, restores of every kind, everything that goes wrong, by a seed; and a
    /// checker that knows only the ledger.
    Trial(trial::TrialArguments),
    /// Measure.
    Bench(scenarios::BenchArguments),
    /// The daemon; started by `up`.
    #[command(hide = true)]
    Daemon(up::Daemon),
    /// The first process of a VM; started by the daemon.
    #[command(hide = true)]
    VmInit,
}

/// Runs the command and answers with the exit code.
///
/// # Errors
/// What went wrong, as a chain.
pub fn run(arguments: Arguments) -> Result<u8> {
    let folder = Folder(std::path::absolute(&arguments.dir)?);
    match arguments.command {
        Command::Up(up) => up.run(&folder).map(|()| 0),
        Command::Status(status) => status.run(&folder).map(|()| 0),
        Command::Down => up::down(&folder).map(|()| 0),
        Command::RunErrand(errand) => errand.run(&folder),
        Command::Exec(exec) => exec.run(&folder),
        Command::Remount(remount) => remount.run(&folder),
        Command::Stop(stop) => stop.run(&folder).map(|()| 0),
        Command::Start(start) => start.run(&folder).map(|()| 0),
        Command::Restart(restart) => restart.run(&folder).map(|()| 0),
        Command::Recreate(recreate) => recreate.run(&folder).map(|()| 0),
        Command::Resurrect(resurrect) => resurrect.run(&folder).map(|()| 0),
        Command::Manifest(manifest) => manifest.run(&folder).map(|()| 0),
        Command::Deploy(deploy) => deploy.run(&folder).map(|()| 0),
        Command::AttachDisk(attach) => attach.run(&folder).map(|()| 0),
        Command::CloneSnapshot(clone) => clone.run(&folder).map(|()| 0),
        Command::Break(break_it) => break_it.run(&folder).map(|()| 0),
        Command::Secret(secret) => secret.run(&folder).map(|()| 0),
        Command::Demo(demo) => demo.run(&folder).map(|()| 0),
        Command::Proofs(proofs) => proofs.run(&folder),
        Command::Trial(trial) => trial.run(&folder),
        Command::Bench(bench) => bench.run(&folder),
        Command::Daemon(daemon) => daemon.run(&folder).map(|()| 0),
        Command::VmInit => vm::init::run().context("run a VM's first process").map(|()| 0),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")
}

/// An absolute path, because the daemon stands elsewhere.
fn existing_dir(text: &str) -> Result<std::path::PathBuf, String> {
    std::fs::canonicalize(text).map_err(|error| format!("{text}: {error}"))
}
