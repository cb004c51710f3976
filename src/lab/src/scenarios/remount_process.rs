//! A `remount` process on the control VM that may be paused or killed at any moment.

use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::landscape::{Landscape, Ran, exit_code};

/// Between two looks at what it said.
const POLL: Duration = Duration::from_millis(5);

/// A `remount` process.
#[derive(Debug)]
pub struct RemountProcess {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl RemountProcess {
    /// Starts `remount` with these arguments; `echo` shows what it says.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(lab: &Landscape, arguments: &[&str], echo: bool) -> Result<Self> {
        Self::start_as(lab, &["remount", "--"], arguments, echo)
    }

    /// The same, where `remount-lab` is asked for something else than `remount --`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_as(lab: &Landscape, remount: &[&str], arguments: &[&str], echo: bool) -> Result<Self> {
        let mut command = lab.command(remount);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("run remount-lab remount")?;
        let said = Arc::default();
        let readers = vec![
            listen(child.stdout.take().context("read its output")?, &said, echo),
            listen(child.stderr.take().context("read its errors")?, &said, echo),
        ];
        Ok(Self { child, said, readers })
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a line of it satisfies `wanted`.
    ///
    /// # Errors
    /// It ended before, or `limit` is over.
    pub async fn says(&mut self, what: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.said().lines().any(&wanted) {
            ensure!(self.child.try_wait()?.is_none(), "it ended before {what}:\n{}", self.said());
            ensure!(Instant::now() < deadline, "{what}: not within {limit:?}:\n{}", self.said());
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Sends a signal to the process on the VM, not to the commands that brought it there.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.pid()?;
        let pid = Pid::from_raw(process).context("0 is no process id")?;
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to process {process}"))
    }

    /// The process on the VM, by its number on this machine.
    ///
    /// # Errors
    /// There is none, not yet or not any more.
    pub fn pid(&self) -> Result<i32> {
        let root = self.child.id().context("it has ended")?;
        let found = family(root)?.into_iter().rfind(|(_, name)| name == "remount");
        found.map(|(process, _)| process).context("there is no process `remount`")
    }

    /// Lets a stopped process go on, and the commands that brought it there: `runuser` and `nsenter` stop
    /// themselves when they see their child stop.
    ///
    /// # Errors
    /// It has ended.
    pub fn wake(&self) -> Result<()> {
        let root = self.child.id().context("it has ended")?;
        for (process, _) in family(root)? {
            let pid = Pid::from_raw(process).context("0 is no process id")?;
            // One that has ended meanwhile needs no waking.
            match kill_process(pid, Signal::CONT) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("wake process {process}")),
            }
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within `limit`.
    pub async fn end(&mut self, limit: Duration) -> Result<Ran> {
        let ended = timeout(limit, self.child.wait()).await;
        let Ok(status) = ended else {
            bail!("remount did not end within {limit:?}:\n{}", self.said());
        };
        for reader in self.readers.drain(..) {
            reader.await.context("read what it said")?;
        }
        let code = exit_code(status.context("wait for remount")?);
        Ok(Ran { code, stdout: String::new(), stderr: self.said() })
    }
}

/// Keeps what comes, line by line.
fn listen(
    stream: impl AsyncRead + Unpin + Send + 'static,
    said: &Arc<Mutex<String>>,
    echo: bool,
) -> JoinHandle<()> {
    let said = Arc::clone(said);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if echo {
                eprintln!("{line}");
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    })
}

/// A process and its descendants with their names, parents before children.
fn family(root: u32) -> Result<Vec<(i32, String)>> {
    let root = i32::try_from(root).context("a process id too large")?;
    let entries = fs::read_dir("/proc").context("list the processes")?;
    let processes: Vec<(i32, i32, String)> =
        entries.flatten().filter_map(|entry| process(&entry.path())).collect();
    let own = processes.iter().find(|(pid, ..)| *pid == root);
    let mut family: Vec<(i32, String)> = own.map(|(pid, _, name)| (*pid, name.clone())).into_iter().collect();
    let mut at = 0;
    while let Some(&(parent, _)) = family.get(at) {
        let children = processes.iter().filter(|(_, of, _)| *of == parent);
        family.extend(children.map(|(pid, _, name)| (*pid, name.clone())));
        at += 1;
    }
    Ok(family)
}

/// Process id, its parent's, its name.
fn process(folder: &std::path::Path) -> Option<(i32, i32, String)> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let parent = rest.split_whitespace().nth(1)?;
    Some((pid.parse().ok()?, parent.parse().ok()?, name.to_owned()))
}
