//! One case: a step of a flow, broken in one way.

use remount_core::ExitCode;
use remount_saga::{Progress, ProgressEvent, ProgressKind, Quiet};

use super::{Column, Ended, Journalling, Outcome, Row, Site, Subject};
use crate::memory::{DeathAt, Written};

/// Proves one case.
///
/// # Panics
/// Where a promise is broken.
pub async fn prove<S: Subject>(row: Row, column: Column) -> Outcome {
    match column {
        Column::FailsOnce | Column::FailsAlways | Column::AnswerLost | Column::SlowBeyondDeadline => {
            let subject = S::new(column).await;
            subject.inject(row.act, column);
            let ended = subject.run(&HealOnUndo(&subject)).await;
            if column == Column::FailsAlways {
                subject.assert_cleaned_up().await;
            }
            if column == Column::AnswerLost {
                subject.assert_asked_once().await;
            }
            settle(&subject, ended).await
        }
        Column::UndoFailsOnce => undo_fails::<S>(row).await,
        Column::RunTwice => run_twice::<S>(row).await,
        Column::VmReplacedMeanwhile => vm_replaced::<S>(row).await,
        _ => killed::<S>(row, column).await,
    }
}

/// Looks at the landscape after a run that ended by itself.
async fn settle<S: Subject>(subject: &S, ended: Result<(), Ended>) -> Outcome {
    subject.heal();
    let Err(ended) = ended else {
        subject.assert_done().await;
        return Outcome::Done;
    };
    if matches!(ended.exit_code, ExitCode::Undone | ExitCode::Unchanged) {
        subject.assert_as_before().await;
        return Outcome::AsBefore;
    }
    let may_be_held =
        |row: &Row| row.journalling == Journalling::Held && ended.held_at.as_deref() == Some(row.step);
    assert!(S::rows().iter().any(may_be_held), "neither done nor as before: {}", ended.text);
    subject.assert_held().await;
    subject.resume().await.expect("once what fails is fixed the run goes on");
    subject.assert_done().await;
    Outcome::HeldThenDone
}

/// A later failure, or a person, rolls the run back; the undo of this step fails once on the way.
async fn undo_fails<S: Subject>(row: Row) -> Outcome {
    let Some(undo) = row.undo else { return Outcome::Nothing };
    let subject = S::new(Column::UndoFailsOnce).await;
    if row.journalling == Journalling::Held {
        subject.run(&Quiet).await.expect("nothing fails on the way there");
        subject.inject(undo, Column::UndoFailsOnce);
        let rolled_back = subject.roll_back().await.expect("what was done can be rolled back");
        rolled_back.expect("an undo that fails once is tried again");
        subject.assert_as_before().await;
        return Outcome::AsBefore;
    }
    let (site, at) = subject.late_failure();
    subject.inject(site, Column::FailsAlways);
    let ended = subject.run(&InjectOnUndo { subject: &subject, at, undo }).await;
    let outcome = settle(&subject, ended).await;
    assert_eq!(outcome, Outcome::AsBefore, "step {at} failed, so it was rolled back");
    outcome
}

/// Dies there; the next process goes on, and in a second landscape another one rolls back.
async fn killed<S: Subject>(row: Row, column: Column) -> Outcome {
    let onward = S::new(column).await;
    die(&onward, row, column).await;
    onward.run(&Quiet).await.expect("the next process ends the run");
    onward.assert_done().await;

    let backward = S::new(column).await;
    die(&backward, row, column).await;
    match backward.roll_back().await {
        None => assert_eq!(row.journalling, Journalling::None, "a journalled step can be rolled back"),
        Some(Ok(())) => {}
        Some(Err(ended)) => {
            let nothing_begun = row.journalling == Journalling::None && ended.exit_code == ExitCode::Usage;
            assert!(nothing_begun, "{}", ended.text);
        }
    }
    backward.assert_as_before().await;
    Outcome::BothWays
}

/// Runs a process to its death at the step, and lets its lease end.
async fn die<S: Subject>(subject: &S, row: Row, column: Column) {
    let objects = subject.objects();
    let step = row.step;
    if row.journalling == Journalling::None {
        let kind = match column {
            Column::KilledBeforeIntent | Column::KilledAfterIntent => ProgressKind::Begun,
            _ => ProgressKind::Done,
        };
        let ended = objects.drive(subject.run(&DieAt { subject, step, kind })).await;
        // At the end of its last step a process has nothing left to do, and may end before it dies.
        assert!(ended.is_none() || !S::HAS_JOURNAL, "the process was to die");
    } else {
        objects.die_at(match column {
            Column::KilledBeforeIntent => DeathAt::Before(Written(step, "intended")),
            Column::KilledAfterIntent => DeathAt::After(Written(step, "intended")),
            Column::KilledAfterOutcome => DeathAt::After(Written(step, "done")),
            _ => DeathAt::Before(Written(step, "done")),
        });
        assert!(objects.drive(subject.run(&Quiet)).await.is_none(), "the process was to die");
    }
    objects.heal();
    subject.leases_end().await;
}

/// The step acts, nobody learns of it, it acts again, nobody learns of it, and a third process goes on.
async fn run_twice<S: Subject>(row: Row) -> Outcome {
    let subject = S::new(Column::RunTwice).await;
    if row.journalling == Journalling::None {
        subject.run(&Quiet).await.expect("nothing fails");
        subject
            .run(&Quiet)
            .await
            .expect("a run that has ended answers as it did, or a new one ends well too");
    } else {
        die(&subject, row, Column::KilledAfterAct).await;
        die(&subject, row, Column::KilledAfterAct).await;
        subject.run(&Quiet).await.expect("the third process ends the run");
    }
    subject.assert_done().await;
    Outcome::Done
}

/// The resurrector makes the primary's VM anew while the step runs; in the next landscape the standby's.
async fn vm_replaced<S: Subject>(row: Row) -> Outcome {
    let (mut outcome, mut server) = (Outcome::Nothing, 0);
    loop {
        let subject = S::new(Column::VmReplacedMeanwhile).await;
        if server == subject.servers() {
            return outcome;
        }
        let ended = subject.run(&ReplaceVm { subject: &subject, step: row.step, server }).await;
        subject.landscape().quiet().await;
        outcome = settle(&subject, ended).await;
        server += 1;
    }
}

/// Ends the failure when the rollback begins: what is to be shown is the rollback.
struct HealOnUndo<'a, S>(&'a S);

impl<S: Subject> Progress for HealOnUndo<'_, S> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::UndoBegun {
            self.0.heal();
        }
    }
}

/// The process dies when this is told.
struct DieAt<'a, S> {
    subject: &'a S,
    step: &'static str,
    kind: ProgressKind,
}

impl<S: Subject> Progress for DieAt<'_, S> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == self.kind && event.step == self.step {
            self.subject.objects().die_now();
        }
    }
}

/// At the begin of the rollback the late failure is over, and the undo begins to fail.
struct InjectOnUndo<'a, S> {
    subject: &'a S,
    at: &'static str,
    undo: Site,
}

impl<S: Subject> Progress for InjectOnUndo<'_, S> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::UndoBegun && event.step == self.at {
            self.subject.heal();
            self.subject.inject(self.undo, Column::UndoFailsOnce);
        }
    }
}

/// Has a server's VM made anew when a step begins, as the Director's resurrector does.
struct ReplaceVm<'a, S> {
    subject: &'a S,
    step: &'static str,
    server: usize,
}

impl<S: Subject> Progress for ReplaceVm<'_, S> {
    fn event(&self, event: &ProgressEvent) {
        if event.kind == ProgressKind::Begun && event.step == self.step {
            self.subject.landscape().replace_vm(self.server);
        }
    }
}
