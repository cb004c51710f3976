//! The ledger trial: a writer, every kind of restore, everything that goes wrong, by a seed; and after each act a
//! checker that knows only the ledger.
//!
//! | what | is a violation |
//! |---|---|
//! | the restore says it is done | not exactly what was acknowledged up to the target, and since the promotion |
//! | `latest` | an acknowledged transaction is missing |
//! | it says that all is as it was, or was rolled back | one is missing; or the restored server had acknowledged some |
//! | nothing goes wrong, and it says that it failed | that it does |
//! | always | primary and standby differ; a disk is not what it was; something is left over; nobody serves |
//!
//! The ledger is a file of its own, synced before the next transaction. A transaction whose commit was never answered
//! may be there or not.

mod act;
mod book;
mod dice;
mod disk_shapes;
mod field;
mod model;
mod observe;
mod report;
mod restoring;
mod scribe;
mod target;
mod trial_fault;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::act::Act;
use self::field::Field;
pub use self::report::{TrialEvent, TrialReport};
use super::output::progress;

/// A trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// This program.
    pub program: PathBuf,
    /// Where the landscape goes.
    pub dir: PathBuf,
    /// No act begins after this long.
    pub lasts: Duration,
    /// What chooses the acts.
    pub seed: u64,
    /// Leave the landscape up where a promise was broken.
    pub keep: bool,
}

impl Trial {
    /// Brings up a landscape and tries it, until the time is over or a promise is broken.
    ///
    /// # Errors
    /// The landscape does not come up or go down, or the trial itself cannot go on.
    pub async fn run(&self) -> Result<TrialReport> {
        let mut field = Field::open(self).await?;
        let began = Instant::now();
        let tried = self.acts(&mut field, began).await;
        let report = field.report(self.seed, began.elapsed());
        let (lab, is_violated) = (field.close().await, report.is_violated());
        if self.keep && (is_violated || tried.is_err()) {
            progress(&format!("the landscape stays up: remount-lab --dir {} status", self.dir.display()));
            return tried.map(|()| report);
        }
        lab.down().await?;
        tried.map(|()| report)
    }

    async fn acts(&self, field: &mut Field, began: Instant) -> Result<()> {
        field.act(Act::Backup { quiet: true }).await?;
        field.act(Act::Point).await?;
        while began.elapsed() < self.lasts && !field.is_violated() {
            let act = field.choose();
            field.act(act).await?;
        }
        if !field.is_violated() {
            field.act(Act::LastLook).await?;
        }
        Ok(())
    }
}
