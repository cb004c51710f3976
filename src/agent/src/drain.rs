//! `drain`: gets the last WAL archived while the server still runs.
//!
//! A fast stop archives it too, but by then nobody can help any more. BOSH reads one integer from
//! standard output, the seconds to wait; everything here is done before that, within a limit. It
//! never fails: a store that is down must not keep a VM from being stopped.

use std::time::Duration;

use remount_core::WalSegment;
use remount_postgres::{LocalServer, Reachable};

use crate::account::Account;
use crate::config::AgentConfig;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::hooks;

const DRAIN_SECONDS: u64 = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// Archives what is left and prints `0`.
pub fn drain(config: &AgentConfig) -> Result<()> {
    Account::named(&config.user)?.become_it()?;
    let server = LocalServer::new(config.postgres.clone());
    match hooks::runtime()?.block_on(archive_rest(config, &server)) {
        Ok(done) => log::info!("{done}"),
        Err(error) => {
            log::warn!(error:% = error; "the last WAL is not archived yet; the server's stop will try again")
        }
    }
    println!("0");
    Ok(())
}

async fn archive_rest(config: &AgentConfig, server: &LocalServer) -> Result<String> {
    if server.reachable().await? != Reachable::Yes {
        return Ok("PostgreSQL does not run: nothing to archive".into());
    }
    if server.in_recovery().await? {
        return Ok("a standby archives nothing".into());
    }
    let status = server.status(&config.identity()).await?;
    if status.settings.get("archive_mode").is_none_or(|mode| mode == "off") {
        return Ok("archiving is off".into());
    }
    let last = server.switch_wal().await?.last_segment;
    let deadline = Deadline::after_seconds(DRAIN_SECONDS);
    loop {
        let archived = server.status(&config.identity()).await?.last_archived;
        if archived.as_deref().and_then(segment_of).is_some_and(|archived| archived >= last) {
            return Ok(format!("archived up to {last}"));
        }
        if !deadline.pause(PAUSE).await {
            let what = format!("segment {last} was not archived within {DRAIN_SECONDS} s");
            return Err(Error::Server { what, next: "look at the log of archive_command".into() });
        }
    }
}

/// `pg_stat_archiver` names history and backup files too; those begin with a segment or are none.
fn segment_of(name: &str) -> Option<WalSegment> {
    name.get(..24)?.parse().ok()
}
