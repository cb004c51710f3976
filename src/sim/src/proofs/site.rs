//! Where a step is broken.

use std::time::Duration;

use super::Column;
use crate::memory::CrashingObjects;
use crate::memory::{Fault, MemoryLandscape, Rule, StoreFault, StoreFaultKind};

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

/// Longer than the deadlines of a case about slowness, shorter than a few of them.
pub const SLOW: Duration = Duration::from_millis(500);
/// For ever, as long as nobody heals it.
const ALWAYS: u32 = 10_000;

impl Site {
    /// Injects what the column says.
    pub fn inject(self, landscape: &MemoryLandscape, objects: &CrashingObjects, column: Column) {
        match self {
            Self::Call(call, server, after) => {
                let (fault, times) = call_fault(column);
                self.rule(landscape, call, server, after, fault, times);
            }
            Self::Task(call, server, after) => {
                let (fault, times) = task_fault(column);
                self.rule(landscape, call, Some(server), after, fault, times);
            }
            Self::Write(path) => {
                let (kind, times) = match column {
                    Column::FailsAlways => (StoreFaultKind::Refuse, ALWAYS),
                    Column::AnswerLost => (StoreFaultKind::LoseAnswer, 1),
                    Column::SlowBeyondDeadline => (StoreFaultKind::LoseAnswer, ALWAYS),
                    _ => (StoreFaultKind::LoseRequest, 1),
                };
                objects.fail(StoreFault { path, kind, times });
            }
        }
    }

    fn rule(
        self,
        landscape: &MemoryLandscape,
        call: &'static str,
        server: Option<usize>,
        after: u32,
        fault: Fault,
        times: u32,
    ) {
        let rule = Rule::once(call, fault).times(times).after(after);
        landscape.inject(match server {
            Some(server) => rule.about(landscape.slug(server)),
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
