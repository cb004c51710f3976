//! What is in the databases, looked at while no transaction is on its way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::model::Id;
use super::scribe::{Kind, timeline_of};
use crate::scenarios::ledger::Endpoint;

/// How long a standby may take to show what its primary has.
const REPLICATION_LIMIT: Duration = Duration::from_secs(60);

/// A cluster, as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The transactions that are there.
    pub ids: BTreeSet<Id>,
    /// The timeline that the primary is on.
    pub timeline: u32,
    /// What does not fit the transactions that are there.
    pub wrong: Vec<String>,
}

/// Looks at a primary that serves.
pub async fn primary(databases: &[Endpoint; 2]) -> Result<Found> {
    let client = databases[0].connect().await?;
    let row = client.query_one("SELECT pg_walfile_name(pg_current_wal_insert_lsn())", &[]).await;
    let segment: String = row.context("read the primary's timeline")?.get(0);
    let ids = both(databases).await?;
    let wrong = beside(&client, &ids).await?;
    Ok(Found { ids, timeline: timeline_of(&segment)?, wrong })
}

/// Waits until a standby shows exactly what its primary has; what is wrong where it does not.
pub async fn standby(databases: &[Endpoint; 2], ids: &BTreeSet<Id>) -> Option<String> {
    let deadline = Instant::now() + REPLICATION_LIMIT;
    loop {
        let looked = both(databases).await;
        match looked {
            Ok(found) if found == *ids => return None,
            _ if Instant::now() < deadline => sleep(Duration::from_millis(200)).await,
            Ok(found) => {
                let (missing, extra) = (ids.difference(&found).count(), found.difference(ids).count());
                return Some(format!("the standby lacks {missing} transactions and has {extra} of its own"));
            }
            Err(error) => return Some(format!("the standby does not serve: {error:#}")),
        }
    }
}

async fn both(databases: &[Endpoint; 2]) -> Result<BTreeSet<Id>> {
    let mut ids = BTreeSet::new();
    for database in databases {
        let client = database.connect().await?;
        ids.extend(numbers(&client, "SELECT id FROM trial").await?);
    }
    Ok(ids)
}

async fn numbers(client: &Client, sql: &str) -> Result<BTreeSet<Id>> {
    let rows = client.query(sql, &[]).await.with_context(|| format!("run `{sql}`"))?;
    Ok(rows.iter().filter_map(|row| u64::try_from(row.get::<_, i64>(0)).ok()).collect())
}

/// Tables, large objects, the sequence and the unlogged table: whether they are those of the transactions found.
async fn beside(client: &Client, ids: &BTreeSet<Id>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let wanted: BTreeSet<Id> = ids.iter().copied().filter(|id| Kind::of(*id) == Kind::Table).collect();
    let sql = "SELECT substr(relname, 13)::bigint FROM pg_class WHERE relname LIKE 'trial\\_table\\_%'";
    let tables = numbers(client, sql).await?;
    if tables != wanted {
        wrong.push(format!("{} tables are there, {} were made", tables.len(), wanted.len()));
    }
    for row in client.query("SELECT id, lo FROM trial WHERE lo IS NOT NULL", &[]).await? {
        let (id, object): (i64, u32) = (row.get(0), row.get(1));
        let read = client.query_one("SELECT convert_from(lo_get($1), 'UTF8')", &[&object]).await;
        let text: Option<String> = read.ok().map(|row| row.get(0));
        if text != Some(id.to_string()) {
            wrong.push(format!("the large object of transaction {id} says {text:?}"));
        }
    }
    let ahead = "SELECT (SELECT last_value FROM trial_seq) >= coalesce((SELECT max(n) FROM trial), 0)";
    if !client.query_one(ahead, &[]).await.context("read the sequence")?.get::<_, bool>(0) {
        wrong.push("the sequence is behind the numbers that it gave".into());
    }
    if let Err(error) = client.query_one("SELECT count(*) FROM trial_unlogged", &[]).await {
        wrong.push(format!("the unlogged table cannot be read: {error}"));
    }
    Ok(wrong)
}

/// The prepared transactions that are open.
pub async fn prepared(endpoint: &Endpoint) -> Result<BTreeSet<String>> {
    let client = endpoint.connect().await?;
    let rows = client.query("SELECT gid FROM pg_prepared_xacts", &[]).await;
    Ok(rows.context("read the prepared transactions")?.iter().map(|row| row.get(0)).collect())
}
