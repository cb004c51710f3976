//! The top level: what a BOSH operator expects, what tools insist on, nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::{Report, entries, name_of, read};

/// The names allowed at the top besides dot-files.
const ALLOWED: [&str; 16] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "NOTICE",
    "README.md",
    "ci",
    "config",
    "docs",
    "errands",
    "jobs",
    "manifests",
    "packages",
    "rust-toolchain.toml",
    "scripts",
    "spec",
    "src",
];

/// The manifests at the top are links, because a BOSH package sees only `src/` and `blobs/`.
const LINKS: [(&str, &str); 2] =
    [("Cargo.lock", "src/workspace/Cargo.lock"), ("Cargo.toml", "src/workspace/Cargo.toml")];

/// Checks the names at the top; what `.gitignore` names is not looked at.
pub(super) fn check(root: &Path, report: &mut Report<'_>) -> Result<()> {
    let ignored = read(&root.join(".gitignore"))?.unwrap_or_default();
    let ignored: BTreeSet<&str> = ignored.lines().map(|line| line.trim().trim_matches('/')).collect();
    for path in entries(root)? {
        let name = name_of(&path);
        if !name.starts_with('.') && !ALLOWED.contains(&name) && !ignored.contains(name) {
            report.add(&path, 1, "layout", format!("`{name}` has no place at the top level"));
        }
    }
    for (name, target) in LINKS {
        let path = root.join(name);
        if std::fs::read_link(&path).ok().as_deref() != Some(Path::new(target)) {
            report.add(&path, 1, "layout", format!("`{name}` has to be a link to `{target}`"));
        }
    }
    Ok(())
}
