//! Exit codes of commands and errands.

/// What a command's exit code tells of the state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Failed; nothing was changed.
    Unchanged = 1,
    /// Wrong usage or configuration; nothing was changed.
    Usage = 2,
    /// Failed; what had been changed was undone.
    Undone = 3,
    /// Stuck: an operator is needed.
    Stuck = 4,
}
