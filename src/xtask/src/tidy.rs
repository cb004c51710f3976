//! `cargo xtask tidy`: the house rules, each a file of its own.
//!
//! | rule | what it refuses |
//! |---|---|
//! | `layer` | an arrow that points up or sideways, a library where it must not be linked |
//! | `wall` | files and functions that are too long, tests not counted |
//! | `smell` | what is half done or hides a failure: `unwrap` outside tests, forgotten notes, skipped tests |
//! | `errors` | a public function of the agent or of `remount-wal` that does not say how it fails |
//! | `lints` | a crate that does not inherit the workspace's lints (missing documentation is one of them), a test that never runs |
//! | `layout` | names at the top that nobody planned |
//! | `errand`, `property` | errands and jobs that disagree, properties that explain nothing |
//! | `readme` | dependencies that the README does not account for |
//! | `map` | a crate that is not on `src/ARCHITECTURE.md`, a file that is named there and does not exist |
//! | `citation` | a page or section that is cited and does not exist |
//! | `word` | private slang; the message has the standard term |

mod citations;
mod errors;
mod jobs;
mod layers;
mod layout;
mod lints;
mod map;
mod readme;
mod rust_source;
mod smells;
mod texts;
mod walls;
mod words;

#[cfg(test)]
mod planted;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::workspace::Workspace;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Relative to the top.
    pub(crate) path: PathBuf,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) text: String,
}

/// Collects problems of files below the top.
pub(crate) struct Report<'a> {
    root: &'a Path,
    problems: Vec<Problem>,
}

impl Report<'_> {
    /// Notes a problem at a line, counted from 1.
    pub(crate) fn add(&mut self, path: &Path, line: usize, rule: &'static str, text: impl Into<String>) {
        let path = path.strip_prefix(self.root).unwrap_or(path).to_owned();
        self.problems.push(Problem { path, line, rule, text: text.into() });
    }
}

/// Every problem of the workspace, sorted by place.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut report = Report { root: &workspace.root, problems: Vec::new() };
    layers::check(workspace, &mut report)?;
    lints::check(workspace, &mut report)?;
    layout::check(&workspace.root, &mut report)?;
    jobs::check(&workspace.root, &mut report)?;
    readme::check(&workspace.root, &mut report)?;
    map::check(workspace, &mut report)?;
    let texts = texts::of_repository(&workspace.root)?;
    citations::check(&workspace.root, &texts, &mut report);
    words::check(&texts, &mut report);
    for package in &workspace.packages {
        let manifest = read(&package.folder.join("Cargo.toml"))?.unwrap_or_default();
        let skips_unit_tests = lints::skips_unit_tests(&manifest);
        for source in rust_source::of_package(&package.folder)? {
            if skips_unit_tests {
                lints::check_no_unit_tests(&source, &mut report);
            }
            walls::check(&source, &mut report);
            smells::check(&source, &mut report);
            errors::check(&package.name, &source, &mut report);
        }
    }
    report.problems.sort();
    Ok(report.problems)
}

/// One line per problem, as compilers write them, so that editors find the place.
pub(crate) fn print_lines(problems: &[Problem]) {
    for problem in problems {
        println!("{}:{}: {}: {}", problem.path.display(), problem.line, problem.rule, problem.text);
    }
}

/// The problems as one JSON list.
pub(crate) fn print_json(problems: &[Problem]) -> Result<()> {
    let as_json = |problem: &Problem| json!({"path": problem.path, "line": problem.line, "rule": problem.rule, "text": problem.text});
    let list: Vec<_> = problems.iter().map(as_json).collect();
    let mut output = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut output, &list).context("write the problems")?;
    writeln!(output).context("write the problems")
}

/// The text of a file; none where it does not exist.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// What a folder holds, sorted; nothing where it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {}", folder.display())),
    };
    let paths: std::io::Result<Vec<_>> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.with_context(|| format!("list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// The last part of a path, as text.
fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
