//! `remount-scheduler`: will start backups when they are due, from a queue in PostgreSQL (`docs/design.md`, "Not built yet").
//!
//! **It schedules nothing in this version.** It runs so that deployments do not change their shape later: it checks whether
//! its database can be reached, and tells both at `GET /healthz` and in its log. It writes nothing to the database.
//!
//! Never reports success for work that it did not do.

mod config;
mod database;
mod error;
mod health;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use config::Config;
use error::{Result, system};

/// The scheduler, which schedules nothing in this version.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration that the job rendered
    #[arg(long)]
    config: PathBuf,
    /// Only read the configuration: what pre-start does
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = env_logger::Env::new().default_filter_or("info");
    env_logger::Builder::from_env(environment).target(env_logger::Target::Stderr).init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", remount_core::report(&error));
            ExitCode::from(error.exit_code() as u8)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(&arguments.config)?;
    if arguments.check {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("start the runtime"))?;
    let outcome = runtime.block_on(health::serve(&config));
    // A name lookup that hangs keeps its thread; it must not keep the process.
    runtime.shutdown_background();
    outcome
}
