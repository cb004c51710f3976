//! `config/bpm.yml` of a job, and a process started as bpm would, without the container.
//!
//! # Source
//! bpm-release, `src/bpm/config/job_config.go` and `src/bpm/runc/adapter/adapter.go`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde::Deserialize;

use super::layout::{self, Vcap, folder};
use crate::vm::paths::{LOGS, PATH, STORE};

/// The whole file.
#[derive(Debug, Deserialize)]
struct Config {
    processes: Vec<Process>,
}

/// One process.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Process {
    name: String,
    executable: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    workdir: Option<PathBuf>,
    hooks: Option<Hooks>,
    limits: Option<Limits>,
    #[serde(default)]
    persistent_disk: bool,
    #[serde(default)]
    additional_volumes: Vec<Volume>,
    shutdown_signal: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Hooks {
    pre_start: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
struct Limits {
    open_files: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Volume {
    path: PathBuf,
    #[serde(default)]
    mount_only: bool,
}

/// Which process of which job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) job: String,
    pub(super) process: String,
}

impl Name {
    /// Its PID file, which other programs of the release read.
    pub(super) fn pid_file(&self) -> PathBuf {
        Path::new("/var/vcap/sys/run/bpm").join(&self.job).join(format!("{}.pid", self.process))
    }

    /// Reads its entry in the job's `bpm.yml`, as bpm does at every start and stop.
    pub(super) fn read(&self) -> io::Result<Process> {
        let found = processes_of(&self.job)?.into_iter().find(|process| process.name == self.process);
        found.ok_or_else(|| {
            io::Error::other(format!("process {} is not in the bpm.yml of {}", self.process, self.job))
        })
    }
}

/// The processes of a job: none where its monit file names none.
pub(super) fn names_of(job: &str) -> io::Result<Vec<Name>> {
    let monit = fs::read_to_string(layout::job(job).join("monit")).or_else(none)?;
    if !monit.lines().any(|line| line.trim_start().starts_with("check process")) {
        return Ok(Vec::new());
    }
    let name = |process: Process| Name { job: job.to_owned(), process: process.name };
    Ok(processes_of(job)?.into_iter().map(name).collect())
}

fn none(error: io::Error) -> io::Result<String> {
    if error.kind() == io::ErrorKind::NotFound { Ok(String::new()) } else { Err(error) }
}

fn processes_of(job: &str) -> io::Result<Vec<Process>> {
    let path = layout::job(job).join("config/bpm.yml");
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    let config: Config = serde_saphyr::from_str(&text)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    Ok(config.processes)
}

impl Process {
    /// The signal that asks it to end.
    pub(super) fn shutdown_signal(&self) -> Signal {
        if self.shutdown_signal.as_deref() == Some("INT") { Signal::INT } else { Signal::TERM }
    }

    /// The hook that runs before it, as root.
    pub(super) fn hook(&self, job: &str) -> io::Result<Option<Command>> {
        let Some(path) = self.hooks.as_ref().and_then(|hooks| hooks.pre_start.as_ref()) else {
            return Ok(None);
        };
        let mut command = Command::new(path);
        self.dress(&mut command, job)?;
        Ok(Some(command))
    }

    /// The command that becomes the process' init, as `vcap` and with its limits.
    pub(super) fn command(&self, job: &str) -> io::Result<Command> {
        let vcap = layout::vcap()?;
        self.prepare(job, vcap)?;
        let mut command = Command::new("prlimit");
        if let Some(files) = self.limits.as_ref().and_then(|limits| limits.open_files) {
            command.arg(format!("--nofile={files}:{files}"));
        }
        let (user, group) = (format!("--reuid={}", vcap.uid), format!("--regid={}", vcap.gid));
        command.args(["setpriv", &user, &group, "--clear-groups", "--no-new-privs", "--"]);
        // Its number is the one that bpm notes: programs that read it have to look for its child.
        command.args(["tini", "-w", "-s", "--"]);
        command.arg(&self.executable).args(&self.args);
        self.dress(&mut command, job)?;
        Ok(command)
    }

    /// Environment, working directory and logs.
    fn dress(&self, command: &mut Command, job: &str) -> io::Result<()> {
        let vcap = layout::vcap()?;
        let data = Path::new("/var/vcap/data").join(job);
        let folder = self.workdir.clone().unwrap_or_else(|| layout::job(job));
        command
            .env_clear()
            .env("TMPDIR", data.join("tmp"))
            .env("LANG", "en_US.UTF-8")
            .env("PATH", format!("/var/vcap/jobs/{job}/bin:/usr/local/sbin:/usr/local/bin:{PATH}"))
            .env("HOME", &data)
            .envs(&self.env)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log(job, &format!("{}.stdout.log", self.name), vcap)?)
            .stderr(log(job, &format!("{}.stderr.log", self.name), vcap)?)
            .process_group(0);
        Ok(())
    }

    /// The folders bpm makes before it starts a process, all `vcap`'s alone.
    fn prepare(&self, job: &str, vcap: Vcap) -> io::Result<()> {
        let own = |path: PathBuf| folder(&path, 0o700, vcap.uid, vcap.gid);
        fs::create_dir_all(Path::new("/var/vcap/sys/run/bpm").join(job))?;
        let data = Path::new("/var/vcap/data").join(job);
        own(data.clone())?;
        own(data.join("tmp"))?;
        own(Path::new("/var/vcap/sys/log").join(job))?;
        own(Path::new("/var/vcap/sys/run").join(job))?;
        if self.persistent_disk {
            own(Path::new(STORE).join(job))?;
        }
        let made = self.additional_volumes.iter().filter(|volume| !volume.mount_only);
        made.map(|volume| volume.path.clone()).try_for_each(|path| {
            if path.is_file() { chown(&path, Some(vcap.uid), Some(vcap.gid)) } else { own(path) }
        })
    }
}

fn log(job: &str, name: &str, vcap: Vcap) -> io::Result<File> {
    let path = Path::new(LOGS).join(job).join(name);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    chown(&path, Some(vcap.uid), Some(vcap.gid))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bpm_file_written_as_json_or_with_unknown_keys_is_read() {
        let text = r#"{"processes": [{"name": "p", "executable": "/bin/true", "shutdown_signal": "INT",
            "ephemeral_disk": true, "capabilities": ["X"], "limits": {"memory": "1G", "open_files": 7},
            "additional_volumes": [{"path": "/var/vcap/x", "writable": true}]}]}"#;
        let config: Config = serde_saphyr::from_str(text).unwrap();
        assert_eq!(config.processes[0].shutdown_signal(), Signal::INT);
        assert_eq!(config.processes[0].limits.as_ref().unwrap().open_files, Some(7));
    }
}
