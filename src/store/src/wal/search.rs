//! Searches of the archive: for the record of a transaction or a restore point, and for the commits of a part of a
//! timeline. Bounded: what is not looked at within the bounds is counted, and said.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, iter};
use jiff::Timestamp;
use remount_core::{
    CommitSpan, Lsn, SegmentSize, TargetSearch, TimelinePart, WalMark, WalSegment, documents,
};
use tokio::time::Instant;

use crate::documents::encode;
use crate::wal::summary::{self, SUMMARY_BYTES_MAX, SearchedFor, SegmentSummary};
use crate::wal::{ArchiveFile, SegmentHeader, WalArchive};
use crate::{Error, Metadata, Result};

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct SearchBounds {
    /// It ends after so long.
    pub time: Duration,
    /// So many segments are read as a whole: those without a summary, and those that may hold the target.
    pub contents: usize,
}

/// Requests on their way at a time.
const AT_ONCE: usize = 16;
/// Segments whose content is in memory at a time: each is up to 1 GiB.
const CONTENTS_AT_ONCE: usize = 2;
/// Summaries on their way at a time where the first commit that one tells of ends the search.
const AHEAD: usize = 4;

/// What the archive tells of the commits of a part of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartCommits {
    /// It has none: there are no segments of it, or all were looked at.
    None,
    /// The first and the last one.
    Span(CommitSpan),
    /// Nobody can say: a segment at one of its ends cannot be read, or there was no time to come to a commit.
    Unknown,
}

/// A commit in one of the segments that were looked at, in their order.
#[derive(Clone, Copy)]
enum Dated {
    None,
    Commits(Timestamp, Timestamp),
    Unknown,
}

impl WalArchive {
    /// What was noted of the segment when it was pushed; none where nothing was, or it cannot be read.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn summary(&self, segment: &WalSegment) -> Result<Option<SegmentSummary>> {
        let object = match self.objects().read_within(&self.summary_path(segment), SUMMARY_BYTES_MAX).await {
            Err(Error::Document { .. }) => None,
            read => read?,
        };
        Ok(object.and_then(|object| documents::decode(&object.content).ok()))
    }

    /// Notes what the segment says. Without it a search reads the segment itself: a failure is none of the push.
    pub(crate) async fn keep_summary(&self, segment: &WalSegment, summary: &SegmentSummary) {
        let path = self.summary_path(segment);
        let kept = match encode(&path, summary) {
            Ok(content) => self.objects().create(&path, content, &Metadata::new()).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            log::warn!(segment:% = segment, error:% = remount_core::with_causes(&error); "what the segment says was not noted beside it");
        }
    }

    /// Every record in these segments that tells of what is searched for, the newest segments first.
    ///
    /// # Errors
    /// The store did not answer. A segment that is damaged counts as one that was not read.
    pub async fn search(
        &self,
        wanted: &SearchedFor,
        segments: &BTreeSet<WalSegment>,
        size: SegmentSize,
        bounds: SearchBounds,
    ) -> Result<TargetSearch> {
        let until = Instant::now() + bounds.time;
        let mut newest_first: Vec<WalSegment> =
            segments.iter().copied().filter(|segment| segment.fits(size)).collect();
        newest_first.sort_by_key(|segment| std::cmp::Reverse((segment.number(size), segment.timeline)));
        let mut search = TargetSearch::default();
        let mut contents_left = bounds.contents;
        for some in newest_first.chunks(AT_ONCE * 4) {
            if Instant::now() >= until {
                search.unread += some.len();
                continue;
            }
            let told = iter(some.to_vec()).map(|segment| async move { self.summary(&segment).await });
            let told: Vec<Result<Option<SegmentSummary>>> = told.buffered(AT_ONCE).collect().await;
            let mut to_read = Vec::new();
            for (segment, summary) in some.iter().zip(told) {
                match summary? {
                    Some(summary) if !summary.may_tell_of(wanted) => search.searched += 1,
                    _ if contents_left == 0 => search.unread += 1,
                    _ => {
                        contents_left -= 1;
                        to_read.push(*segment);
                    }
                }
            }
            let read = iter(to_read).map(|segment| async move { self.marks(wanted, segment, size).await });
            let read: Vec<Result<Option<Vec<WalMark>>>> = read.buffered(CONTENTS_AT_ONCE).collect().await;
            for marks in read {
                match marks? {
                    Some(marks) => {
                        search.searched += 1;
                        search.found.extend(marks);
                    }
                    None => search.unread += 1,
                }
            }
        }
        Ok(search)
    }

    /// The first and the last commit of a part of a timeline. Its segments are looked at from both ends, until there is a
    /// commit or the time is over.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn commits_of(
        &self,
        part: &TimelinePart,
        segments: &BTreeSet<WalSegment>,
        size: SegmentSize,
        until: Instant,
    ) -> Result<PartCommits> {
        let number = |lsn: Lsn| WalSegment::containing(part.timeline, lsn, size).number(size);
        let last = part.to.map_or(u64::MAX, |to| number(Lsn(to.0.saturating_sub(1))));
        let range = number(part.from)..=last;
        let own = segments.iter().copied().filter(|segment| segment.timeline == part.timeline);
        let own: Vec<WalSegment> = own.filter(|segment| range.contains(&segment.number(size))).collect();
        let begins = self.first_dated(part, own.iter().copied(), size, until).await?;
        let ends = match (begins, &own[..]) {
            (Dated::Commits(..), [_, _, ..]) => {
                self.first_dated(part, own.iter().rev().copied(), size, until).await?
            }
            _ => begins,
        };
        Ok(match (begins, ends) {
            (Dated::Commits(first, _), Dated::Commits(_, last)) => {
                PartCommits::Span(CommitSpan { part: *part, first, last })
            }
            (Dated::None, _) => PartCommits::None,
            _ => PartCommits::Unknown,
        })
    }

    /// The commits of the first of these segments that has any within the part.
    async fn first_dated(
        &self,
        part: &TimelinePart,
        segments: impl Iterator<Item = WalSegment> + Send,
        size: SegmentSize,
        until: Instant,
    ) -> Result<Dated> {
        let told = iter(segments).map(|segment| async move {
            let is_whole =
                part.from <= segment.start(size) && part.to.is_none_or(|to| segment.end(size) <= to);
            let summary = if is_whole { self.summary(&segment).await? } else { None };
            Ok::<_, Error>((segment, summary))
        });
        let mut told = told.buffered(AHEAD).boxed();
        while let Some(next) = told.next().await {
            let dated = match next? {
                (_, Some(summary)) => summary.first_commit.zip(summary.last_commit),
                (segment, None) => {
                    let Some((header, content)) = self.readable(&segment).await? else {
                        return Ok(Dated::Unknown);
                    };
                    let to = part.to.unwrap_or(Lsn(u64::MAX));
                    summary::commits_between((&header, &content), part.from, to)
                }
            };
            if let Some((first, last)) = dated {
                return Ok(Dated::Commits(first, last));
            }
            if Instant::now() >= until {
                return Ok(Dated::Unknown);
            }
        }
        Ok(Dated::None)
    }

    /// The records of one segment; none where it cannot be read.
    async fn marks(
        &self,
        wanted: &SearchedFor,
        segment: WalSegment,
        size: SegmentSize,
    ) -> Result<Option<Vec<WalMark>>> {
        let Some((header, content)) = self.readable(&segment).await? else { return Ok(None) };
        let goes_on = SegmentSummary::of(&header, &content).goes_on;
        let next = if goes_on { self.readable(&segment.next(size)).await? } else { None };
        let next = next.as_ref().map(|(header, content)| (header, &content[..]));
        Ok(Some(summary::marks(wanted, segment, (&header, &content), next)))
    }

    /// The segment; none where there is none, or it is damaged: that is told where it is needed.
    async fn readable(&self, segment: &WalSegment) -> Result<Option<(SegmentHeader, Bytes)>> {
        let content = match self.fetch(&ArchiveFile::Segment(*segment)).await {
            Ok(content) => content,
            Err(Error::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(content.and_then(|content| Some((SegmentHeader::parse(&content).ok()?, content))))
    }
}
