//! What a standby has streamed and the archive lacks.

use remount_core::WalSegment;
use remount_host::Deadline;
use remount_postgres::{LocalServer, Received, StreamedWal};
use remount_store::{ArchiveFile, ClusterStore, Error as StoreError, PushOptions};

use super::folder::WalFolder;
use super::{Lacking, Target};
use crate::config::AgentConfig;
use crate::error::{Error, Result};

/// How long one call may take: less than a driver waits for an answer.
const CALL_SECONDS: u64 = 20;

/// Archives it, as far as one call gets.
///
/// # Errors
/// The server is a primary or down; its files cannot be read; the store does not answer.
pub async fn archive(config: &AgentConfig, server: &LocalServer) -> Result<StreamedWal> {
    let deadline = Deadline::after_seconds(CALL_SECONDS);
    let received = server.received().await?;
    let folder = WalFolder::read(&server.config().data_directory)?;
    let system_identifier =
        remount_postgres::ControlData::read_system_identifier(&server.config().data_directory)?;
    let options = PushOptions { codec: config.wal.codec, segment_size: received.segment_size };
    let work = |store: ClusterStore| async move {
        let archive = store.wal(system_identifier);
        let target = Target { archive: &archive, options };
        push(&target, &folder, &received, deadline).await
    };
    config.store_client().ask(deadline, work).await.map_err(Error::Store)
}

async fn push(
    target: &Target<'_>,
    folder: &WalFolder,
    received: &Received,
    deadline: Deadline,
) -> Result<StreamedWal, StoreError> {
    let Received { timeline, flushed, replayed, segment_size: size } = *received;
    let unreadable = |segment: &WalSegment| {
        let action = format!("read the streamed segment {segment}");
        move |source: std::io::Error| StoreError::Unanswered { action, source: source.into() }
    };
    let current = flushed.0 / u64::from(size.bytes());
    let lacking = match current.checked_sub(1) {
        Some(last_full) => target.lacking(folder, timeline, last_full).await?,
        None => Lacking::default(),
    };
    let mut left = lacking.segments.len();
    for segment in &lacking.segments {
        if deadline.is_over() {
            break;
        }
        // One that a restartpoint has removed meanwhile is in the archive, or lost already.
        if let Some(content) = folder.content(&segment.to_string()).map_err(unreadable(segment))? {
            target.push(&ArchiveFile::Segment(*segment), content).await?;
        }
        left -= 1;
    }
    let segment = WalSegment::containing(timeline, flushed, size);
    let holds_records = segment.start(size) < flushed && segment.start(size) < replayed;
    let mut tail = None;
    if holds_records
        && left == 0
        && lacking.hole.is_none()
        && let Some(content) = folder.content(&segment.to_string()).map_err(unreadable(&segment))?
    {
        let ends = (flushed, replayed.min(flushed));
        tail = Some(target.archive.push_tail(segment, content, ends, target.options).await?);
    }
    Ok(StreamedWal { timeline, end: replayed, left, tail })
}
