//! `remount-lab break process`: kills the process that carries out a restore, at a named point of its journal.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remount_flow::RestoreStep;
use rustix::process::Signal;

use super::exec::CONTROL;
use super::instance::find;
use super::signal::signal_named;
use crate::bosh::Bosh;
use crate::control::{self, Request};
use crate::folder::Folder;
use crate::scenarios::{signed_document, step};

/// A step takes a hundredth of a second at best.
const POLL: Duration = Duration::from_millis(1);
/// What a restore's process is called.
const DRIVER: &str = "remount";

/// A point in a restore: an event of a step, as the journal names both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KillPoint {
    step: RestoreStep,
    event: String,
}

impl FromStr for KillPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EVENTS: [&str; 4] = ["intended", "done", "undo_intended", "undone"];
        let (step, event) = text.split_once('.').ok_or("write STEP.EVENT, as swap_primary.intended")?;
        if !EVENTS.contains(&event) {
            return Err(format!("`{event}` is none of {}", EVENTS.join(", ")));
        }
        Ok(Self { step: step::parse(step)?, event: event.to_owned() })
    }
}

impl KillPoint {
    /// Waits until a journal says that the point is reached, and kills the drivers on the control VM.
    pub(super) fn wait_and_kill(&self, folder: &Folder, limit: Duration) -> Result<()> {
        let vm = find(&Bosh::new(&folder.access()?)?, CONTROL)?.vm.context("the control VM is gone")?;
        let init = control::ask(&folder.socket(), &Request::InitPid { vm })?;
        let deadline = Instant::now() + limit;
        let mut known: BTreeSet<PathBuf> = journals(folder).into_iter().collect();
        loop {
            let fresh: Vec<PathBuf> =
                journals(folder).into_iter().filter(|path| !known.contains(path)).collect();
            for path in fresh {
                // One that is being written is looked at again.
                let Ok(event) = signed_document(&path) else { continue };
                if event["step"] == self.step.as_str() && event["event"] == *self.event {
                    let killed = signal_named(&init, DRIVER, Signal::KILL)?;
                    ensure!(killed > 0, "the point was reached, and its process had ended already");
                    println!("killed");
                    return Ok(());
                }
                known.insert(path);
            }
            ensure!(
                Instant::now() < deadline,
                "no restore came to {}.{} within {} s",
                self.step.as_str(),
                self.event,
                limit.as_secs()
            );
            sleep(POLL);
        }
    }
}

/// Every event of every restore.
fn journals(folder: &Folder) -> Vec<PathBuf> {
    let below =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    below(folder.store().join("clusters"))
        .flat_map(|cluster| below(cluster.join("restores")))
        .flat_map(|restore| below(restore.join("journal")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_step_and_an_event_of_the_journal() {
        let point: KillPoint = "swap_primary.undo_intended".parse().unwrap();
        assert_eq!((point.step, point.event.as_str()), (RestoreStep::SwapPrimary, "undo_intended"));
        for wrong in ["swap_primary", "swap.done", "verify.finished", ""] {
            assert!(wrong.parse::<KillPoint>().is_err(), "{wrong}");
        }
    }
}
