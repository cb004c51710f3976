//! A cluster under proof: what it must look like before and after, seen with other eyes than Remount's: psql on
//! both servers, the Director's records, the files of cloud and store.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use tokio::time::sleep;

use super::copy_back::await_writable;
use super::landscape::{InstanceStatus, Landscape};
use super::ledger::{self, Content, Endpoint, Writer};
use crate::control::{self, Request};
use crate::folder::Folder;

/// The deployment.
pub const DEPLOYMENT: &str = "pg-0001";
/// How long the standby may take to show what the primary has.
const REPLICATION_LIMIT: Duration = Duration::from_secs(60);
/// How long the writer may take to write again.
const WRITER_LIMIT: Duration = Duration::from_secs(30);
/// So that every commit up to the instant is visible, and one after it is later by any clock.
const INSTANT_MARGIN: Duration = Duration::from_millis(250);

/// The cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The landscape it is in.
    pub lab: Landscape,
    /// The landscape's folder.
    pub folder: Folder,
    /// Where the primary answers.
    pub primary: Endpoint,
    /// Where the standby answers.
    pub standby: Endpoint,
    /// The instances' ids: primary, standby.
    pub ids: [String; 2],
}

/// What a restore begins from, and would come back to.
#[derive(Clone, Debug)]
pub struct Noted {
    /// A row of `marks` that was committed after the instant.
    mark: String,
    /// The instant.
    pub instant: Timestamp,
    /// What the ledger held then.
    expected: Content,
    /// The server's clock after the mark.
    marked_at: Timestamp,
}

/// How a cluster was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndState {
    /// Exactly what was committed by the instant, and what was written since the restore.
    Restored,
    /// Every acknowledged row.
    AsBefore,
}

impl Cluster {
    /// The only cluster of a landscape, with its tables made.
    ///
    /// # Errors
    /// It does not serve.
    pub async fn open(lab: Landscape) -> Result<Self> {
        let primary = lab.endpoint(DEPLOYMENT, 0).await?;
        let standby = lab.endpoint(DEPLOYMENT, 1).await?;
        let ids = [lab.instance(DEPLOYMENT, 0).await?.id, lab.instance(DEPLOYMENT, 1).await?.id];
        await_writable(&primary).await?;
        let client = primary.connect().await?;
        ledger::create(&client).await?;
        let tables = "CREATE TABLE IF NOT EXISTS marks (mark text PRIMARY KEY);
            CREATE TABLE IF NOT EXISTS pulse (at timestamptz NOT NULL)";
        client.batch_execute(tables).await.context("create the tables")?;
        let folder = Folder(lab.dir().to_owned());
        Ok(Self { lab, folder, primary, standby, ids })
    }

    /// The cluster's folder in the store.
    #[must_use]
    pub fn in_store(&self) -> PathBuf {
        self.folder.store().join("clusters").join(DEPLOYMENT)
    }

    /// An instance's file system, seen through its VM's first process.
    ///
    /// # Errors
    /// It has no VM.
    pub fn root_of(&self, instance: &InstanceStatus) -> Result<PathBuf> {
        let vm = instance.vm.clone().context("the instance has no VM")?;
        let pid = control::ask(&self.folder.socket(), &Request::InitPid { vm })?;
        Ok(Path::new("/proc").join(pid).join("root"))
    }

    /// The first characters of an instance's id, as faults are bound to it.
    #[must_use]
    pub fn short(&self, index: usize) -> String {
        self.ids[index].chars().take(8).collect()
    }

    /// Waits until the primary takes writes and the standby streams and shows a fresh one.
    ///
    /// # Errors
    /// Not in time.
    pub async fn await_good(&self) -> Result<()> {
        await_writable(&self.primary).await?;
        let client = self.primary.connect().await?;
        let row = client.query_one("INSERT INTO pulse VALUES (clock_timestamp()) RETURNING at::text", &[]);
        let wrote: String = row.await.context("write to the primary")?.get(0);
        let deadline = Instant::now() + REPLICATION_LIMIT;
        while !self.standby_shows(&wrote).await {
            ensure!(Instant::now() < deadline, "the standby does not show a fresh write");
            sleep(Duration::from_millis(50)).await;
        }
        let sql = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let line =
            format!("runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -Atc \"{sql}\"");
        let receiver = self.lab.shell(&format!("{DEPLOYMENT}/postgres/1"), &line).await?.success()?;
        ensure!(receiver.stdout.trim() == "1", "the standby has the write, and does not stream");
        Ok(())
    }

    async fn standby_shows(&self, wrote: &str) -> bool {
        let Ok(client) = self.standby.connect().await else { return false };
        let sql = "SELECT max(at)::text = $1 AND pg_is_in_recovery() FROM pulse";
        client.query_one(sql, &[&wrote]).await.is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true))
    }

    /// Notes an instant, what the ledger held then, and commits a mark after it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn note(&self, mark: &str) -> Result<Noted> {
        let client = self.primary.connect().await?;
        let instant = ledger::server_now(&client).await?;
        sleep(INSTANT_MARGIN).await;
        let expected = ledger::content_at(&client, instant).await?;
        ensure!(
            expected.rows > 0 && expected.rows == expected.last_id,
            "the ledger has a hole: {expected:?}"
        );
        client.execute("INSERT INTO marks VALUES ($1)", &[&mark]).await.context("write the mark")?;
        sleep(INSTANT_MARGIN).await;
        let marked_at = ledger::server_now(&client).await?;
        Ok(Noted { mark: mark.to_owned(), instant, expected, marked_at })
    }

    /// Which of the two states the cluster is in, on both servers; anything between is an error.
    ///
    /// # Errors
    /// A row is missing, or one is there that must not be; a server does not serve.
    pub async fn end_state(&self, noted: &Noted, writer: &Writer) -> Result<EndState> {
        self.await_good().await?;
        writer.next_row(WRITER_LIMIT).await.context("the ledger's writer writes again")?;
        let observed = writer.observed().await;
        let acknowledged = observed.last_before_fall.unwrap_or(observed.last_id);
        let client = self.primary.connect().await?;
        let marked = client.query_opt("SELECT 1 FROM marks WHERE mark = $1", &[&noted.mark]).await?;
        let now = ledger::content(&client).await?;
        ensure!(now.rows == now.last_id, "the ledger has a hole: {now:?}");
        self.same_on_standby(&now).await?;
        if marked.is_some() {
            ensure!(now.last_id >= acknowledged, "row {acknowledged} was acknowledged and is gone: {now:?}");
            return Ok(EndState::AsBefore);
        }
        let then = ledger::content_at(&client, noted.instant).await?;
        ensure!(then == noted.expected, "of the instant there is {then:?}, expected {:?}", noted.expected);
        let between = "SELECT count(*) FROM ledger
            WHERE written_at > $1::text::timestamptz AND written_at <= $2::text::timestamptz";
        let row =
            client.query_one(between, &[&noted.instant.to_string(), &noted.marked_at.to_string()]).await?;
        let later: i64 = row.get(0);
        ensure!(later == 0, "{later} rows from after the instant are there");
        Ok(EndState::Restored)
    }

    /// The standby has the same rows, up to this content's last.
    async fn same_on_standby(&self, content: &Content) -> Result<()> {
        let deadline = Instant::now() + REPLICATION_LIMIT;
        loop {
            let client = self.standby.connect().await.context("connect to the standby")?;
            let sql = "SELECT count(*), coalesce(max(id), 0)::bigint,
                md5(coalesce(string_agg(id::text, ',' ORDER BY id), '')) FROM ledger WHERE id <= $1";
            let row =
                client.query_one(sql, &[&content.last_id]).await.context("read the standby's ledger")?;
            let found = Content { rows: row.get(0), last_id: row.get(1), digest: row.get(2) };
            if found == *content {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the standby has {found:?}, the primary {content:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
