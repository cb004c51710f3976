//! The steps of a restore, as the command line names them.

use clap::ValueEnum;

/// A step of a restore, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RestoreStep {
    /// The Director cannot say which disks the instances have.
    Begin,
    /// The cloud has no room for the new disks.
    CreateDisks,
    /// A segment that the restore needs is gone from the archive.
    LastWal,
    /// The store refuses the plan.
    Publish,
    /// The Director cannot attach the standby's new disk.
    SwapStandbys,
    /// The Director cannot stop the primary.
    #[value(alias = "stop")]
    StopPrimary,
    /// The Director takes the primary's old disk off and cannot attach the new one.
    #[value(alias = "attach")]
    SwapPrimary,
    /// The Director cannot start the primary on its new disk.
    #[value(alias = "start")]
    Recover,
    /// The restored primary is not what was planned: its disk does not say which restore it applied.
    Verify,
    /// The Director cannot start the standby: the restore is held, and goes on when it can.
    Rejoin,
    /// The store refuses to let the plan go: the restore is held, and goes on when it does.
    Finish,
}

impl RestoreStep {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Begin,
        Self::CreateDisks,
        Self::LastWal,
        Self::Publish,
        Self::SwapStandbys,
        Self::StopPrimary,
        Self::SwapPrimary,
        Self::Recover,
        Self::Verify,
        Self::Rejoin,
        Self::Finish,
    ];

    /// Its name in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::CreateDisks => "create_disks",
            Self::LastWal => "last_wal",
            Self::Publish => "publish",
            Self::SwapStandbys => "swap_standbys",
            Self::StopPrimary => "stop_primary",
            Self::SwapPrimary => "swap_primary",
            Self::Recover => "recover",
            Self::Verify => "verify",
            Self::Rejoin => "rejoin",
            Self::Finish => "finish",
        }
    }

    /// Whether the restored primary serves before it: a failure holds the restore and takes nothing back.
    #[must_use]
    pub fn only_forward(self) -> bool {
        self >= Self::Rejoin
    }

    /// The number of the journal's event that says that it is done, where all went well before.
    #[must_use]
    pub const fn done_event(self) -> u64 {
        2 * (self as u64) + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_typed_as_the_journal_names_it() {
        for step in RestoreStep::ALL {
            assert_eq!(RestoreStep::from_str(step.name(), false), Ok(step));
        }
        assert_eq!(RestoreStep::from_str("attach", false), Ok(RestoreStep::SwapPrimary));
        assert_eq!(RestoreStep::Finish.done_event(), 22);
    }
}
