//! The daemon of a landscape: the machine's CPI and agents, the Director before them, and the deployments.
//!
//! It lives in a mount namespace of its own. When it ends, by whatever signal, the kernel ends its VMs
//! (they die with their parent) and takes the mounts and loop devices away; what is left is a folder.

mod addresses;
mod deployments;
mod manifest;
mod packages;
mod requests;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::control;
use crate::folder::Folder;
use crate::xfs;

/// The size of the image that holds all disks: sparse, so that it costs only what is written.
const IMAGE_GIB: u64 = 300;

/// What the landscape is to be.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Clusters.
    pub deployments: u32,
    /// Size of each persistent disk, in MiB.
    pub disk_mib: u64,
    /// The release's folder.
    pub release: PathBuf,
    /// Compiled packages; without them the programs of this build and Debian's PostgreSQL.
    pub packages: Option<PathBuf>,
}

/// Runs the landscape until it is told to end.
///
/// # Errors
/// It could not be brought up.
pub fn run(folder: &Folder, shape: &Shape) -> Result<()> {
    fs::write(folder.pid_file(), std::process::id().to_string()).context("keep the daemon's process id")?;
    println!("disks: a reflink XFS in {}", folder.image().display());
    xfs::make_image(&folder.image(), IMAGE_GIB).context("make the image for the disks")?;
    xfs::mount_privately(&folder.image(), &folder.cloud()).context("mount the image for the disks")?;
    let landscape = Arc::new(deployments::bring_up(folder, shape)?);
    let listener = UnixListener::bind(folder.socket()).context("open the control socket")?;
    fs::set_permissions(folder.socket(), fs::Permissions::from_mode(0o600))?;
    println!("ready");
    for stream in listener.incoming() {
        let stream = stream.context("accept a command")?;
        let landscape = Arc::clone(&landscape);
        std::thread::spawn(move || {
            if let Err(error) = control::serve(stream, |request| requests::answer(&landscape, request)) {
                log::warn!(error:?; "a command got no answer");
            }
        });
    }
    Ok(())
}

/// Ends a daemon that does not answer.
///
/// # Errors
/// There is no such process.
pub fn kill(pid: i32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).context("0 is no process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).context("kill the daemon")
}
