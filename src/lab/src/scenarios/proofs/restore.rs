//! The cells of the restore.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use super::super::cluster::{Cluster, EndState};
use super::super::landscape::Ran;
use remount_flow::RestoreStep;

use super::super::step;
use super::super::trouble::{Trouble, Troubled};
use super::{Stage, Way};

/// A restore of a tiny database with its way back takes no longer, two minutes of retries included.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);
/// A dead driver's lease ends after 10 s in the lab.
const LEASE_LIMIT: Duration = Duration::from_secs(40);

/// A step, broken in a way.
#[derive(Clone, Copy, Debug)]
pub struct RestoreCell {
    /// The step.
    pub step: RestoreStep,
    /// The way.
    pub way: Way,
}

impl RestoreCell {
    /// Every cell.
    pub fn all() -> impl Iterator<Item = Self> {
        let ways = |step| Way::ALL.into_iter().map(move |way| Self { step, way });
        RestoreStep::ALL.into_iter().flat_map(ways)
    }

    /// Tries it.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn run(self, stage: &Stage) -> Result<EndState> {
        let Stage { cluster, writer } = stage;
        let mark = format!("{} {:?} {}", self.step.as_str(), self.way, jiff::Timestamp::now());
        let noted = cluster.note(&mark).await?;
        writer.begin_anew().await;
        let to = noted.instant.to_string();
        let (restore, expected) = match self.way {
            Way::Fails => self.fails(cluster, &to).await?,
            Way::AnswerLost => self.answer_lost(cluster, &to).await?,
            Way::KilledResumed => (self.killed(cluster, &to, "resume").await?, EndState::Restored),
            Way::KilledRolledBack => (self.killed(cluster, &to, "rollback").await?, EndState::AsBefore),
        };
        let state = cluster.end_state(&noted, writer).await?;
        ensure!(state == expected, "the cluster is {state:?}, expected {expected:?}");
        cluster.journal_is_complete(&restore, state).await?;
        Ok(state)
    }

    async fn fails(self, cluster: &Cluster, to: &str) -> Result<(String, EndState)> {
        let trouble = Trouble::failing(cluster, self.step);
        let (restore, ran) = to_its_end(cluster, to, &trouble).await?;
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
        let trouble = Trouble::lost_answer(cluster, self.step)?;
        let (restore, ran) = to_its_end(cluster, to, &trouble).await?;
        ran.success()?;
        Ok((restore, EndState::Restored))
    }

    /// The journal does not take the step's outcome: the driver, which has acted, hangs there and is killed.
    async fn killed(self, cluster: &Cluster, to: &str, way_on: &str) -> Result<String> {
        let trouble = Trouble::JournalStuck(step::done_event(self.step));
        let mut troubled = Troubled::begin(cluster, to, &trouble, false).await?;
        let killed = self.kill_when_done(&mut troubled).await;
        troubled.mend().await?;
        killed?;
        let restore = troubled.restore.clone();
        go_on(cluster, way_on, &restore).await?;
        Ok(restore)
    }

    async fn kill_when_done(self, troubled: &mut Troubled<'_>) -> Result<()> {
        let (step, what) = (self.step.as_str(), format!("step {} is done", self.step.as_str()));
        let is_done =
            |line: &str| line.split_whitespace().skip_while(|word| *word != step).nth(1) == Some("done");
        troubled.driver.says(&what, RESTORE_LIMIT, is_done).await?;
        troubled.driver.signal(Signal::KILL)?;
        let ran = troubled.driver.end(RESTORE_LIMIT).await?;
        ensure!(ran.code == 137, "it was not killed: exit code {}\n{}", ran.code, ran.text());
        Ok(())
    }
}

async fn to_its_end(cluster: &Cluster, to: &str, trouble: &Trouble) -> Result<(String, Ran)> {
    let mut troubled = Troubled::begin(cluster, to, trouble, false).await?;
    let ran = troubled.driver.end(RESTORE_LIMIT).await;
    troubled.mend().await?;
    Ok((troubled.restore.clone(), ran?))
}

/// `remount resume ID` or `remount rollback ID`, as soon as the dead driver's lease has ended.
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
