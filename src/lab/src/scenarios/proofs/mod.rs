//! The proofs on a landscape: every step of backup and of restore, broken in several ways, and after each the
//! world looked at with other eyes than Remount's. Invariant 7: it ends restored and verified, or in the old
//! state, never between; invariant 9: nothing is leaked.

mod backup;
mod before;
mod invariants;
mod restore;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::backup::BackupCase;
use self::before::BeforeCase;
use self::restore::RestoreCase;
use super::cluster::{Cluster, EndState};
use super::landscape::Landscape;
use super::ledger::Writer;
use super::output::progress;

/// Rows per second of the ledger's writer, which never stops.
const ROWS_PER_SECOND: u32 = 50;

/// How a step is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    /// It fails whatever is tried.
    Fails,
    /// It happens, and its answer is lost.
    AnswerLost,
    /// The process is killed when it has happened and nobody was told; another goes on.
    KilledResumed,
    /// The same; another rolls it back.
    KilledRolledBack,
}

impl Breakage {
    const ALL: [Self; 4] = [Self::Fails, Self::AnswerLost, Self::KilledResumed, Self::KilledRolledBack];

    const fn title(self) -> &'static str {
        match self {
            Self::Fails => "fails always",
            Self::AnswerLost => "answer lost",
            Self::KilledResumed => "killed, resumed",
            Self::KilledRolledBack => "killed, rolled back",
        }
    }
}

/// What to prove.
#[derive(Clone, Debug)]
pub struct Proofs {
    /// This program.
    pub program: PathBuf,
    /// Where the landscape goes.
    pub dir: PathBuf,
    /// A few cases only.
    pub sample: bool,
    /// Only cases whose `flow step breakage` contains this.
    pub only: Option<String>,
}

/// What became of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseReport {
    /// `backup` or `restore`.
    pub flow: String,
    /// The step.
    pub step: String,
    /// How it was broken.
    pub breakage: Breakage,
    /// `held` or `violated`.
    pub outcome: Outcome,
    /// How the cluster was found; none for a backup, which changes nothing.
    pub end_state: Option<EndState>,
    /// How long it took, checks included.
    pub seconds: f64,
    /// What is wrong.
    pub note: String,
}

/// Whether what must hold did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    Held,
    /// It did not.
    Violated,
}

/// All cases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProofsReport {
    /// In order.
    pub cases: Vec<CaseReport>,
    /// The whole time.
    pub seconds: f64,
}

/// One case to be tried.
#[derive(Clone, Copy, Debug)]
enum Case {
    Backup(BackupCase),
    Before(BeforeCase),
    Restore(RestoreCase),
}

impl Case {
    fn all() -> Vec<Self> {
        let restore = BeforeCase::all().map(Self::Before).chain(RestoreCase::all().map(Self::Restore));
        BackupCase::all().map(Self::Backup).chain(restore).collect()
    }

    fn name(self) -> (&'static str, &'static str, Breakage) {
        match self {
            Self::Backup(case) => ("backup", case.step.as_str(), case.breakage),
            Self::Before(case) => ("restore", case.step.name(), case.breakage),
            Self::Restore(case) => ("restore", case.step.as_str(), case.breakage),
        }
    }

    /// The sample: one of each kind of breakage, one of them a backup; and one of each kind of lost answer.
    fn is_sample(self) -> bool {
        const SAMPLE: [(&str, &str, Breakage); 6] = [
            ("backup", "snapshot", Breakage::KilledResumed),
            ("restore", "swap_primary", Breakage::Fails),
            ("restore", "recover", Breakage::AnswerLost),
            ("restore", "create_disks", Breakage::AnswerLost),
            ("restore", "finish", Breakage::AnswerLost),
            ("restore", "stop_primary", Breakage::KilledRolledBack),
        ];
        SAMPLE.contains(&self.name())
    }
}

impl Proofs {
    /// Tries every case. What does not hold is in the report.
    ///
    /// # Errors
    /// The landscape does not come up or go down.
    pub async fn run(&self) -> Result<ProofsReport> {
        let began = Instant::now();
        let cases_to_try = Case::all().into_iter().filter(|case| self.wants(*case));
        let mut landscape = None;
        let mut cases = Vec::new();
        for case in cases_to_try {
            let case = self.case(case, &mut landscape).await;
            progress(&line(&case));
            // What a broken promise left would break the next case too.
            if case.outcome == Outcome::Violated {
                self.down(landscape.take()).await?;
            }
            cases.push(case);
        }
        self.down(landscape.take()).await?;
        Ok(ProofsReport { cases, seconds: began.elapsed().as_secs_f64() })
    }

    fn wants(&self, case: Case) -> bool {
        let (flow, step, breakage) = case.name();
        let name = format!("{flow} {step} {}", breakage.title());
        let chosen = self.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        chosen && (!self.sample || case.is_sample())
    }

    async fn case(&self, case: Case, landscape: &mut Option<ProofLandscape>) -> CaseReport {
        let began = Instant::now();
        let (flow, step, breakage) = case.name();
        let tried = self.tried(case, landscape).await;
        let (outcome, end_state, note) = match tried {
            Ok(state) => (Outcome::Held, state, String::new()),
            Err(error) => (Outcome::Violated, None, format!("{error:#}")),
        };
        let seconds = began.elapsed().as_secs_f64();
        CaseReport { flow: flow.into(), step: step.into(), breakage, outcome, end_state, seconds, note }
    }

    /// How the cluster was found after a case that broke no promise.
    async fn tried(&self, case: Case, landscape: &mut Option<ProofLandscape>) -> Result<Option<EndState>> {
        let landscape = match landscape {
            Some(landscape) => landscape,
            None => landscape.insert(self.up().await.context("bring up a landscape")?),
        };
        landscape.invariants_hold().await.context("before the case")?;
        let state = match case {
            Case::Backup(case) => case.run(landscape).await.map(|()| None)?,
            Case::Before(case) => Some(case.run(landscape).await?),
            Case::Restore(case) => Some(case.run(landscape).await?),
        };
        landscape.invariants_hold().await.context("after the case")?;
        Ok(state)
    }

    async fn up(&self) -> Result<ProofLandscape> {
        let lab = Landscape::up(&self.program, &self.dir, &["--deployments", "1"]).await?;
        let cluster = Cluster::open(lab).await?;
        let writer = Writer::start(cluster.primary.clone(), ROWS_PER_SECOND);
        writer.next_row(Duration::from_secs(10)).await?;
        cluster.lab.lab(&["run-errand", "backup"]).await?.success().context("run the errand backup")?;
        Ok(ProofLandscape { cluster, writer })
    }

    async fn down(&self, landscape: Option<ProofLandscape>) -> Result<()> {
        let Some(ProofLandscape { cluster, writer }) = landscape else { return Ok(()) };
        writer.stop().await;
        // A read-only folder in the store could not be removed.
        cluster.make_store_writable()?;
        cluster.lab.down().await
    }
}

/// The landscape that cases share, as long as each leaves it good.
struct ProofLandscape {
    cluster: Cluster,
    writer: Writer,
}

fn line(case: &CaseReport) -> String {
    let state = match (case.outcome, case.end_state) {
        (Outcome::Violated, _) => "VIOLATED",
        (_, Some(EndState::Restored)) => "restored",
        (_, Some(EndState::AsBefore)) => "as before",
        (_, None) => "held",
    };
    let name = format!("{} {}", case.flow, case.step);
    let head = format!("{name:<24}{:<21}{state:<14}{:>7.1} s", case.breakage.title(), case.seconds);
    if case.note.is_empty() { head } else { format!("{head}  {}", case.note) }
}

impl ProofsReport {
    /// Whether a promise was broken.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.cases.iter().any(|case| case.outcome == Outcome::Violated)
    }

    /// One line per case.
    #[must_use]
    pub fn table(&self) -> String {
        let count = |outcome| self.cases.iter().filter(|case| case.outcome == outcome).count();
        let mut lines: Vec<String> = self.cases.iter().map(line).collect();
        lines.push(format!(
            "{} cases held, {} violated; {:.0} s",
            count(Outcome::Held),
            count(Outcome::Violated),
            self.seconds
        ));
        lines.join("\n")
    }
}
