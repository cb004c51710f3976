//! `remount-wal`: PostgreSQL's `archive_command` and `restore_command`.
//!
//! Exit codes decide between recovery and data loss: PostgreSQL takes 1 to 125 of the restore command
//! for "the archive ends here" and promotes; above 125 it stops recovery.
//!
//! | | 0 | 1 | 200 | 201 | 202 | 255 |
//! |---|---|---|---|---|---|---|
//! | `fetch` | delivered, verified, durable | the store says there is none | not determined by the deadline | must not be delivered | usage, configuration | a defect of ours |
//! | `push` | durable in the store | not archived; PostgreSQL tries again | | | | |

mod command;
mod config;
mod delivery;
mod error;
mod fetch;
mod planned_timelines;
mod push;
mod within;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use remount_core::{SystemIdentifier, report};
use remount_postgres::ControlData;

use command::{Cli, Command};
use config::Config;
use error::{Error, Result};
use fetch::Fetched;

/// PostgreSQL takes it for the end of the archive.
const ABSENT: u8 = 1;
/// The archiver tries again.
const NOT_ARCHIVED: u8 = 1;
/// Wrong usage or configuration of a fetch.
const USAGE: u8 = 202;
/// A defect of ours.
const DEFECT: u8 = 255;

fn main() -> ExitCode {
    let archiving = std::env::args_os().nth(1).is_some_and(|verb| verb == "push");
    // Rust's own code after a panic is 101: for a fetch that would be the end of the archive.
    std::panic::set_hook(Box::new(move |panic| {
        print(&format!("error: a defect of remount-wal: {panic}"));
        std::process::exit(i32::from(if archiving { NOT_ARCHIVED } else { DEFECT }));
    }));
    env_logger::Builder::new().filter_level(log::LevelFilter::Warn).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            print(usage.render().to_string().trim_end());
            let helped = !usage.use_stderr();
            return ExitCode::from(if helped {
                0
            } else if archiving {
                NOT_ARCHIVED
            } else {
                USAGE
            });
        }
    };
    let code = match &cli.command {
        Command::Push { config, path } => push_code(run(config, |config| push::push(config, path))),
        Command::Fetch { config, file, path } => {
            fetch_code(run(config, |config| fetch::fetch(config, file, path)))
        }
    };
    ExitCode::from(code)
}

fn run<T>(path: &std::path::Path, work: impl AsyncFnOnce(Config) -> Result<T>) -> Result<T> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Runtime { source })?;
    let outcome = runtime.block_on(work(config));
    // A call that hangs in a network filesystem keeps its thread; it must not keep PostgreSQL.
    runtime.shutdown_background();
    outcome
}

/// The system identifier, from the control file: PostgreSQL waits for this process and cannot be asked.
fn system_identifier(data_directory: &std::path::Path) -> Result<SystemIdentifier> {
    ControlData::read_system_identifier(data_directory).map_err(|source| Error::ControlFile { source })
}

fn push_code(outcome: Result<()>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            print(&report(&error));
            NOT_ARCHIVED
        }
    }
}

fn fetch_code(outcome: Result<Fetched>) -> u8 {
    match outcome {
        Ok(Fetched::Delivered) => 0,
        Ok(Fetched::Absent) => ABSENT,
        Err(error) => {
            print(&report(&error));
            error.fetch_code()
        }
    }
}

/// Prints to standard error, which is PostgreSQL's log. Where it is closed the message is lost, and the exit code still
/// has to be right.
fn print(text: &str) {
    writeln!(std::io::stderr(), "remount-wal: {}", text.replace('\n', "\nremount-wal: ")).unwrap_or_default();
}
