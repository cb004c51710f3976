//! What a flow has to say of itself to be proved.

use async_trait::async_trait;
use remount_core::ExitCode;
use remount_saga::Progress;

use super::{Column, Site};
use crate::memory::{CrashingObjects, MemoryLandscape};

/// A step, where its act can fail and where its undo can (counted from the begin of the rollback).
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The step's name.
    pub step: &'static str,
    /// Whether its events are in the journal.
    pub journalling: Journalling,
    /// Where its act is broken.
    pub act: Site,
    /// Where its undo is broken; none where it has nothing to undo.
    pub undo: Option<Site>,
}

/// What the journal has of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journalling {
    /// Nothing: it comes before the journal, or the flow has none. A process dies as it begins or as it ends.
    None,
    /// Its intent and its outcome; where it fails for good it is undone.
    Undone,
    /// Its intent and its outcome; where it fails for good the run waits for a person.
    Held,
}

/// How a run ended that did not end well.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What it says of the state of the landscape.
    pub exit_code: ExitCode,
    /// The step at which it is held, where it is.
    pub held_at: Option<String>,
    /// The error, for the report.
    pub text: String,
}

/// A landscape in which one run of a flow is about to begin.
#[async_trait]
pub trait Subject: Send + Sync + Sized + 'static {
    /// The flow, as the report names it.
    const FLOW: &'static str;

    /// Whether its runs have a journal: then a process that is to die at a step certainly does.
    const HAS_JOURNAL: bool;

    /// Its steps.
    fn rows() -> Vec<Row>;

    /// A new landscape for one case.
    async fn new(column: Column) -> Self;

    /// The landscape.
    fn landscape(&self) -> &MemoryLandscape;

    /// The store, through which processes die.
    fn objects(&self) -> &CrashingObjects;

    /// Lets the leases of a process that died end.
    async fn leases_end(&self);

    /// Runs the flow; where this very run was begun before, goes on with it.
    async fn run(&self, progress: &dyn Progress) -> Result<(), Ended>;

    /// Goes on with a run that is held.
    async fn resume(&self) -> Result<(), Ended>;

    /// Rolls back what was begun; `None` where nothing was, or the flow cleans up by itself.
    async fn roll_back(&self) -> Option<Result<(), Ended>>;

    /// What a later failure breaks, so that this flow is rolled back as a whole, and the step it breaks.
    fn late_failure(&self) -> (Site, &'static str);

    /// How many servers a VM of which may be made anew meanwhile.
    fn servers(&self) -> usize;

    /// What must be true while the run waits for a person.
    async fn assert_held(&self);

    /// Everything is done and verified, nothing is left over, the journal says so.
    async fn assert_done(&self);

    /// Everything is as it was, nothing is left over, the journal says so.
    async fn assert_as_before(&self);

    /// Nothing was asked of the Director twice: a lost answer is looked for.
    async fn assert_asked_once(&self);

    /// A run that failed for good has cleaned up behind itself, while what failed still fails.
    async fn assert_cleaned_up(&self) {}

    /// The failure is over.
    fn heal(&self) {
        self.landscape().heal();
        self.objects().heal();
    }

    /// Breaks something.
    fn inject(&self, site: Site, column: Column) {
        site.inject(self.landscape(), self.objects(), column);
    }
}
