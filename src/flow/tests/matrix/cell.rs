//! What can go wrong with a step, where it is injected, and how it can end.

use std::time::Duration;

use remount_lab::memory::{Fault, Rule};
use serde::Serialize;

use crate::stage::Stage;
use crate::stage::crash::{StoreFault, StoreFaultKind};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Column {
    FailsOnce,
    FailsAlways,
    AnswerLost,
    SlowBeyondDeadline,
    KilledBeforeIntent,
    KilledAfterIntent,
    KilledAfterAct,
    KilledAfterOutcome,
    UndoFailsOnce,
    RunTwice,
    VmReplacedMeanwhile,
}

impl Column {
    pub const ALL: [Self; 11] = [
        Self::FailsOnce,
        Self::FailsAlways,
        Self::AnswerLost,
        Self::SlowBeyondDeadline,
        Self::KilledBeforeIntent,
        Self::KilledAfterIntent,
        Self::KilledAfterAct,
        Self::KilledAfterOutcome,
        Self::UndoFailsOnce,
        Self::RunTwice,
        Self::VmReplacedMeanwhile,
    ];

    pub fn legend() -> String {
        let names: Vec<String> =
            Self::ALL.iter().enumerate().map(|(n, column)| format!("{}: {column:?}", n + 1)).collect();
        format!("columns  {}", names.join(", "))
    }
}

/// How a cell ended; all but the last are as promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Restored and verified, or the backup is good.
    Done,
    /// As it was before.
    AsBefore,
    /// The restored primary served, a person resumed, all is restored.
    HeldThenDone,
    /// One way it ended done, the other way as before.
    BothWays,
    /// The step has nothing that could fail so.
    Nothing,
    /// A promise was broken.
    Violation,
}

impl Outcome {
    pub const fn letter(self) -> char {
        match self {
            Self::Done => 'D',
            Self::AsBefore => 'B',
            Self::HeldThenDone => 'H',
            Self::BothWays => '=',
            Self::Nothing => '-',
            Self::Violation => 'X',
        }
    }

    pub fn legend() -> String {
        "D done, B as before, H held and resumed, = done by resume and as before by rollback, - nothing, X VIOLATION"
            .into()
    }
}

/// Where a fault is injected.
#[derive(Clone, Copy, Debug)]
pub enum Site {
    /// A call that is answered at once; by which server (0 is the primary), after so many good calls.
    Call(&'static str, Option<usize>, u32),
    /// A call that begins a task of the Director.
    Task(&'static str, usize, u32),
    /// A write or deletion of objects with this in their path.
    Write(&'static str),
}

/// Longer than the deadlines of a cell about slowness, shorter than a few of them.
pub const SLOW: Duration = Duration::from_millis(500);
/// For ever, as long as nobody heals it.
const ALWAYS: u32 = 10_000;

impl Site {
    /// Injects what the column says.
    pub fn inject(self, stage: &Stage, column: Column) {
        match self {
            Self::Call(call, server, after) => {
                let (fault, times) = call_fault(column);
                self.rule(stage, call, server, after, fault, times);
            }
            Self::Task(call, server, after) => {
                let (fault, times) = task_fault(column);
                self.rule(stage, call, Some(server), after, fault, times);
            }
            Self::Write(path) => {
                let (kind, times) = match column {
                    Column::FailsAlways => (StoreFaultKind::Refuse, ALWAYS),
                    Column::AnswerLost => (StoreFaultKind::LoseAnswer, 1),
                    Column::SlowBeyondDeadline => (StoreFaultKind::LoseAnswer, ALWAYS),
                    _ => (StoreFaultKind::LoseRequest, 1),
                };
                stage.crashing.fail(StoreFault { path, kind, times });
            }
        }
    }

    fn rule(
        self,
        stage: &Stage,
        call: &'static str,
        server: Option<usize>,
        after: u32,
        fault: Fault,
        times: u32,
    ) {
        let rule = Rule::once(call, fault).times(times).after(after);
        stage.world.inject(match server {
            Some(server) => rule.about(stage.world.slug(server)),
            None => rule,
        });
    }
}

const fn call_fault(column: Column) -> (Fault, u32) {
    match column {
        Column::FailsAlways => (Fault::Refuse, ALWAYS),
        Column::AnswerLost => (Fault::LoseAnswer, 1),
        Column::SlowBeyondDeadline => (Fault::LoseAnswer, ALWAYS),
        _ => (Fault::LoseRequest, 1),
    }
}

const fn task_fault(column: Column) -> (Fault, u32) {
    match column {
        Column::FailsAlways => (Fault::FailTask, ALWAYS),
        Column::AnswerLost => (Fault::LoseAnswer, 1),
        Column::SlowBeyondDeadline => (Fault::SlowTask(SLOW), 1),
        _ => (Fault::FailTask, 1),
    }
}
