//! Writes to a folder that happen, and whose writer gets an error all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::super::cluster::Cluster;

/// How long `strace` may take to get hold of a process.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// A process whose writes to a folder happen and are not answered for.
#[derive(Debug)]
pub struct Unanswered {
    strace: Child,
    said: PathBuf,
}

impl Unanswered {
    /// Gets hold of a process and all its threads. Each thread's first sync of the folder fails.
    ///
    /// # Errors
    /// `strace` cannot be run, or does not get hold of it in time.
    pub async fn begin(cluster: &Cluster, folder: &Path, process: i32) -> Result<Self> {
        let said = cluster.folder.0.join("strace.log");
        let log = fs::File::create(&said).context("make strace's log")?;
        let strace = Command::new("strace")
            .args(["-f", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "-P"])
            .arg(folder)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("run strace (package strace)")?;
        let mut unanswered = Self { strace, said };
        let deadline = Instant::now() + ATTACH_LIMIT;
        while !unanswered.said()?.contains("attached") {
            ensure!(unanswered.strace.try_wait()?.is_none(), "strace ended: {}", unanswered.said()?);
            ensure!(Instant::now() < deadline, "strace did not get hold of process {process}");
            sleep(POLL).await;
        }
        Ok(unanswered)
    }

    fn said(&self) -> Result<String> {
        fs::read_to_string(&self.said).context("read strace's log")
    }

    /// Lets go.
    ///
    /// # Errors
    /// No answer was lost: nothing was proved.
    pub async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.strace.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).context("end strace")?;
        }
        self.strace.wait().await.context("wait for strace")?;
        ensure!(self.said()?.contains("INJECTED"), "no answer was lost: {}", self.said()?);
        Ok(())
    }
}
