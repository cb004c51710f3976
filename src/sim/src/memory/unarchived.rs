//! WAL that its primary does not archive: what post-stop does about it, and what a standby has of it.

use remount_core::documents::{FORMAT, StopNote, WalTail};
use remount_core::{Lsn, WalSegment};
use remount_postgres::{DatabaseState, Error, Result, StreamedWal};
use remount_store::{ArchiveFile, Codec, PushOptions};

use super::postgres::{Data, Record, SYSTEM, size};
use super::{MemoryLandscape, wal_content};

/// What an instance can do with the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Archiving {
    /// Everything.
    #[default]
    Works,
    /// No WAL is taken; notes are.
    TakesNoWal,
    /// Its way to the store is broken.
    NoStore,
}

impl MemoryLandscape {
    /// What an instance can do with the archive from now on.
    pub fn set_archiving(&self, index: usize, archiving: Archiving) {
        self.state().instances[index].archiving = archiving;
    }

    /// Commits `count` transactions on the primary, which archives nothing meanwhile.
    pub fn commit_unarchived(&self, count: u64) -> Vec<u64> {
        self.state().commit(count)
    }

    /// The server of an instance is killed: it closes no segment.
    pub fn crash_server(&self, index: usize) {
        let mut state = self.state();
        state.void_backup(index);
        if let Some(vm) = state.vm_mut(index) {
            vm.running = false;
        }
    }

    /// The disk of an instance is full, and its server still serves.
    pub fn fill_disk(&self, index: usize) {
        if let Some(content) = self.state().content_mut(index) {
            content.is_full = true;
        }
    }

    /// What post-stop does, after the server has ended.
    pub(crate) async fn post_stop(&self, index: usize) {
        let (data, archiving, slug, now, restore) = {
            let mut state = self.state();
            let (archiving, slug) = (state.instances[index].archiving, state.instances[index].slug.clone());
            let now = state.now;
            let Some(content) = state.content_mut(index) else { return };
            let Some(data) = content.data.clone() else { return };
            (data, archiving, slug, now, content.applied.last().cloned())
        };
        if archiving == Archiving::NoStore {
            return;
        }
        let (mut unarchived, mut tail) = (Vec::new(), None);
        if !data.standby {
            for (segment, records) in data.to_archive() {
                if archiving == Archiving::TakesNoWal || self.create_segment(segment, &records).await.is_err()
                {
                    unarchived.push(segment.to_string());
                }
            }
            if let Some((segment, records)) = data.unfinished() {
                if archiving == Archiving::Works {
                    tail = self.create_tail(segment, &records, data.lsn).await.ok();
                }
                if tail.is_none() {
                    unarchived.push(segment.to_string());
                }
            }
        }
        let note = StopNote {
            format: FORMAT,
            instance: slug.id,
            at: now,
            system_identifier: SYSTEM,
            state: if data.standby { DatabaseState::ShutDownInRecovery } else { DatabaseState::ShutDown }
                .to_string(),
            follows: data.standby,
            timeline: data.timeline,
            checkpoint: data.lsn,
            redo: data.redo(),
            end: Some(data.lsn),
            unarchived,
            undetermined: None,
            tail,
            restore,
        };
        // Post-stop never fails the stop.
        self.cluster_store().write_stop_note(&note).await.unwrap_or_default();
    }

    /// Archives what a standby has streamed and the archive lacks.
    pub(super) async fn archive_streamed(&self, index: usize) -> Result<StreamedWal> {
        const ACTION: &str = "archive the streamed WAL";
        let (data, archiving) = {
            let state = self.state();
            let data = state.running_data(index).cloned();
            (data, state.instances[index].archiving)
        };
        let down = || Error::Database { action: ACTION.into(), detail: "the server does not run".into() };
        let data = data.ok_or_else(down)?;
        if !data.standby {
            return Err(Error::Config("the server is a primary: it archives its WAL by itself".into()));
        }
        if archiving != Archiving::Works {
            return Err(Error::Database {
                action: ACTION.into(),
                detail: "the store does not answer".into(),
            });
        }
        let failed = |detail| Error::Database { action: ACTION.into(), detail };
        let mut lacking = Vec::new();
        let mut number = data.lsn.0 / u64::from(size().bytes());
        while number > 1 {
            number -= 1;
            let segment = WalSegment::numbered(data.timeline, number, size());
            if self.is_archived(&segment).await {
                break;
            }
            lacking.push(segment);
        }
        for segment in lacking.into_iter().rev() {
            self.create_segment(segment, &data.inside(segment)).await.map_err(failed)?;
        }
        let tail = match data.unfinished() {
            Some((segment, records)) => {
                Some(self.create_tail(segment, &records, data.lsn).await.map_err(failed)?)
            }
            None => None,
        };
        Ok(StreamedWal { timeline: data.timeline, end: data.lsn, left: 0, tail })
    }

    pub(super) async fn create_segment(&self, segment: WalSegment, records: &[Record]) -> Result<(), String> {
        let content = wal_content::write(segment, records);
        let file = ArchiveFile::Segment(segment);
        let pushed = self.cluster_store().wal(SYSTEM).push(&file, content, push_options()).await;
        pushed.map(drop).map_err(|error| error.to_string())
    }

    async fn create_tail(
        &self,
        segment: WalSegment,
        records: &[Record],
        end: Lsn,
    ) -> Result<WalTail, String> {
        let content = wal_content::write(segment, records).to_vec();
        let ends = (segment.end(size()), end);
        let pushed = self.cluster_store().wal(SYSTEM).push_tail(segment, content, ends, push_options()).await;
        pushed.map_err(|error| error.to_string())
    }

    /// The records of a tail.
    pub(super) async fn fetch_tail(&self, tail: &WalTail) -> Result<Option<Vec<Record>>, String> {
        let content = self.cluster_store().wal(SYSTEM).fetch_tail(tail).await;
        content.map_err(|error| error.to_string())?.map(|content| wal_content::read(&content)).transpose()
    }
}

/// How the landscape's servers archive.
fn push_options() -> PushOptions {
    PushOptions { codec: Codec::Raw, segment_size: size() }
}

impl Data {
    /// The records that begin in a segment.
    pub(super) fn inside(&self, segment: WalSegment) -> Vec<Record> {
        let inside =
            |record: &&Record| segment.start(size()) <= record.lsn && record.lsn < segment.end(size());
        self.records.iter().filter(inside).cloned().collect()
    }

    /// The segment that is being written, with its records; none where it has none.
    fn unfinished(&self) -> Option<(WalSegment, Vec<Record>)> {
        let segment = WalSegment::containing(self.timeline, self.lsn, size());
        let records = self.inside(segment);
        (!records.is_empty()).then_some((segment, records))
    }
}
