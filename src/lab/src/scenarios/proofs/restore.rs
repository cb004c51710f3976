//! The cases of the restore.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use super::super::cluster::{Cluster, EndState};
use super::super::landscape::Ran;
use remount_flow::RestoreStep;

use super::super::injected_fault::{FaultyRestore, InjectedFault};
use super::super::step;
use super::{Breakage, ProofLandscape};

/// A restore of a tiny database with its rollback takes no longer, two minutes of retries included.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);
/// A dead process's lease ends after 10 s in the lab.
const LEASE_LIMIT: Duration = Duration::from_secs(40);

/// A step, broken in one way.
#[derive(Clone, Copy, Debug)]
pub struct RestoreCase {
    /// The step.
    pub step: RestoreStep,
    /// How it is broken.
    pub breakage: Breakage,
}

impl RestoreCase {
    /// Every case.
    pub fn all() -> impl Iterator<Item = Self> {
        let breakages = |step| Breakage::ALL.into_iter().map(move |breakage| Self { step, breakage });
        RestoreStep::ALL.into_iter().flat_map(breakages)
    }

    /// Tries it.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn run(self, landscape: &ProofLandscape) -> Result<EndState> {
        let ProofLandscape { cluster, writer } = landscape;
        let mark = format!("{} {:?} {}", self.step.as_str(), self.breakage, jiff::Timestamp::now());
        let noted = cluster.note(&mark).await?;
        writer.forget_observations().await;
        let to = noted.instant.to_string();
        let (restore, expected) = match self.breakage {
            Breakage::Fails => self.fails(cluster, &to).await?,
            Breakage::AnswerLost => self.answer_lost(cluster, &to).await?,
            Breakage::KilledResumed => (self.killed(cluster, &to, "resume").await?, EndState::Restored),
            Breakage::KilledRolledBack => (self.killed(cluster, &to, "rollback").await?, EndState::AsBefore),
        };
        let state = cluster.end_state(&noted, writer).await?;
        ensure!(state == expected, "the cluster is {state:?}, expected {expected:?}");
        cluster.journal_is_complete(&restore, state).await?;
        Ok(state)
    }

    async fn fails(self, cluster: &Cluster, to: &str) -> Result<(String, EndState)> {
        let fault = InjectedFault::failing(cluster, self.step);
        let (restore, ran) = to_its_end(cluster, to, &fault).await?;
        let expected = if self.step.only_forward() { 4 } else { 3 };
        ensure!(ran.code == expected, "exit code {} instead of {expected}:\n{}", ran.code, ran.text());
        ensure!(
            ran.text().contains(&format!("step `{}`", self.step.as_str())),
            "wrong step:\n{}",
            ran.text()
        );
        if !self.step.only_forward() {
            return Ok((restore, EndState::AsBefore));
        }
        go_on(cluster, "resume", &restore).await?;
        Ok((restore, EndState::Restored))
    }

    async fn answer_lost(self, cluster: &Cluster, to: &str) -> Result<(String, EndState)> {
        let fault = InjectedFault::lost_answer(cluster, self.step)?;
        let (restore, ran) = to_its_end(cluster, to, &fault).await?;
        ran.success()?;
        Ok((restore, EndState::Restored))
    }

    /// The journal does not take the step's outcome: the process, which has acted, hangs there and is killed.
    async fn killed(self, cluster: &Cluster, to: &str, way_on: &str) -> Result<String> {
        let fault = InjectedFault::JournalStuck(step::done_event(self.step));
        let mut restore_run = FaultyRestore::begin(cluster, to, &fault, false).await?;
        let killed = self.kill_when_done(&mut restore_run).await;
        restore_run.mend().await?;
        killed?;
        let restore = restore_run.restore.clone();
        go_on(cluster, way_on, &restore).await?;
        Ok(restore)
    }

    async fn kill_when_done(self, restore_run: &mut FaultyRestore<'_>) -> Result<()> {
        let (step, what) = (self.step.as_str(), format!("step {} is done", self.step.as_str()));
        let is_done =
            |line: &str| line.split_whitespace().skip_while(|word| *word != step).nth(1) == Some("done");
        restore_run.process.says(&what, RESTORE_LIMIT, is_done).await?;
        restore_run.process.signal(Signal::KILL)?;
        let ran = restore_run.process.end(RESTORE_LIMIT).await?;
        ensure!(ran.code == 137, "it was not killed: exit code {}\n{}", ran.code, ran.text());
        Ok(())
    }
}

async fn to_its_end(cluster: &Cluster, to: &str, fault: &InjectedFault) -> Result<(String, Ran)> {
    let mut restore_run = FaultyRestore::begin(cluster, to, fault, false).await?;
    let ran = restore_run.process.end(RESTORE_LIMIT).await;
    restore_run.mend().await?;
    Ok((restore_run.restore.clone(), ran?))
}

/// `remount resume ID` or `remount rollback ID`, as soon as the dead process's lease has ended.
pub(super) async fn go_on(cluster: &Cluster, way_on: &str, restore: &str) -> Result<()> {
    let deadline = Instant::now() + LEASE_LIMIT;
    loop {
        let ran = cluster.lab.remount(&[way_on, restore]).await?;
        let leased = ran.code == 1 && ran.text().contains("lease");
        if !leased || Instant::now() > deadline {
            return ran.success().with_context(|| format!("remount {way_on} {restore}")).map(drop);
        }
        sleep(Duration::from_millis(500)).await;
    }
}
