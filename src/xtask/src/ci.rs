//! `cargo xtask ci`: what can be checked without running anything.

use anyhow::Result;

use crate::command::{cargo, succeeds};
use crate::packages;
use crate::tidy;
use crate::workspace::Workspace;

/// The checks by cargo: name, arguments and the flags for rustdoc.
const CARGO_CHECKS: [(&str, &[&str]); 3] = [
    ("format", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    ("documentation", &["doc", "--workspace", "--no-deps", "--locked"]),
];

/// Runs every check, also after one failed: a reader wants all the problems of one run. Whether all passed.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let mut failed = Vec::new();
    eprintln!("== tidy");
    let problems = tidy::check(workspace)?;
    tidy::print_lines(&problems);
    if !problems.is_empty() {
        failed.push("tidy");
    }
    eprintln!("== packages");
    if !packages::check(workspace)? {
        failed.push("packages");
    }
    for (name, arguments) in CARGO_CHECKS {
        eprintln!("== {name}");
        if !succeeds(cargo(workspace).args(arguments).env("RUSTDOCFLAGS", "-D warnings"))? {
            failed.push(name);
        }
    }
    match failed.as_slice() {
        [] => eprintln!("== all checks passed"),
        names => eprintln!("== failed: {}", names.join(", ")),
    }
    Ok(failed.is_empty())
}
