//! A small monit: starts what the jobs' monit files and `bpm.yml` say, starts again what ended,
//! stops it as bpm does.
//!
//! One thread keeps each process: it waits until the process is monitored, starts it, waits for its
//! end, and begins again.
//!
//! | state of the VM | when |
//! |---|---|
//! | `stopped` | after `stop`, until `start` |
//! | `starting` | some process has been running for less than [`SETTLE`], or is about to start |
//! | `failing` | some process is down or not monitored |
//! | `running` | otherwise, also where there is no process |
//!
//! # Source
//! bosh-agent, `jobsupervisor/monit_job_supervisor.go`; bpm-release, `src/bpm/commands/stop.go`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::bpm::{self, Name};
use super::processes::Processes;
use crate::iaas::ProcessState;
use crate::vm::paths::JOBS;

/// How long after its end a process is started again. (A real monit looks every ten seconds.)
const CYCLE: Duration = Duration::from_millis(500);
/// How long a process has to live before it counts as running.
const SETTLE: Duration = Duration::from_millis(100);
/// bpm: how long a process may take to end before SIGQUIT …
const STOP_GRACE: Duration = Duration::from_secs(15);
/// … and then before SIGKILL.
const QUIT_GRACE: Duration = Duration::from_secs(2);
/// How long a stop may take in all.
const STOP_LIMIT: Duration = Duration::from_secs(300);

/// One process of one job.
#[derive(Debug, Default)]
struct Service {
    monitored: bool,
    /// No attempt has been made since it is monitored.
    fresh: bool,
    running: Option<(Pid, Instant)>,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    services: BTreeMap<Name, Service>,
}

/// The supervisor of one VM.
#[derive(Debug)]
pub(super) struct Monit {
    processes: Arc<Processes>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Monit {
    pub(super) fn new(processes: Arc<Processes>) -> Arc<Self> {
        Arc::new(Self { processes, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Takes over the jobs as they now lie on the VM. Processes that belong to no job any more are ended.
    pub(super) fn reload(self: &Arc<Self>) -> Result<(), String> {
        let wanted = wanted().map_err(|error| format!("Configuring monit: {error}"))?;
        let gone: Vec<Name> = {
            let state = self.locked();
            state.services.keys().filter(|name| !wanted.contains(name)).cloned().collect()
        };
        self.end(&gone)?;
        let mut state = self.locked();
        for name in &gone {
            state.services.remove(name);
        }
        for name in wanted {
            if !state.services.contains_key(&name) {
                state.services.insert(name.clone(), Service::default());
                let (monit, title) = (Arc::clone(self), name.process.clone());
                let kept = thread::Builder::new().name(title).spawn(move || monit.keep(&name));
                kept.map_err(|error| format!("Configuring monit: {error}"))?;
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Starts everything; does not wait.
    pub(super) fn monitor(&self) {
        let mut state = self.locked();
        state.stopped = false;
        for service in state.services.values_mut().filter(|service| !service.monitored) {
            (service.monitored, service.fresh) = (true, true);
        }
        self.changed.notify_all();
    }

    /// From now on nothing is started again; what runs goes on.
    pub(super) fn unmonitor(&self) {
        let mut state = self.locked();
        state.services.values_mut().for_each(|service| service.monitored = false);
        self.changed.notify_all();
    }

    /// Stops everything and waits for its end.
    pub(super) fn stop(&self) -> Result<(), String> {
        let names: Vec<Name> = self.locked().services.keys().cloned().collect();
        self.end(&names)?;
        self.locked().stopped = true;
        Ok(())
    }

    /// See the table above.
    pub(super) fn state(&self) -> &'static str {
        let state = self.locked();
        if state.stopped {
            return "stopped";
        }
        let settling = |service: &Service| match service.running {
            Some((_, since)) => since.elapsed() < SETTLE,
            None => service.monitored && service.fresh,
        };
        let up = |service: &Service| service.monitored && service.running.is_some();
        match &state.services {
            services if services.values().any(settling) => "starting",
            services if services.values().all(up) => "running",
            _ => "failing",
        }
    }

    /// Each process, as `monit summary` shows it.
    pub(super) fn list(&self) -> Vec<ProcessState> {
        let state_of = |service: &Service| match service.running {
            Some((_, since)) if since.elapsed() < SETTLE => "starting",
            Some(_) => "running",
            None if !service.monitored => "unmonitored",
            None if service.fresh => "starting",
            None => "failing",
        };
        let shown = |(name, service): (&Name, &Service)| ProcessState {
            name: name.process.clone(),
            state: state_of(service).to_owned(),
            uptime_seconds: service.running.map_or(0, |(_, since)| since.elapsed().as_secs()),
        };
        self.locked().services.iter().map(shown).collect()
    }

    /// Unmonitors these and ends them side by side.
    fn end(&self, names: &[Name]) -> Result<(), String> {
        let mut running = Vec::new();
        {
            let mut state = self.locked();
            for name in names {
                if let Some(service) = state.services.get_mut(name) {
                    service.monitored = false;
                    running.extend(service.running.map(|(pid, _)| (name, pid)));
                }
            }
            self.changed.notify_all();
        }
        thread::scope(|scope| {
            for (name, pid) in running {
                scope.spawn(move || self.end_one(name, pid));
            }
        });
        self.wait_until_down(names)
    }

    /// bpm's stop: the shutdown signal, then SIGQUIT, then SIGKILL for all that is left.
    fn end_one(&self, name: &Name, pid: Pid) {
        let signal = name.read().map_or(Signal::TERM, |process| process.shutdown_signal());
        self.processes.signal(pid, signal);
        if !self.processes.ends_within(pid, STOP_GRACE) {
            self.processes.signal(pid, Signal::QUIT);
            if !self.processes.ends_within(pid, QUIT_GRACE) {
                self.processes.signal_group(pid, Signal::KILL);
            }
        }
    }

    fn wait_until_down(&self, names: &[Name]) -> Result<(), String> {
        let until = Instant::now() + STOP_LIMIT;
        let mut state = self.locked();
        loop {
            let up =
                |name: &&Name| state.services.get(*name).is_some_and(|service| service.running.is_some());
            let left: Vec<&str> = names.iter().filter(up).map(|name| name.process.as_str()).collect();
            if left.is_empty() {
                return Ok(());
            }
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                let names = left.join(", ");
                return Err(format!("Timed out waiting for services '{names}' to stop after 5 minutes"));
            };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The life of the thread that keeps one process; ends when the service is gone.
    fn keep(&self, name: &Name) {
        while self.wait_until_monitored(name) {
            match self.launch(name) {
                Ok(Some(pid)) => self.see_to_its_end(name, pid),
                Ok(None) => continue,
                Err(error) => eprintln!("vm-init: {}/{}: {error}", name.job, name.process),
            }
            self.rest(name);
        }
    }

    /// False when the service is gone.
    fn wait_until_monitored(&self, name: &Name) -> bool {
        let mut state = self.locked();
        loop {
            match state.services.get(name) {
                None => return false,
                Some(service) if service.monitored => return true,
                Some(_) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Starts the process; none if it was unmonitored meanwhile.
    fn launch(&self, name: &Name) -> io::Result<Option<Pid>> {
        let prepared = self.prepare(name);
        let mut state = self.locked();
        let Some(service) = state.services.get_mut(name).filter(|service| service.monitored) else {
            return Ok(None);
        };
        service.fresh = false;
        let (pid, _child) = self.processes.spawn(&mut prepared?)?;
        service.running = Some((pid, Instant::now()));
        drop(state);
        fs::write(name.pid_file(), format!("{}\n", pid.as_raw_pid()))?;
        Ok(Some(pid))
    }

    /// Folders, the hook, the command.
    fn prepare(&self, name: &Name) -> io::Result<std::process::Command> {
        let process = name.read()?;
        let command = process.command(&name.job)?;
        if let Some(mut hook) = process.hook(&name.job)? {
            let (pid, _child) = self.processes.spawn(&mut hook)?;
            let code = self.processes.wait(pid);
            if code != 0 {
                return Err(io::Error::other(format!("prestart hook failed: exit status {code}")));
            }
        }
        Ok(command)
    }

    fn see_to_its_end(&self, name: &Name, pid: Pid) {
        let code = self.processes.wait(pid);
        self.processes.kill_orphans();
        match fs::remove_file(name.pid_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("vm-init: {}: {error}", name.pid_file().display());
            }
            _ => {}
        }
        let mut state = self.locked();
        if let Some(service) = state.services.get_mut(name) {
            service.running = None;
            if service.monitored {
                eprintln!("vm-init: {}/{} ended with {code}; starting it again", name.job, name.process);
            }
        }
        self.changed.notify_all();
    }

    /// Waits one cycle, or until the service is not monitored any more.
    fn rest(&self, name: &Name) {
        let until = Instant::now() + CYCLE;
        let mut state = self.locked();
        while state.services.get(name).is_some_and(|service| service.monitored) {
            let Some(rest) = until.checked_duration_since(Instant::now()) else { return };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes that the jobs on this VM ask for.
fn wanted() -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(JOBS)? {
        let job = entry?.file_name();
        if let Some(job) = job.to_str().filter(|job| !job.starts_with('.')) {
            names.extend(bpm::names_of(job)?);
        }
    }
    names.sort();
    Ok(names)
}
