//! What the commands ask of the daemon, over a socket that only root may open: one JSON request, one JSON answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::director::Fault;

/// No request takes longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The process id of a VM's first process, for `exec`.
    InitPid {
        /// The VM.
        vm: String,
    },
    /// The password of a cluster's customer.
    AppPassword {
        /// The cluster's deployment.
        deployment: String,
    },
    /// A disk made from the newest snapshot of the cluster, in a zone, as nobody should by hand.
    CloneSnapshot {
        /// The availability zone of the disk.
        az: String,
    },
    /// Deletes a VM behind the Director's back.
    DeleteVm {
        /// The VM.
        vm: String,
    },
    /// Snapshots take this long from now on.
    SlowSnapshots {
        /// Seconds; 0 ends it.
        seconds: u64,
    },
    /// No disk can be made from now on: the quota is used up.
    NoDisks,
    /// No snapshot can be made from now on: the quota is used up.
    NoSnapshots,
    /// Something goes wrong with the Director.
    DirectorFault(Fault),
    /// Director and cloud do as they should again.
    Mend,
    /// Ends the landscape.
    Down,
}

/// An answer: text, or why not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for.
    Done(String),
    /// Why it could not be done.
    Failed(String),
}

/// Asks the daemon of the landscape whose socket this is.
///
/// # Errors
/// No landscape is up, or the request failed.
pub fn ask(socket: &Path, request: &Request) -> Result<String> {
    let up = || format!("no landscape answers at {}: run `remount-lab up`", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(up)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all((serde_json::to_string(request)? + "\n").as_bytes()).with_context(up)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).with_context(up)?;
    match serde_json::from_str(&line).with_context(up)? {
        Answer::Done(text) => Ok(text),
        Answer::Failed(reason) => anyhow::bail!("{reason}"),
    }
}

/// Serves one connection.
///
/// # Errors
/// The connection broke or sent garbage.
pub fn serve(stream: UnixStream, answer: impl FnOnce(Request) -> Result<String>) -> Result<()> {
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line).context("read the request").and_then(answer) {
        Ok(text) => Answer::Done(text),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    let mut stream = stream;
    stream.write_all((serde_json::to_string(&reply)? + "\n").as_bytes()).context("answer")
}
