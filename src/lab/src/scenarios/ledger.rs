//! A ledger that never stops: one writer, one row per transaction, and a note of every row that the
//! server acknowledged. What the demo and the tests know about a database they know from here.
//!
//! The table has no sequence and no gaps: a row's id is the number of rows before it plus one, so a
//! lost or an invented transaction shows at once. The exact content at an instant comes from
//! PostgreSQL's own commit timestamps (`track_commit_timestamp`), the same ones that recovery compares
//! with `recovery_target_time`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use log::debug;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

/// How long one connection attempt or one statement may take before the writer counts it as failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How long the writer waits before it tries again: the resolution of a measured outage.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a database answers, and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address of the server.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Password,
    /// The database.
    pub database: String,
}

/// A password; never shown.
#[derive(Clone)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Endpoint {
    /// A new connection, within three seconds.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub async fn connect(&self) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.address).port(self.port).user(&self.user).dbname(&self.database);
        config.password(&self.password.0).connect_timeout(ANSWER_LIMIT).application_name("remount-ledger");
        let connected = timeout(ANSWER_LIMIT, config.connect(NoTls)).await;
        let (client, connection) = connected
            .context("no answer in time")?
            .with_context(|| format!("connect to {}", self.address))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error:%; "a ledger connection ended");
            }
        });
        Ok(client)
    }
}

/// What a ledger holds: two are equal exactly if they hold the same rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Rows.
    pub rows: i64,
    /// The highest id; equal to `rows` unless a row was lost.
    pub last_id: i64,
    /// MD5 over all ids in order.
    pub digest: String,
}

const CONTENT: &str = "SELECT count(*), coalesce(max(id), 0)::bigint,
    md5(coalesce(string_agg(id::text, ',' ORDER BY id), '')) FROM ledger";

/// Makes the table.
///
/// # Errors
/// The database's own.
pub async fn create(client: &Client) -> Result<()> {
    let sql = "CREATE TABLE IF NOT EXISTS ledger (id bigint PRIMARY KEY, written_at timestamptz NOT NULL)";
    client.batch_execute(sql).await.context("create the ledger")
}

/// What the ledger holds now.
///
/// # Errors
/// The database's own.
pub async fn content(client: &Client) -> Result<Content> {
    read(client, CONTENT, &[]).await
}

/// What the ledger held at `instant`, by the commit timestamps.
///
/// # Errors
/// The database's own; `track_commit_timestamp` is off.
pub async fn content_at(client: &Client, instant: Timestamp) -> Result<Content> {
    let sql = format!("{CONTENT} WHERE pg_xact_commit_timestamp(xmin) <= $1::text::timestamptz");
    read(client, &sql, &[&instant.to_string()]).await
}

async fn read(
    client: &Client,
    sql: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Content> {
    let row = client.query_one(sql, parameters).await.context("read the ledger")?;
    Ok(Content { rows: row.get(0), last_id: row.get(1), digest: row.get(2) })
}

/// The clock of the server.
///
/// # Errors
/// The database's own.
pub async fn server_now(client: &Client) -> Result<Timestamp> {
    let sql = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let row = client.query_one(sql, &[]).await.context("read the server's clock")?;
    let text: String = row.get(0);
    text.parse().with_context(|| format!("the server's clock says `{text}`"))
}

/// What the writer has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Acknowledged rows since the writer began.
    pub acknowledged: u64,
    /// The newest acknowledged id.
    pub last_id: i64,
    /// The last acknowledged id before the ledger was first rolled back, since [`Writer::forget_observations`].
    pub last_before_fall: Option<i64>,
    /// The longest time between two acknowledged rows.
    pub longest_gap: Duration,
    /// Failed attempts.
    pub failures: u64,
    /// When the last row was acknowledged.
    pub last_at: Option<Instant>,
}

/// The writer: goes on until told to stop, whatever happens to the server.
#[derive(Debug)]
pub struct Writer {
    observed: Arc<Mutex<Observed>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Begins to write, about `per_second` rows each second.
    #[must_use]
    pub fn start(endpoint: Endpoint, per_second: u32) -> Self {
        let observed = Arc::new(Mutex::new(Observed::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let pace = Duration::from_secs(1) / per_second.max(1);
        let task = tokio::spawn(write_on(endpoint, Arc::clone(&observed), Arc::clone(&stop), pace));
        Self { observed, stop, task }
    }

    /// What it has seen so far.
    pub async fn observed(&self) -> Observed {
        self.observed.lock().await.clone()
    }

    /// Forgets the longest gap, so that the next one is measured alone.
    pub async fn reset_gap(&self) {
        self.observed.lock().await.longest_gap = Duration::ZERO;
    }

    /// Forgets the longest gap and the falls so far.
    pub async fn forget_observations(&self) {
        let mut observed = self.observed.lock().await;
        observed.longest_gap = Duration::ZERO;
        observed.last_before_fall = None;
    }

    /// Waits until a row is acknowledged that was sent after this call.
    ///
    /// # Errors
    /// None within `limit`.
    pub async fn next_row(&self, limit: Duration) -> Result<Observed> {
        let before = self.observed().await.acknowledged;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let now = self.observed().await;
            if now.acknowledged > before + 1 {
                return Ok(now);
            }
            sleep(PAUSE).await;
        }
        anyhow::bail!("no row was acknowledged within {limit:?}")
    }

    /// Stops it and tells what it has seen.
    pub async fn stop(self) -> Observed {
        self.stop.store(true, Ordering::SeqCst);
        if let Err(error) = self.task.await {
            debug!(error:%; "the ledger writer ended");
        }
        self.observed.lock().await.clone()
    }
}

/// Connects, writes until something fails, connects again.
async fn write_on(endpoint: Endpoint, observed: Arc<Mutex<Observed>>, stop: Arc<AtomicBool>, pace: Duration) {
    while !stop.load(Ordering::SeqCst) {
        let ended = match endpoint.connect().await {
            Ok(client) => write_rows(&client, &observed, &stop, pace).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            debug!(error:%; "the ledger cannot write");
            observed.lock().await.failures += 1;
            sleep(PAUSE).await;
        }
    }
}

async fn write_rows(
    client: &Client,
    observed: &Mutex<Observed>,
    stop: &AtomicBool,
    pace: Duration,
) -> Result<()> {
    let sql =
        "INSERT INTO ledger SELECT coalesce(max(id), 0) + 1, clock_timestamp() FROM ledger RETURNING id";
    let statement = timeout(ANSWER_LIMIT, client.prepare(sql)).await.context("no answer in time")??;
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let row =
            timeout(ANSWER_LIMIT, client.query_one(&statement, &[])).await.context("no answer in time")??;
        note(&mut *observed.lock().await, row.get(0));
        sleep(pace.saturating_sub(began.elapsed())).await;
    }
    Ok(())
}

fn note(observed: &mut Observed, id: i64) {
    let now = Instant::now();
    if let Some(last) = observed.last_at {
        observed.longest_gap = observed.longest_gap.max(now - last);
    }
    observed.last_at = Some(now);
    observed.acknowledged += 1;
    if id <= observed.last_id && observed.last_before_fall.is_none() {
        observed.last_before_fall = Some(observed.last_id);
    }
    observed.last_id = id;
}
