//! Every crate inherits the workspace's lints, so that rustc and clippy check what they can check best.

use anyhow::Result;

use super::rust_source::RustSource;
use super::{Report, read};
use crate::workspace::Workspace;

/// Lints that the workspace has to have.
const DEMANDED: [&str; 3] = ["missing_docs", "unsafe_code", "unwrap_used"];

/// Checks the manifests.
pub(super) fn check(workspace: &Workspace, report: &mut Report<'_>) -> Result<()> {
    for package in &workspace.packages {
        let manifest = package.folder.join("Cargo.toml");
        let text = read(&manifest)?.unwrap_or_default();
        let inherits = section(&text, "[lints]").any(|line| line.replace(' ', "") == "workspace=true");
        if !inherits {
            let told = "does not inherit the lints: add `[lints]` with `workspace = true`";
            report.add(&manifest, 1, "lints", told);
        }
    }
    let manifest = workspace.root.join("Cargo.toml");
    let text = read(&manifest)?.unwrap_or_default();
    for lint in DEMANDED {
        let set = |section_name| section(&text, section_name).any(|line| line.starts_with(lint));
        if !set("[workspace.lints.rust]") && !set("[workspace.lints.clippy]") {
            report.add(&manifest, 1, "lints", format!("the workspace does not set `{lint}`"));
        }
    }
    Ok(())
}

/// Whether the manifest keeps the library's own tests from being built: they would prove nothing.
pub(super) fn skips_unit_tests(manifest: &str) -> bool {
    section(manifest, "[lib]").any(|line| line.replace(' ', "") == "test=false")
}

/// Checks a file of such a crate: its tests belong into `tests/`.
pub(super) fn check_no_unit_tests(source: &RustSource, report: &mut Report<'_>) {
    if let Some((at, _)) = source.code.match_indices("#[cfg(test)]").next() {
        let told =
            "this crate's `[lib]` has `test = false`, so that this test never runs: move it to `tests/`";
        report.add(&source.path, source.line_of(at), "lints", told);
    }
}

/// The lines of one section of a manifest, trimmed.
pub(super) fn section<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    let after = manifest.lines().map(str::trim).skip_while(move |line| *line != header).skip(1);
    after.take_while(|line| !line.starts_with('['))
}
