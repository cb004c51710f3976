//! The children of process 1. One thread reaps everything (orphans end here too), so nobody else
//! may wait for a child; whoever started one asks this table how it ended.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group};

/// How long the reaper rests when there is no child at all.
const IDLE: Duration = Duration::from_millis(200);

/// The children that somebody started and the ends that nobody has asked for yet.
#[derive(Debug, Default)]
struct State {
    live: HashSet<i32>,
    ended: HashMap<i32, i32>,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The children of process 1.
#[derive(Debug, Default)]
pub(super) struct Processes {
    state: Mutex<State>,
    changed: Condvar,
}

impl Processes {
    /// The table, with its reaper at work.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let processes = Arc::new(Self::default());
        let reaper = Arc::clone(&processes);
        thread::Builder::new().name("reaper".into()).spawn(move || reaper.reap())?;
        Ok(processes)
    }

    /// Starts a program. The lock is held meanwhile, so that its end cannot be reaped before it is known.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(Pid, Child)> {
        let mut state = self.locked();
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        state.live.insert(pid.as_raw_pid());
        self.changed.notify_all();
        Ok((pid, child))
    }

    /// Waits for its end: the exit code, or 128 + n after signal n.
    pub(super) fn wait(&self, pid: Pid) -> i32 {
        let mut state = self.locked();
        loop {
            if let Some(code) = state.ended.remove(&pid.as_raw_pid()) {
                return code;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it has ended, at most this long; its end is not taken.
    pub(super) fn ends_within(&self, pid: Pid, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.locked();
        while state.live.contains(&pid.as_raw_pid()) {
            let Some(rest) = until.checked_duration_since(Instant::now()) else { return false };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Runs a program to its end with this input.
    pub(super) fn output(&self, command: &mut Command, input: &str) -> io::Result<Finished> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (pid, child) = self.spawn(command)?;
        let read = talk(child, input);
        let code = self.wait(pid);
        let (stdout, stderr) = read?;
        Ok(Finished { code, stdout, stderr })
    }

    /// Signals a process, unless it has ended: its number may be another's by then.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        self.while_live(pid, || kill_process(pid, signal));
    }

    /// Signals its whole process group.
    pub(super) fn signal_group(&self, pid: Pid, signal: Signal) {
        self.while_live(pid, || kill_process_group(pid, signal));
    }

    /// Kills what a process left behind: bpm's container would end all of it with the first process.
    pub(super) fn kill_orphans(&self) {
        // Each round may orphan the children of the last; a chain is never deep.
        for _ in 0..16 {
            let orphans = self.orphans();
            if orphans.is_empty() {
                return;
            }
            for pid in orphans {
                // One that has ended by itself meanwhile is no matter.
                kill_process(pid, Signal::KILL).unwrap_or(());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The children of process 1 that nobody here started.
    fn orphans(&self) -> Vec<Pid> {
        let state = self.locked();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter(|pid| *pid != 1 && !state.live.contains(pid) && parent_if_alive(*pid) == Some(1))
            .filter_map(Pid::from_raw)
            .collect()
    }

    fn while_live(&self, pid: Pid, kill: impl FnOnce() -> rustix::io::Result<()>) {
        let state = self.locked();
        if state.live.contains(&pid.as_raw_pid())
            && let Err(error) = kill()
        {
            eprintln!("vm-init: signal to {pid:?}: {error}");
        }
    }

    fn reap(&self) {
        loop {
            // Only look: the end is collected below, under the lock.
            let seen = rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let mut state = self.locked();
            if seen.is_err() {
                // No child at all: sleep until there is one, or an orphan has come.
                drop(self.changed.wait_timeout(state, IDLE));
                continue;
            }
            while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
                let code = status.exit_status().or_else(|| Some(128 + status.terminating_signal()?));
                if let Some(code) = code
                    && state.live.remove(&pid.as_raw_pid())
                {
                    state.ended.insert(pid.as_raw_pid(), code);
                }
            }
            self.changed.notify_all();
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the input and reads both outputs.
fn talk(child: Child, input: &str) -> io::Result<(String, String)> {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    if let Some(mut stdin) = child.stdin {
        stdin.write_all(input.as_bytes())?;
    }
    let errors = child
        .stderr
        .map(|mut stream| thread::spawn(move || stream.read_to_string(&mut stderr).map(|_| stderr)));
    child.stdout.map_or(Ok(0), |mut stream| stream.read_to_string(&mut stdout))?;
    let stderr = errors.map_or_else(|| Ok(Ok(String::new())), thread::JoinHandle::join);
    Ok((stdout, stderr.map_err(|_| io::Error::other("the reader of stderr panicked"))??))
}

/// The parent of a process that is not a zombie.
fn parent_if_alive(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}
