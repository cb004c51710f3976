//! `remount`: the operator's command line, and the entry point of every errand.
//!
//! Data goes to standard output, everything else to standard error. The exit code tells the state of the world:
//! 0 done · 1 failed, nothing was changed · 2 wrong usage or configuration · 3 failed, changes undone · 4 stuck,
//! an operator is needed.

mod arguments;
mod commands;
mod config;
mod context;
mod failure;
mod progress;
mod target;

use std::process;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> process::ExitCode {
    let filter = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(filter).target(env_logger::Target::Stderr).init();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::unchanged(format!("start the runtime: {error}")).report(),
    };
    match runtime.block_on(commands::run(arguments)) {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
