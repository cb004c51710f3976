//! `remount-lab break`: what goes wrong in real landscapes, on purpose.

use std::fs;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::instance::find;
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
    /// Make the object store answer nothing but errors.
    Store {
        /// Make it answer again.
        #[arg(long)]
        mend: bool,
    },
    /// Let the next attach of a disk fail after the old disk is off.
    Attach,
    /// Let something go wrong with the Director, as {"on":"stop","kind":"lose_answer","times":1}.
    Director {
        /// The fault, as JSON: `on` (attach, stop, start, instances, read_task, …), `kind` (fail_before,
        /// fail_midway, fail_after, lose_request, lose_answer, hold_queued, slow_task, …), `times`.
        fault: String,
    },
    /// Make snapshots slow.
    Cloud {
        /// Seconds that each snapshot takes; 0 ends it.
        #[arg(long)]
        slow_snapshots: u64,
    },
}

impl Break {
    pub(super) fn run(&self, folder: &Folder) -> Result<()> {
        let ask = |request: &Request| control::ask(&folder.socket(), request).map(drop);
        match &self.what {
            What::Vm { instance } => {
                let vm = find(&Bosh::new(&folder.access()?)?, instance)?.vm;
                ask(&Request::DeleteVm { vm: vm.with_context(|| format!("{instance} has no VM"))? })
            }
            What::Store { mend } => store(folder, *mend),
            What::Attach => ask(&Request::DirectorFault(Fault {
                on: Operation::Attach,
                kind: FaultKind::FailMidway,
                times: 1,
            })),
            What::Director { fault } => {
                let fault = serde_json::from_str(fault).context("read the fault")?;
                ask(&Request::DirectorFault(fault))
            }
            What::Cloud { slow_snapshots } => ask(&Request::SlowSnapshots { seconds: *slow_snapshots }),
        }
    }
}

/// A file in the place of the store's folder fails every call; an absent folder would look like an empty store.
fn store(folder: &Folder, mend: bool) -> Result<()> {
    let (store, away) = (folder.store(), folder.0.join("store.away"));
    if mend {
        fs::remove_file(&store).context("the store is not broken")?;
        return fs::rename(&away, &store).context("put the store back");
    }
    fs::rename(&store, &away).context("take the store away")?;
    fs::write(&store, "").context("put a file in the store's place")
}
