//! `remount`: the operator's command line, and the entry point of every errand.
//!
//! Data goes to standard output, everything else to standard error. The exit code tells the state of
//! the world:
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, nothing was changed |
//! | 2 | wrong usage or configuration, nothing was changed |
//! | 3 | failed, what had been changed was undone |
//! | 4 | stuck: an operator is needed |

mod arguments;
mod commands;
mod config;
mod context;
mod failure;
mod output;
mod progress;

use std::process;

use clap::Parser as _;
use log::LevelFilter;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> process::ExitCode {
    let arguments = Arguments::parse();
    let level = if arguments.verbose { LevelFilter::Debug } else { LevelFilter::Warn };
    // Libraries may log what they send, and that holds credentials: only our own crates are heard.
    env_logger::Builder::new().filter_level(LevelFilter::Off).filter_module("remount", level).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::unchanged(format!("the runtime does not start: {error}")).print(),
    };
    match runtime.block_on(commands::run(arguments)) {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}
