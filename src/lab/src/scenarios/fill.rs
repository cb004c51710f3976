//! Data for a database to have: rows that fill a page each, written through WAL like any other.

use anyhow::{Context, Result};
use tokio_postgres::Client;

/// One row is a page of 8 KiB, so a GiB has this many.
const ROWS_PER_GIB: i64 = 131_072;
/// Rows per transaction: 64 MiB.
const ROWS_PER_BATCH: i64 = 8_192;

/// Rows between two looks at the WAL: 2 MiB.
const ROWS_PER_WAL_LOOK: u32 = 256;

/// Makes a table of `gib` GiB; `progress` is told the share that is done, from 0 to 1.
///
/// # Errors
/// The database's own.
pub async fn fill(client: &Client, gib: u32, progress: impl Fn(f64)) -> Result<()> {
    let create = "CREATE TABLE IF NOT EXISTS ballast (id bigint NOT NULL, filler text NOT NULL);
         ALTER TABLE ballast ALTER COLUMN filler SET STORAGE PLAIN";
    client.batch_execute(create).await.context("create the ballast")?;
    let rows = i64::from(gib) * ROWS_PER_GIB;
    let insert = "INSERT INTO ballast SELECT g, repeat(chr((65 + g % 26)::int), 7900) FROM generate_series($1::bigint, $2) g";
    let statement = client.prepare(insert).await.context("prepare the ballast")?;
    let mut done = 0;
    while done < rows {
        let last = (done + ROWS_PER_BATCH).min(rows);
        client.execute(&statement, &[&(done + 1), &last]).await.context("write the ballast")?;
        done = last;
        #[expect(clippy::cast_precision_loss, reason = "a share of a few million rows")]
        progress(done as f64 / rows as f64);
    }
    Ok(())
}

/// Adds rows until the server has written `wal_bytes` of WAL since `since`; returns how much it was then.
///
/// # Errors
/// The database's own.
pub async fn fill_wal(client: &Client, since: &str, wal_bytes: i64) -> Result<i64> {
    let written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint";
    let insert = format!(
        "INSERT INTO ballast SELECT 0, repeat('#', 7900) FROM generate_series(1, {ROWS_PER_WAL_LOOK})"
    );
    loop {
        let row = client.query_one(written, &[&since]).await.context("ask how much WAL was written")?;
        let bytes = row.get(0);
        if bytes >= wal_bytes {
            return Ok(bytes);
        }
        client.batch_execute(&insert).await.context("write more WAL")?;
    }
}
