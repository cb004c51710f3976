//! `drain`: archives the last WAL while the server still runs and serves.
//!
//! A fast stop archives it too, but by then the server serves no client, and bpm waits only 15 s. BOSH reads one
//! integer from standard output, the seconds to wait. Everything here is done before it is printed, within a limit, so it
//! is always `0` and BOSH does not call again. The arguments and variables by which BOSH tells what comes next are not
//! read: whatever comes, the WAL has to be in the archive.
//!
//! It never fails: neither a store that is down nor a configuration that cannot be read may keep a VM from being
//! stopped, because the stop is also the first part of the deploy that would fix it.

use std::path::Path;
use std::time::Duration;

use remount_core::WalSegment;
use remount_postgres::{Identity, LocalServer, Reachable};

use crate::config::AgentConfig;
use crate::error::{Archive, Error, Result};
use crate::hooks;
use remount_host::Account;
use remount_host::Deadline;

const PAUSE: Duration = Duration::from_millis(100);

/// Archives what is left and answers BOSH.
pub fn drain(path: &Path) {
    answer(AgentConfig::load(path).and_then(|config| {
        Account::named(&config.user)?.become_it()?;
        let server = LocalServer::new(config.postgres.clone());
        hooks::runtime()?.block_on(archive_rest(
            &server,
            &config.identity,
            Deadline::after_seconds(config.drain.deadline_seconds),
        ))
    }));
}

/// Prints what BOSH reads: the stop goes on, whatever the outcome.
pub fn answer(outcome: Result<String>) {
    match outcome {
        Ok(done) => log::info!("{done}"),
        Err(error) => log::warn!("drain failed, and the stop goes on:\n{}", remount_core::report(&error)),
    }
    println!("0");
}

/// Archives all that is written by now, within the limit of drain. The drains of the jobs `remount-agent` and `postgres`
/// both do this, in parallel: the second finds little left.
///
/// # Errors
/// [`Error::Late`] where the limit passes first, or PostgreSQL's. The WAL is then on the disk, and the next start archives it.
pub async fn archive_rest(server: &LocalServer, identity: &Identity, deadline: Deadline) -> Result<String> {
    let late = |what, archive| Error::Late { what, seconds: deadline.seconds(), archive };
    let checkpoint = || late("the checkpoint before the stop did not end".into(), Archive::Slow);
    let (last, before) = match deadline.limit(switch(server, identity)).await.ok_or_else(checkpoint)?? {
        Switched::To(last, before) => (last, before),
        Switched::Nothing(why) => return Ok(why.into()),
    };
    let mut now = before.clone();
    loop {
        match deadline.limit(server.status(identity, None)).await {
            Some(Ok(status)) => now = status.last_archived,
            Some(Err(error)) if server.reachable().await? == Reachable::Yes => return Err(error.into()),
            Some(Err(_)) => return Ok("PostgreSQL is being stopped; its shutdown archives the rest".into()),
            None => {}
        }
        if now.as_deref().and_then(segment_of).is_some_and(|done| done >= last) {
            return Ok(format!("archived up to {last}"));
        }
        if !deadline.pause(PAUSE).await {
            let archive = if now == before { Archive::Dead } else { Archive::Slow };
            return Err(late(format!("segment {last} was not archived"), archive));
        }
    }
}

enum Switched {
    /// The last segment to archive, and the file that was archived last.
    To(WalSegment, Option<String>),
    Nothing(&'static str),
}

/// Checkpoints, so that the one of the stop is short, and ends the segment that is being written.
async fn switch(server: &LocalServer, identity: &Identity) -> Result<Switched> {
    if server.reachable().await? != Reachable::Yes {
        return Ok(Switched::Nothing("PostgreSQL accepts no connections: nothing to archive"));
    }
    if server.in_recovery().await? {
        return Ok(Switched::Nothing("a standby archives nothing"));
    }
    let status = server.status(identity, None).await?;
    if status.settings.get("archive_mode").is_none_or(|mode| mode == "off") {
        return Ok(Switched::Nothing("archiving is off"));
    }
    Ok(Switched::To(server.switch_wal().await?.last_segment, status.last_archived))
}

/// `pg_stat_archiver` names history and backup files too; those begin with a segment or are none.
fn segment_of(name: &str) -> Option<WalSegment> {
    name.get(..24)?.parse().ok()
}
