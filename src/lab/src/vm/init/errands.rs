//! Errands: `bin/run` of a job, as root. What it prints is kept for the answer, as the agent does,
//! and also goes to `run.std{out,err}.log` while it runs, so that somebody can follow.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::layout;
use super::processes::Processes;
use super::scripts;
use crate::vm::protocol::ErrandResult;

/// How long a cancelled errand may take before it is killed.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// The errands that run, by the request that asked for them.
#[derive(Debug, Default)]
struct State {
    running: BTreeMap<u64, Pid>,
    /// Cancelled before they began.
    cancelled: HashSet<u64>,
}

/// The errands of one VM.
#[derive(Debug)]
pub(super) struct Errands {
    processes: Arc<Processes>,
    state: Mutex<State>,
}

impl Errands {
    pub(super) fn new(processes: Arc<Processes>) -> Self {
        Self { processes, state: Mutex::default() }
    }

    /// Runs the errand to its end.
    pub(super) fn run(&self, request: u64, job: &str) -> Result<ErrandResult, String> {
        let path = layout::job(job).join("bin/run");
        if !path.is_file() {
            return Err(format!("Could not find errand {job}"));
        }
        let failed = |error: io::Error| format!("Running errand script: {error}");
        let (pid, child) = self.begin(request, &path).map_err(failed)?;
        let printed = keep(job, child).map_err(failed);
        let exit_code = self.processes.wait(pid);
        self.locked().running.remove(&request);
        let (stdout, stderr) = printed?;
        Ok(ErrandResult { exit_code, stdout, stderr })
    }

    /// SIGTERM to the errand's process group, SIGKILL ten seconds later. Does not wait for its end.
    pub(super) fn cancel(&self, request: u64) {
        let Some(pid) = self.locked().running.get(&request).copied() else {
            self.locked().cancelled.insert(request);
            return;
        };
        self.processes.signal_group(pid, Signal::TERM);
        let processes = Arc::clone(&self.processes);
        let killer = move || {
            if !processes.ends_within(pid, CANCEL_GRACE) {
                processes.signal_group(pid, Signal::KILL);
            }
        };
        if let Err(error) = thread::Builder::new().name("cancel".into()).spawn(killer) {
            eprintln!("vm-init: no thread to kill a cancelled errand: {error}");
        }
    }

    fn begin(&self, request: u64, path: &std::path::Path) -> io::Result<(Pid, Child)> {
        let mut command = scripts::command(path, &BTreeMap::new());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = self.processes.spawn(&mut command)?;
        let early = {
            let mut state = self.locked();
            state.running.insert(request, started.0);
            state.cancelled.remove(&request)
        };
        if early {
            self.cancel(request);
        }
        Ok(started)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads both streams to their end.
fn keep(job: &str, child: Child) -> io::Result<(String, String)> {
    let logs = (scripts::log(job, "run.stdout.log")?, scripts::log(job, "run.stderr.log")?);
    let streams = (child.stdout.map(|s| (s, logs.0)), child.stderr.map(|s| (s, logs.1)));
    thread::scope(|scope| {
        let stderr = scope.spawn(|| streams.1.map_or(Ok(String::new()), |(from, log)| tee(from, log)));
        let stdout = streams.0.map_or(Ok(String::new()), |(from, log)| tee(from, log))?;
        let stderr = stderr.join().map_err(|_| io::Error::other("the reader of stderr panicked"))??;
        Ok((stdout, stderr))
    })
}

/// Copies a stream to a log as it comes and keeps it.
fn tee(mut from: impl Read, mut log: File) -> io::Result<String> {
    let (mut kept, mut piece) = (Vec::new(), [0; 8192]);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        log.write_all(&piece[..count])?;
        kept.extend_from_slice(&piece[..count]);
    }
}
