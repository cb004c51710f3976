//! `pre-start` and `post-start` of the job `remount-agent`.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use remount_core::{FORMAT, Role, TimelineId};
use remount_postgres::{LocalServer, Reachable};

use crate::account::Account;
use crate::config::AgentConfig;
use crate::deadline::Deadline;
use crate::disk::{Applied, Disk, Initialised};
use crate::error::{Error, Result, system};
use crate::{fence, postgres_log, store_client};

/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that is down for so long is not being restarted by monit at this moment.
const DOWN_SECONDS: u64 = 15;
/// A server that went away so often, having been there, will not stay.
const FALLS_MAX: u32 = 3;
/// What the other job's pre-start may need beyond its own deadline: the preparation itself.
const LOCK_SLACK_SECONDS: u64 = 60;
/// The store may be down at a normal start; noting the instance can wait for the next one.
const REGISTER_SECONDS: u64 = 10;

/// Judges the disk.
pub fn pre_start(config: &AgentConfig) -> Result<()> {
    runtime()?.block_on(async {
        let account = Account::named(&config.user)?;
        let _lock = lock(config, account).await?;
        fence::guard(config, account).await
    })
}

/// A runtime on this thread alone: hooks wait much and compute little.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("start the runtime"))
}

/// The pre-starts of two jobs run in parallel; only one may look at the disk and change it.
pub async fn lock(config: &AgentConfig, account: Account) -> Result<File> {
    account.create_folder(&config.directories.run)?;
    let path = config.directories.run.join("pre-start.lock");
    let file = open_lock(&path)?;
    let deadline = Deadline::after_seconds(config.pre_start.deadline_seconds + LOCK_SLACK_SECONDS);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(system(format!("lock {}", path.display()))(error)),
        }
        if !deadline.pause(PAUSE).await {
            return Err(Error::Locked {
                what: "the start of this instance",
                path: path.display().to_string(),
            });
        }
    }
}

/// Opens (or makes) a lock file.
pub fn open_lock(path: &Path) -> Result<File> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(system(format!("open {}", path.display())))
}

/// Waits until the server has ended its recovery, records that, and notes the instance as initialised.
pub fn post_start(config: &AgentConfig) -> Result<()> {
    Account::named(&config.user)?.become_it()?;
    runtime()?.block_on(async {
        let deadline = Deadline::after_seconds(config.post_start.deadline_seconds);
        let disk = Disk::new(&config.directories);
        let server = LocalServer::new(config.postgres.clone());
        let open = disk.applied()?.into_iter().rev().find(|applied| applied.outcome.is_none());
        await_start(&server, deadline, open.as_ref()).await?;
        if let Some(applied) = open {
            conclude(&disk, applied)?;
        }
        note_initialised(config, &disk).await
    })
}

/// What has to hold before the start counts.
async fn await_start(server: &LocalServer, deadline: Deadline, open: Option<&Applied>) -> Result<()> {
    let standby = server.data_directory().is_standby();
    match open {
        Some(applied) if applied.role == Role::Primary => {
            await_state(server, deadline, Wanted::Promoted).await
        }
        Some(applied) => {
            let timeline = applied.fork.as_ref().map(|fork| fork.timeline);
            await_state(server, deadline, Wanted::Streaming(timeline)).await
        }
        // An ordinary standby may well start before its primary does: answering is all it owes.
        None if standby => await_state(server, deadline, Wanted::Answering).await,
        None => await_state(server, deadline, Wanted::Promoted).await,
    }
}

/// What the server has to have become.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// It answers.
    Answering,
    /// It is out of recovery.
    Promoted,
    /// It streams from the primary, on this timeline where one is named.
    Streaming(Option<TimelineId>),
}

impl Wanted {
    const fn words(self) -> &'static str {
        match self {
            Self::Answering => "answer",
            Self::Promoted => "end its recovery",
            Self::Streaming(_) => "stream from the primary",
        }
    }
}

/// Waits until the server is what is wanted, and fails with PostgreSQL's own reason where it goes down.
pub async fn await_state(server: &LocalServer, deadline: Deadline, wanted: Wanted) -> Result<()> {
    let grace = || Deadline::after_seconds(DOWN_SECONDS);
    let (mut down_until, mut was_there, mut falls) = (grace(), false, 0);
    let mut said = String::new();
    loop {
        match server.reachable().await? {
            Reachable::Yes if is_it(server, wanted).await? => return Ok(()),
            Reachable::Down => {
                falls += u32::from(was_there);
                was_there = false;
                if falls >= FALLS_MAX || !down_until.pause(Duration::ZERO).await {
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

/// A question that fails because the server goes down in this moment is asked again.
async fn is_it(server: &LocalServer, wanted: Wanted) -> Result<bool> {
    let asked = match wanted {
        Wanted::Answering => return Ok(true),
        Wanted::Promoted => server.in_recovery().await.map(|recovers| !recovers),
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

fn down(server: &LocalServer) -> Error {
    let folder = &server.config().log_directory;
    let reasons = postgres_log::last_reasons(folder);
    let what = if reasons.is_empty() {
        format!("PostgreSQL is down, and {} holds no reason", folder.display())
    } else {
        format!("PostgreSQL is down; it says: {}", reasons.join(" | "))
    };
    let next = "if it asks for WAL or a timeline that the archive does not have, choose another target; else mend \
                what it says and `bosh start --no-converge` the instance";
    Error::Server { what, next: next.into() }
}

fn late(server: &LocalServer, deadline: Deadline, wanted: Wanted) -> Error {
    let reasons = postgres_log::last_reasons(&server.config().log_directory);
    let said = if reasons.is_empty() { String::new() } else { format!("; it says: {}", reasons.join(" | ")) };
    let what = format!("PostgreSQL did not {} within {} s{said}", wanted.words(), deadline.seconds());
    let next = "look at its log; a long replay needs a larger `post_start.deadline_seconds`".into();
    Error::Server { what, next }
}

/// The outcome first: a mark without it would be taken for recovery going on, which does no harm.
fn conclude(disk: &Disk, applied: Applied) -> Result<()> {
    let outcome = match applied.role {
        Role::Primary => "recovered",
        Role::Standby => "streaming",
    };
    disk.record(&Applied { outcome: Some(outcome.into()), ..applied.clone() })?;
    let mark = disk.backup_mark()?;
    if mark.is_some_and(|mark| mark.backup == applied.backup) {
        disk.remove_mark()?; // The disk is no copy any more: it has a line of its own.
    }
    log::info!(restore:% = applied.restore, role:% = applied.role; "{outcome}");
    Ok(())
}

/// From now on an empty disk under this instance is a missing one. A store that is down delays the
/// note on its side to the next start: the VM's own note is there.
async fn note_initialised(config: &AgentConfig, disk: &Disk) -> Result<()> {
    let before = disk.initialised()?;
    if before.as_ref().is_some_and(|note| note.registered) {
        return Ok(());
    }
    let id = &config.instance.id;
    let deadline = Deadline::after_seconds(REGISTER_SECONDS.min(config.post_start.deadline_seconds));
    let asked = store_client::ask(config, deadline, |store| async move { store.register_instance(id).await });
    let registered = match asked.await {
        Ok(()) => true,
        Err(error) => {
            log::warn!(error:% = error; "the instance is not noted in the object store yet; the next start tries again");
            false
        }
    };
    let at = before.map_or_else(Timestamp::now, |note| note.at);
    disk.note_initialised(&Initialised { format: FORMAT, at, registered })
}
