//! `cargo xtask proofs`: every step of backup and restore goes wrong in every way, and the table of how each case ends.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{cargo, succeeds};
use crate::workspace::Workspace;

/// Which proofs, and where their outcome goes.
#[derive(Args)]
pub(crate) struct Proofs {
    /// Writes the table of cases here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// On the lab: real processes, disks and PostgreSQL (root, below 45 minutes), instead of in memory
    #[arg(long)]
    lab: bool,
}

impl Proofs {
    /// 0: every promise held; 1: one was broken.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        let json =
            self.json.as_ref().map(std::path::absolute).transpose().context("find the file for JSON")?;
        let passed = if self.lab { on_the_lab(workspace, json)? } else { in_memory(workspace, json)? };
        Ok(ExitCode::from(u8::from(!passed)))
    }
}

fn in_memory(workspace: &Workspace, json: Option<PathBuf>) -> Result<bool> {
    let mut test = cargo(workspace);
    test.args([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "remount-flow",
        "--test",
        "flows",
        "proofs::",
        "--",
        "--nocapture",
    ]);
    if let Some(file) = json {
        test.env("REMOUNT_PROOFS_JSON", file);
    }
    // A violation is a panic of its cell; where in the test it happened says nothing.
    succeeds(test.env("RUST_BACKTRACE", "0"))
}

fn on_the_lab(workspace: &Workspace, json: Option<PathBuf>) -> Result<bool> {
    if !succeeds(cargo(workspace).args(["build", "--workspace", "--bins", "--locked"]))? {
        return Ok(false);
    }
    let mut run = cargo(workspace);
    run.args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "remount-lab",
        "--bin",
        "remount-lab",
        "--",
        "proofs",
    ]);
    if let Some(file) = json {
        run.arg("--json").arg(file);
    }
    succeeds(&mut run)
}
