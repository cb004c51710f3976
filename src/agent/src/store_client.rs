//! The object store, asked again until it answers or the deadline passes.

use std::future::Future;
use std::time::Duration;

use remount_core::ClusterName;
use remount_host::{Deadline, RetryPolicy};
use remount_store::{ClusterStore, DENIALS_TRIED, Error as StoreError, Store, StoreConfig};

/// Between two attempts at a file system that is not mounted yet.
const PAUSE: Duration = Duration::from_secs(2);

/// This cluster's part of the store, opened for each question: a store that is down at the start of this program does
/// not stop it.
#[derive(Clone, Debug)]
pub struct StoreClient {
    config: StoreConfig,
    cluster: ClusterName,
}

impl StoreClient {
    /// Of this cluster.
    pub fn new(config: &StoreConfig, cluster: &ClusterName) -> Self {
        Self { config: config.clone(), cluster: cluster.clone() }
    }

    /// The cluster.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Asks `question` of the cluster's part of the store. What fails in passing is tried again until the deadline,
    /// which all calls of the question share, and what is denied for a while; the last error is then returned.
    ///
    /// # Errors
    /// The store refuses, or has not answered by the deadline.
    pub async fn ask<T, Q, A>(&self, deadline: Deadline, question: Q) -> Result<T, StoreError>
    where
        Q: FnOnce(ClusterStore) -> A,
        A: Future<Output = Result<T, StoreError>>,
    {
        let cluster = self.cluster.clone();
        self.ask_store(deadline, |store| question(store.cluster(&cluster))).await
    }

    /// The same, of the whole store.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_store<T, Q, A>(&self, deadline: Deadline, question: Q) -> Result<T, StoreError>
    where
        Q: FnOnce(Store) -> A,
        A: Future<Output = Result<T, StoreError>>,
    {
        let store = loop {
            match self.config.open(&RetryPolicy::until(deadline).denials_for(DENIALS_TRIED)) {
                Ok(store) => break store,
                // A file system that is not mounted yet looks like a wrong configuration.
                Err(error) => {
                    log::warn!(error:% = remount_core::with_causes(&error), deadline_seconds = deadline.seconds(); "the object store does not answer; waiting");
                    if !deadline.pause(PAUSE).await {
                        return Err(error);
                    }
                }
            }
        };
        question(store).await
    }
}
