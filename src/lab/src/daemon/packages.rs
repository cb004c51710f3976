//! What lies below `/var/vcap/data/packages` on every VM; a job finds of it what its spec names.
//!
//! By default the programs that were built beside this one and Debian's PostgreSQL: quick, for tests. Or the trees
//! that `ci/compile-packages` leaves, which are what a Director would install.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The package of the server, as the job's `bin_directory` has it by default, and where Debian puts the same.
const POSTGRES: (&str, &str) = ("postgres-15", "/usr/lib/postgresql/15");
/// Below `/var/vcap`.
const INSTALLED: &str = "data/packages";
/// What no landscape does without, below a folder of packages.
const PROGRAMS: [&str; 4] = [
    "remount/bin/remount",
    "remount-agent/bin/remount-agent",
    "remount-agent/bin/remount-wal",
    "postgres-15/bin/postgres",
];

/// Path below `/var/vcap` => what appears there.
pub(super) type Binds = BTreeMap<PathBuf, PathBuf>;

/// The programs beside `program`, not optimised, and Debian's PostgreSQL.
pub(super) fn of_this_build(program: &Path) -> Result<Binds> {
    let binaries = program.parent().context("find the programs beside this one")?.to_owned();
    for name in ["remount", "remount-agent", "remount-wal"] {
        let path = binaries.join(name);
        ensure!(path.exists(), "{} is missing: `cargo build --workspace --bins`", path.display());
    }
    Ok(BTreeMap::from([
        (Path::new(INSTALLED).join("remount/bin"), binaries.clone()),
        (Path::new(INSTALLED).join("remount-agent/bin"), binaries),
        (Path::new(INSTALLED).join(POSTGRES.0), PathBuf::from(POSTGRES.1)),
    ]))
}

/// Every package of a folder, each a tree or a link to one.
pub(super) fn compiled(folder: &Path) -> Result<Binds> {
    for program in PROGRAMS {
        let path = folder.join(program);
        ensure!(path.exists(), "{} is missing: `ci/compile-packages` compiles the packages", path.display());
    }
    let mut binds = Binds::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let tree =
            fs::canonicalize(entry.path()).with_context(|| format!("follow {}", entry.path().display()))?;
        if tree.is_dir() {
            binds.insert(Path::new(INSTALLED).join(entry.file_name()), tree);
        }
    }
    Ok(binds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn a_package_is_a_tree_or_a_link_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let current = folder.join("current");
        for program in PROGRAMS {
            touch(&folder.join("cache").join(program));
        }
        fs::create_dir(&current).unwrap();
        for package in ["remount", "remount-agent"] {
            fs::rename(folder.join("cache").join(package), current.join(package)).unwrap();
        }
        std::os::unix::fs::symlink("../cache/postgres-15", current.join("postgres-15")).unwrap();
        let root = fs::canonicalize(folder).unwrap();
        let expected = BTreeMap::from([
            (PathBuf::from("data/packages/postgres-15"), root.join("cache/postgres-15")),
            (PathBuf::from("data/packages/remount"), root.join("current/remount")),
            (PathBuf::from("data/packages/remount-agent"), root.join("current/remount-agent")),
        ]);
        assert_eq!(compiled(&current).unwrap(), expected);
    }

    #[test]
    fn a_folder_without_a_program_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for program in PROGRAMS.iter().filter(|program| !program.contains("wal")) {
            touch(&folder.path().join(program));
        }
        let error = compiled(folder.path()).unwrap_err().to_string();
        assert!(error.contains("remount-agent/bin/remount-wal is missing"), "{error}");
    }
}
