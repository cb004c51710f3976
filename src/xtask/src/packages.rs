//! `cargo xtask packages`: what each BOSH package is compiled with, in `src/packages/<package>`.
//!
//! A package sees the files that its spec names, and `cargo build --locked` refuses a lock file that names a crate
//! too many. So each package has a manifest, a lock file and the manifests of its crates of its own, all written from
//! the workspace's: the package's programs, the crates that they link, and the libraries that those link. What only
//! tests need, and what only another package needs, is in none of them: a change there leaves the package's
//! fingerprint as it was, and restarts nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::command::cargo_in;
use crate::workspace::{Kind, Package, Workspace};

/// Each BOSH package and the crates of its programs.
const PACKAGES: [(&str, &[&str]); 2] = [
    ("remount", &["remount-cli", "remount-scheduler"]),
    ("remount-agent", &["remount-agent", "remount-wal"]),
];

/// Where the packages' manifests and lock files lie.
const FOLDER: &str = "src/packages";

/// Writes `src/packages`: the manifests and lock file that each BOSH package is compiled with.
#[derive(Args)]
pub(crate) struct Packages {
    /// Only says which files are not what the workspace says
    #[arg(long)]
    check: bool,
}

impl Packages {
    /// Whether all files are right at the end.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<bool> {
        if self.check {
            return check(workspace);
        }
        for (path, text) in stale(workspace)? {
            println!("{path}");
            let path = workspace.root.join(path);
            match text {
                Some(text) => write(&path, &text)?,
                None => fs::remove_file(&path).with_context(|| format!("delete {}", path.display()))?,
            }
        }
        Ok(true)
    }
}

/// Names the files that are not what the workspace says; whether there is none.
pub(crate) fn check(workspace: &Workspace) -> Result<bool> {
    let stale = stale(workspace)?;
    for path in stale.keys() {
        println!(
            "{path}:1: package: not what the workspace says: run `cargo xtask packages` and `scripts/vendor --record`"
        );
    }
    Ok(stale.is_empty())
}

/// The files that have to be written, with their text, or deleted.
fn stale(workspace: &Workspace) -> Result<BTreeMap<String, Option<String>>> {
    let mut stale = BTreeMap::new();
    for (name, programs) in PACKAGES {
        let folder = format!("{FOLDER}/{name}");
        let wanted = files(workspace, name, programs).with_context(|| format!("package {name}"))?;
        for (file, text) in &wanted {
            let there = fs::read_to_string(workspace.root.join(&folder).join(file)).ok();
            if there.as_ref() != Some(text) {
                stale.insert(format!("{folder}/{file}"), Some(text.clone()));
            }
        }
        let there = manifests_below(&workspace.root.join(&folder))?;
        let gone = there.into_iter().filter(|file| !wanted.contains_key(file));
        stale.extend(gone.map(|file| (format!("{folder}/{file}"), None)));
    }
    Ok(stale)
}

/// What a package's folder has to hold: path below it => text.
fn files(workspace: &Workspace, name: &str, programs: &[&str]) -> Result<BTreeMap<String, String>> {
    let members = linked(workspace, programs);
    let source = fs::read_to_string(workspace.root.join("Cargo.toml")).context("read Cargo.toml")?;
    let mut files = BTreeMap::new();
    for member in &members {
        let path = member.folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        files.insert(format!("src/{}/Cargo.toml", folder_of(member)), without_tests(&text));
    }
    files.insert("Cargo.toml".into(), manifest(name, &source, &members, |_| false));
    let lock = lock(workspace, &members, &files)?;
    let is_locked = |library: &str| lock.contains(&format!("\nname = \"{library}\"\n"));
    files.insert("Cargo.toml".into(), manifest(name, &source, &members, is_locked));
    files.insert("Cargo.lock".into(), lock);
    Ok(files)
}

/// The crates of ours that these programs link, themselves among them, by their folders' names.
fn linked<'a>(workspace: &'a Workspace, programs: &[&str]) -> Vec<&'a Package> {
    let mut open: Vec<&str> = programs.to_vec();
    let mut found = BTreeMap::new();
    while let Some(name) = open.pop() {
        let Some(package) = workspace.packages.iter().find(|package| package.name == name) else {
            continue;
        };
        if found.insert(folder_of(package), package).is_none() {
            let ours = package.dependencies.iter().filter(|d| d.ours && d.kind == Kind::Linked);
            open.extend(ours.map(|dependency| dependency.name.as_str()));
        }
    }
    found.into_values().collect()
}

fn folder_of(package: &Package) -> &str {
    package.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A package's manifest: the workspace's, with these members and what they link. `is_locked` says whether the lock
/// file has a library: a profile for another one is left out.
fn manifest(name: &str, source: &str, members: &[&Package], is_locked: impl Fn(&str) -> bool) -> String {
    let linked = members.iter().flat_map(|member| &member.dependencies).filter(|d| d.kind == Kind::Linked);
    let linked: BTreeSet<&str> = linked.map(|dependency| dependency.name.as_str()).collect();
    let mut text = format!(
        "# The BOSH package `{name}`. `cargo xtask packages` writes this file from src/workspace/Cargo.toml: change that.\n\
         [workspace]\nresolver = {}\nmembers = [\n",
        value_of(source, "[workspace]", "resolver").unwrap_or("\"3\"")
    );
    for member in members {
        text += &format!("    \"src/{}\",\n", folder_of(member));
    }
    text += "]\n";
    for (header, body) in sections(source) {
        let body = match header {
            "[workspace.dependencies]" => linked_entries(&body, &linked),
            "[workspace.package]" | "[profile.release]" => body.join("\n"),
            _ if is_profile_of(header, &is_locked) => body.join("\n"),
            _ => continue,
        };
        text += &format!("\n{header}\n{body}\n");
    }
    text + "\n# The crates inherit lints; they were checked before the release was made.\n[workspace.lints]\n"
}

/// Whether a section is the release profile of a library that the package links.
fn is_profile_of(header: &str, is_locked: impl Fn(&str) -> bool) -> bool {
    let library = header.strip_prefix("[profile.release.package.").and_then(|rest| rest.strip_suffix(']'));
    library.map(|name| name.trim_matches('"')).is_some_and(|name| name == "*" || is_locked(name))
}

/// The sections of a manifest: header and the lines that are neither empty nor a comment.
fn sections(manifest: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in manifest.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match sections.last_mut() {
            _ if line.starts_with('[') => sections.push((line, Vec::new())),
            Some((_, lines)) => lines.push(line),
            None => {}
        }
    }
    sections
}

/// Those entries that the package links.
fn linked_entries(lines: &[&str], linked: &BTreeSet<&str>) -> String {
    let linked = entries(lines).into_iter().filter(|(name, _)| linked.contains(name));
    linked.map(|(_, text)| text).collect::<Vec<_>>().join("\n")
}

/// The entries of a section: name and text, which may go over several lines.
fn entries<'a>(lines: &[&'a str]) -> Vec<(&'a str, String)> {
    let mut entries: Vec<(&str, String)> = Vec::new();
    for line in lines {
        match entries.last_mut() {
            Some((_, text)) if !line.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                *text += &format!("\n{line}")
            }
            _ => entries.push((line.split([' ', '=', '.']).next().unwrap_or_default(), (*line).to_owned())),
        }
    }
    entries
}

fn value_of<'a>(manifest: &'a str, header: &str, key: &str) -> Option<&'a str> {
    let (_, lines) = sections(manifest).into_iter().find(|(found, _)| *found == header)?;
    lines.iter().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('=').map(str::trim))
}

/// A crate's manifest without its dev-dependencies.
fn without_tests(manifest: &str) -> String {
    let mut text = String::new();
    let mut skips = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            skips = line.starts_with("[dev-dependencies");
        }
        if !skips {
            text += line;
            text.push('\n');
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// The workspace's lock file, without what these manifests do not need. No version changes on the way.
fn lock(workspace: &Workspace, members: &[&Package], files: &BTreeMap<String, String>) -> Result<String> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let folder = folder.path();
    for (file, text) in files {
        write(&folder.join(file), text)?;
    }
    for member in members {
        let link = folder.join("src").join(folder_of(member)).join("src");
        std::os::unix::fs::symlink(member.folder.join("src"), &link)
            .with_context(|| format!("link {}", link.display()))?;
    }
    let whole = fs::read_to_string(workspace.root.join("Cargo.lock")).context("read Cargo.lock")?;
    write(&folder.join("Cargo.lock"), &whole)?;
    let output = cargo_in(folder).args(["update", "--workspace", "--offline", "--quiet"]).output();
    let output = output.context("start cargo update")?;
    ensure!(output.status.success(), "cargo update: {}", String::from_utf8_lossy(&output.stderr).trim());
    let lock = fs::read_to_string(folder.join("Cargo.lock")).context("read the package's Cargo.lock")?;
    let foreign: Vec<_> = libraries(&lock).difference(&libraries(&whole)).copied().collect();
    ensure!(foreign.is_empty(), "not as the workspace has them: {}", foreign.join(", "));
    Ok(lock)
}

/// Name, version and checksum of everything in a lock file, as one text each.
fn libraries(lock: &str) -> BTreeSet<&str> {
    let of_registry = |part: &&str| part.contains("\nchecksum = ");
    let parts = lock.split("\n\n").filter(of_registry);
    parts.map(|part| part.split("\ndependencies = ").next().unwrap_or(part)).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Every file of a package's folder, by its path below it.
fn manifests_below(folder: &Path) -> Result<Vec<String>> {
    let mut open = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(part) = open.pop() {
        let Ok(entries) = fs::read_dir(folder.join(&part)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let path = part.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(path);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const WORKSPACE: &str = r#"# Comment.
[workspace]
resolver = "3"
members = [
    "src/agent",
    "src/lab",
]

[workspace.package]
version = "0.1.0"

[workspace.dependencies]
remount-core = { path = "src/core" }
# A comment about one of them.
opendal = { version = "0.59", features = [
    "services-fs",
] }
serde = "1"

[workspace.lints.rust]
unsafe_code = "deny"

[profile.dev]
debug = false

[profile.release]
lto = "thin"

[profile.release.package.opendal]
opt-level = 0
"#;

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependency = |(name, kind): &(&str, Kind)| Dependency {
            name: (*name).into(),
            kind: *kind,
            ours: name.starts_with("remount-"),
        };
        Package {
            name: name.into(),
            folder: PathBuf::from("/x/src").join(name.trim_start_matches("remount-")),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn workspace() -> Workspace {
        let agent = package("remount-agent", &[("remount-core", Kind::Linked), ("remount-lab", Kind::Tests)]);
        let core = package("remount-core", &[("opendal", Kind::Linked), ("proptest", Kind::Tests)]);
        let lab = package("remount-lab", &[("serde", Kind::Linked), ("remount-core", Kind::Linked)]);
        Workspace { root: PathBuf::from("/x"), packages: vec![agent, core, lab] }
    }

    #[test]
    fn a_package_has_what_its_programs_link_and_nothing_that_tests_need() {
        let workspace = workspace();
        let members = linked(&workspace, &["remount-agent"]);
        let names: Vec<_> = members.iter().map(|member| folder_of(member)).collect();
        assert_eq!(names, ["agent", "core"]);
        let manifest = manifest("remount-agent", WORKSPACE, &members, |name| name == "opendal");
        assert_eq!(
            manifest,
            r#"# The BOSH package `remount-agent`. `cargo xtask packages` writes this file from src/workspace/Cargo.toml: change that.
[workspace]
resolver = "3"
members = [
    "src/agent",
    "src/core",
]

[workspace.package]
version = "0.1.0"

[workspace.dependencies]
remount-core = { path = "src/core" }
opendal = { version = "0.59", features = [
    "services-fs",
] }

[profile.release]
lto = "thin"

[profile.release.package.opendal]
opt-level = 0

# The crates inherit lints; they were checked before the release was made.
[workspace.lints]
"#
        );
    }

    #[test]
    fn what_only_others_link_changes_no_manifest() {
        let workspace = workspace();
        let members = linked(&workspace, &["remount-agent"]);
        let changed = WORKSPACE
            .replace("serde = \"1\"", "serde = \"2\"\naws-sdk-ec2 = \"1\"")
            .replace("\"src/lab\"", "\"src/lab\",\n    \"src/fleet\"")
            .replace("unsafe_code = \"deny\"", "unsafe_code = \"warn\"")
            .replace(
                "[profile.release]",
                "[profile.release.package.aws-sdk-ec2]\nopt-level = 0\n\n[profile.release]",
            );
        let of = |source: &str| manifest("remount-agent", source, &members, |name| name == "opendal");
        assert_eq!(of(&changed), of(WORKSPACE));
        assert_ne!(of(&WORKSPACE.replace("0.59", "0.60")), of(WORKSPACE));
    }

    #[test]
    fn dev_dependencies_are_left_out_wherever_they_stand() {
        let manifest = "[package]\nname = \"a\"\n\n[dev-dependencies]\nb = \"1\"\n\n[features]\nhttp = []\n\n[dev-dependencies.c]\nversion = \"1\"\n";
        assert_eq!(without_tests(manifest), "[package]\nname = \"a\"\n\n[features]\nhttp = []\n");
    }

    #[test]
    fn a_library_of_another_version_is_seen() {
        let of = |version: &str| {
            format!(
                "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"{version}\"\nchecksum = \"x\"\ndependencies = [\n \"b\",\n]\n"
            )
        };
        let (old, new) = (of("1"), of("2"));
        assert_eq!(libraries(&new).difference(&libraries(&old)).count(), 1);
        assert_eq!(libraries(&old), libraries(&of("1").replace(" \"b\",\n", "")));
    }
}
