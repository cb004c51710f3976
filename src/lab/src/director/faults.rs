//! Faults on order: the Director is told to fail, to be slow, to lose answers or to leave tasks queued.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a fault is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `PUT /disks/CID/attachments`.
    Attach,
    /// `actions/stop`.
    Stop,
    /// `actions/start`.
    Start,
    /// `actions/restart` and `actions/recreate`.
    Restart,
    /// `POST /deployments` and the converging state changes.
    Deploy,
    /// `PUT /deployments/D/scan_and_fix`.
    ScanAndFix,
    /// `DELETE /deployments/D`.
    DeleteDeployment,
    /// `POST …/errands/E/runs`.
    RunErrand,
    /// `instances` and `vms` with `format=full`.
    Instances,
    /// Snapshots, all of it.
    Snapshot,
    /// `DELETE /disks/CID`.
    DeleteDisk,
    /// Reading a task or its output.
    ReadTask,
    /// Everything else that is asked of the API.
    Other,
    /// Every operation.
    Any,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// The task fails before it touches anything.
    FailBefore,
    /// Attach alone: the task fails when the old disk is detached and the new one not yet attached.
    FailMidway,
    /// The task fails after its last effect on the machine. An attach's database changes are rolled back;
    /// what other tasks recorded on their way stays recorded.
    FailAfter,
    /// The task begins its work this much later; it is `processing` meanwhile.
    SlowTask {
        /// How much.
        milliseconds: u64,
    },
    /// The task has its deployment's lock and begins its work this much later: others wait for the lock.
    SlowUnderLock {
        /// How much.
        milliseconds: u64,
    },
    /// The answer to the request comes this much later, after its effect.
    SlowAnswer {
        /// How much.
        milliseconds: u64,
    },
    /// The connection is closed, and the request had no effect.
    LoseRequest,
    /// The request has its effect, and the connection is closed without an answer.
    LoseAnswer,
    /// Tasks stay `queued` until the fault is cleared; it is never used up.
    HoldQueued,
    /// The worker dies with the task: it stays `processing`, and `timeout` is seen later.
    WorkerDies,
}

/// A fault: what goes wrong, on what, how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// On which operation.
    pub on: Operation,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// How many times; 1 where it is not said.
    #[serde(default = "once")]
    pub times: u32,
    /// Only where the task or the request names this: a deployment, the first characters of an instance's id, a
    /// disk's CID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// How many that it is bound to go well before the first that does not.
    #[serde(default)]
    pub skip: u32,
}

impl Fault {
    /// What goes wrong `times` times with the next of an operation, whatever it is about.
    #[must_use]
    pub const fn new(on: Operation, kind: FaultKind, times: u32) -> Self {
        Self { on, kind, times, only: None, skip: 0 }
    }
}

const fn once() -> u32 {
    1
}

/// The faults that are still to happen.
#[derive(Debug, Default)]
pub(crate) struct FaultList(Vec<Fault>);

impl FaultList {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.0.clone()
    }

    /// Uses up one fault on `operation` that `wanted` accepts. `about` names what the operation is about.
    pub(crate) fn take(
        &mut self,
        operation: Operation,
        about: &str,
        wanted: impl Fn(FaultKind) -> bool,
    ) -> Option<FaultKind> {
        let at = self.0.iter().position(|f| applies(f, operation, about) && wanted(f.kind))?;
        let fault = &mut self.0[at];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let kind = fault.kind;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }

    /// Whether tasks of `operation` are to stay queued.
    pub(crate) fn holds(&self, operation: Operation, about: &str) -> bool {
        self.0.iter().any(|f| applies(f, operation, about) && f.kind == FaultKind::HoldQueued)
    }

    /// Uses up a delay between a task's lock and its work.
    pub(crate) fn delay_under_lock(&mut self, operation: Operation, about: &str) -> Duration {
        match self.take(operation, about, |kind| matches!(kind, FaultKind::SlowUnderLock { .. })) {
            Some(FaultKind::SlowUnderLock { milliseconds }) => Duration::from_millis(milliseconds),
            _ => Duration::ZERO,
        }
    }

    /// Uses up a delay before a task's work.
    pub(crate) fn task_delay(&mut self, operation: Operation, about: &str) -> Duration {
        match self.take(operation, about, |kind| matches!(kind, FaultKind::SlowTask { .. })) {
            Some(FaultKind::SlowTask { milliseconds }) => Duration::from_millis(milliseconds),
            _ => Duration::ZERO,
        }
    }
}

fn applies(fault: &Fault, operation: Operation, about: &str) -> bool {
    let named = fault.only.as_ref().is_none_or(|only| about.contains(only.as_str()));
    named && (fault.on == Operation::Any || fault.on == operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_and_a_hold_is_not() {
        let mut faults = FaultList::default();
        faults.add(Fault::new(Operation::Attach, FaultKind::FailAfter, 2));
        faults.add(Fault::new(Operation::Any, FaultKind::HoldQueued, 1));
        let fails = |kind| kind == FaultKind::FailAfter;
        assert_eq!(faults.take(Operation::Stop, "", fails), None);
        assert_eq!(faults.take(Operation::Attach, "", fails), Some(FaultKind::FailAfter));
        assert_eq!(faults.take(Operation::Attach, "", fails), Some(FaultKind::FailAfter));
        assert_eq!(faults.take(Operation::Attach, "", fails), None);
        assert!(faults.holds(Operation::Start, "") && faults.holds(Operation::Start, ""));
    }

    #[test]
    fn a_fault_waits_for_its_turn_and_its_instance() {
        let mut faults = FaultList::default();
        let fault = Fault::new(Operation::Stop, FaultKind::FailBefore, 1);
        faults.add(Fault { only: Some("4f0c".into()), skip: 1, ..fault });
        let mut take = |about| faults.take(Operation::Stop, about, |_| true);
        assert_eq!(take("stop instance 4f0c"), None, "it was to skip one");
        assert_eq!(take("stop instance 9aed"), None, "another instance");
        assert_eq!(take("stop instance 4f0c"), Some(FaultKind::FailBefore));
        assert_eq!(take("stop instance 4f0c"), None, "it was used up");
    }

    #[test]
    fn a_fault_reads_from_the_json_of_the_command_line() {
        let fault: Fault =
            serde_json::from_str(r#"{"on":"attach","kind":"slow_task","milliseconds":5}"#).unwrap();
        assert_eq!(fault.kind, FaultKind::SlowTask { milliseconds: 5 });
        let fault: Fault = serde_json::from_str(r#"{"on":"any","kind":"lose_answer","times":3}"#).unwrap();
        assert_eq!((fault.kind, fault.times), (FaultKind::LoseAnswer, 3));
    }
}
