//! The writer: transactions of every kind, one after the other, whatever happens to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use log::debug;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::book::{Book, Line};
use super::model::Id;
use crate::scenarios::ledger::Endpoint;

/// No statement takes longer on a server that is well; one that does is given up, its outcome unknown.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(20);
/// How long it may take until the transaction that is on its way has ended.
const QUIET_LIMIT: Duration = Duration::from_secs(30);

/// The tables of the first database. `trial` is in both.
pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS trial (id bigint PRIMARY KEY, lo oid, n bigint);
    CREATE SEQUENCE IF NOT EXISTS trial_seq;
    CREATE UNLOGGED TABLE IF NOT EXISTS trial_unlogged (id bigint);";

/// What a transaction does beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It takes a number of the sequence.
    Row,
    /// It makes a large object that says which one it is.
    LargeObject,
    /// It makes a table named after it.
    Table,
    /// It goes to the second database.
    SecondDatabase,
    /// It writes to the unlogged table too.
    Unlogged,
}

impl Kind {
    /// By its number, so that the checker knows it without having been told.
    pub const fn of(id: Id) -> Self {
        match id % 20 {
            3 | 13 => Self::LargeObject,
            7 => Self::Table,
            5 | 10 | 15 => Self::SecondDatabase,
            1 => Self::Unlogged,
            _ => Self::Row,
        }
    }

    fn statements(self, id: Id) -> String {
        match self {
            Self::Row => format!("INSERT INTO trial VALUES ({id}, NULL, nextval('trial_seq'))"),
            Self::LargeObject => {
                format!("INSERT INTO trial VALUES ({id}, lo_from_bytea(0, convert_to('{id}', 'UTF8')), NULL)")
            }
            Self::Table => format!("CREATE TABLE trial_table_{id} (); INSERT INTO trial VALUES ({id})"),
            Self::SecondDatabase => format!("INSERT INTO trial VALUES ({id})"),
            Self::Unlogged => {
                format!("INSERT INTO trial_unlogged VALUES ({id}); INSERT INTO trial VALUES ({id})")
            }
        }
    }
}

/// The writer.
#[derive(Debug)]
pub struct Scribe {
    book: Arc<Book>,
    pen: Arc<Mutex<()>>,
    ended: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Scribe {
    /// Begins to write.
    pub fn start(book: Arc<Book>, databases: [Endpoint; 2]) -> Self {
        let (pen, ended) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(write_on(Arc::clone(&book), databases, Arc::clone(&pen), Arc::clone(&ended)));
        Self { book, pen, ended, task }
    }

    /// No transaction is on its way as long as the answer lives.
    pub async fn pause(&self) -> Result<tokio::sync::MutexGuard<'_, ()>> {
        timeout(QUIET_LIMIT, self.pen.lock()).await.context("the writer does not come to rest")
    }

    /// Waits until something that is sent from now on is acknowledged.
    pub async fn writes_again(&self, limit: Duration) -> Result<()> {
        let before = self.book.model(|model| model.count());
        let deadline = Instant::now() + limit;
        while self.book.model(|model| model.count()) <= before + 1 {
            ensure!(Instant::now() < deadline, "no transaction was acknowledged within {limit:?}");
            sleep(PAUSE).await;
        }
        Ok(())
    }

    pub async fn stop(self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Err(error) = self.task.await {
            debug!(error:%; "the trial's writer ended");
        }
    }
}

async fn write_on(book: Arc<Book>, databases: [Endpoint; 2], pen: Arc<Mutex<()>>, ended: Arc<AtomicBool>) {
    let mut clients: [Option<Client>; 2] = [None, None];
    while !ended.load(Ordering::SeqCst) {
        let held = pen.lock().await;
        let wrote = write_one(&book, &databases, &mut clients).await;
        drop(held);
        if let Err(error) = wrote {
            debug!(error:%; "the trial cannot write");
            clients = [None, None];
        }
        sleep(PAUSE).await;
    }
}

/// One transaction. Until its commit is sent it cannot be there; from then on until it is answered it may.
async fn write_one(book: &Book, databases: &[Endpoint; 2], clients: &mut [Option<Client>; 2]) -> Result<()> {
    let id = book.next();
    let kind = Kind::of(id);
    let which = usize::from(kind == Kind::SecondDatabase);
    if clients[which].as_ref().is_none_or(Client::is_closed) {
        clients[which] = Some(databases[which].connect().await?);
    }
    let client = clients[which].as_ref().context("it was connected just now")?;
    let begun = async {
        client.batch_execute(&format!("BEGIN; {}", kind.statements(id))).await?;
        // As long as this connection lives the server stays on the timeline that it is on now.
        let sql = "SELECT pg_current_xact_id()::text, pg_walfile_name(pg_current_wal_insert_lsn())";
        client.query_one(sql, &[]).await
    };
    let row = timeout(ANSWER_LIMIT, begun).await.context("no answer in time")??;
    let (xid, segment): (String, String) = (row.get(0), row.get(1));
    let timeline = timeline_of(&segment)?;
    book.write(&Line::Sent { id })?;
    match timeout(ANSWER_LIMIT, client.batch_execute("COMMIT")).await {
        Ok(Ok(())) => acknowledged(book, client, (id, timeline), &xid).await,
        failed => {
            book.write(&Line::Unanswered { id })?;
            failed.context("no answer in time")?.context("commit")
        }
    }
}

/// Notes the commit, and where it is at the latest: a server that is gone by now has acknowledged it all the same.
async fn acknowledged(book: &Book, client: &Client, (id, timeline): (Id, u32), xid: &str) -> Result<()> {
    let sql = "SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()::text";
    let asked = timeout(ANSWER_LIMIT, client.query_one(sql, &[])).await;
    let (lsn, at) = match &asked {
        Ok(Ok(row)) => (row.get::<_, String>(0), row.get::<_, String>(1)),
        _ => Default::default(),
    };
    book.write(&Line::Acknowledged { id, timeline, lsn: &lsn, xid, at: &at })?;
    asked.context("no answer in time")?.map(drop).context("ask where the commit is")
}

/// The timeline in the name of a WAL segment.
pub fn timeline_of(segment: &str) -> Result<u32> {
    let digits = segment.get(..8).with_context(|| format!("`{segment}` is no WAL segment"))?;
    u32::from_str_radix(digits, 16).with_context(|| format!("`{segment}` is no WAL segment"))
}
