//! The cases of what comes before the journal. `plan` and `preflight` touch nothing: whatever happens in them, the
//! cluster is as it was, no restore was begun, and the same command restores when all is well again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::super::cluster::{Cluster, DEPLOYMENT, EndState};
use super::super::injected_fault::{break_it, restores};
use super::super::lost_answer::BeforeAgents;
use super::super::remount_process::RemountProcess;
use super::restore::go_on;
use super::{Breakage, ProofLandscape};

/// Retries included.
const LIMIT: Duration = Duration::from_secs(300);
/// How long the Director takes, on order, for a question.
const PAUSE_MS: u64 = 1500;

/// A step before the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeStep {
    Plan,
    Preflight,
}

impl BeforeStep {
    /// Its name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Preflight => "preflight",
        }
    }
}

/// A step, broken in one way.
#[derive(Clone, Copy, Debug)]
pub struct BeforeCase {
    /// The step.
    pub step: BeforeStep,
    /// How it is broken.
    pub breakage: Breakage,
}

impl BeforeCase {
    /// Every case: there is nothing to roll back.
    pub fn all() -> impl Iterator<Item = Self> {
        let breakages = [Breakage::Fails, Breakage::AnswerLost, Breakage::KilledResumed];
        [BeforeStep::Plan, BeforeStep::Preflight]
            .into_iter()
            .flat_map(move |step| breakages.map(|breakage| Self { step, breakage }))
    }

    /// Tries it.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn run(self, landscape: &ProofLandscape) -> Result<EndState> {
        let ProofLandscape { cluster, writer } = landscape;
        let mark = format!("{} {:?} {}", self.step.name(), self.breakage, jiff::Timestamp::now());
        let noted = cluster.note(&mark).await?;
        writer.forget_observations().await;
        let known = restores(cluster)?;
        let to = noted.instant.to_string();
        let expected = match self.breakage {
            Breakage::Fails => self.fails(cluster, &to).await.map(|()| EndState::AsBefore)?,
            Breakage::AnswerLost => self.answer_lost(cluster, &to).await.map(|()| EndState::Restored)?,
            Breakage::KilledResumed | Breakage::KilledRolledBack => {
                self.killed(cluster, &to, &known).await.map(|()| EndState::Restored)?
            }
        };
        let state = cluster.end_state(&noted, writer).await?;
        ensure!(state == expected, "the cluster is {state:?}, expected {expected:?}");
        match (expected, fresh(cluster, &known)?) {
            (EndState::AsBefore, None) => {}
            (EndState::AsBefore, Some(restore)) => anyhow::bail!("restore {restore} was begun"),
            (EndState::Restored, None) => anyhow::bail!("there is no restore in the store"),
            (EndState::Restored, Some(restore)) => cluster.journal_is_complete(&restore, state).await?,
        }
        Ok(state)
    }

    async fn fails(self, cluster: &Cluster, to: &str) -> Result<()> {
        match self.step {
            BeforeStep::Plan => {
                let fault = json!({"on": "instances", "kind": "fail_before", "only": DEPLOYMENT, "times": 1});
                break_it(cluster, &["director", &fault.to_string()]).await?;
            }
            BeforeStep::Preflight => break_it(cluster, &["cloud", "--no-disks"]).await?,
        }
        let ran = cluster.lab.remount(&restore(to)).await;
        break_it(cluster, &["mend"]).await?;
        let ran = ran?;
        ensure!(ran.code == 1, "exit code {} instead of 1:\n{}", ran.code, ran.text());
        let failed = |line: &str| {
            line.split_whitespace().skip_while(|word| *word != self.step.name()).nth(1) == Some("FAILED")
        };
        ensure!(ran.text().lines().any(failed), "wrong step:\n{}", ran.text());
        ensure!(ran.text().contains(" next: "), "the operator is not told what to do:\n{}", ran.text());
        Ok(())
    }

    async fn answer_lost(self, cluster: &Cluster, to: &str) -> Result<()> {
        match self.step {
            BeforeStep::Plan => {
                let fault = json!({"on": "instances", "kind": "lose_answer", "only": DEPLOYMENT});
                break_it(cluster, &["director", &fault.to_string()]).await?;
                cluster.lab.remount(&restore(to)).await?.success()?;
                break_it(cluster, &["mend"]).await
            }
            // What the servers say of themselves is checked there.
            BeforeStep::Preflight => {
                let proxies = BeforeAgents::losing(cluster, "/v1/status", 0).await?;
                proxies.remount(&cluster.lab, &restore(to))?.end(LIMIT).await?.success()?;
                proxies.end()
            }
        }
    }

    /// Killed in `plan` nothing was begun, and the same command begins; killed after `preflight` the next process may
    /// find an open `begin`.
    async fn killed(self, cluster: &Cluster, to: &str, known: &[String]) -> Result<()> {
        let skip = u32::from(self.step == BeforeStep::Preflight);
        break_it(cluster, &["director", &pause(skip).to_string()]).await?;
        let mut process = RemountProcess::start(&cluster.lab, &restore(to), false)?;
        let reached = match self.step {
            BeforeStep::Plan => process.says("it plans", LIMIT, |line| line.contains("plan")).await,
            BeforeStep::Preflight => {
                let done = |line: &str| {
                    line.split_whitespace().skip_while(|word| *word != "preflight").nth(1) == Some("done")
                };
                process.says("preflight is done", LIMIT, done).await
            }
        };
        reached?;
        process.signal(Signal::KILL)?;
        let ran = process.end(LIMIT).await?;
        ensure!(ran.code == 137, "it was not killed: exit code {}\n{}", ran.code, ran.text());
        break_it(cluster, &["mend"]).await?;
        match fresh(cluster, known)? {
            Some(begun) => go_on(cluster, "resume", &begun).await,
            None => cluster.lab.remount(&restore(to)).await?.success().context("restore again").map(drop),
        }
    }
}

/// The arguments of a restore to an instant.
const fn restore(to: &str) -> [&str; 6] {
    ["restore", "--now", "--deployment", DEPLOYMENT, "--to-time", to]
}

fn pause(skip: u32) -> Value {
    json!({"on": "instances", "kind": "slow_task", "milliseconds": PAUSE_MS, "only": DEPLOYMENT, "skip": skip})
}

/// The restore that was not known.
fn fresh(cluster: &Cluster, known: &[String]) -> Result<Option<String>> {
    Ok(restores(cluster)?.into_iter().find(|id| !known.contains(id)))
}
