//! What goes wrong in a restore, on order and at the right moment: each step can be made to fail for good, to
//! lose an answer, or to have acted without having said so. Nothing of it is in Remount: the landscape does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remount_flow::RestoreStep;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::cluster::{Cluster, DEPLOYMENT};
use super::lost_answer::{BeforeAgents, LostAnswer, Unanswered};
use super::remount_process::RemountProcess;
use super::signed::signed_document;
use super::step::done_event;

/// How long the Director takes, on order, to answer the first question of step `begin`: time to prepare what
/// goes wrong in the steps after it, which take a hundredth of a second each.
const PAUSE_MS: u64 = 1500;
/// A restore is under way by then.
const BEGIN_LIMIT: Duration = Duration::from_secs(30);
/// A paused process renews no lease: it has to go on before its term (10 s in the lab) is over.
const PAUSED_LIMIT: Duration = Duration::from_secs(8);
/// A standby has a plan by then.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub enum InjectedFault {
    /// With the Director, as `remount-lab break director` has it.
    Director(Value),
    /// Something happens, and its answer is lost.
    AnswerLost(LostAnswer),
    /// The cloud makes no disk any more.
    NoDisks,
    /// The backup's first segment is gone from the archive.
    SegmentGone,
    /// The store refuses to take the plan.
    PlanRefused,
    /// The store refuses to let the plan go.
    PlanKept,
    /// The primary's agent refuses a call.
    AgentRefuses(&'static str),
    /// The restored primary's disk does not say any more which restore it applied.
    RecordGone,
    /// The journal does not take its n-th event.
    JournalStuck(u64),
}

/// When it is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Before the restore.
    Before,
    /// While the Director thinks about the first question of step `begin`.
    InBegin,
    /// The restored primary stands at its target; the process, paused, has not heard of it.
    Recovered,
    /// The standby has begun to start on its new disk.
    StandbyStarts,
}

impl InjectedFault {
    /// What makes a step fail for good.
    #[must_use]
    pub fn failing(cluster: &Cluster, step: RestoreStep) -> Self {
        let (primary, standby) = (cluster.short(0), cluster.short(1));
        let director = |on: &str, kind: &str, only: String, times: u32| {
            Self::Director(json!({"on": on, "kind": kind, "only": only, "times": times}))
        };
        match step {
            RestoreStep::Begin => Self::Director(
                json!({"on": "instances", "kind": "fail_before", "only": DEPLOYMENT, "times": 1, "skip": 1}),
            ),
            RestoreStep::CreateDisks => Self::NoDisks,
            RestoreStep::LastWal => Self::SegmentGone,
            RestoreStep::Publish => Self::PlanRefused,
            RestoreStep::SwapStandbys => director("attach", "fail_before", standby, 2),
            RestoreStep::StopPrimary => director("stop", "fail_before", primary, 1),
            RestoreStep::SwapPrimary => director("attach", "fail_midway", primary, 2),
            RestoreStep::Recover => director("start", "fail_before", primary, 1),
            RestoreStep::Verify => Self::RecordGone,
            RestoreStep::Promote => Self::AgentRefuses(PROMOTION),
            RestoreStep::Rejoin => director("start", "fail_before", standby, 1),
            RestoreStep::Finish => Self::PlanKept,
        }
    }

    /// What a step asks for happens, and its answer is lost.
    ///
    /// # Errors
    /// The landscape is not up.
    pub fn lost_answer(cluster: &Cluster, step: RestoreStep) -> Result<Self> {
        let (primary, standby) = (cluster.short(0), cluster.short(1));
        let director = |on: &str, only: String, skip: u32| {
            LostAnswer::Director(json!({"on": on, "kind": "lose_answer", "only": only, "skip": skip}))
        };
        Ok(Self::AnswerLost(match step {
            RestoreStep::Begin => director("instances", DEPLOYMENT.into(), 1),
            RestoreStep::CreateDisks => LostAnswer::Files(cluster.folder.cloud().join("disks")),
            RestoreStep::LastWal => LostAnswer::Agent("/v1/wal/switch", 0),
            RestoreStep::Publish => LostAnswer::Files(cluster.folder.store().join(PLANS)),
            RestoreStep::SwapStandbys => director("attach", standby, 0),
            RestoreStep::StopPrimary => director("stop", primary, 0),
            RestoreStep::SwapPrimary => director("attach", primary, 0),
            RestoreStep::Recover => director("start", primary, 0),
            // The survey and `last_wal` have asked before.
            RestoreStep::Verify => LostAnswer::Agent("/v1/status", 2),
            RestoreStep::Promote => LostAnswer::Agent(PROMOTION, 0),
            RestoreStep::Rejoin => director("start", standby, 0),
            RestoreStep::Finish => LostAnswer::Agent("/v1/restore/finish", 0),
        }))
    }

    const fn moment(&self) -> Moment {
        match self {
            Self::Director(_)
            | Self::AgentRefuses(_)
            | Self::AnswerLost(LostAnswer::Director(_) | LostAnswer::Agent(..)) => Moment::Before,
            Self::AnswerLost(LostAnswer::Files(_))
            | Self::NoDisks
            | Self::SegmentGone
            | Self::PlanRefused
            | Self::JournalStuck(_) => Moment::InBegin,
            Self::RecordGone => Moment::Recovered,
            Self::PlanKept => Moment::StandbyStarts,
        }
    }
}

/// A restore that is under way, with what was injected into it.
#[derive(Debug)]
pub struct FaultyRestore<'a> {
    cluster: &'a Cluster,
    /// Its process.
    pub process: RemountProcess,
    /// Its id.
    pub restore: String,
    aside: Option<(PathBuf, PathBuf)>,
    stuck: Option<PathBuf>,
    before_agents: Option<BeforeAgents>,
    unanswered: Option<Unanswered>,
}

impl<'a> FaultyRestore<'a> {
    /// Begins a restore to a time and prepares what goes wrong in it.
    ///
    /// # Errors
    /// The restore does not begin, or a fault could not be prepared in time.
    pub async fn begin(cluster: &'a Cluster, to: &str, fault: &InjectedFault, echo: bool) -> Result<Self> {
        if let InjectedFault::Director(fault) | InjectedFault::AnswerLost(LostAnswer::Director(fault)) = fault
        {
            break_it(cluster, &["director", &fault.to_string()]).await?;
        }
        let before_agents = match fault {
            InjectedFault::AnswerLost(LostAnswer::Agent(path, skip)) => {
                Some(BeforeAgents::losing(cluster, path, *skip).await?)
            }
            InjectedFault::AgentRefuses(path) => Some(BeforeAgents::refusing(cluster, path).await?),
            _ => None,
        };
        let pause = json!({
            "on": "instances", "kind": "slow_task", "milliseconds": PAUSE_MS, "only": DEPLOYMENT, "skip": 1,
        });
        break_it(cluster, &["director", &pause.to_string()]).await?;
        let known = restores(cluster)?;
        let arguments = ["restore", "--now", "--deployment", DEPLOYMENT, "--to-time", to];
        let process = match &before_agents {
            Some(proxies) => proxies.remount(&cluster.lab, &arguments)?,
            None => RemountProcess::start(&cluster.lab, &arguments, echo)?,
        };
        let restore = begun(cluster, &known).await.with_context(|| process.said())?;
        let mut restore_run =
            Self { cluster, process, restore, aside: None, stuck: None, before_agents, unanswered: None };
        if fault.moment() == Moment::InBegin {
            restore_run.prepare_in_begin(fault).await?;
        }
        match fault.moment() {
            Moment::Recovered => restore_run.forget_record().await?,
            Moment::StandbyStarts => restore_run.keep_plan().await?,
            Moment::Before | Moment::InBegin => {}
        }
        Ok(restore_run)
    }

    /// The folder of the restore in the store.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.cluster.in_store().join("restores").join(&self.restore)
    }

    async fn prepare_in_begin(&mut self, fault: &InjectedFault) -> Result<()> {
        match fault {
            InjectedFault::NoDisks => break_it(self.cluster, &["cloud", "--no-disks"]).await?,
            InjectedFault::PlanRefused => break_it(self.cluster, &["store", "--read-only", PLANS]).await?,
            InjectedFault::SegmentGone => self.take_segment_away()?,
            InjectedFault::AnswerLost(LostAnswer::Files(folder)) => {
                let process = self.process.pid()?;
                self.unanswered = Some(Unanswered::begin(self.cluster, folder, process).await?);
            }
            InjectedFault::JournalStuck(n) => {
                // A folder where the event is to go: the store can neither write nor read it.
                let path = self.folder().join(format!("journal/{n:06}.json"));
                fs::create_dir(&path).context("block the journal's event")?;
                self.stuck = Some(path);
            }
            _ => {}
        }
        let done = format!("journal/{:06}.json", done_event(RestoreStep::Begin));
        let still = !self.folder().join(done).is_file();
        ensure!(still, "step `begin` ended before its fault was prepared");
        Ok(())
    }

    /// The backup's first segment, as the plan names it.
    fn take_segment_away(&mut self) -> Result<()> {
        let plan = signed_document(&self.folder().join("plan.json"))?;
        let segment = plan["path"]["segments"][0].as_str().context("the plan names no segment")?;
        let system = plan["path"]["system_identifier"].as_str().context("the plan names no system")?;
        let timeline = segment.get(..8).context("a segment without a timeline")?;
        let folder = self.cluster.in_store().join(system).join("wal").join(timeline);
        let path = folder.join(segment);
        let aside = self.cluster.folder.0.join("segment.aside");
        fs::rename(&path, &aside).context("take the segment away")?;
        self.aside = Some((path, aside));
        Ok(())
    }

    /// Pauses the process until the start of its restored primary is over, and takes away what says which restore it
    /// applied.
    async fn forget_record(&self) -> Result<()> {
        let record = self.record(0).await?;
        appears(&record, START_LIMIT).await?;
        self.process.signal(Signal::STOP)?;
        let deadline = Instant::now() + PAUSED_LIMIT;
        while self.cluster.director_works().await? {
            ensure!(Instant::now() < deadline, "the restored primary was not ready in time");
            sleep(POLL).await;
        }
        fs::remove_file(&record).context("take the record away")?;
        self.process.wake()
    }

    /// Keeps the plan from being withdrawn once the standby has read it.
    async fn keep_plan(&self) -> Result<()> {
        appears(&self.record(1).await?, START_LIMIT).await?;
        break_it(self.cluster, &["store", "--read-only", PLANS]).await
    }

    /// What the instance's disk will say of this restore, seen through the VM's first process.
    async fn record(&self, index: u32) -> Result<PathBuf> {
        let root = self.cluster.root_of(&self.cluster.lab.instance(DEPLOYMENT, index).await?)?;
        Ok(root.join(format!("var/vcap/store/remount/applied/{}.json", self.restore)))
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// One cannot be ended.
    pub async fn mend(&mut self) -> Result<()> {
        break_it(self.cluster, &["mend"]).await?;
        break_it(self.cluster, &["store", "--mend", "--read-only", PLANS]).await?;
        if let Some((path, aside)) = self.aside.take() {
            fs::rename(aside, path).context("put the segment back")?;
        }
        if let Some(unanswered) = self.unanswered.take() {
            unanswered.end().await?;
        }
        self.before_agents.take().map_or(Ok(()), BeforeAgents::end)?;
        self.stuck.take().map_or(Ok(()), fs::remove_dir).context("let the journal go on")
    }
}

/// How the agent is asked to promote.
const PROMOTION: &str = "/v1/restore/promote";
/// Where the published plan lies, in the store.
const PLANS: &str = "clusters/pg-0001/restores";

pub(super) async fn break_it(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    let all: Vec<&str> = std::iter::once("break").chain(arguments.iter().copied()).collect();
    cluster.lab.lab(&all).await?.success().map(drop)
}

/// The restores that the store knows.
pub(super) fn restores(cluster: &Cluster) -> Result<Vec<String>> {
    let folder = cluster.in_store().join("restores");
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Waits for the first event of a new restore.
async fn begun(cluster: &Cluster, known: &[String]) -> Result<String> {
    let deadline = Instant::now() + BEGIN_LIMIT;
    loop {
        let fresh = restores(cluster)?.into_iter().find(|id| !known.contains(id));
        let first = |id: &String| cluster.in_store().join("restores").join(id).join("journal/000001.json");
        if let Some(id) = fresh.filter(|id| first(id).is_file()) {
            return Ok(id);
        }
        ensure!(Instant::now() < deadline, "no restore began");
        sleep(POLL).await;
    }
}

async fn appears(path: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !path.exists() {
        ensure!(Instant::now() < deadline, "{} did not appear within {limit:?}", path.display());
        sleep(POLL).await;
    }
    Ok(())
}
