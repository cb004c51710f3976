//! The restore's rows.

use std::collections::BTreeSet;
use std::time::Duration;

use remount_core::ExitCode;
use remount_flow::{
    FlowError, Progress, Quiet, RestoreReport, StepEvent, StepEventKind, resume_restore, rollback_restore,
    run_restore,
};
use remount_store::{OnFailure, RestoreRequest};

use super::cell::{Column, Outcome, SLOW, Site};
use crate::stage::crash::{DeathAt, Written};
use crate::stage::{OldState, Resurrect, Stage};

/// A step, where its act can fail and where its undo can (counted from the begin of the way back).
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub step: &'static str,
    act: Site,
    undo: Option<Site>,
}

const fn row(step: &'static str, act: Site, undo: Option<Site>) -> Row {
    Row { step, act, undo }
}

/// Server 0 is the primary, 1 its standby. Calls before the step's own are skipped by number.
pub const ROWS: &[Row] = &[
    row("plan", Site::Call("director.instances", None, 0), None),
    row("preflight", Site::Call("cloud.check_create_disk", None, 0), None),
    row("begin", Site::Call("director.tasks", None, 0), None),
    row(
        "create_disks",
        Site::Call("cloud.create_disk", None, 1),
        Some(Site::Call("cloud.delete_disk", None, 0)),
    ),
    row("last_wal", Site::Call("server.switch_wal", Some(0), 0), None),
    row("publish", Site::Write("current.json"), Some(Site::Write("current.json"))),
    row("swap_standbys", Site::Task("director.attach", 1, 0), Some(Site::Task("director.attach", 1, 0))),
    row("stop_primary", Site::Task("director.stop", 0, 0), Some(Site::Task("director.start", 0, 0))),
    row("swap_primary", Site::Task("director.attach", 0, 0), Some(Site::Task("director.attach", 0, 0))),
    row("recover", Site::Task("director.start", 0, 0), Some(Site::Task("director.stop", 0, 0))),
    row("verify", Site::Call("server.write_probe", Some(0), 1), None),
    row("rejoin", Site::Task("director.start", 1, 0), Some(Site::Task("director.stop", 1, 0))),
    row("finish", Site::Call("server.finish_restore", Some(0), 0), None),
];

/// The steps that come before the journal.
const BEFORE: [&str; 2] = ["plan", "preflight"];
/// After these the restored primary serves: a failure is held.
const FORWARD_ONLY: [&str; 2] = ["rejoin", "finish"];

/// A world in which the restore is about to begin.
struct Scene {
    stage: Stage,
    request: RestoreRequest,
    old: OldState,
    wanted: BTreeSet<u64>,
}

impl Scene {
    async fn new(column: Column) -> Self {
        let mut stage = Stage::new();
        let (wanted, target) = stage.disaster().await;
        let timeouts = &mut stage.ctx.timeouts;
        timeouts.retry = Duration::from_millis(800);
        timeouts.lost_answer = Duration::from_millis(200);
        timeouts.verify = Duration::from_millis(1_500);
        timeouts.follow = Duration::from_millis(1_500);
        if column == Column::SlowBeyondDeadline {
            (timeouts.stop, timeouts.attach, timeouts.start) = (SLOW / 2, SLOW / 2, SLOW / 2);
        }
        let request = stage.request(target);
        let old = stage.old_state();
        Self { stage, request, old, wanted }
    }

    async fn run(&self, progress: &dyn Progress) -> Result<RestoreReport, FlowError> {
        run_restore(&self.stage.ctx, self.request.clone(), OnFailure::Rollback, progress).await
    }

    async fn resume(&self) -> Result<RestoreReport, FlowError> {
        let cluster = self.stage.world.cluster().clone();
        resume_restore(&self.stage.ctx, &cluster, &self.request.id, OnFailure::Rollback, &Quiet).await
    }

    async fn back(&self) -> Result<(), FlowError> {
        let cluster = self.stage.world.cluster().clone();
        rollback_restore(&self.stage.ctx, &cluster, &self.request.id, &Quiet).await
    }

    /// The failure is over.
    fn heal(&self) {
        self.stage.world.heal();
        self.stage.crashing.heal();
    }

    async fn restored(&self) {
        self.stage.assert_restored(&self.wanted).await;
        self.told("restored").await;
    }

    async fn as_before(&self) {
        if self.may_have_served().await {
            self.stage.assert_undone_after_serving(&self.old).await;
        } else {
            self.stage.assert_undone(&self.old).await;
        }
        self.told("undone").await;
    }

    /// Whether anybody can have written to the restored primary: it was about to be checked.
    async fn may_have_served(&self) -> bool {
        let is_verify = |event: &serde_json::Value| event["step"] == "verify" && event["event"] == "intended";
        self.events().await.iter().any(is_verify)
    }

    async fn events(&self) -> Vec<serde_json::Value> {
        self.stage.world.cluster_store().journal(&self.request.id).await.unwrap()
    }

    /// Nothing was asked of the Director twice: a lost answer is looked for.
    async fn asked_once(&self) {
        let tasks = self.stage.ctx.director.tasks(self.stage.world.deployment(), 100).await.unwrap();
        let asked: BTreeSet<&str> = tasks.iter().map(|task| task.description.as_str()).collect();
        assert_eq!(asked.len(), tasks.len(), "a task was begun twice: {tasks:?}");
    }

    /// The journal is complete, and ends as the world did; where nothing was begun there is none.
    async fn told(&self, outcome: &str) {
        self.stage.assert_tidy().await;
        let events = self.events().await;
        let numbers = events.iter().map(|event| event["n"].as_u64().unwrap());
        assert!(numbers.eq(1..=events.len() as u64), "the journal has a hole");
        if let Some(last) = events.last() {
            assert_eq!(last["event"], "finished");
            assert_eq!(last["detail"]["outcome"], outcome);
        } else {
            assert_eq!(outcome, "undone", "a restore without a journal");
        }
    }

    /// Looks at the world after a run that ended by itself.
    async fn settle(&self, ended: Result<RestoreReport, FlowError>) -> Outcome {
        let error = match ended {
            Ok(_) => {
                self.heal();
                self.restored().await;
                return Outcome::Done;
            }
            Err(error) => error,
        };
        self.heal();
        match (&error, error.exit_code()) {
            (_, ExitCode::Undone | ExitCode::Unchanged) => {
                self.as_before().await;
                Outcome::AsBefore
            }
            (FlowError::Held { step, .. }, _) if FORWARD_ONLY.contains(&step.as_str()) => {
                self.stage.world.quiet().await;
                assert_eq!(self.stage.world.rows(0).as_ref(), Some(&self.wanted), "the primary serves");
                self.resume().await.expect("once it is mended it goes on");
                self.restored().await;
                Outcome::HeldThenDone
            }
            _ => panic!("neither restored nor as before: {error:?}"),
        }
    }
}

/// Mends what fails when the way back begins: what is to be shown is the way back.
struct HealOnUndo<'a>(&'a Scene);

impl Progress for HealOnUndo<'_> {
    fn step(&self, event: &StepEvent) {
        if event.kind == StepEventKind::UndoBegun {
            self.0.heal();
        }
    }
}

/// The driver dies when this is told.
struct DieAt<'a>(&'a Scene, &'static str, StepEventKind);

impl Progress for DieAt<'_> {
    fn step(&self, event: &StepEvent) {
        if event.kind == self.2 && event.step == self.1 {
            self.0.stage.crashing.die_now();
        }
    }
}

/// Proves one cell.
pub async fn prove(row: Row, column: Column) -> Outcome {
    match column {
        Column::FailsOnce | Column::FailsAlways | Column::AnswerLost | Column::SlowBeyondDeadline => {
            let scene = Scene::new(column).await;
            row.act.inject(&scene.stage, column);
            let ended = scene.run(&HealOnUndo(&scene)).await;
            if column == Column::AnswerLost {
                scene.asked_once().await;
            }
            scene.settle(ended).await
        }
        Column::UndoFailsOnce => undo_fails(row).await,
        Column::RunTwice => run_twice(row).await,
        Column::VmReplacedMeanwhile => vm_replaced(row).await,
        _ => killed(row, column).await,
    }
}

/// A later failure, or a person, takes the restore back; the undo of this step fails once on the way.
async fn undo_fails(row: Row) -> Outcome {
    let Some(undo) = row.undo else { return Outcome::Nothing };
    let scene = Scene::new(Column::UndoFailsOnce).await;
    if FORWARD_ONLY.contains(&row.step) {
        scene.run(&Quiet).await.expect("nothing fails on the way there");
        undo.inject(&scene.stage, Column::UndoFailsOnce);
        scene.back().await.expect("an undo that fails once is tried again");
        scene.as_before().await;
        return Outcome::AsBefore;
    }
    Site::Call("server.write_probe", Some(0), 1).inject(&scene.stage, Column::FailsAlways);
    let ended = scene.run(&InjectOnUndo(&scene, undo)).await;
    let outcome = scene.settle(ended).await;
    assert_eq!(outcome, Outcome::AsBefore, "the check failed, so it went back");
    outcome
}

/// At the begin of the way back the check's failure is over, and the undo begins to fail.
struct InjectOnUndo<'a>(&'a Scene, Site);

impl Progress for InjectOnUndo<'_> {
    fn step(&self, event: &StepEvent) {
        if event.kind == StepEventKind::UndoBegun && event.step == "verify" {
            self.0.heal();
            self.1.inject(&self.0.stage, Column::UndoFailsOnce);
        }
    }
}

/// Dies there; the next process goes on, and in a second world another one goes back.
async fn killed(row: Row, column: Column) -> Outcome {
    let onward = Scene::new(column).await;
    die(&onward, row.step, column).await;
    let again = if BEFORE.contains(&row.step) { onward.run(&Quiet).await } else { onward.go_on().await };
    again.expect("the next process ends the restore");
    onward.restored().await;

    let backward = Scene::new(column).await;
    die(&backward, row.step, column).await;
    match backward.back().await {
        Ok(()) => backward.as_before().await,
        Err(error) => {
            let nothing_begun = BEFORE.contains(&row.step) && error.exit_code() == ExitCode::Usage;
            assert!(nothing_begun, "{error:?}");
            backward.stage.assert_undone(&backward.old).await;
        }
    }
    Outcome::BothWays
}

impl Scene {
    /// As the errand does: with the same request, which goes on with what was begun.
    async fn go_on(&self) -> Result<RestoreReport, FlowError> {
        self.run(&Quiet).await
    }
}

/// Runs the driver to its death at the step, and lets its lease end.
async fn die(scene: &Scene, step: &'static str, column: Column) {
    let crashing = &scene.stage.crashing;
    if BEFORE.contains(&step) {
        let kind = match column {
            Column::KilledBeforeIntent | Column::KilledAfterIntent => StepEventKind::Begun,
            _ => StepEventKind::Done,
        };
        let died = crashing.drive(scene.run(&DieAt(scene, step, kind))).await.is_none();
        assert!(died, "the driver was to die");
    } else {
        crashing.die_at(match column {
            Column::KilledBeforeIntent => DeathAt::Before(Written(step, "intended")),
            Column::KilledAfterIntent => DeathAt::After(Written(step, "intended")),
            Column::KilledAfterOutcome => DeathAt::After(Written(step, "done")),
            _ => DeathAt::Before(Written(step, "done")),
        });
        assert!(crashing.drive(scene.run(&Quiet)).await.is_none(), "the driver was to die");
    }
    crashing.heal();
    scene.stage.lease_ends();
}

/// The step acts, nobody learns of it, it acts again, nobody learns of it, and a third process goes on.
async fn run_twice(row: Row) -> Outcome {
    let scene = Scene::new(Column::RunTwice).await;
    if BEFORE.contains(&row.step) {
        scene.run(&Quiet).await.expect("nothing fails");
        scene.run(&Quiet).await.expect("a request that has ended answers as it did");
    } else {
        die(&scene, row.step, Column::KilledAfterAct).await;
        die(&scene, row.step, Column::KilledAfterAct).await;
        scene.go_on().await.expect("the third process ends the restore");
    }
    scene.restored().await;
    Outcome::Done
}

/// The resurrector makes the primary's VM anew while the step runs; in a second world the standby's.
async fn vm_replaced(row: Row) -> Outcome {
    let mut outcome = Outcome::Nothing;
    for server in 0..2 {
        let scene = Scene::new(Column::VmReplacedMeanwhile).await;
        let ended = scene.run(&Resurrect(&scene.stage, row.step, server)).await;
        outcome = scene.settle(ended).await;
    }
    outcome
}
