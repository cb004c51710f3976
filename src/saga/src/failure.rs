//! How a run ends that does not end well.

/// Why a run did not end well, and what is true now.
#[derive(Debug)]
pub enum Failure<N, E> {
    /// A step failed, and all that was begun is undone.
    Undone {
        /// The step.
        step: N,
        /// Why it failed.
        source: E,
    },
    /// A step failed, and everything stays as it is for a person to look.
    Held {
        /// The step.
        step: N,
        /// What a person can do.
        next: Vec<String>,
        /// Why it failed.
        source: E,
    },
    /// An undo failed: a person is needed.
    Stuck {
        /// The step.
        step: N,
        /// How a person finishes it.
        next: Vec<String>,
        /// Why its undo failed.
        source: E,
    },
    /// Another process acts by now.
    TakenOver {
        /// The step at which this one stopped.
        step: N,
        /// How it noticed.
        source: E,
    },
    /// This process was asked to stop; the run stays as it is for the next one.
    Interrupted {
        /// The step at which it stopped.
        step: N,
        /// What a person can do.
        next: Vec<String>,
    },
}
