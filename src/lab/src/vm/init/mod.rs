//! `remount-lab vm-init`: the first process of a VM. Makes the VM's view of the file system, then
//! does what a BOSH agent does, until its socket closes.

mod apply;
mod bpm;
mod disk;
mod errands;
mod layout;
mod monit;
mod processes;
mod scripts;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Serialize;
use serde_json::Value;

use super::protocol::{Answer, Boot, Call, Request};
use errands::Errands;
use monit::Monit;
use processes::Processes;

/// What a call yields, or the agent's words.
type Outcome = Result<Value, String>;

/// The agent of one VM.
struct Agent {
    processes: Arc<Processes>,
    monit: Arc<Monit>,
    errands: Errands,
    /// Disk calls come one at a time.
    disk: Mutex<disk::Disk>,
    answers: Mutex<UnixStream>,
}

/// Runs until standard input, a socket, closes; then ends the process, and with it the VM.
///
/// # Errors
/// The VM could not be brought up; the other end has been told.
pub fn run() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let up = bring_up(&line);
    let agent = match up {
        Ok((host_pid, processes)) => {
            send(&socket, &Answer::Up { host_pid })?;
            Agent::new(processes, socket)
        }
        Err(error) => {
            send(&socket, &Answer::Failed { id: 0, message: error.to_string() })?;
            return Err(error);
        }
    };
    let agent = Arc::new(agent);
    for line in reader.lines() {
        let Ok(request) = line.and_then(|line| Ok(serde_json::from_str::<Request>(&line)?)) else { break };
        let agent = Arc::clone(&agent);
        thread::Builder::new().name(format!("call {}", request.id)).spawn(move || agent.answer(request))?;
    }
    // Threads are still at work; the end of process 1 ends them and everything else here.
    process::exit(0)
}

/// The host's `/proc` is still mounted: it knows this process by the machine's number.
fn bring_up(line: &str) -> io::Result<(u32, Arc<Processes>)> {
    let boot: Boot = serde_json::from_str(line)?;
    let host_pid = fs::read_link("/proc/self")?.to_string_lossy().parse().map_err(io::Error::other)?;
    layout::make(&boot)?;
    Ok((host_pid, Processes::start()?))
}

fn send(mut socket: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    socket.write_all(&line)
}

impl Agent {
    fn new(processes: Arc<Processes>, socket: UnixStream) -> Self {
        Self {
            monit: Monit::new(Arc::clone(&processes)),
            errands: Errands::new(Arc::clone(&processes)),
            disk: Mutex::new(disk::Disk::new(Arc::clone(&processes))),
            answers: Mutex::new(socket),
            processes,
        }
    }

    fn answer(&self, request: Request) {
        let id = request.id;
        let answer = match self.call(request) {
            Ok(value) => Answer::Done { id, value },
            Err(message) => Answer::Failed { id, message },
        };
        let socket = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = send(&socket, &answer) {
            // The daemon is gone, and this process is about to end for the same reason.
            eprintln!("vm-init: answer {id} could not be sent: {error}");
        }
    }

    fn call(&self, request: Request) -> Outcome {
        match request.call {
            Call::Ping => done(()),
            Call::Apply { jobs } => {
                apply::apply(&jobs).map_err(|error| format!("Applying: {error}"))?;
                self.monit.reload()?;
                done(())
            }
            Call::MountDisk { disk, image } => {
                let mounted = self.disk.lock().unwrap_or_else(PoisonError::into_inner).mount(&disk, &image);
                done(mounted.map_err(|error| format!("Mounting persistent disk: {error}"))?)
            }
            Call::UnmountDisk { disk } => {
                let unmounted = self.disk.lock().unwrap_or_else(PoisonError::into_inner).unmount(&disk);
                done(unmounted.map_err(|error| format!("Unmounting persistent disk: {error}"))?)
            }
            Call::MigrateDisk { from, to } => {
                let migrated = self.disk.lock().unwrap_or_else(PoisonError::into_inner).migrate(&from, &to);
                done(migrated.map_err(|error| format!("Migrating persistent disk: {error}"))?)
            }
            Call::ListDisk => done(self.disk.lock().unwrap_or_else(PoisonError::into_inner).list()),
            Call::RunScript { script, env } => done(scripts::run_all(&self.processes, &script, &env)?),
            Call::Drain { arguments, env } => {
                self.monit.unmonitor();
                done(scripts::drain_all(&self.processes, &arguments, &env)?)
            }
            Call::Start => {
                self.monit.monitor();
                done(())
            }
            Call::Stop => done(self.monit.stop()?),
            Call::JobState => done(self.monit.state()),
            Call::Processes => done(self.monit.list()),
            Call::RunErrand { job } => done(self.errands.run(request.id, &job)?),
            Call::Cancel { request } => {
                self.errands.cancel(request);
                done(())
            }
        }
    }
}

fn done(value: impl Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| format!("the answer cannot be written: {error}"))
}
