//! Lifecycle scripts of the jobs, as the agent runs them: in parallel, as root, with a `PATH` and nothing else.
//!
//! # Source
//! bosh-agent, `agent/script/{generic_script,parallel_script}.go` and `agent/script/drain`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::processes::Processes;
use crate::vm::paths::{JOBS, LOGS, PATH};

type Environment = BTreeMap<String, String>;

/// Runs this script of every job that has it.
pub(super) fn run_all(processes: &Processes, script: &str, env: &Environment) -> Result<(), String> {
    in_parallel(script, |job, path| run(processes, job, script, path, env))
}

/// Drains every job that can: each until its script says that it is through.
pub(super) fn drain_all(
    processes: &Processes,
    arguments: &[String],
    env: &Environment,
) -> Result<(), String> {
    in_parallel("drain", |job, path| drain(processes, job, path, arguments, env))
}

/// The jobs that have this file in `bin/`, by name.
pub(super) fn jobs_with(script: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(JOBS)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path().join("bin").join(script));
        if let Some(name) = name.to_str().filter(|_| path.is_file()) {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// A command as the agent starts it.
pub(super) fn command(path: &Path, env: &Environment) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", PATH).envs(env).current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}

/// Opens a log below `/var/vcap/sys/log/<job>/` for appending.
pub(super) fn log(job: &str, name: &str) -> io::Result<File> {
    let folder = Path::new(LOGS).join(job);
    fs::create_dir_all(&folder)?;
    OpenOptions::new().create(true).append(true).mode(0o640).open(folder.join(name))
}

/// Runs `one` for each job side by side and sums up as the agent does.
fn in_parallel(script: &str, one: impl Fn(&str, &Path) -> Result<(), String> + Sync) -> Result<(), String> {
    let jobs = jobs_with(script).map_err(|error| format!("Finding {script} scripts: {error}"))?;
    let outcomes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = jobs.iter().map(|(job, path)| scope.spawn(|| one(job, path))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("panicked".into()))).collect()
    });
    let (mut failed, mut passed) = (Vec::new(), Vec::new());
    for ((job, path), outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Ok(()) => passed.push(job.as_str()),
            Err(error) => {
                eprintln!("vm-init: {}: {error}", path.display());
                failed.push(job.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "{} of {} {script} scripts failed. Failed Jobs: {}",
        failed.len(),
        jobs.len(),
        failed.join(", ")
    );
    if !passed.is_empty() {
        text = format!("{text}. Successful Jobs: {}", passed.join(", "));
    }
    Err(text + ".")
}

fn run(processes: &Processes, job: &str, script: &str, path: &Path, env: &Environment) -> Result<(), String> {
    let started = log(job, &format!("{script}.stdout.log")).and_then(|stdout| {
        let stderr = log(job, &format!("{script}.stderr.log"))?;
        processes.spawn(command(path, env).stdout(stdout).stderr(stderr))
    });
    let (pid, _child) = started.map_err(|error| error.to_string())?;
    match processes.wait(pid) {
        0 => Ok(()),
        code => Err(format!("exit status {code}")),
    }
}

/// The protocol of drain: `n >= 0` wait n seconds and be through; `n < 0` wait and ask again.
fn drain(
    processes: &Processes,
    job: &str,
    path: &Path,
    arguments: &[String],
    env: &Environment,
) -> Result<(), String> {
    let status = ["job_check_status".to_owned(), "hash_unchanged".to_owned()];
    let mut arguments = arguments;
    loop {
        let said = drain_once(processes, job, path, arguments, env).map_err(|error| error.to_string())?;
        let value: i64 = said
            .trim()
            .parse()
            .map_err(|error| format!("Script did not return a signed integer: {said:?}: {error}"))?;
        thread::sleep(Duration::from_secs(value.unsigned_abs()));
        if value >= 0 {
            return Ok(());
        }
        arguments = &status;
    }
}

/// Its exit status is ignored: the number counts.
fn drain_once(
    processes: &Processes,
    job: &str,
    path: &Path,
    arguments: &[String],
    env: &Environment,
) -> io::Result<String> {
    let stderr = log(job, "drain.stderr.log")?;
    let (pid, child) =
        processes.spawn(command(path, env).args(arguments).stdout(Stdio::piped()).stderr(stderr))?;
    let mut said = String::new();
    child.stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut said))?;
    processes.wait(pid);
    Ok(said)
}
