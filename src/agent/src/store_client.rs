//! The object store, asked again until it answers or the deadline passes.

use std::future::Future;
use std::time::Duration;

use remount_host::{Deadline, RetryPolicy};
use remount_store::{ClusterStore, Error as StoreError};

use crate::config::AgentConfig;

/// Between two attempts at a file system that is not mounted yet.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks `question` of the cluster's part of the store. What asking again can mend is waited out until the deadline; the
/// last error is then the answer.
///
/// # Errors
/// The store refuses, or has not answered by the deadline.
pub async fn ask<T, Q, A>(config: &AgentConfig, deadline: Deadline, question: Q) -> Result<T, StoreError>
where
    Q: FnOnce(ClusterStore) -> A,
    A: Future<Output = Result<T, StoreError>>,
{
    let store = loop {
        match config.store.open(&RetryPolicy::within(deadline.left())) {
            Ok(store) => break store,
            // A file system that is not mounted yet looks like a wrong configuration.
            Err(error) => {
                log::warn!(error:% = error, deadline_seconds = deadline.seconds(); "the object store does not answer; waiting");
                if !deadline.pause(PAUSE).await {
                    return Err(error);
                }
            }
        }
    };
    question(store.cluster(&config.identity.cluster)).await
}
