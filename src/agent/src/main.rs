//! `remount-agent`: what Remount does on a database VM.
//!
//! | command | who runs it | as | does |
//! |---|---|---|---|
//! | `pre-start` | BOSH, before any process starts | root | decides whether PostgreSQL may start; applies a restore's plan |
//! | `post-start` | BOSH, after the processes run | root → vcap | waits until the server is ready: a restored primary stands at its target |
//! | `serve` | monit through bpm | vcap | the backup API over mTLS |
//! | `post-deploy` | BOSH, after a whole deploy | root → vcap | checks that the object store accepts writes |
//! | `drain` | BOSH, before the processes stop | root → vcap | archives the last WAL |
//! | `post-stop` | BOSH, after the processes stopped | root | reports WAL that is not archived |
//! | `status` | a person | root or vcap | prints the server's status |
//! | `postgres pre-start`, `run`, `post-start`, `drain` | the job `postgres` | root, vcap | makes, runs and stops the server |
//!
//! When each runs and why it is there: `docs/lifecycle.md`.
//!
//! Never here: credentials of a cloud or of the Director.

mod config;
mod disk;
mod error;
mod fence;
mod hooks;
mod postgres_job;
mod postgres_log;
mod recovering;
mod refusal;
mod serve;
mod server_state;
mod status;
mod store_client;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use config::AgentConfig;
use error::Result;

/// The agent on a database VM.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Decide whether PostgreSQL may start on this disk; apply a restore's plan to it
    PreStart(ConfigFile),
    /// Wait until the server is ready
    PostStart(ConfigFile),
    /// Serve the backup API
    Serve(ConfigFile),
    /// Check that the object store accepts what this instance writes
    PostDeploy(ConfigFile),
    /// Archive the last WAL before the server stops
    Drain(ConfigFile),
    /// Report WAL that the stop has left unarchived
    PostStop(ConfigFile),
    /// Print the server's status as JSON
    Status(ConfigFile),
    /// The scripts of the job `postgres`
    #[command(subcommand)]
    Postgres(PostgresCommand),
}

#[derive(Subcommand)]
enum PostgresCommand {
    /// Decide whether PostgreSQL may start; initialise an empty disk by `initdb` or a base backup
    PreStart(ConfigFile),
    /// Run the server in the place of this process
    Run(ConfigFile),
    /// Set roles, passwords and databases on the primary
    PostStart(ConfigFile),
    /// Archive the last WAL, then stop the server and wait for it
    Drain(ConfigFile),
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration that the job rendered
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = env_logger::Env::new().default_filter_or("info");
    env_logger::Builder::from_env(environment).target(env_logger::Target::Stderr).init();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", remount_core::report(&error));
            ExitCode::from(error.exit_code() as u8)
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::PreStart(file) => hooks::pre_start(&AgentConfig::load(&file.config)?),
        Command::PostStart(file) => hooks::post_start(&AgentConfig::load(&file.config)?),
        Command::Serve(file) => serve::serve(AgentConfig::load(&file.config)?),
        Command::PostDeploy(file) => hooks::post_deploy(&AgentConfig::load(&file.config)?),
        Command::Drain(file) => {
            hooks::drain(&file.config);
            Ok(())
        }
        Command::PostStop(file) => {
            hooks::post_stop(&file.config);
            Ok(())
        }
        Command::Status(file) => status::print(&AgentConfig::load(&file.config)?),
        Command::Postgres(PostgresCommand::PreStart(file)) => postgres_job::pre_start(&file.config),
        Command::Postgres(PostgresCommand::Run(file)) => postgres_job::run(&file.config),
        Command::Postgres(PostgresCommand::PostStart(file)) => postgres_job::post_start(&file.config),
        Command::Postgres(PostgresCommand::Drain(file)) => {
            postgres_job::drain(&file.config);
            Ok(())
        }
    }
}
