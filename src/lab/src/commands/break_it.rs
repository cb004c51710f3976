//! `remount-lab break`: what goes wrong in real landscapes, on purpose.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use rustix::process::Signal;

use super::instance::find;
use super::kill_point::KillPoint;
use super::signal::signal_named;
use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::director::{Fault, FaultKind, Operation};
use crate::folder::Folder;

/// Breaks something.
#[derive(Debug, Args)]
pub(super) struct Break {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Delete an instance's VM behind the Director's back.
    Vm {
        /// DEPLOYMENT/GROUP/INDEX
        instance: String,
    },
    /// Pause an instance's `remount-agent`: it takes connections and answers nothing.
    Agent {
        /// DEPLOYMENT/GROUP/INDEX
        instance: String,
        /// Let it go on.
        #[arg(long)]
        mend: bool,
    },
    /// Make the object store answer nothing but errors.
    Store {
        /// Make it answer again.
        #[arg(long)]
        mend: bool,
        /// Only this folder of it, and only refuse to add or remove objects right in it, as
        /// clusters/pg-0001/restores.
        #[arg(long, value_name = "FOLDER")]
        read_only: Option<PathBuf>,
    },
    /// Let the next attach of a disk fail after the old disk is off.
    Attach,
    /// Let something go wrong with the Director, as {"on":"stop","kind":"lose_answer","times":1}.
    Director {
        /// The fault, as JSON: `on` (attach, stop, start, instances, read_task, …), `kind` (fail_before,
        /// fail_midway, fail_after, lose_request, lose_answer, hold_queued, slow_task, …), `times`.
        fault: String,
    },
    /// Make the cloud slow, or refuse.
    Cloud(CloudFault),
    /// Kill the process that carries out the next restore when its journal comes to a point, and wait until then.
    #[command(name = "process")]
    RemountProcess {
        /// STEP.EVENT, as swap_primary.intended: any step with intended, done, undo_intended or undone.
        #[arg(long, value_name = "POINT")]
        at: KillPoint,
        /// How long to wait for it.
        #[arg(long, default_value_t = 600)]
        limit_seconds: u64,
    },
    /// Let Director and cloud do as they should again.
    Mend,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct CloudFault {
    /// Seconds that each snapshot takes; 0 ends it.
    #[arg(long)]
    slow_snapshots: Option<u64>,
    /// Make no disk any more: the quota is used up.
    #[arg(long)]
    no_disks: bool,
    /// Make no snapshot any more: the quota is used up.
    #[arg(long)]
    no_snapshots: bool,
}

impl CloudFault {
    const fn request(&self) -> Request {
        match self.slow_snapshots {
            Some(seconds) => Request::SlowSnapshots { seconds },
            None if self.no_disks => Request::NoDisks,
            None => Request::NoSnapshots,
        }
    }
}

impl Break {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let ask = |request: &Request| control::ask(&folder.socket(), request).map(drop);
        match &self.what {
            What::Vm { instance } => {
                let vm = find(&Bosh::new(&folder.access()?)?, instance)?.vm;
                ask(&Request::DeleteVm { vm: vm.with_context(|| format!("{instance} has no VM"))? })
            }
            What::Agent { instance, mend } => {
                let signal = if *mend { Signal::CONT } else { Signal::STOP };
                agent(folder, instance, signal)
            }
            What::Store { mend, read_only: Some(below) } => read_only(folder, below, *mend),
            What::Store { mend: true, read_only: None } => put_back_store(folder),
            What::Store { mend: false, read_only: None } => break_store(folder),
            What::Attach => {
                ask(&Request::DirectorFault(Fault::new(Operation::Attach, FaultKind::FailMidway, 1)))
            }
            What::Director { fault } => {
                let fault = serde_json::from_str(fault).context("read the fault")?;
                ask(&Request::DirectorFault(fault))
            }
            What::RemountProcess { at, limit_seconds } => {
                at.wait_and_kill(folder, Duration::from_secs(*limit_seconds))
            }
            What::Cloud(fault) => ask(&fault.request()),
            What::Mend => ask(&Request::Mend),
        }
    }
}

fn agent(folder: &Folder, instance: &str, signal: Signal) -> Result<()> {
    let vm = find(&Bosh::new(&folder.access()?)?, instance)?.vm;
    let vm = vm.with_context(|| format!("{instance} has no VM"))?;
    let init = control::ask(&folder.socket(), &Request::InitPid { vm })?;
    let reached = signal_named(&init, "remount-agent", signal)?;
    anyhow::ensure!(reached > 0, "no remount-agent runs on {instance}");
    Ok(())
}

/// A file in the place of the store's folder fails every call; an absent folder would look like an empty store.
fn break_store(folder: &Folder) -> Result<()> {
    let (store, away) = (folder.store(), away(folder));
    fs::rename(&store, &away).context("take the store away")?;
    fs::write(&store, "").context("put a file in the store's place")
}

/// Mends whatever was broken of it: all of it, or folders.
fn put_back_store(folder: &Folder) -> Result<()> {
    let (store, away, below) = (folder.store(), away(folder), ReadOnly::of(folder).read()?);
    anyhow::ensure!(away.exists() || !below.is_empty(), "the store is not broken");
    if away.exists() {
        fs::remove_file(&store).context("remove the file in the store's place")?;
        fs::rename(&away, &store).context("put the store back")?;
    }
    below.iter().try_for_each(|below| read_only(folder, below, true))
}

fn away(folder: &Folder) -> PathBuf {
    folder.0.join("store.away")
}

/// The file system's own immutable flag: root is not stopped by modes, and the errands run as root.
fn read_only(folder: &Folder, below: &Path, mend: bool) -> Result<()> {
    let (flag, path) = (if mend { "-i" } else { "+i" }, folder.store().join(below));
    let status = Command::new("chattr").arg(flag).arg(&path).status().context("run chattr (e2fsprogs)")?;
    anyhow::ensure!(status.success(), "{} cannot be made read-only here", path.display());
    ReadOnly::of(folder).note(below, mend)
}

/// The folders of the store that are read-only, one a line: `--mend` alone has to find them again.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn of(folder: &Folder) -> Self {
        Self(folder.0.join("store.read-only"))
    }

    fn read(&self) -> Result<Vec<PathBuf>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(text.lines().map(PathBuf::from).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).context("read which folders are read-only"),
        }
    }

    fn note(&self, below: &Path, mend: bool) -> Result<()> {
        let mut folders = self.read()?;
        folders.retain(|folder| folder != below);
        if !mend {
            folders.push(below.to_owned());
        }
        let lines: String = folders.iter().map(|folder| format!("{}\n", folder.display())).collect();
        fs::write(&self.0, lines).context("note which folders are read-only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_read_only_is_known_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let noted = ReadOnly::of(&Folder(dir.path().to_owned()));
        assert!(noted.read().unwrap().is_empty());
        let (restores, lease) = (Path::new("clusters/a/restores"), Path::new("clusters/a/lease"));
        for below in [restores, lease, lease] {
            noted.note(below, false).unwrap();
        }
        assert_eq!(noted.read().unwrap(), [restores, lease]);
        noted.note(restores, true).unwrap();
        assert_eq!(noted.read().unwrap(), [lease]);
    }

    #[test]
    fn a_store_that_is_whole_cannot_be_mended() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder(dir.path().to_owned());
        fs::create_dir(folder.store()).unwrap();
        assert!(put_back_store(&folder).unwrap_err().to_string().contains("not broken"));
        break_store(&folder).unwrap();
        put_back_store(&folder).unwrap();
        assert!(folder.store().is_dir());
    }
}
