//! The cases of the backup. It has no journal: a failed or killed one is seen by what it leaves, and the next
//! one goes on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remount_flow::BackupStep;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::sleep;

use super::super::cluster::{Cluster, DEPLOYMENT};
use super::super::injected_fault::break_it;
use super::super::landscape::Ran;
use super::super::lost_answer::{BeforeAgents, LostAnswer, Unanswered};
use super::super::remount_process::RemountProcess;
use super::invariants::{names, records};
use super::{Breakage, ProofLandscape};

/// A backup of a tiny database takes no longer, two minutes of retries included.
const BACKUP_LIMIT: Duration = Duration::from_secs(300);
/// A dead process's lease and its backup mode end after 10 s in the lab.
const LEASE_LIMIT: Duration = Duration::from_secs(40);
/// How long a snapshot takes where something is to happen meanwhile.
const SLOW_SECONDS: &str = "4";
/// The arguments of a backup.
const BACKUP: [&str; 3] = ["backup", "--deployment", DEPLOYMENT];
/// The primary's VM.
const PRIMARY: &str = "pg-0001/postgres/0";
/// What says on the disk that a backup is under way.
const BACKUP_MODE: &str = "/var/vcap/store/remount/backup.json";
const POLL: Duration = Duration::from_millis(5);

/// A step, broken in one way.
#[derive(Clone, Copy, Debug)]
pub struct BackupCase {
    /// The step.
    pub step: BackupStep,
    /// How it is broken.
    pub breakage: Breakage,
}

/// What was there before.
struct Before {
    backups: usize,
    snapshots: usize,
}

impl BackupCase {
    /// Every case: a backup is not rolled back.
    pub fn all() -> impl Iterator<Item = Self> {
        let breakages = [Breakage::Fails, Breakage::AnswerLost, Breakage::KilledResumed];
        BackupStep::ALL.into_iter().flat_map(move |step| breakages.map(|breakage| Self { step, breakage }))
    }

    /// Tries it.
    ///
    /// # Errors
    /// What does not hold.
    pub async fn run(self, landscape: &ProofLandscape) -> Result<()> {
        let cluster = &landscape.cluster;
        let before = Before::of(cluster)?;
        match self.breakage {
            Breakage::Fails => self.fails(cluster, &before).await?,
            Breakage::AnswerLost => self.answer_lost(cluster).await?,
            Breakage::KilledResumed | Breakage::KilledRolledBack => self.killed(cluster).await?,
        }
        let mode = cluster.lab.shell(PRIMARY, &format!("test -e {BACKUP_MODE}")).await?;
        ensure!(mode.code != 0, "the primary is still in backup mode");
        let after = Before::of(cluster)?;
        ensure!(after.backups > before.backups, "no good backup came of it");
        ensure!(
            after.snapshots == after.backups,
            "{} snapshots of {} backups",
            after.snapshots,
            after.backups
        );
        let writer = landscape.writer.next_row(Duration::from_secs(10)).await;
        writer.context("the ledger's writer writes on").map(drop)
    }

    /// It fails and leaves nothing; mended, the next one succeeds.
    async fn fails(self, cluster: &Cluster, before: &Before) -> Result<()> {
        let mut process = self.prepare_failure(cluster).await?;
        let ended = self.break_meanwhile(cluster).await;
        let ran = process.end(BACKUP_LIMIT).await;
        self.mend(cluster).await?;
        ended?;
        let ran = ran?;
        // 2: a store that refuses is taken for one that is not configured as it must be.
        ensure!(matches!(ran.code, 1 | 2), "exit code {} instead of 1 or 2:\n{}", ran.code, ran.text());
        let failed = |line: &str| {
            line.split_whitespace().skip_while(|w| *w != self.step.as_str()).nth(1) == Some("FAILED")
        };
        ensure!(ran.text().lines().any(failed), "another step failed:\n{}", ran.text());
        let after = Before::of(cluster)?;
        ensure!(after.backups == before.backups, "a backup came of it");
        ensure!(after.snapshots == before.snapshots, "a snapshot came of it");
        cluster.lease_is_free()?;
        backup(cluster).await?.success().map(drop)
    }

    /// What can be broken beforehand.
    async fn prepare_failure(self, cluster: &Cluster) -> Result<RemountProcess> {
        match self.step {
            BackupStep::Source => {
                let fault = json!({"on": "instances", "kind": "fail_before", "only": DEPLOYMENT});
                break_it(cluster, &["director", &fault.to_string()]).await?;
            }
            // A folder where the file is to go.
            BackupStep::Begin => in_vm(cluster, &format!("mkdir -p {BACKUP_MODE}/x")).await?,
            BackupStep::Snapshot => break_it(cluster, &["cloud", "--no-snapshots"]).await?,
            // Shorter than a third of the lease: a renewal of backup mode would find out before.
            BackupStep::End => break_it(cluster, &["cloud", "--slow-snapshots", "2"]).await?,
            BackupStep::Manifest => read_only(cluster, &manifests(cluster)?).await?,
        }
        RemountProcess::start(&cluster.lab, &BACKUP, false)
    }

    /// The session that holds backup mode is ended while the snapshot is taken.
    async fn break_meanwhile(self, cluster: &Cluster) -> Result<()> {
        if self.step != BackupStep::End {
            return Ok(());
        }
        eventually("backup mode", || async { in_backup_mode(cluster).await }).await?;
        sleep(Duration::from_millis(500)).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = 'remount-agent' AND state = 'idle'";
        let line =
            format!("runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -Atc \"{sql}\"");
        let ended = cluster.lab.shell(PRIMARY, &line).await?.success()?;
        ensure!(ended.stdout.trim() != "0", "there was no session in backup mode");
        Ok(())
    }

    async fn mend(self, cluster: &Cluster) -> Result<()> {
        break_it(cluster, &["mend"]).await?;
        match self.step {
            BackupStep::Begin if self.breakage == Breakage::Fails => {
                in_vm(cluster, &format!("rmdir {BACKUP_MODE}/x; rmdir {BACKUP_MODE}; true")).await
            }
            BackupStep::Manifest | BackupStep::End => cluster.make_store_writable(),
            _ => Ok(()),
        }
    }

    /// What the step asks for happens, and its answer is lost: the backup is good all the same.
    async fn answer_lost(self, cluster: &Cluster) -> Result<()> {
        match self.lost_answer(cluster)? {
            LostAnswer::Director(fault) => {
                break_it(cluster, &["director", &fault.to_string()]).await?;
                backup(cluster).await?.success()?;
                self.mend(cluster).await
            }
            LostAnswer::Agent(path, skip) => {
                let proxies = BeforeAgents::losing(cluster, path, skip).await?;
                proxies.remount(&cluster.lab, &BACKUP)?.end(BACKUP_LIMIT).await?.success()?;
                proxies.end()
            }
            LostAnswer::Files(folder) => {
                slow_source(cluster).await?;
                let mut process = RemountProcess::start(&cluster.lab, &BACKUP, false)?;
                eventually("the process begins", || async { Ok(process.pid().is_ok()) }).await?;
                let unanswered = Unanswered::begin(cluster, &folder, process.pid()?).await?;
                process.end(BACKUP_LIMIT).await?.success()?;
                unanswered.end().await?;
                self.mend(cluster).await
            }
        }
    }

    fn lost_answer(self, cluster: &Cluster) -> Result<LostAnswer> {
        Ok(match self.step {
            BackupStep::Source => {
                LostAnswer::Director(json!({"on": "instances", "kind": "lose_answer", "only": DEPLOYMENT}))
            }
            BackupStep::Begin => LostAnswer::Agent("/v1/backup/begin", 0),
            BackupStep::Snapshot => LostAnswer::Files(cluster.folder.cloud().join("snapshots")),
            BackupStep::End => LostAnswer::Agent("/v1/backup/end", 0),
            BackupStep::Manifest => LostAnswer::Files(manifests(cluster)?),
        })
    }

    /// The process is killed when the step has acted; the next one goes on as soon as the lease has ended.
    async fn killed(self, cluster: &Cluster) -> Result<()> {
        let known = records(&cluster.cloud()?.join("snapshots"))?.len();
        let manifests_known = names(&manifests(cluster)?)?.len();
        self.prepare_kill(cluster).await?;
        let mut process = RemountProcess::start(&cluster.lab, &BACKUP, false)?;
        let acted = eventually("the step acts", || async {
            Ok(match self.step {
                BackupStep::Source => process.said().contains("source"),
                BackupStep::Begin => in_backup_mode(cluster).await?,
                BackupStep::Snapshot => records(&cluster.cloud()?.join("snapshots"))?.len() > known,
                BackupStep::End => process.said().contains(" end ") && !in_backup_mode(cluster).await?,
                BackupStep::Manifest => names(&manifests(cluster)?)?.len() > manifests_known,
            })
        })
        .await;
        let killed = process.signal(Signal::KILL);
        let ran = process.end(BACKUP_LIMIT).await;
        self.mend(cluster).await?;
        acted?;
        // Nothing can hold up a process after its manifest: it may have ended in time.
        let code = ran?.code;
        ensure!(
            code == 137 || self.step == BackupStep::Manifest,
            "it was not killed ({killed:?}): exit code {code}"
        );
        eventually("the next backup", || async { Ok(backup(cluster).await?.code == 0) }).await
    }

    /// What holds the process up when the step has acted.
    async fn prepare_kill(self, cluster: &Cluster) -> Result<()> {
        match self.step {
            BackupStep::Source => slow_source(cluster).await,
            BackupStep::Begin | BackupStep::Snapshot => {
                break_it(cluster, &["cloud", "--slow-snapshots", SLOW_SECONDS]).await
            }
            // It waits for its last segment, which the archive does not take.
            BackupStep::End => read_only(cluster, &cluster.wal_folder()?).await,
            BackupStep::Manifest => Ok(()),
        }
    }
}

impl Before {
    fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            backups: cluster.snapshots_of_backups()?.len(),
            snapshots: records(&cluster.cloud()?.join("snapshots"))?.len(),
        })
    }
}

fn manifests(cluster: &Cluster) -> Result<PathBuf> {
    cluster.backup_folders()?.pop().context("there is no backup")
}

async fn backup(cluster: &Cluster) -> Result<Ran> {
    cluster.lab.remount(&BACKUP).await
}

/// The Director takes its time for the first question: what follows can be prepared meanwhile.
async fn slow_source(cluster: &Cluster) -> Result<()> {
    let fault = json!({"on": "instances", "kind": "slow_task", "milliseconds": 2000, "only": DEPLOYMENT});
    break_it(cluster, &["director", &fault.to_string()]).await
}

async fn in_backup_mode(cluster: &Cluster) -> Result<bool> {
    Ok(cluster.lab.shell(PRIMARY, &format!("test -f {BACKUP_MODE}")).await?.code == 0)
}

async fn in_vm(cluster: &Cluster, line: &str) -> Result<()> {
    cluster.lab.shell(PRIMARY, line).await?.success().map(drop)
}

async fn read_only(cluster: &Cluster, folder: &std::path::Path) -> Result<()> {
    let below = folder.strip_prefix(cluster.folder.store()).context("not in the store")?;
    let below = below.to_str().context("a folder with a strange name")?;
    break_it(cluster, &["store", "--read-only", below]).await
}

async fn eventually<F: Future<Output = Result<bool>>>(what: &str, mut fact: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + LEASE_LIMIT;
    while !fact().await? {
        ensure!(Instant::now() < deadline, "not within {LEASE_LIMIT:?}: {what}");
        sleep(POLL).await;
    }
    Ok(())
}
