//! House rules and chores: `cargo xtask tidy | ci | packages | bench | proofs`.
//!
//! `tidy` and `ci` are static checks; `scripts/test` runs the tests. Nothing of Remount is linked in here.

mod bench;
mod ci;
mod command;
mod packages;
mod proofs;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::packages::Packages;
use crate::proofs::Proofs;
use crate::workspace::Workspace;

/// The chores of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

/// One chore.
#[derive(Subcommand)]
enum Chore {
    /// Checks the house rules; prints `path:line: rule: text` for each problem
    Tidy {
        /// Prints the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Everything that can be checked without running: format, clippy, tidy, documentation
    Ci,
    /// Writes the manifests and lock files that the BOSH packages are compiled with
    Packages(Packages),
    /// Measures what the README quotes
    Bench(Bench),
    /// Breaks every step of backup and restore in every way, and prints how each ends
    Proofs(Proofs),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// 0: all is well; 1: problems were found; 2 (an error): could not be checked.
fn run() -> Result<ExitCode> {
    let chore = Arguments::parse().chore;
    let workspace = Workspace::around_here()?;
    Ok(match chore {
        Chore::Tidy { json } => {
            let problems = tidy::check(&workspace)?;
            if json {
                tidy::print_json(&problems)?
            } else {
                tidy::print_lines(&problems)
            }
            ExitCode::from(u8::from(!problems.is_empty()))
        }
        Chore::Ci => ExitCode::from(u8::from(!ci::run(&workspace)?)),
        Chore::Packages(packages) => ExitCode::from(u8::from(!packages.run(&workspace)?)),
        Chore::Bench(bench) => bench.run(&workspace)?,
        Chore::Proofs(proofs) => proofs.run(&workspace)?,
    })
}
