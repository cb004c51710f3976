//! The daemon's end of one VM: its process, its socket, and the answers that are still to come.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use serde_json::Value;

use super::protocol::{Answer, Boot, Call, Request};

/// How long a VM may take to come up.
const BOOT_LIMIT: Duration = Duration::from_secs(30);
/// How long the processes of a VM may take to die.
const DEATH_LIMIT: Duration = Duration::from_secs(20);
/// How often a dying VM is looked at.
const POLL: Duration = Duration::from_millis(2);

/// Why a call has no value.
#[derive(Debug)]
pub(super) enum CallError {
    /// The agent's own words.
    Failed(String),
    /// The VM is gone.
    Gone,
}

type Outcome = Result<Value, String>;

/// The calls that wait for an answer; none any more once the VM is gone.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Outcome>>>>>;

/// One running VM.
pub(super) struct Link {
    host_pid: u32,
    socket: Mutex<UnixStream>,
    waiting: Waiting,
    next: Mutex<u64>,
    child: Mutex<Child>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("host_pid", &self.host_pid).finish_non_exhaustive()
    }
}

/// A call under way.
pub(super) struct Pending {
    pub(super) id: u64,
    answer: Receiver<Outcome>,
}

impl Pending {
    /// Waits for the answer, at most this long; none when the time is up.
    pub(super) fn wait(&self, limit: Duration) -> Option<Result<Value, CallError>> {
        match self.answer.recv_timeout(limit) {
            Ok(Ok(value)) => Some(Ok(value)),
            Ok(Err(message)) => Some(Err(CallError::Failed(message))),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(CallError::Gone)),
        }
    }
}

impl Link {
    /// Starts `program vm-init` in namespaces of its own and waits until it is up.
    pub(super) fn boot(program: &Path, boot: &Boot, log: &Path) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let child = namespaced(program, theirs.into(), &log)?;
        let mut link = Self {
            host_pid: 0,
            socket: Mutex::new(ours.try_clone()?),
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
            next: Mutex::new(1),
            child: Mutex::new(child),
        };
        let up = link.write(boot).and_then(|()| first_answer(&ours));
        match up {
            Ok((host_pid, reader)) => {
                link.host_pid = host_pid;
                let waiting = Arc::clone(&link.waiting);
                thread::Builder::new()
                    .name(format!("vm {host_pid}"))
                    .spawn(move || listen(reader, &waiting))?;
                Ok(link)
            }
            Err(error) => {
                link.end()?;
                Err(error)
            }
        }
    }

    /// The PID of `vm-init` as the machine's `/proc` shows it.
    pub(super) fn host_pid(&self) -> u32 {
        self.host_pid
    }

    /// Sends a call.
    pub(super) fn send(&self, call: Call) -> Result<Pending, CallError> {
        let id = {
            let mut next = locked(&self.next);
            *next += 1;
            *next
        };
        let (sender, answer) = mpsc::channel();
        match locked(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(CallError::Gone),
        };
        self.write(&Request { id, call }).map_err(|_| CallError::Gone)?;
        Ok(Pending { id, answer })
    }

    /// Sends a call and waits for its end, however long it takes: the agent has no limit either.
    pub(super) fn call(&self, call: Call) -> Result<Value, CallError> {
        let pending = self.send(call)?;
        loop {
            if let Some(outcome) = pending.wait(Duration::from_secs(3600)) {
                return outcome;
            }
        }
    }

    /// Ends every process of the VM and waits until they are gone.
    pub(super) fn end(&self) -> io::Result<()> {
        // The VM ends by itself when its socket closes; a socket that is closed already is no matter.
        match locked(&self.socket).shutdown(Shutdown::Both) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
            _ => {}
        }
        let mut child = locked(&self.child);
        let until = Instant::now() + DEATH_LIMIT;
        while child.try_wait()?.is_none() {
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                break;
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn write<T: serde::Serialize>(&self, document: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(document)?;
        line.push(b'\n');
        locked(&self.socket).write_all(&line)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::warn!(error:%, vm = self.host_pid; "a VM did not end");
        }
    }
}

/// `unshare` stays as the parent: it ends when the VM has ended, and takes it along when killed.
fn namespaced(program: &Path, socket: OwnedFd, log: &File) -> io::Result<Child> {
    Command::new("unshare")
        .args(["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL", "--"])
        .arg(program)
        .arg("vm-init")
        .stdin(Stdio::from(socket))
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .current_dir("/")
        .spawn()
}

/// Waits until the VM says that it is up.
fn first_answer(socket: &UnixStream) -> io::Result<(u32, BufReader<UnixStream>)> {
    socket.set_read_timeout(Some(BOOT_LIMIT))?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    socket.set_read_timeout(None)?;
    match serde_json::from_str(&line) {
        Ok(Answer::Up { host_pid }) => Ok((host_pid, reader)),
        Ok(Answer::Failed { message, .. }) => Err(io::Error::other(message)),
        Ok(Answer::Done { .. }) => Err(io::Error::other("an answer before the VM was up")),
        Err(_) => Err(io::Error::other("the VM ended while it came up")),
    }
}

/// Hands answers to those who wait; at the end nobody need wait any more.
fn listen(reader: BufReader<UnixStream>, waiting: &Waiting) {
    for line in reader.lines() {
        let Ok(line) = line else { break };
        let (id, outcome) = match serde_json::from_str(&line) {
            Ok(Answer::Done { id, value }) => (id, Ok(value)),
            Ok(Answer::Failed { id, message }) => (id, Err(message)),
            Ok(Answer::Up { .. }) => continue,
            Err(error) => {
                log::error!(error:%; "a VM's answer cannot be read");
                continue;
            }
        };
        let sender = locked(waiting).as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(sender) = sender
            && sender.send(outcome).is_err()
        {
            log::debug!(id; "no caller waits for this answer any more");
        }
    }
    // Dropping the senders tells those who wait that the VM is gone.
    *locked(waiting) = None;
}

/// A lock whose holder panicked guards plain values here: they are still good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
