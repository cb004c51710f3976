//! `Server` in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{BackupId, WalSegment};
use remount_host::RetryPolicy;
use remount_postgres::{RetryingServers, Servers};
use remount_sim::contract::server::{self, Fixture, ServerAddress};
use remount_sim::memory::MemoryLandscape;

use crate::landscape;

#[derive(Debug)]
pub struct Cluster(pub MemoryLandscape);

impl Cluster {
    fn place(&self, index: usize) -> ServerAddress {
        ServerAddress {
            deployment: self.0.deployment().clone(),
            instance: self.0.slug(index),
            address: format!("127.0.0.{}", index + 1),
        }
    }

    fn index(&self, place: &ServerAddress) -> usize {
        usize::from(*place == self.place(1))
    }
}

#[async_trait]
impl Fixture for Cluster {
    fn primary(&self) -> ServerAddress {
        self.place(0)
    }

    fn standby(&self) -> ServerAddress {
        self.place(1)
    }

    async fn is_archived(&self, segment: &WalSegment) -> bool {
        self.0.is_archived(segment).await
    }

    async fn mark(&self, of: &ServerAddress) -> Option<BackupId> {
        self.0.mark(self.index(of))
    }

    async fn stop_server(&self, at: &ServerAddress) {
        self.0.stop_server(self.index(at)).await;
    }

    async fn start_server(&self, at: &ServerAddress) {
        self.0.start_server(self.index(at)).await;
    }

    async fn kill_agent(&self, at: &ServerAddress) {
        self.0.kill_agent(self.index(at));
    }

    async fn start_agent(&self, at: &ServerAddress) {
        self.0.start_agent(self.index(at)).await;
    }
}

/// The servers of a new landscape.
pub async fn fresh() -> (Arc<dyn Servers>, Arc<dyn Fixture>) {
    let landscape = landscape();
    (landscape.servers(), Arc::new(Cluster(landscape)))
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    server::run("memory", fresh).await.assert_holds();
}

#[tokio::test]
async fn servers_that_are_tried_again_keep_the_contract() {
    let retrying = async || {
        let (servers, fixture) = fresh().await;
        let policy = RetryPolicy::within(Duration::from_secs(1));
        let retrying: Arc<dyn Servers> = Arc::new(RetryingServers::new(servers, policy));
        (retrying, fixture)
    };
    server::run("retrying", retrying).await.assert_holds();
}
