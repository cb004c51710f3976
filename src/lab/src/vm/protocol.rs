//! What the daemon and `vm-init` say to each other: one JSON document per line, answers in any order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The first line: what the VM is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// Becomes `/var/vcap`.
    pub vcap: PathBuf,
    /// The VM's host name.
    pub hostname: String,
    /// Bind mounts: path below `/var/vcap` → what appears there.
    pub binds: BTreeMap<PathBuf, PathBuf>,
}

/// A request of the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the answer.
    pub id: u64,
    /// What to do.
    pub call: Call,
}

/// What an agent is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Are you there?
    Ping,
    /// These jobs replace those on the VM.
    Apply {
        /// The jobs.
        jobs: Vec<Job>,
    },
    /// Partition and format if empty, grow if larger, mount.
    MountDisk {
        /// The disk's CID.
        disk: String,
        /// Its image.
        image: PathBuf,
    },
    /// Unmount, and keep trying while something uses the disk.
    UnmountDisk {
        /// The disk's CID.
        disk: String,
    },
    /// Copy one mounted disk to the other, which takes its place.
    MigrateDisk {
        /// The CID of the disk at `/var/vcap/store`.
        from: String,
        /// The CID of the other.
        to: String,
    },
    /// The disks that are mounted.
    ListDisk,
    /// All jobs' scripts of this name, in parallel.
    RunScript {
        /// As `pre-start`.
        script: String,
        /// Added to `PATH`.
        env: BTreeMap<String, String>,
    },
    /// All jobs' drain scripts, in parallel, until each is through.
    Drain {
        /// The first call's arguments.
        arguments: Vec<String>,
        /// Added to `PATH`.
        env: BTreeMap<String, String>,
    },
    /// Monitor and start.
    Start,
    /// Stop and unmonitor.
    Stop,
    /// `running`, `failing`, `starting`, `stopped`.
    JobState,
    /// Every process that monit keeps.
    Processes,
    /// `bin/run` of a job.
    RunErrand {
        /// The job.
        job: String,
    },
    /// Ends the errand that was asked for in this request.
    Cancel {
        /// That request.
        request: u64,
    },
}

/// A job as it lies on a VM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Path below the job's folder → content.
    pub files: BTreeMap<String, String>,
    /// The packages it needs.
    pub packages: Vec<String>,
}

/// What `vm-init` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The VM is up.
    Up {
        /// The PID of `vm-init` as the machine sees it.
        host_pid: u32,
    },
    /// A request was carried out.
    Done {
        /// The request.
        id: u64,
        /// What it yields.
        value: Value,
    },
    /// A request failed.
    Failed {
        /// The request.
        id: u64,
        /// In the agent's words.
        message: String,
    },
}

/// What [`Call::RunErrand`] yields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrandResult {
    /// Exit code; 128 + n after signal n.
    pub exit_code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
}
