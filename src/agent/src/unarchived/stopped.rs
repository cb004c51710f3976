//! What a server that has stopped left, and the note that says so.
//!
//! | how it ended | full segments | the last segment |
//! |---|---|---|
//! | shut down, its checkpoint alone in its segment | those that its archiver did not get to | nothing in it is needed |
//! | any other way | the same, and what it had no time to note for its archiver | its records up to the last whole one, as a tail |
//! | in recovery, as a standby | its primary's matter | the same |

use std::collections::BTreeSet;

use jiff::Timestamp;
use remount_core::documents::{FORMAT, StopNote, WalTail};
use remount_core::{Lsn, Role, TimelineId, WalSegment};
use remount_host::Deadline;
use remount_postgres::{ControlData, DataDirectory, DatabaseState};
use remount_store::{ArchiveFile, ClusterStore, Error as StoreError, PushOptions, WalEnd};

use super::Target;
use super::folder::WalFolder;
use crate::config::AgentConfig;
use crate::disk::Disk;
use crate::error::{Result, system};

/// Of the limit, the share that is kept for the note.
const NOTE_SHARE: u64 = 4;
/// Where the first record of a segment begins: behind the long header of its first page.
const FIRST_RECORD: u64 = 40;

/// Pushes what is left, logs what it could not, and writes the note, which is answered.
///
/// # Errors
/// The data directory cannot be read, or the note cannot be written: there is none then.
pub async fn archive(config: &AgentConfig) -> Result<StopNote> {
    let limit = config.post_stop.deadline_seconds;
    let (whole, pushing) =
        (Deadline::after_seconds(limit), Deadline::after_seconds(limit - limit / NOTE_SHARE));
    let mut left = Left::of(config)?;
    let store = config.store_client();
    let work = store.ask(pushing, |store| left.push(config, store, pushing));
    let undetermined = match pushing.limit(work).await {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(remount_core::report(&error).replace('\n', "; ")),
        None => Some(format!("the archive did not take it within {} s", pushing.seconds())),
    };
    let mut note = left.into_note(config)?;
    note.undetermined = note.undetermined.or(undetermined);
    // Said before the store is asked: it may be what does not answer.
    match note.missing() {
        None => log::info!(state = note.state; "the server has stopped, nothing is left to archive"),
        Some(missing) => {
            log::warn!(state = note.state; "{missing}; it is on this disk only until the next start archives it");
        }
    }
    store
        .ask(whole, |store| async move { store.write_stop_note(&note).await.map(|()| note) })
        .await
        .map_err(Into::into)
}

/// What is left, and what has been done about it.
struct Left {
    control: ControlData,
    folder: WalFolder,
    timeline: TimelineId,
    follows: bool,
    /// Where the last whole record ends; none where none was found.
    end: Option<Lsn>,
    /// The number of the last full segment; none where there is none.
    last_full: Option<u64>,
    /// The segment that is not full and has records.
    unfinished: Option<WalSegment>,
    /// What holds commits and is not known to be archived.
    unarchived: BTreeSet<String>,
    tail: Option<WalTail>,
    failed: Option<String>,
}

impl Left {
    /// Looks at the disk alone.
    fn of(config: &AgentConfig) -> Result<Self> {
        let data_directory = &config.postgres.data_directory;
        let (control, folder) = (ControlData::read(data_directory)?, WalFolder::read(data_directory)?);
        let size = u64::from(folder.size.bytes());
        let timeline = folder.timeline(control.redo.0 / size).unwrap_or(control.checkpoint_timeline);
        let mut left = Self {
            follows: follows(config, control.state)?,
            timeline: timeline.max(control.checkpoint_timeline),
            control,
            folder,
            end: None,
            last_full: None,
            unfinished: None,
            unarchived: BTreeSet::new(),
            tail: None,
            failed: None,
        };
        if !left.follows {
            left.find_end()?;
        }
        Ok(left)
    }

    fn find_end(&mut self) -> Result<()> {
        let size = self.folder.size;
        let bytes = u64::from(size.bytes());
        let holds_commits = |name: &&String| !name.ends_with(".partial") && !name.ends_with(".backup");
        self.unarchived = self.folder.ready.iter().filter(holds_commits).cloned().collect();
        let checkpoint = self.control.checkpoint.0;
        if self.control.state == DatabaseState::ShutDown && checkpoint % bytes == FIRST_RECORD {
            (self.end, self.last_full) =
                (Some(Lsn(checkpoint - FIRST_RECORD)), (checkpoint / bytes).checked_sub(1));
            return Ok(());
        }
        let first = self.folder.last_noted(self.timeline).max(Some(self.control.redo.0 / bytes)).unwrap_or(0);
        let walked = WalEnd::after(first, size, &mut |number| self.folder.segment(number));
        let end = walked.map_err(system("read the last WAL"))?;
        if end.records == 0 {
            self.failed = Some(format!("no whole record was found from position {} on", end.lsn));
            return Ok(());
        }
        let number = end.lsn.0 / bytes;
        (self.end, self.last_full) = (Some(end.lsn), number.checked_sub(1));
        let full =
            (first..number).filter_map(|number| self.folder.newest(number)).map(|found| found.to_string());
        self.unarchived.extend(full.filter(|name| !self.folder.is_done(name)));
        self.unfinished = (end.lsn.0 % bytes > 0).then(|| self.folder.newest(number)).flatten();
        self.unarchived.extend(self.unfinished.map(|segment| segment.to_string()));
        Ok(())
    }

    /// Pushes it. What fails stays in the list; the rest is tried all the same.
    async fn push(
        &mut self,
        config: &AgentConfig,
        store: ClusterStore,
        deadline: Deadline,
    ) -> Result<(), StoreError> {
        if self.follows {
            return Ok(());
        }
        let options = PushOptions { codec: config.wal.codec, segment_size: self.folder.size };
        let archive = store.wal(self.control.system_identifier);
        let target = Target { archive: &archive, options };
        let unfinished = self.unfinished.map(|segment| segment.to_string());
        let names: BTreeSet<String> = self.folder.ready.union(&self.unarchived).cloned().collect();
        for name in names.iter().filter(|name| Some(*name) != unfinished.as_ref()) {
            self.push_file(&target, name).await;
            if deadline.is_over() {
                break;
            }
        }
        if let Some(last) = self.last_full {
            let lacking = target.lacking(&self.folder, self.timeline, last).await?;
            self.unarchived.extend(lacking.segments.iter().map(ToString::to_string));
            if let Some(hole) = lacking.hole {
                let what = format!("segment {hole} is neither on this disk nor in the archive");
                self.failed = Some(self.failed.take().unwrap_or(what));
            }
            for segment in lacking.segments {
                self.push_file(&target, &segment.to_string()).await;
            }
        }
        self.push_unfinished(&target).await
    }

    async fn push_file(&mut self, target: &Target<'_>, name: &str) {
        let Ok(file) = name.parse::<ArchiveFile>() else { return };
        let pushed = match self.folder.content(name) {
            Ok(Some(content)) => target.push(&file, content).await.map_err(|error| error.to_string()),
            Ok(None) => Err(format!("{name} is not there")),
            Err(error) => Err(format!("{name} cannot be read: {error}")),
        };
        match pushed {
            Ok(()) => {
                self.unarchived.remove(name);
            }
            Err(detail) => self.failed = Some(self.failed.take().unwrap_or(detail)),
        }
    }

    async fn push_unfinished(&mut self, target: &Target<'_>) -> Result<(), StoreError> {
        let (Some(segment), Some(end)) = (self.unfinished, self.end) else { return Ok(()) };
        let unreadable = |source: std::io::Error| StoreError::Unanswered {
            action: format!("read the last segment {segment}"),
            source: source.into(),
        };
        if let Some(content) = self.folder.content(&segment.to_string()).map_err(unreadable)? {
            self.tail = Some(target.archive.push_tail(segment, content, (end, end), target.options).await?);
            self.unarchived.remove(&segment.to_string());
        }
        Ok(())
    }

    fn into_note(self, config: &AgentConfig) -> Result<StopNote> {
        let applied = Disk::new(&config.directories).applied()?;
        Ok(StopNote {
            format: FORMAT,
            instance: config.identity.instance.id.clone(),
            at: Timestamp::now(),
            system_identifier: self.control.system_identifier,
            state: self.control.state.to_string(),
            follows: self.follows,
            timeline: self.timeline,
            checkpoint: self.control.checkpoint,
            redo: self.control.redo,
            end: self.end,
            unarchived: self.unarchived.into_iter().collect(),
            undetermined: self.failed,
            tail: self.tail,
            restore: applied.last().map(|applied| applied.restore.clone()),
        })
    }
}

/// Whether the server was a standby: what its primary wrote last is not known here. One that recovers from the archive
/// to become a primary has nothing that is not in the archive.
fn follows(config: &AgentConfig, state: DatabaseState) -> Result<bool> {
    let recovers = matches!(state, DatabaseState::ShutDownInRecovery | DatabaseState::InArchiveRecovery);
    let applied = Disk::new(&config.directories).applied()?;
    let becomes_primary =
        applied.last().is_some_and(|applied| applied.outcome.is_none() && applied.role == Role::Primary);
    let is_standby = DataDirectory::new(&config.postgres.data_directory).is_standby();
    Ok((recovers || is_standby) && !becomes_primary)
}
