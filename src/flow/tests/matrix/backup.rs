//! The backup's rows. It has no journal: what a dead driver left is found by tag, and reaped by the next one.

use std::collections::BTreeSet;
use std::time::Duration;

use remount_core::{BackupManifest, ExitCode};
use remount_flow::{BackupRequest, FlowError, Progress, Quiet, StepEvent, StepEventKind, run_backup};

use super::cell::{Column, Outcome, Site};
use crate::stage::{Resurrect, Stage};

/// A step, where its act can fail and where its undo can.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub step: &'static str,
    act: Site,
    undo: Option<Site>,
}

/// The steps, as `remount backup` tells them.
pub const ROWS: &[Row] = &[
    Row { step: "source", act: Site::Call("director.instances", None, 0), undo: None },
    Row {
        step: "begin",
        act: Site::Call("server.begin_backup", Some(0), 0),
        undo: Some(Site::Call("server.abort_backup", Some(0), 0)),
    },
    Row {
        step: "snapshot",
        act: Site::Call("cloud.create_snapshot", None, 0),
        undo: Some(Site::Call("cloud.delete_snapshot", None, 0)),
    },
    Row { step: "end", act: Site::Call("server.end_backup", Some(0), 0), undo: None },
    Row { step: "manifest", act: Site::Write("/backups/"), undo: None },
];

/// The agent's own lease on backup mode; a second is its shortest.
const AGENT_LEASE: Duration = Duration::from_secs(1);

/// A world in which a backup is about to begin.
struct Scene {
    stage: Stage,
    rows: BTreeSet<u64>,
}

impl Scene {
    async fn new() -> Self {
        let mut stage = Stage::new();
        stage.ctx.timeouts.retry = Duration::from_millis(800);
        stage.ctx.timeouts.agent_lease = AGENT_LEASE;
        stage.world.commit(5).await;
        let rows = stage.world.rows(0).unwrap();
        Self { stage, rows }
    }

    async fn run(&self, progress: &dyn Progress) -> Result<BackupManifest, FlowError> {
        let request = BackupRequest::of(self.stage.world.deployment().clone());
        run_backup(&self.stage.ctx, &request, progress).await
    }

    fn heal(&self) {
        self.stage.world.heal();
        self.stage.crashing.heal();
    }

    /// The cluster serves as ever, and a backup from now on is good and leaves no trace of the one before.
    async fn serves_and_backs_up(&self) {
        self.heal();
        tokio::time::sleep(AGENT_LEASE + Duration::from_millis(200)).await;
        for server in 0..2 {
            assert_eq!(self.stage.world.rows(server).as_ref(), Some(&self.rows), "rows of server {server}");
        }
        let manifest = self.run(&Quiet).await.expect("the next backup is good");
        let cluster = self.stage.world.cluster_store();
        assert_eq!(cluster.backup(&manifest.id).await.unwrap(), Some(manifest));
        self.stage.assert_tidy().await;
    }

    async fn settle(&self, ended: Result<BackupManifest, FlowError>) -> Outcome {
        let outcome = match ended {
            Ok(_) => Outcome::Done,
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Unchanged, "{error:?}");
                Outcome::AsBefore
            }
        };
        self.serves_and_backs_up().await;
        outcome
    }
}

/// Proves one cell.
pub async fn prove(row: Row, column: Column) -> Outcome {
    let scene = Scene::new().await;
    match column {
        Column::FailsOnce | Column::FailsAlways | Column::AnswerLost | Column::SlowBeyondDeadline => {
            row.act.inject(&scene.stage, column);
            let ended = scene.run(&Quiet).await;
            if column == Column::FailsAlways {
                // Where only this step fails, the failed backup itself leaves nothing to the next one.
                scene.stage.assert_tidy().await;
            }
            scene.settle(ended).await
        }
        Column::UndoFailsOnce => {
            let Some(undo) = row.undo else { return Outcome::Nothing };
            Site::Call("server.end_backup", Some(0), 0).inject(&scene.stage, Column::FailsAlways);
            undo.inject(&scene.stage, Column::UndoFailsOnce);
            let ended = scene.run(&Quiet).await;
            scene.settle(ended).await
        }
        Column::RunTwice => {
            scene.run(&Quiet).await.expect("nothing fails");
            scene.serves_and_backs_up().await;
            Outcome::Done
        }
        Column::VmReplacedMeanwhile => {
            let ended = scene.run(&Resurrect(&scene.stage, row.step, 0)).await;
            scene.stage.world.quiet().await;
            scene.settle(ended).await
        }
        _ => killed(&scene, row.step, column).await,
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

/// Without a journal there is no intent to be before or after: it dies as the step begins, or as it ends.
async fn killed(scene: &Scene, step: &'static str, column: Column) -> Outcome {
    let kind = match column {
        Column::KilledBeforeIntent | Column::KilledAfterIntent => StepEventKind::Begun,
        _ => StepEventKind::Done,
    };
    let driver = DieAt(scene, step, kind);
    let ended = scene.stage.crashing.drive(scene.run(&driver)).await;
    let outcome = if ended.is_some() { Outcome::Done } else { Outcome::AsBefore };
    scene.stage.lease_ends();
    scene.serves_and_backs_up().await;
    outcome
}
