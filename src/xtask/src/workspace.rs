//! The workspace as cargo sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The top of the repository.
    pub(crate) root: PathBuf,
    /// Its packages.
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a package depends on.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it is a package of the workspace.
    pub(crate) ours: bool,
}

/// What a dependency is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The package itself or its build script.
    Linked,
    /// Its tests.
    Tests,
}

impl Workspace {
    /// The workspace that holds the current folder.
    pub(crate) fn around_here() -> Result<Self> {
        Self::at(&std::env::current_dir().context("find the current folder")?)
    }

    /// The workspace that holds the folder. Reads manifests only: no network, no lock file.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(folder);
        let output = command.output().context("start cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata = serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
        Self::read(&metadata).context("cargo metadata has not the form expected")
    }

    fn read(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let packages = metadata["packages"].as_array()?.iter().map(read_package).collect::<Option<_>>()?;
        Some(Self { root, packages })
    }
}

fn read_package(package: &Value) -> Option<Package> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let dependencies = package["dependencies"].as_array()?.iter().map(read_dependency);
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        folder: manifest.parent()?.to_owned(),
        dependencies: dependencies.collect::<Option<_>>()?,
    })
}

fn read_dependency(dependency: &Value) -> Option<Dependency> {
    let kind = if dependency["kind"].as_str() == Some("dev") { Kind::Tests } else { Kind::Linked };
    let name = dependency["name"].as_str()?.to_owned();
    Some(Dependency { name, kind, ours: dependency["path"].is_string() })
}
