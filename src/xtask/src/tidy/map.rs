//! `src/ARCHITECTURE.md` is a map of the code: a row for each crate, and every file that it names is there.
//!
//! A row is `` | `src/core` | what it is for | what is never true | `src/core/src/lib.rs` | ``: the last cell names the
//! file to read first.

use std::path::Path;

use anyhow::Result;

use super::{Report, read};
use crate::workspace::Workspace;

const MAP: &str = "src/ARCHITECTURE.md";
const RULE: &str = "map";

/// Compares the map with the workspace and with the files.
pub(super) fn check(workspace: &Workspace, report: &mut Report<'_>) -> Result<()> {
    let path = workspace.root.join(MAP);
    let Some(map) = read(&path)? else {
        report.add(&path, 1, RULE, "there is no map of the code");
        return Ok(());
    };
    let folders: Vec<String> = workspace
        .packages
        .iter()
        .filter_map(|package| package.folder.strip_prefix(&workspace.root).ok())
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect();
    for folder in &folders {
        let Some((line, row)) = rows(&map).find(|(_, row)| crate_of(row) == Some(folder.as_str())) else {
            report.add(&path, 1, RULE, format!("`{folder}` is not on the map: give it a row"));
            continue;
        };
        check_row(folder, line, row, &path, report);
    }
    for (index, line) in map.lines().enumerate() {
        for name in named_files(&workspace.root, line) {
            if !workspace.root.join(name).exists() {
                report.add(&path, index + 1, RULE, format!("there is no `{name}`"));
            }
        }
    }
    Ok(())
}

/// The rows of all tables, with their line.
fn rows(map: &str) -> impl Iterator<Item = (usize, &str)> {
    map.lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| `src/"))
        .map(|(index, line)| (index + 1, line))
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

fn crate_of(row: &str) -> Option<&str> {
    code_spans(cells(row).first()?).next()
}

fn check_row(folder: &str, line: usize, row: &str, path: &Path, report: &mut Report<'_>) {
    let cells = cells(row);
    if cells.len() != 4 || cells.iter().any(|cell| cell.is_empty()) {
        report.add(
            path,
            line,
            RULE,
            format!("the row of `{folder}` says what it is for, what is never true, and what to read first"),
        );
        return;
    }
    let starts_inside = code_spans(cells[3]).any(|file| file.starts_with(&format!("{folder}/")));
    if !starts_inside {
        report.add(path, line, RULE, format!("the row of `{folder}` names no file of it to read first"));
    }
}

/// Paths from the top or from `src/`, in backticks. Patterns and placeholders are none.
fn named_files<'a>(root: &'a Path, line: &'a str) -> impl Iterator<Item = &'a str> {
    let is_path = |span: &&str| {
        let first = span.split('/').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
        span.contains('/') && !first.is_empty() && span.chars().all(plain) && root.join(first).is_dir()
    };
    code_spans(line).filter(is_path)
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
