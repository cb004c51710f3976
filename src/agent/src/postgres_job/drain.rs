//! `postgres drain`: stops the server and waits until it has ended, before bpm stops it within 15 s.
//!
//! bpm sends SIGINT and, 15 s later, SIGQUIT, and has no property for that. A fast stop under load or with a slow
//! archive takes longer: SIGQUIT before its checkpoint means a crash recovery at the next start; after it, a last
//! segment that is not archived until then. Here it has more time:
//!
//! | what | at most |
//! |---|---|
//! | checkpoint and archive, while the server serves | the agent's `drain.deadline_seconds` |
//! | fast stop: sessions end, checkpoint, last segment archived | `drain_deadline_seconds` |
//!
//! Where the archive took nothing in the first part, the second does not wait for it either, only for the checkpoint.
//! BOSH unmonitors the processes before it drains: monit does not start the server again.
//!
//! # Source
//! bpm-release, `src/bpm/commands/stop.go`, `src/bpm/runc/adapter/adapter.go` (`wrapWithInit`); bosh-agent, `agent/action/drain.go`.

use std::fs;
use std::iter;
use std::path::Path;
use std::time::{Duration, Instant};

use remount_postgres::{ControlData, DatabaseState};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::config::PostgresConfig;
use crate::error::{Archive, Error, Result, system};
use crate::hooks;
use crate::hooks::{answer, archive_rest, log_to};
use remount_host::{Account, Deadline};

/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(50);

/// Stops the server and answers BOSH.
pub fn drain(path: &Path, log: Option<&Path>) {
    answer(PostgresConfig::load(path).and_then(|config| {
        let account = Account::named(&config.user)?;
        log_to(account, log);
        let archived = account.act(|| hooks::runtime()?.block_on(archive(&config)))?;
        hooks::runtime()?.block_on(stop(&config, account, archived))
    }));
}

/// As root: bpm's note of the process is closed to others.
async fn stop(config: &PostgresConfig, account: Account, archived: Result<String>) -> Result<String> {
    match &archived {
        Ok(done) => log::info!("{done}"),
        Err(error) => log::warn!("{}", remount_core::report(error)),
    }
    let is_dead = matches!(archived, Err(Error::Late { archive: Archive::Dead, .. }));
    let Some(process) = Process::of(config) else {
        return Ok(format!("no server is running ({})", config.pid_file.display()));
    };
    let began = Instant::now();
    process.signal(Signal::INT)?;
    let deadline = Deadline::after_seconds(config.drain_deadline_seconds);
    loop {
        if !process.runs() {
            return Ok(format!("stopped within {:.1} s", began.elapsed().as_secs_f64()));
        }
        if is_dead && account.act(|| has_checkpointed(config))? {
            return Ok("stopped except for archiving; bpm ends the process".into());
        }
        if !deadline.pause(PAUSE).await {
            return Err(Error::Server {
                what: format!("PostgreSQL did not stop within {} s; bpm ends it", deadline.seconds()),
                next: "read its log for what it waited for; raise `drain_deadline_seconds` if it needs more time".into(),
            });
        }
    }
}

async fn archive(config: &PostgresConfig) -> Result<String> {
    match config.agent()? {
        Some(agent) => {
            let deadline = Deadline::after_seconds(agent.drain.deadline_seconds);
            archive_rest(&config.server(), &agent.identity, deadline).await
        }
        None => Ok("no agent is deployed here: nothing to archive".into()),
    }
}

/// Whether the checkpoint of the stop is written: from then on the next start needs no crash recovery.
fn has_checkpointed(config: &PostgresConfig) -> bool {
    let control = ControlData::read(&config.data_directory);
    control.is_ok_and(|control| {
        matches!(control.state, DatabaseState::ShutDown | DatabaseState::ShutDownInRecovery)
    })
}

/// The server's process as bpm started it.
struct Process<'a> {
    pid: Pid,
    data_directory: &'a Path,
}

impl<'a> Process<'a> {
    /// None where bpm's file names none, or the number is another process's by now. It names the container's init, `tini`,
    /// and the server is its child; a bpm without `tini` names the server. PostgreSQL's own `postmaster.pid` has the
    /// number in bpm's namespace, which is another process here.
    fn of(config: &'a PostgresConfig) -> Option<Self> {
        let text = fs::read_to_string(&config.pid_file).ok()?;
        let init = text.trim().parse().ok().and_then(Pid::from_raw)?;
        let process = |pid| Self { pid, data_directory: &config.data_directory };
        iter::once(init).chain(children(init)).map(process).find(Self::runs)
    }

    /// Whether the number is still this server's: its command line names the data directory.
    fn runs(&self) -> bool {
        let line = fs::read_to_string(format!("/proc/{}/cmdline", self.pid.as_raw_pid())).unwrap_or_default();
        line.split('\0').any(|argument| Path::new(argument) == self.data_directory)
    }

    /// By a handle, which cannot become another process between the check and the signal.
    fn signal(&self, signal: Signal) -> Result<()> {
        let handle = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(handle) if self.runs() => handle,
            Ok(_) | Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(system("look for the server's process")(error.into())),
        };
        match pidfd_send_signal(handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(system("signal the server")(error.into())),
        }
    }
}

/// The children of a process of one thread.
fn children(process: Pid) -> Vec<Pid> {
    let process = process.as_raw_pid();
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|number| number.parse().ok().and_then(Pid::from_raw)).collect()
}
