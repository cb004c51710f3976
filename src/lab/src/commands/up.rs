//! `remount-lab up` and `down`, and the daemon between them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::control::{self, Request};
use crate::daemon::{self, Shape};
use crate::folder::Folder;
use crate::vm::loops;

/// How long a landscape may take to go down.
const DOWN_LIMIT: Duration = Duration::from_secs(60);
/// A disk without data to speak of, in GiB.
const DISK_GIB: u64 = 4;
/// The line by which the daemon says that it is ready.
const READY: &str = "ready";

/// Brings a landscape up.
#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    shape: ShapeArguments,
    /// Fill each cluster with this much data, in GiB.
    #[arg(long, default_value_t = 0)]
    data_gib: u32,
}

/// What the landscape is to be.
#[derive(Clone, Debug, Args)]
struct ShapeArguments {
    /// Clusters (pg-0001, pg-0002, …), each a primary and a standby.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    deployments: u32,
    /// Size of each instance's persistent disk, in GiB; without it twice the data and 4.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=512))]
    disk_gib: Option<u64>,
    /// The release to deploy.
    #[arg(long, default_value = env!("CARGO_MANIFEST_DIR"), value_parser = release_dir)]
    release: std::path::PathBuf,
    /// Compiled packages, as `ci/compile-packages` leaves them; without it the programs of this build and Debian's
    /// PostgreSQL.
    #[arg(long, value_name = "DIR", value_parser = super::existing_dir)]
    packages: Option<std::path::PathBuf>,
}

/// The release's folder: where `jobs/` is. The default is found from this crate's own.
fn release_dir(text: &str) -> Result<std::path::PathBuf, String> {
    let given = std::path::Path::new(text);
    let found = given.ancestors().find(|folder| folder.join("jobs/postgres/spec").exists());
    found.map(std::path::Path::to_owned).ok_or_else(|| format!("{text} is no release: it has no jobs/"))
}

impl Up {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        anyhow::ensure!(rustix::process::geteuid().is_root(), "run this as root: it mounts disks");
        folder.prepare()?;
        let began = Instant::now();
        let mut daemon = self.spawn(folder)?;
        let lines = BufReader::new(daemon.stdout.take().context("read the daemon's progress")?).lines();
        for line in lines {
            let line = line.context("read the daemon's progress")?;
            if line == READY {
                eprintln!(
                    "up after {:.1} s: remount-lab --dir {} status",
                    began.elapsed().as_secs_f64(),
                    folder.0.display()
                );
                return super::fill::fill_clusters(folder, self.shape.deployments, self.data_gib);
            }
            eprintln!("{line}");
        }
        let status = daemon.wait().context("wait for the daemon")?;
        bail!("the landscape did not come up ({status}); its log is {}", folder.log().display())
    }

    /// A process of its own session and mount namespace. Everything it mounts goes with it, even by `kill -9`.
    fn spawn(&self, folder: &Folder) -> Result<Child> {
        let disk_gib = self.shape.disk_gib.unwrap_or(u64::from(self.data_gib) * 2 + DISK_GIB);
        let log = log_file(folder)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command
            .arg(std::env::current_exe().context("find this program")?)
            .arg("--dir")
            .arg(&folder.0)
            .arg("daemon");
        command.args(["--deployments", &self.shape.deployments.to_string()]);
        command.args(["--disk-gib", &disk_gib.to_string()]).arg("--release").arg(&self.shape.release);
        if let Some(packages) = &self.shape.packages {
            command.arg("--packages").arg(packages);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).current_dir("/").process_group(0);
        command.spawn().context("run unshare (package util-linux)")
    }
}

fn log_file(folder: &Folder) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(folder.log());
    file.with_context(|| format!("open {}", folder.log().display()))
}

/// The daemon.
#[derive(Debug, Args)]
pub(super) struct Daemon {
    #[command(flatten)]
    shape: ShapeArguments,
}

impl Daemon {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let shape = Shape {
            deployments: self.shape.deployments,
            disk_mib: self.shape.disk_gib.unwrap_or(DISK_GIB) * 1024,
            release: self.shape.release.clone(),
            packages: self.shape.packages.clone(),
        };
        daemon::run(folder, &shape)
    }
}

/// Takes the landscape down and removes its folder. One that was killed is removed just the same.
pub(super) fn down(folder: &Folder) -> Result<()> {
    if let Some(pid) = folder.running() {
        if let Err(error) = control::ask(&folder.socket(), &Request::Down) {
            log::warn!(error:?; "the daemon does not answer and is killed");
            daemon::kill(pid)?;
        }
        let deadline = Instant::now() + DOWN_LIMIT;
        while folder.running().is_some() {
            anyhow::ensure!(Instant::now() < deadline, "process {pid} does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    // Until then the disks' room is not free again.
    loops::wait_released_file(&folder.image(), DOWN_LIMIT).context("wait for the disks' image")?;
    folder.remove()
}
