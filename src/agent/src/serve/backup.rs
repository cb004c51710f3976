//! The one backup that may be in progress, its session and its lease.
//!
//! | state | begin, same id | begin, other id | renew | end | abort | lease ends, session lost |
//! |---|---|---|---|---|---|---|
//! | idle | in progress | in progress | no backup | no backup | done | – |
//! | in progress | same answer, renewed | refused | renewed | ended | idle | idle |
//! | ended | refused | in progress | no backup | same answer | done | – |
//!
//! `backup.json` is on the disk, synced, before backup mode is entered, and gone after it was left.
//! Whatever goes wrong in between, PostgreSQL ends backup mode when the session ends.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remount_core::{BackupId, StoreId};
use remount_host::durable;
use remount_postgres::{
    BackupBegun, BackupEnded, BackupSession, ControlData, Error as PostgresError, LocalServer, Reachable,
    Severity,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::left_mark::{MarkJudge, Verdict};
use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Error, Result};

/// How often the lease and the session are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often the mark of an earlier agent waits for PostgreSQL, and for the store.
const LEFT_PAUSE: Duration = Duration::from_secs(2);
/// A longer lease is a mistake of the caller, such as milliseconds.
const LEASE_SECONDS_MAX: u64 = 24 * 3600;

/// Keeps the backup in progress.
pub struct BackupKeeper {
    server: LocalServer,
    disk: Disk,
    judge: MarkJudge,
    state: Mutex<State>,
}

enum State {
    Idle,
    InProgress(InProgress),
    Ended(BackupEnded),
}

struct InProgress {
    session: BackupSession,
    begun: BackupBegun,
    until: Instant,
}

impl InProgress {
    fn is(&self, backup: &BackupId) -> bool {
        self.begun.backup == *backup
    }

    fn renew(&mut self) {
        self.until = Instant::now() + Duration::from_secs(self.begun.lease_seconds);
    }

    /// Why it cannot go on; none where it can.
    fn end_reason(&self) -> Option<&'static str> {
        if self.session.is_lost() {
            return Some("PostgreSQL ended the session");
        }
        (Instant::now() >= self.until).then_some("its driver has not renewed the lease")
    }
}

impl BackupKeeper {
    /// No backup is in progress.
    pub fn new(config: &AgentConfig) -> Arc<Self> {
        Arc::new(Self {
            server: LocalServer::new(config.postgres.clone()),
            disk: Disk::new(&config.directories),
            judge: MarkJudge::new(config),
            state: Mutex::new(State::Idle),
        })
    }

    /// The backup in progress.
    pub async fn in_progress(&self) -> Option<BackupId> {
        match &*self.state.lock().await {
            State::InProgress(now) => Some(now.begun.backup.clone()),
            State::Idle | State::Ended(_) => None,
        }
    }

    /// Enters backup mode.
    ///
    /// # Errors
    /// [`PostgresError::BackupInProgress`], [`PostgresError::OtherDisk`], or the disk's or PostgreSQL's: backup mode was not entered and the mark is removed.
    pub async fn begin(self: &Arc<Self>, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        if !(1..=LEASE_SECONDS_MAX).contains(&lease_seconds) {
            let text = format!("`lease_seconds` has to be between 1 and {LEASE_SECONDS_MAX}");
            return Err(PostgresError::Config(text).into());
        }
        let mut state = self.state.lock().await;
        self.end_if_lost(&mut state)?;
        match &mut *state {
            State::InProgress(now) if now.is(backup) => {
                now.renew();
                return Ok(now.begun.clone());
            }
            State::InProgress(now) => {
                return Err(PostgresError::BackupInProgress(now.begun.backup.clone()).into());
            }
            State::Ended(ended) if ended.backup == *backup => return Err(no_backup(backup)),
            State::Ended(_) | State::Idle => {}
        }
        self.must_be_no_copy().await?;
        self.settings_must_carry_it().await?;
        self.server.must_have_room_for_backup().await?;
        self.refuse_other_disks()?;
        self.refuse_paths_without_text()?;
        let store = self.judge.store_id().await?;
        let (session, begun) = self.enter(backup, store, lease_seconds).await?;
        let mut now = InProgress { session, begun: begun.clone(), until: Instant::now() };
        now.renew();
        *state = State::InProgress(now);
        tokio::spawn(self.clone().watch(backup.clone()));
        log::info!(backup:%, lease_seconds; "backup mode begins");
        Ok(begun)
    }

    /// Extends the lease.
    ///
    /// # Errors
    /// [`PostgresError::NoBackup`] where it is not in progress.
    pub async fn renew(&self, backup: &BackupId) -> Result<()> {
        let mut state = self.state.lock().await;
        self.end_if_lost(&mut state)?;
        match &mut *state {
            State::InProgress(now) if now.is(backup) => {
                now.renew();
                Ok(())
            }
            _ => Err(no_backup(backup)),
        }
    }

    /// Leaves backup mode with a result.
    ///
    /// # Errors
    /// [`PostgresError::NoBackup`] where it is not in progress, PostgreSQL's, or the mark cannot be removed. Backup mode has ended in
    /// each case.
    pub async fn end(&self, backup: &BackupId) -> Result<BackupEnded> {
        let mut state = self.state.lock().await;
        self.end_if_lost(&mut state)?;
        match std::mem::replace(&mut *state, State::Idle) {
            State::InProgress(now) if now.is(backup) => {
                let stopped = now.session.stop().await;
                if let Ok(ended) = &stopped {
                    *state = State::Ended(ended.clone());
                }
                self.disk.remove_mark()?;
                let ended = stopped?;
                log::info!(backup:%, stop_lsn:% = ended.stop_lsn; "backup mode has ended");
                Ok(ended)
            }
            State::Ended(ended) if ended.backup == *backup => {
                *state = State::Ended(ended.clone());
                self.disk.remove_mark()?; // The first answer may have been an error of this.
                Ok(ended)
            }
            other => {
                *state = other;
                Err(no_backup(backup))
            }
        }
    }

    /// Leaves backup mode without a result.
    ///
    /// # Errors
    /// The mark cannot be removed. Backup mode has ended.
    pub async fn abort(&self, backup: &BackupId) -> Result<()> {
        let mut state = self.state.lock().await;
        match &*state {
            State::InProgress(now) if now.is(backup) => self.drop_session(&mut state, "it was aborted"),
            _ => Ok(()),
        }
    }

    /// Ends whatever is in progress: the daemon stops.
    ///
    /// # Errors
    /// The mark cannot be removed. Backup mode has ended.
    pub async fn shut_down(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        match &*state {
            State::InProgress(_) => self.drop_session(&mut state, "the agent stops"),
            State::Idle | State::Ended(_) => Ok(()),
        }
    }

    /// Removes the mark of an agent that died during a backup, once the store has said that this disk is no copy. On a
    /// disk whose recovery is not over the mark has another meaning, and post-start removes it.
    pub fn remove_left_mark(self: Arc<Self>) {
        tokio::spawn(async move {
            let mut told = String::new();
            loop {
                let left = match self.left_mark().await {
                    Ok(None) => return,
                    Ok(Some(why)) => why,
                    Err(error) => remount_core::with_causes(&error),
                };
                if left != told {
                    log::warn!("the mark of an earlier backup stays on the disk: {left}");
                    told = left;
                }
                tokio::time::sleep(LEFT_PAUSE).await;
            }
        });
    }

    /// Why the mark is still there. The store is asked without the lock: a store that does not answer must not hold up
    /// the status.
    async fn left_mark(&self) -> Result<Option<String>> {
        if !matches!(*self.state.lock().await, State::Idle) {
            return Ok(None); // A new backup has overwritten the mark.
        }
        if self.server.reachable().await? != Reachable::Yes {
            return Ok(Some("PostgreSQL does not serve".into()));
        }
        let Some(mark) = self.disk.backup_mark()? else { return Ok(None) };
        let verdict = self.judge.judge(&mark).await?;
        let state = self.state.lock().await;
        if !matches!(*state, State::Idle) || self.disk.backup_mark()?.as_ref() != Some(&mark) {
            return Ok(None);
        }
        self.act_on(verdict)
    }

    /// A backup without its WAL, or of a server that does not sync, is none.
    async fn settings_must_carry_it(&self) -> Result<()> {
        let (breaks, differs): (Vec<_>, Vec<_>) =
            self.server.overrides().await?.into_iter().partition(|found| found.severity == Severity::Breaks);
        differs.iter().for_each(|found| log::warn!("{found}"));
        if breaks.is_empty() {
            return Ok(());
        }
        let said: Vec<_> = breaks.iter().map(ToString::to_string).collect();
        Err(PostgresError::Settings(said.join("; ")).into())
    }

    /// Before a backup overwrites a mark.
    async fn must_be_no_copy(&self) -> Result<()> {
        let Some(mark) = self.disk.backup_mark()? else { return Ok(()) };
        match self.judge.judge(&mark).await.and_then(|verdict| self.act_on(verdict))? {
            None => Ok(()),
            Some(detail) => Err(PostgresError::Marked { backup: mark.backup, detail }.into()),
        }
    }

    fn act_on(&self, verdict: Verdict) -> Result<Option<String>> {
        match verdict {
            Verdict::Remove(why) => {
                self.disk.remove_mark()?;
                log::warn!("the mark of an earlier backup is removed: {why}");
                Ok(None)
            }
            Verdict::Keep(why) => Ok(Some(why)),
        }
    }

    /// A snapshot holds one disk: a backup of a cluster that lies on more than one would bring back two times at once.
    fn refuse_other_disks(&self) -> Result<()> {
        let elsewhere = self.server.data_directory().on_other_disks(&self.disk.on_it())?;
        if elsewhere.is_empty() { Ok(()) } else { Err(PostgresError::OtherDisk(elsewhere.join(", ")).into()) }
    }

    /// Said now: the end of the backup would be the first to find out, when the snapshot is made.
    fn refuse_paths_without_text(&self) -> Result<()> {
        let found = self.server.data_directory().paths_that_are_no_text()?;
        if found.is_empty() { Ok(()) } else { Err(PostgresError::NotText(found.join(", ")).into()) }
    }

    /// The mark first, synced; then backup mode; then everything that a snapshot is to hold, synced.
    async fn enter(
        &self,
        backup: &BackupId,
        store: StoreId,
        lease_seconds: u64,
    ) -> Result<(BackupSession, BackupBegun)> {
        let data = &self.server.config().data_directory;
        let system_identifier = ControlData::read_system_identifier(data)?;
        self.disk.mark_backup(backup, self.judge.owner(system_identifier), store, Timestamp::now())?;
        let entered = match BackupSession::start(&self.server, backup).await {
            Ok(session) => self.sync().await.map(|()| session),
            Err(error) => Err(error.into()),
        };
        let session = match entered {
            Ok(session) => session,
            Err(error) => {
                self.disk.remove_mark()?;
                return Err(error);
            }
        };
        let begun = BackupBegun {
            backup: backup.clone(),
            start_lsn: session.start_lsn(),
            started_at: session.started_at(),
            timeline: session.timeline(),
            lease_seconds,
        };
        Ok((session, begun))
    }

    /// A large disk takes its time; the daemon goes on answering.
    async fn sync(&self) -> Result<()> {
        let path = self.disk.on_it();
        let synced = tokio::task::spawn_blocking(move || durable::sync_file_system(&path)).await;
        let source =
            |error| Error::System { action: "sync the disk".into(), source: std::io::Error::other(error) };
        Ok(synced.map_err(source)??)
    }

    /// Ends `backup` when its lease ends or its session is lost.
    async fn watch(self: Arc<Self>, backup: BackupId) {
        loop {
            tokio::time::sleep(TICK).await;
            let mut state = self.state.lock().await;
            if let Err(error) = self.end_if_lost(&mut state) {
                log::error!(backup:%, error:% = remount_core::with_causes(&error); "the mark of a backup that has ended cannot be removed");
            }
            if !matches!(&*state, State::InProgress(now) if now.is(&backup)) {
                return;
            }
        }
    }

    fn end_if_lost(&self, state: &mut State) -> Result<()> {
        let State::InProgress(now) = &*state else { return Ok(()) };
        match now.end_reason() {
            Some(why) => self.drop_session(state, why),
            None => Ok(()),
        }
    }

    /// Dropping the session ends backup mode.
    fn drop_session(&self, state: &mut State, why: &str) -> Result<()> {
        if let State::InProgress(now) = std::mem::replace(state, State::Idle) {
            log::warn!(backup:% = now.begun.backup; "backup mode ends without a backup: {why}");
        }
        self.disk.remove_mark()
    }
}

fn no_backup(backup: &BackupId) -> Error {
    PostgresError::NoBackup(backup.clone()).into()
}
