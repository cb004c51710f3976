//! The folder of a landscape: what lies where in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bosh::Access;

/// The folder of a landscape.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// The image that holds all disks.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.0.join("cloud.xfs")
    }

    /// Where the image is mounted: disks and snapshots.
    #[must_use]
    pub fn cloud(&self) -> PathBuf {
        self.0.join("cloud")
    }

    /// The object store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What the daemon logs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("daemon.log")
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.0.join("daemon.pid")
    }

    fn access_file(&self) -> PathBuf {
        self.0.join("director.json")
    }

    /// How to reach the Director.
    ///
    /// # Errors
    /// The landscape is not up.
    pub fn access(&self) -> Result<Access> {
        let file = self.access_file();
        let text = fs::read_to_string(&file)
            .with_context(|| format!("no landscape is up in {}: run `remount-lab up`", self.0.display()))?;
        serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))
    }

    /// Keeps how to reach the Director, for root's eyes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_access(&self, access: &Access) -> Result<()> {
        let text = serde_json::to_string(access)?;
        write_private(&self.access_file(), &text).context("keep the Director's address")
    }

    /// The process id of a daemon that lives.
    #[must_use]
    pub fn running(&self) -> Option<i32> {
        let pid: i32 = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let program = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        program.contains("remount-lab").then_some(pid)
    }

    /// Makes the folder, empty: what a killed landscape left is removed. Mounts it cannot have left: they were in
    /// its own mount namespace.
    ///
    /// # Errors
    /// A landscape is up in it, or the folder holds what is not a landscape's.
    pub fn prepare(&self) -> Result<()> {
        if let Some(pid) = self.running() {
            anyhow::bail!(
                "a landscape is already up in {} (process {pid}): `remount-lab down`",
                self.0.display()
            );
        }
        self.remove()?;
        for path in [self.0.clone(), self.cloud(), self.store()] {
            fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(self.0.join(MARKER), "").context("mark the folder")?;
        reachable_by_everyone(&self.0)
    }

    /// Removes the folder, if it is a landscape's.
    ///
    /// # Errors
    /// It is not, or cannot be removed.
    pub fn remove(&self) -> Result<()> {
        let empty = fs::read_dir(&self.0).map_or(true, |mut entries| entries.next().is_none());
        if empty {
            return Ok(());
        }
        let ours = self.0.join(MARKER).exists();
        anyhow::ensure!(
            ours,
            "{} holds files that are no landscape's: choose another --dir",
            self.0.display()
        );
        fs::remove_dir_all(&self.0).with_context(|| format!("remove {}", self.0.display()))
    }
}

/// Writes what is for root's eyes.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    open.write_all(text.as_bytes()).with_context(|| format!("write {}", file.display()))
}

/// Tells a landscape's folder from others.
const MARKER: &str = ".remount-lab";

/// PostgreSQL and the agent run as vcap, and the store lies here: every folder above must let them through.
fn reachable_by_everyone(folder: &Path) -> Result<()> {
    for above in folder.ancestors() {
        let mode =
            fs::metadata(above).with_context(|| format!("look at {}", above.display()))?.permissions().mode();
        anyhow::ensure!(
            mode & 0o001 != 0,
            "{} cannot be entered by the user vcap: choose a --dir outside of it, or `chmod o+x` it",
            above.display()
        );
    }
    Ok(())
}
