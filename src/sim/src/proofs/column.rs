//! What can go wrong with a step, and how it can end.

use serde::Serialize;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Column {
    /// Its call fails once, in passing.
    FailsOnce,
    /// Its call fails for good.
    FailsAlways,
    /// It happens, and nobody hears of it.
    AnswerLost,
    /// It takes longer than anybody waits.
    SlowBeyondDeadline,
    /// The process dies before the intent is journalled.
    KilledBeforeIntent,
    /// The process dies right after the intent is journalled.
    KilledAfterIntent,
    /// The process dies when the step has acted.
    KilledAfterAct,
    /// The process dies right after the outcome is journalled.
    KilledAfterOutcome,
    /// Its undo fails once.
    UndoFailsOnce,
    /// It acts twice, because nobody heard of the first time.
    RunTwice,
    /// A server's VM is made anew while it runs.
    VmReplacedMeanwhile,
}

impl Column {
    /// All, in the order of the report.
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

    /// The columns by their numbers.
    #[must_use]
    pub fn legend() -> String {
        let names: Vec<String> =
            Self::ALL.iter().enumerate().map(|(n, column)| format!("{}: {column:?}", n + 1)).collect();
        format!("columns  {}", names.join(", "))
    }
}

/// How a case ended; all but the last are as promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Restored and verified, or the backup is good.
    Done,
    /// As it was before.
    AsBefore,
    /// It stopped for a person, who went on, and all is done.
    HeldThenDone,
    /// One way it ended done, the other way as before.
    BothWays,
    /// The step has nothing that could fail so.
    Nothing,
    /// A promise was broken.
    Violation,
}

impl Outcome {
    /// Its letter in the table.
    #[must_use]
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

    /// The letters.
    #[must_use]
    pub fn legend() -> String {
        "D done, B as before, H held and resumed, = done by resume and as before by rollback, - nothing, X VIOLATION"
            .into()
    }
}
