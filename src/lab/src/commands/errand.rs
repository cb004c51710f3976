//! `remount-lab run-errand`: as `bosh -d remount run-errand`, but its output comes as it is written.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Args;

use super::instance::find;
use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::folder::Folder;

/// Runs an errand.
#[derive(Debug, Args)]
pub(super) struct RunErrand {
    /// `backup`, `restore`, ….
    name: String,
}

/// The output of an errand on its VM, followed from where it ends now.
struct Follow {
    path: PathBuf,
    read: u64,
    to_stderr: bool,
}

impl RunErrand {
    pub(super) fn run(&self, folder: &Folder) -> Result<u8> {
        let bosh = Bosh::new(&folder.access()?)?;
        let mut outputs = self.outputs(&bosh, folder)?;
        let task = bosh.run_errand("remount", &self.name)?;
        eprintln!("task {task}");
        let interrupted = on_interrupt()?;
        let mut cancelled = false;
        let end = bosh.wait(task, || {
            if interrupted.load(Ordering::SeqCst) && !cancelled {
                eprintln!("cancelling task {task}");
                cancelled = bosh.cancel(task).is_ok();
            }
            outputs.iter_mut().for_each(Follow::copy);
        })?;
        outputs.iter_mut().for_each(Follow::copy);
        self.exit_code(&bosh, &end)
    }

    /// The errand's own exit code: its task is `done` whatever that is.
    fn exit_code(&self, bosh: &Bosh, end: &crate::bosh::TaskEnd) -> Result<u8> {
        let results = bosh.errand_results(end.id)?;
        anyhow::ensure!(!results.is_empty(), "task {} ended in {}: {}", end.id, end.state, end.message);
        let code = results.iter().map(|result| result.exit_code).max().unwrap_or_default();
        eprintln!("errand `{}` ended with exit code {code}", self.name);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    /// Its logs, seen through the VM's first process.
    fn outputs(&self, bosh: &Bosh, folder: &Folder) -> Result<Vec<Follow>> {
        let vm = find(bosh, "remount/remount/0")?.vm.context("the control VM is gone")?;
        let pid = control::ask(&folder.socket(), &Request::InitPid { vm })?;
        let log = PathBuf::from(format!("/proc/{pid}/root/var/vcap/sys/log/{}", self.name));
        Ok([("run.stdout.log", false), ("run.stderr.log", true)]
            .into_iter()
            .map(|(file, to_stderr)| Follow::from_end(log.join(file), to_stderr))
            .collect())
    }
}

impl Follow {
    fn from_end(path: PathBuf, to_stderr: bool) -> Self {
        let read = std::fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, read, to_stderr }
    }

    /// Prints what has come since the last call. A log that is not there yet has nothing to say.
    fn copy(&mut self) {
        use std::io::{Seek as _, SeekFrom};
        let Ok(mut file) = File::open(&self.path) else { return };
        // Each run truncates its log.
        if file.metadata().is_ok_and(|log| log.len() < self.read) {
            self.read = 0;
        }
        let mut fresh = Vec::new();
        let got = file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_end(&mut fresh));
        if got.is_err() || fresh.is_empty() {
            return;
        }
        self.read += fresh.len() as u64;
        let printed = if self.to_stderr {
            std::io::stderr().write_all(&fresh)
        } else {
            std::io::stdout().write_all(&fresh)
        };
        if let Err(error) = printed {
            log::debug!(error:%; "the errand's output is no longer read");
        }
    }
}

/// Turns true at SIGINT or SIGTERM.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
            flag.store(true, Ordering::SeqCst);
        });
    });
    Ok(interrupted)
}
