//! Where a run's events go.

use async_trait::async_trait;
use remount_core::documents::What;

/// The journal of one run. It numbers the events and writes each once, under the run's lease.
#[async_trait]
pub trait Journal<E>: Send + Sync {
    /// Appends an event.
    ///
    /// # Errors
    /// It is not known whether the event was written: nothing more may be done by this process.
    async fn append(&self, what: What) -> Result<(), E>;

    /// Who asked that the run goes no further; none where there is no such request.
    ///
    /// # Errors
    /// The journal's store does not answer.
    async fn abort_requested(&self) -> Result<Option<String>, E>;
}
