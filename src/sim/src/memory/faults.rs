//! Failures on demand.

use std::time::Duration;

use super::MemoryLandscape;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused for good; nothing happened.
    Refuse,
    /// Nothing was sent: the login was not answered. Only for the Director's changes.
    NotSent,
    /// The request never arrives; the caller hears nothing.
    LoseRequest,
    /// It happens; the caller hears nothing.
    LoseAnswer,
    /// A Director task ends in an error, nothing of it happened.
    FailTask,
    /// A Director task ends because another one holds the deployment's lock.
    Locked,
    /// A Director task ends in an error after half of it happened: an attach has detached the old disk, a
    /// stop has stopped, a start has started.
    HalfTask,
    /// A start's task has started the processes, one of which fails until the server takes writes: the task ends then, or
    /// after 5 s with an error, and that process is down until another start.
    NeedsWrites,
    /// A Director task takes so long, and then does its work.
    SlowTask(Duration),
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    call: &'static str,
    about: Option<String>,
    skip: u32,
    times: u32,
    fault: Fault,
}

impl Rule {
    /// The next call of this name (`cloud.create_disk`, `director.attach`, `server.switch_wal`, …) fails.
    #[must_use]
    pub const fn once(call: &'static str, fault: Fault) -> Self {
        Self { call, about: None, skip: 0, times: 1, fault }
    }

    /// So often, in a row.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// After so many calls that do not fail.
    #[must_use]
    pub const fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Only calls about this instance or disk.
    #[must_use]
    pub fn about(mut self, what: impl ToString) -> Self {
        self.about = Some(what.to_string());
        self
    }
}

impl MemoryLandscape {
    /// How this call fails, where it does.
    pub(crate) fn fault(&self, call: &str, about: &str) -> Option<Fault> {
        let mut state = self.state();
        let fits = |rule: &&mut Rule| {
            rule.call == call && rule.times > 0 && rule.about.as_deref().is_none_or(|wanted| wanted == about)
        };
        let rule = state.faults.iter_mut().find(fits)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault)
    }
}

/// The source of an answer that was lost on purpose.
pub(crate) fn lost() -> Box<dyn std::error::Error + Send + Sync> {
    "lost on purpose".into()
}
