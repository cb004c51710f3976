//! The restore's steps, where each is broken, and what a landscape looks like afterwards.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use remount_core::documents::{JournalEvent, OnFailure, Outcome, RestoreRequest, What};
use remount_director::Task;
use remount_flow::{
    FlowError, Progress, ProgressEvent, Quiet, RestoreState, RestoreStep, resume_restore, rollback_restore,
    run_restore,
};
use remount_sim::memory::{CrashingObjects, MemoryLandscape};
use remount_sim::proofs::{Column, Ended, Journalling, Row, SLOW, Site, Subject};

use crate::support::{OldState, Workbench};

/// A landscape in which a restore is about to begin.
pub struct RestoreProof {
    bench: Workbench,
    request: RestoreRequest,
    old: OldState,
    wanted: BTreeSet<u64>,
    writer: Writer,
}

/// A client that commits on the restored primary whenever it may, and keeps what was acknowledged.
#[derive(Clone)]
struct Writer {
    landscape: MemoryLandscape,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
}

impl Writer {
    fn acknowledged(&self) -> BTreeSet<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Writes at each event that a flow tells.
    fn beside<'a>(&'a self, progress: &'a dyn Progress) -> Writing<'a> {
        Writing { writer: self, progress }
    }
}

struct Writing<'a> {
    writer: &'a Writer,
    progress: &'a dyn Progress,
}

impl Progress for Writing<'_> {
    fn event(&self, event: &ProgressEvent) {
        self.writer.acknowledged.lock().unwrap().extend(self.writer.landscape.write_to_restored());
        self.progress.event(event);
    }
}

/// The steps that come before the journal.
const BEFORE: [Row; 2] = [
    Row {
        step: "plan",
        journalling: Journalling::None,
        act: Site::Call("director.instances", None, 0),
        undo: None,
    },
    Row {
        step: "preflight",
        journalling: Journalling::None,
        act: Site::Call("cloud.check_create_disk", None, 0),
        undo: None,
    },
];

/// Server 0 is the primary, 1 its standby. Calls before the step's own are skipped by number.
fn row(step: RestoreStep) -> Row {
    let (act, undo) = match step {
        RestoreStep::Begin => (Site::Call("director.tasks", None, 0), None),
        RestoreStep::CreateDisks => {
            (Site::Call("cloud.create_disk", None, 1), Some(Site::Call("cloud.delete_disk", None, 0)))
        }
        RestoreStep::LastWal => (Site::Call("server.switch_wal", Some(0), 0), None),
        RestoreStep::Publish => (Site::Write("current.json"), Some(Site::Write("current.json"))),
        RestoreStep::SwapStandbys => {
            (Site::Task("director.attach", 1, 0), Some(Site::Task("director.attach", 1, 0)))
        }
        RestoreStep::StopPrimary => {
            (Site::Task("director.stop", 0, 0), Some(Site::Task("director.start", 0, 0)))
        }
        RestoreStep::SwapPrimary => {
            (Site::Task("director.attach", 0, 0), Some(Site::Task("director.attach", 0, 0)))
        }
        RestoreStep::Recover => (Site::Task("director.start", 0, 0), Some(Site::Task("director.stop", 0, 0))),
        // The survey and `last_wal` have asked before.
        RestoreStep::Verify => (Site::Call("server.status", Some(0), 2), None),
        RestoreStep::Promote => (Site::Call("server.promote", Some(0), 0), None),
        RestoreStep::Rejoin => (Site::Task("director.start", 1, 0), Some(Site::Task("director.stop", 1, 0))),
        RestoreStep::Finish => (Site::Call("server.finish_restore", Some(0), 0), None),
    };
    let journalling = match step {
        RestoreStep::Rejoin | RestoreStep::Finish => Journalling::Held,
        _ => Journalling::Undone,
    };
    Row { step: step.as_str(), journalling, act, undo }
}

#[async_trait]
impl Subject for RestoreProof {
    const FLOW: &'static str = "restore";
    const HAS_JOURNAL: bool = true;

    fn rows() -> Vec<Row> {
        BEFORE.into_iter().chain(RestoreStep::ALL.map(row)).collect()
    }

    async fn new(column: Column) -> Self {
        let mut bench = Workbench::lagging(super::seed());
        let (wanted, target) = bench.disaster().await;
        bench.retry_within(Duration::from_millis(800));
        let timeouts = &mut bench.ctx.timeouts;
        timeouts.lost_answer = Duration::from_millis(200);
        timeouts.verify = Duration::from_millis(1_500);
        timeouts.follow = Duration::from_millis(1_500);
        if column == Column::SlowBeyondDeadline {
            (timeouts.stop, timeouts.attach, timeouts.start) = (SLOW / 2, SLOW / 2, SLOW / 2);
        }
        let request = bench.request(target);
        let old = bench.old_state();
        let writer = Writer { landscape: bench.landscape.clone(), acknowledged: Arc::default() };
        Self { bench, request, old, wanted, writer }
    }

    fn landscape(&self) -> &MemoryLandscape {
        &self.bench.landscape
    }

    fn objects(&self) -> &CrashingObjects {
        &self.bench.crashing
    }

    async fn leases_end(&self) {
        self.bench.lease_ends();
    }

    async fn run(&self, progress: &dyn Progress) -> Result<(), Ended> {
        let progress = &self.writer.beside(progress);
        let ended = run_restore(&self.bench.ctx, self.request.clone(), OnFailure::Rollback, progress).await;
        ended.map(drop).map_err(ended_with)
    }

    async fn resume(&self) -> Result<(), Ended> {
        let cluster = self.bench.landscape.cluster().clone();
        let progress = &self.writer.beside(&Quiet);
        let ended =
            resume_restore(&self.bench.ctx, &cluster, &self.request.id, OnFailure::Rollback, progress).await;
        ended.map(drop).map_err(ended_with)
    }

    async fn roll_back(&self) -> Option<Result<(), Ended>> {
        let cluster = self.bench.landscape.cluster().clone();
        let progress = &self.writer.beside(&Quiet);
        let ended = rollback_restore(&self.bench.ctx, &cluster, &self.request.id, progress).await;
        Some(ended.map_err(ended_with))
    }

    fn late_failure(&self) -> (Site, &'static str) {
        (Site::Call("server.promote", Some(0), 0), RestoreStep::Promote.as_str())
    }

    fn servers(&self) -> usize {
        2
    }

    async fn assert_held(&self) {
        self.bench.landscape.quiet().await;
        assert_eq!(self.bench.landscape.rows(0), Some(self.expected()), "the primary serves");
    }

    async fn assert_done(&self) {
        self.bench.assert_restored(&self.expected()).await;
        self.assert_told(Outcome::Completed).await;
    }

    async fn assert_as_before(&self) {
        let state = RestoreState::of(&self.request.id, self.events().await).unwrap();
        let acknowledged = self.writer.acknowledged();
        for row in &acknowledged {
            assert!(self.bench.landscape.is_on_a_disk(*row), "the acknowledged transaction {row} is lost");
        }
        assert!(
            acknowledged.is_empty() || state.may_have_served(),
            "somebody could write before the promotion"
        );
        if state.may_have_served() {
            self.bench.assert_undone_after_serving(&self.old).await;
        } else {
            self.bench.assert_undone(&self.old).await;
        }
        self.assert_told(Outcome::Undone).await;
    }

    async fn assert_asked_once(&self) {
        let tasks = self.bench.ctx.director.tasks(self.bench.landscape.deployment(), 100).await.unwrap();
        let asked: BTreeSet<&str> = tasks.iter().map(asked_for).collect();
        assert_eq!(asked.len(), tasks.len(), "a task was begun twice: {tasks:?}");
    }
}

/// What is asked for of whom. An attach is told by its description, an action by its context alone, which ends in two
/// numbers that every request has for itself.
fn asked_for(task: &Task) -> &str {
    match &task.context_id {
        Some(context) => context.rsplitn(3, '-').nth(2).unwrap_or(context),
        None => &task.description,
    }
}

impl RestoreProof {
    /// What was to be restored, and all that was acknowledged since.
    fn expected(&self) -> BTreeSet<u64> {
        self.wanted.union(&self.writer.acknowledged()).copied().collect()
    }

    async fn events(&self) -> Vec<JournalEvent> {
        self.bench.landscape.cluster_store().journal(&self.request.id).await.unwrap()
    }

    /// The journal is complete, and ends as the landscape did; where nothing was begun there is none.
    async fn assert_told(&self, outcome: Outcome) {
        self.bench.assert_tidy().await;
        let events = self.events().await;
        let numbers = events.iter().map(|event| event.n);
        assert!(numbers.eq(1..=events.len() as u64), "the journal has a hole");
        match events.last() {
            Some(last) => assert_eq!(last.what, What::Finished { outcome }),
            None => assert_eq!(outcome, Outcome::Undone, "a restore without a journal"),
        }
    }
}

fn ended_with(error: FlowError) -> Ended {
    let held_at = match &error {
        FlowError::Held { step, .. } => Some(step.to_string()),
        _ => None,
    };
    Ended { exit_code: error.exit_code(), held_at, text: format!("{error:?}") }
}
