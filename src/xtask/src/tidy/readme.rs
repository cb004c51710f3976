//! The README accounts for every dependency: a table under the heading `Dependencies`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::{Report, read};

/// Compares the table with the workspace manifest.
pub(super) fn check(root: &Path, report: &mut Report<'_>) -> Result<()> {
    let path = root.join("README.md");
    let Some(readme) = read(&path)? else {
        report.add(&path, 1, "readme", "there is no README.md");
        return Ok(());
    };
    let is_heading = |line: &str| line.starts_with('#') && line.trim_matches(['#', ' ']) == "Dependencies";
    let Some(heading) = readme.lines().position(is_heading) else {
        report.add(&path, 1, "readme", "there is no section `Dependencies`");
        return Ok(());
    };
    let section = readme.lines().skip(heading + 1).take_while(|line| !line.starts_with('#'));
    let listed: BTreeSet<&str> = section.filter(|line| line.starts_with('|')).flat_map(names).collect();
    let manifest = root.join("Cargo.toml");
    for name in external(&read(&manifest)?.unwrap_or_default()) {
        if !listed.contains(name) {
            report.add(&path, heading + 1, "readme", format!("the table does not list `{name}`"));
        }
    }
    Ok(())
}

/// The names in a row's first cell: one row may account for a family.
fn names(row: &str) -> impl Iterator<Item = &str> {
    let first_cell = row.trim_start_matches('|').split('|').next().unwrap_or_default();
    first_cell.split([' ', ',']).map(|name| name.trim_matches(['`', '*'])).filter(|name| !name.is_empty())
}

/// The workspace's dependencies that are not its own crates.
fn external(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = super::lints::section(manifest, "[workspace.dependencies]");
    lines.filter(|line| !line.contains("path =")).filter_map(|line| {
        let (name, _) = line.split_once([' ', '=', '.'])?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (!name.is_empty() && name.bytes().all(plain)).then_some(name)
    })
}
