//! The backup's steps. It has no journal: what a dead process left is found by tag, and reaped by the next backup.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::ExitCode;
use remount_core::documents::BackupManifest;
use remount_flow::{BackupRequest, BackupStep, FlowError, Progress, Quiet, run_backup};
use remount_sim::memory::{CrashingObjects, MemoryLandscape};
use remount_sim::proofs::{Column, Ended, Journalling, Row, Site, Subject};

use crate::support::Workbench;

/// A landscape in which a backup is about to begin.
pub struct BackupProof {
    bench: Workbench,
    rows: BTreeSet<u64>,
}

/// The agent's own lease on backup mode; a second is its shortest.
const AGENT_LEASE: Duration = Duration::from_secs(1);

fn row(step: BackupStep) -> Row {
    let (act, undo) = match step {
        BackupStep::Source => (Site::Call("director.instances", None, 0), None),
        BackupStep::Begin => (
            Site::Call("server.begin_backup", Some(0), 0),
            Some(Site::Call("server.abort_backup", Some(0), 0)),
        ),
        BackupStep::Snapshot => {
            (Site::Call("cloud.create_snapshot", None, 0), Some(Site::Call("cloud.delete_snapshot", None, 0)))
        }
        BackupStep::End => (Site::Call("server.end_backup", Some(0), 0), None),
        BackupStep::Manifest => (Site::Write("/backups/"), None),
    };
    Row { step: step.as_str(), journalling: Journalling::None, act, undo }
}

#[async_trait]
impl Subject for BackupProof {
    const FLOW: &'static str = "backup";
    const HAS_JOURNAL: bool = false;

    fn rows() -> Vec<Row> {
        BackupStep::ALL.map(row).to_vec()
    }

    async fn new(_: Column) -> Self {
        let mut bench = Workbench::lagging(super::seed());
        bench.retry_within(Duration::from_millis(800));
        bench.ctx.timeouts.agent_lease = AGENT_LEASE;
        bench.landscape.commit(5).await;
        let rows = bench.landscape.rows(0).unwrap();
        Self { bench, rows }
    }

    fn landscape(&self) -> &MemoryLandscape {
        &self.bench.landscape
    }

    fn objects(&self) -> &CrashingObjects {
        &self.bench.crashing
    }

    async fn leases_end(&self) {
        self.bench.lease_ends();
        tokio::time::sleep(AGENT_LEASE + Duration::from_millis(200)).await;
    }

    async fn run(&self, progress: &dyn Progress) -> Result<(), Ended> {
        self.take(progress).await.map(drop).map_err(|error| {
            assert_eq!(error.exit_code(), ExitCode::Unchanged, "{error:?}");
            Ended { exit_code: error.exit_code(), held_at: None, text: format!("{error:?}") }
        })
    }

    async fn resume(&self) -> Result<(), Ended> {
        self.run(&Quiet).await
    }

    async fn roll_back(&self) -> Option<Result<(), Ended>> {
        None
    }

    fn late_failure(&self) -> (Site, &'static str) {
        (Site::Call("server.end_backup", Some(0), 0), BackupStep::End.as_str())
    }

    fn servers(&self) -> usize {
        1
    }

    async fn assert_held(&self) {
        panic!("a backup is never held");
    }

    async fn assert_done(&self) {
        self.serves_and_backs_up().await;
    }

    async fn assert_as_before(&self) {
        self.serves_and_backs_up().await;
    }

    async fn assert_asked_once(&self) {}

    /// Where only one step fails, the failed backup itself leaves nothing to the next one. Where the store took no
    /// tombstone, its snapshot stays, and the note of its begin says so: without one nothing is deleted.
    async fn assert_cleaned_up(&self) {
        let open = self.bench.landscape.cluster_store().begun_backups().await.unwrap();
        if open.is_empty() {
            self.bench.assert_tidy().await;
        } else {
            self.serves_and_backs_up().await;
        }
    }
}

impl BackupProof {
    async fn take(&self, progress: &dyn Progress) -> Result<BackupManifest, FlowError> {
        let request = BackupRequest::of(self.bench.landscape.deployment().clone());
        run_backup(&self.bench.ctx, &request, progress).await
    }

    /// The cluster serves as ever, and a backup from now on is good and leaves no trace of the one before.
    async fn serves_and_backs_up(&self) {
        self.heal();
        tokio::time::sleep(AGENT_LEASE + Duration::from_millis(200)).await;
        for server in 0..2 {
            assert_eq!(
                self.bench.landscape.rows(server).as_ref(),
                Some(&self.rows),
                "rows of server {server}"
            );
        }
        let manifest = self.take(&Quiet).await.expect("the next backup is good");
        let cluster = self.bench.landscape.cluster_store();
        assert_eq!(cluster.backup(&manifest.id).await.unwrap(), Some(manifest));
        self.bench.assert_tidy().await;
    }
}
