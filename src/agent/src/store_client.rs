//! The object store, asked again until it answers or the deadline passes.

use std::future::Future;
use std::time::Duration;

use remount_core::{Advice, Retry};
use remount_store::{ClusterStore, Error as StoreError};

use crate::config::AgentConfig;
use crate::deadline::Deadline;

/// The store's own retries come first; this is for an outage.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks `question` of the cluster's part of the store. An error that asking again can mend is waited
/// out until the deadline; the last one is then the answer.
pub async fn ask<T, Q, A>(config: &AgentConfig, deadline: Deadline, question: Q) -> Result<T, StoreError>
where
    Q: Fn(ClusterStore) -> A,
    A: Future<Output = Result<T, StoreError>>,
{
    let mut said = false;
    loop {
        let error = match config.store.open() {
            Ok(store) => match question(store.cluster(&config.cluster)).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => error,
            },
            // A file system that is not mounted yet looks like a wrong configuration.
            Err(error) => error,
        };
        if !said {
            let seconds = deadline.seconds();
            log::warn!(error:% = error, deadline_seconds = seconds; "the object store does not answer; waiting");
            said = true;
        }
        if !deadline.pause(PAUSE).await {
            return Err(error);
        }
    }
}
