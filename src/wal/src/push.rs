//! `push`: archives one file. It succeeds only when the file is durable in the store.

use std::path::Path;

use bytes::Bytes;
use remount_core::SegmentSize;
use remount_host::{Deadline, RetryPolicy};
use remount_store::{ArchiveFile, PushOptions, SegmentHeader};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::system_identifier;
use crate::within::within;

/// Archives the file at `path`, which is relative to the data directory PostgreSQL runs us in.
///
/// # Errors
/// Every [`Error`]: the file may be in the archive; PostgreSQL tries again, and that is harmless.
pub async fn push(config: Config, path: &Path) -> Result<()> {
    let file = file_of(path)?;
    let content = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let content = Bytes::from(content);
    let system_identifier = system_identifier(&config.postgres.data_directory)?;
    let deadline = Deadline::after(config.wal.push_deadline());
    let store = config.store.open(&RetryPolicy::until(deadline)).map_err(|source| Error::Open { source })?;
    let archive = store.cluster(&config.cluster).wal(system_identifier);
    let options = PushOptions { codec: config.wal.codec, segment_size: segment_size(&content) };
    let failed = |source| Error::Store { file: file.to_string(), source };
    within(deadline, async || archive.push(&file, content.clone(), options).await.map(drop).map_err(failed))
        .await
}

fn file_of(path: &Path) -> Result<ArchiveFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(Error::Name)
}

/// The segment size in the file's header. The archive compares it with the file's size, and refuses a file without a
/// valid header.
fn segment_size(content: &[u8]) -> SegmentSize {
    SegmentHeader::parse(content).map_or(SegmentSize::DEFAULT, |header| header.segment_size)
}
