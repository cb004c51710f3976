//! The proofs on a landscape: every step of backup and of restore, broken in several ways, and after each the
//! world looked at with other eyes than Remount's. Invariant 7: it ends restored and verified, or in the old
//! state, never between; invariant 9: nothing is leaked.

mod backup;
mod before;
mod restore;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::backup::BackupCell;
use self::before::BeforeCell;
use self::restore::RestoreCell;
use super::cluster::{Cluster, EndState};
use super::demo::say;
use super::landscape::Landscape;
use super::ledger::Writer;

/// Rows per second of the ledger's writer, which never stops.
const ROWS_PER_SECOND: u32 = 50;

/// How a step is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It fails whatever is tried.
    Fails,
    /// It happens, and its answer is lost.
    AnswerLost,
    /// The driver is killed when it has happened and nobody was told; another goes on.
    KilledResumed,
    /// The same; another takes it back.
    KilledRolledBack,
}

impl Way {
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
    /// A few cells only.
    pub sample: bool,
    /// Only cells whose `flow step way` contains this.
    pub only: Option<String>,
}

/// What became of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// `backup` or `restore`.
    pub flow: String,
    /// The step.
    pub step: String,
    /// How it was broken.
    pub way: Way,
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

/// All cells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProofsReport {
    /// In order.
    pub cells: Vec<Cell>,
    /// The whole time.
    pub seconds: f64,
}

/// One cell to be tried.
#[derive(Clone, Copy, Debug)]
enum Trial {
    Backup(BackupCell),
    Before(BeforeCell),
    Restore(RestoreCell),
}

impl Trial {
    fn all() -> Vec<Self> {
        let restore = BeforeCell::all().map(Self::Before).chain(RestoreCell::all().map(Self::Restore));
        BackupCell::all().map(Self::Backup).chain(restore).collect()
    }

    fn name(self) -> (&'static str, &'static str, Way) {
        match self {
            Self::Backup(cell) => ("backup", cell.step.as_str(), cell.way),
            Self::Before(cell) => ("restore", cell.step.name(), cell.way),
            Self::Restore(cell) => ("restore", cell.step.as_str(), cell.way),
        }
    }

    /// The sample: one of each way, one of them a backup; and one of each kind of lost answer.
    fn is_sample(self) -> bool {
        const SAMPLE: [(&str, &str, Way); 6] = [
            ("backup", "snapshot", Way::KilledResumed),
            ("restore", "swap_primary", Way::Fails),
            ("restore", "recover", Way::AnswerLost),
            ("restore", "create_disks", Way::AnswerLost),
            ("restore", "finish", Way::AnswerLost),
            ("restore", "stop_primary", Way::KilledRolledBack),
        ];
        SAMPLE.contains(&self.name())
    }
}

impl Proofs {
    /// Tries every cell. What does not hold is in the report.
    ///
    /// # Errors
    /// The landscape does not come up or go down.
    pub async fn run(&self) -> Result<ProofsReport> {
        let began = Instant::now();
        let trials = Trial::all().into_iter().filter(|trial| self.wants(*trial));
        let mut stage = None;
        let mut cells = Vec::new();
        for trial in trials {
            let cell = self.cell(trial, &mut stage).await;
            say(&line(&cell));
            // What a broken promise left would break the next cell too.
            if cell.outcome == Outcome::Violated {
                self.down(stage.take()).await?;
            }
            cells.push(cell);
        }
        self.down(stage.take()).await?;
        Ok(ProofsReport { cells, seconds: began.elapsed().as_secs_f64() })
    }

    fn wants(&self, trial: Trial) -> bool {
        let (flow, step, way) = trial.name();
        let name = format!("{flow} {step} {}", way.title());
        let chosen = self.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
        chosen && (!self.sample || trial.is_sample())
    }

    async fn cell(&self, trial: Trial, stage: &mut Option<Stage>) -> Cell {
        let began = Instant::now();
        let (flow, step, way) = trial.name();
        let tried = self.tried(trial, stage).await;
        let (outcome, end_state, note) = match tried {
            Ok(state) => (Outcome::Held, state, String::new()),
            Err(error) => (Outcome::Violated, None, format!("{error:#}")),
        };
        let seconds = began.elapsed().as_secs_f64();
        Cell { flow: flow.into(), step: step.into(), way, outcome, end_state, seconds, note }
    }

    /// How the cluster was found after a cell that broke no promise.
    async fn tried(&self, trial: Trial, stage: &mut Option<Stage>) -> Result<Option<EndState>> {
        let stage = match stage {
            Some(stage) => stage,
            None => stage.insert(self.up().await.context("bring up a landscape")?),
        };
        stage.world_is_good().await.context("before the cell")?;
        let state = match trial {
            Trial::Backup(cell) => cell.run(stage).await.map(|()| None)?,
            Trial::Before(cell) => Some(cell.run(stage).await?),
            Trial::Restore(cell) => Some(cell.run(stage).await?),
        };
        stage.world_is_good().await.context("after the cell")?;
        Ok(state)
    }

    async fn up(&self) -> Result<Stage> {
        let lab = Landscape::up(&self.program, &self.dir, &["--deployments", "1"]).await?;
        let cluster = Cluster::open(lab).await?;
        let writer = Writer::start(cluster.primary.clone(), ROWS_PER_SECOND);
        writer.next_row(Duration::from_secs(10)).await?;
        cluster.lab.lab(&["run-errand", "backup"]).await?.success().context("run the errand backup")?;
        Ok(Stage { cluster, writer })
    }

    async fn down(&self, stage: Option<Stage>) -> Result<()> {
        let Some(Stage { cluster, writer }) = stage else { return Ok(()) };
        writer.stop().await;
        // A read-only folder in the store could not be removed.
        cluster.make_store_writable()?;
        cluster.lab.down().await
    }
}

/// The landscape that cells share, as long as each leaves it good.
struct Stage {
    cluster: Cluster,
    writer: Writer,
}

fn line(cell: &Cell) -> String {
    let state = match (cell.outcome, cell.end_state) {
        (Outcome::Violated, _) => "VIOLATED",
        (_, Some(EndState::Restored)) => "restored",
        (_, Some(EndState::AsBefore)) => "as before",
        (_, None) => "held",
    };
    let name = format!("{} {}", cell.flow, cell.step);
    let head = format!("{name:<24}{:<21}{state:<14}{:>7.1} s", cell.way.title(), cell.seconds);
    if cell.note.is_empty() { head } else { format!("{head}  {}", cell.note) }
}

impl ProofsReport {
    /// Whether a promise was broken.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.cells.iter().any(|cell| cell.outcome == Outcome::Violated)
    }

    /// One line per cell.
    #[must_use]
    pub fn table(&self) -> String {
        let count = |outcome| self.cells.iter().filter(|cell| cell.outcome == outcome).count();
        let mut lines: Vec<String> = self.cells.iter().map(line).collect();
        lines.push(format!(
            "{} cells held, {} violated; {:.0} s",
            count(Outcome::Held),
            count(Outcome::Violated),
            self.seconds
        ));
        lines.join("\n")
    }
}
