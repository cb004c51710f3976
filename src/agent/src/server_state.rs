//! Waiting until the server has become what a hook wants, and PostgreSQL's own reason where it does not.

use std::time::Duration;

use remount_core::documents::AppliedPlan;
use remount_core::{Lsn, TimelineId};
use remount_host::Deadline;
use remount_postgres::{LocalServer, Reachable, Recovery};

use crate::error::{Error, Result};
use crate::postgres_log;

/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that is down for so long is not being restarted by monit at this moment.
const DOWN_SECONDS: u64 = 15;
/// A server that went down so often after it had been up is not going to stay up.
const MAX_RESTARTS: u32 = 3;

/// What the server has to have become.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// It answers.
    Answering,
    /// It is out of recovery.
    Promoted,
    /// It has replayed what this plan demands and stands where the plan wants it; or it left recovery by itself, as
    /// PostgreSQL does at a target that it reaches without hot standby.
    Recovered(&'a AppliedPlan),
    /// It streams from the primary, on this timeline where one is named.
    Streaming(Option<TimelineId>),
}

impl Wanted<'_> {
    const fn words(self) -> &'static str {
        match self {
            Self::Answering => "answer",
            Self::Promoted => "end its recovery",
            Self::Recovered(_) => "recover to its target",
            Self::Streaming(_) => "stream from the primary",
        }
    }
}

/// Waits until the server is what is wanted, and fails with PostgreSQL's own reason where it goes down.
///
/// # Errors
/// [`Error::Server`] with PostgreSQL's own reason: it is down, or not what is wanted by the deadline.
pub async fn await_state(server: &LocalServer, deadline: Deadline, wanted: Wanted<'_>) -> Result<()> {
    let grace = || Deadline::after_seconds(DOWN_SECONDS);
    let (mut down_until, mut was_there, mut restarts) = (grace(), false, 0);
    let mut said = String::new();
    loop {
        match server.reachable().await? {
            Reachable::Yes if is_it(server, wanted).await? => return Ok(()),
            Reachable::Down => {
                restarts += u32::from(was_there);
                was_there = false;
                if restarts >= MAX_RESTARTS || !down_until.pause(Duration::ZERO).await {
                    return Err(down(server));
                }
            }
            there => {
                (down_until, was_there) = (grace(), true);
                if let Reachable::NotYet(words) = there
                    && words != said
                {
                    log::info!("PostgreSQL says: {words}");
                    said = words;
                }
            }
        }
        if !deadline.pause(PAUSE).await {
            return Err(late(server, deadline, wanted));
        }
    }
}

/// A query that fails because the server goes down at this moment is repeated.
async fn is_it(server: &LocalServer, wanted: Wanted<'_>) -> Result<bool> {
    let asked = match wanted {
        Wanted::Answering => return Ok(true),
        Wanted::Promoted => server.in_recovery().await.map(|recovers| !recovers),
        Wanted::Recovered(applied) => match server.recovery(Some(&applied.target)).await {
            Ok(Recovery::Blocked { lsn, why }) => return Err(blocked(lsn, &why)),
            recovery => recovery.map(|recovery| has_recovered(&recovery, applied)),
        },
        Wanted::Streaming(None) => server.streams_on().await.map(|timeline| timeline.is_some()),
        Wanted::Streaming(wanted) => server.streams_on().await.map(|timeline| timeline == wanted),
    };
    match asked {
        Err(remount_postgres::Error::Database { detail, .. }) => {
            log::debug!("PostgreSQL did not answer: {detail}");
            Ok(false)
        }
        asked => Ok(asked?),
    }
}

fn has_recovered(recovery: &Recovery, applied: &AppliedPlan) -> bool {
    *recovery == Recovery::Ended || recovery.arrived().is_some_and(|lsn| lsn >= applied.path.minimum_lsn)
}

fn blocked(lsn: Lsn, why: &str) -> Error {
    let what = format!("PostgreSQL replays no further than {lsn} with these settings: {why}");
    let next = "raise them in the deployment to what the backed-up server had, then restore again";
    Error::Server { what, next: next.into() }
}

fn down(server: &LocalServer) -> Error {
    let folder = &server.config().log_directory;
    let reasons = postgres_log::last_reasons(folder);
    let what = if reasons.is_empty() {
        format!("PostgreSQL is down, and its log in {} gives no reason", folder.display())
    } else {
        format!("PostgreSQL is down; it says: {}", reasons.join(" | "))
    };
    let next = "if it needs WAL or a timeline that the archive does not have, choose another target; otherwise fix \
                the reason and `bosh start --no-converge` the instance";
    Error::Server { what, next: next.into() }
}

fn late(server: &LocalServer, deadline: Deadline, wanted: Wanted<'_>) -> Error {
    let reasons = postgres_log::last_reasons(&server.config().log_directory);
    let said = if reasons.is_empty() { String::new() } else { format!("; it says: {}", reasons.join(" | ")) };
    let what = format!("PostgreSQL did not {} within {} s{said}", wanted.words(), deadline.seconds());
    let next = "read its log; for a long replay raise `post_start.deadline_seconds`".into();
    Error::Server { what, next }
}
