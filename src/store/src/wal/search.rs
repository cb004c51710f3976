//! Searches of the archive: for the record of a transaction or a restore point, and for the commits of a part of a
//! timeline. Bounded: what is not looked at within the bounds is counted, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, iter};
use jiff::Timestamp;
use remount_core::{
    CommitSpan, Lsn, SegmentSize, TargetSearch, TimelineId, TimelinePart, WalMark, WalSegment, documents,
};
use tokio::time::Instant;

use crate::documents::encode;
use crate::wal::summary::{self, SearchedFor, SegmentSummary};
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
/// No summary is longer: the segment itself is read where one is.
const SUMMARY_BYTES: u64 = 4 << 20;
/// Segments whose content is in memory at a time: each is up to 1 GiB.
const CONTENTS_AT_ONCE: usize = 2;
/// How many segments are looked through for the first, and for the last commit of a part.
const SEGMENTS_PER_END: u64 = 8;

impl WalArchive {
    /// What was noted of the segment when it was pushed; none where nothing was, or it cannot be read.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn summary(&self, segment: &WalSegment) -> Result<Option<SegmentSummary>> {
        let object = match self.objects().read_within(&self.summary_path(segment), SUMMARY_BYTES).await {
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
            log::warn!(segment:% = segment, error:% = error; "what the segment says was not noted beside it");
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

    /// The first and the last commit of a part of a timeline, as far as the segments at its two ends tell.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn commits_of(
        &self,
        part: &TimelinePart,
        segments: &BTreeSet<WalSegment>,
        size: SegmentSize,
    ) -> Result<Option<CommitSpan>> {
        let number = |lsn: Lsn| WalSegment::containing(part.timeline, lsn, size).number(size);
        let last = newest_of(part.timeline, segments).map(|segment| segment.number(size));
        let Some(last) =
            last.map(|last| part.to.map_or(last, |to| number(Lsn(to.0.saturating_sub(1))).min(last)))
        else {
            return Ok(None);
        };
        let first = number(part.from).max(oldest_of(part.timeline, segments).map_or(0, |s| s.number(size)));
        let forward = first..=last.min(first.saturating_add(SEGMENTS_PER_END - 1));
        let back = (last.saturating_sub(SEGMENTS_PER_END - 1).max(first)..=last).rev();
        let mut known = BTreeMap::new();
        let Some((begins, _)) = self.first_dated(part, segments, size, forward, &mut known).await? else {
            return Ok(None);
        };
        let ends = self.first_dated(part, segments, size, back, &mut known).await?;
        Ok(ends.map(|(_, last)| CommitSpan { part: *part, first: begins, last }))
    }

    /// The commits of the first of these segments that has any within the part.
    async fn first_dated(
        &self,
        part: &TimelinePart,
        segments: &BTreeSet<WalSegment>,
        size: SegmentSize,
        numbers: impl Iterator<Item = u64>,
        known: &mut BTreeMap<u64, Option<(Timestamp, Timestamp)>>,
    ) -> Result<Option<(Timestamp, Timestamp)>> {
        for number in numbers {
            let segment = WalSegment::numbered(part.timeline, number, size);
            if !segments.contains(&segment) {
                continue;
            }
            let commits = match known.get(&number) {
                Some(commits) => *commits,
                None => self.commits_within(part, &segment, size).await?,
            };
            known.insert(number, commits);
            if commits.is_some() {
                return Ok(commits);
            }
        }
        Ok(None)
    }

    async fn commits_within(
        &self,
        part: &TimelinePart,
        segment: &WalSegment,
        size: SegmentSize,
    ) -> Result<Option<(Timestamp, Timestamp)>> {
        let (from, to) = (part.from, part.to.unwrap_or(Lsn(u64::MAX)));
        let is_whole = from <= segment.start(size) && segment.end(size) <= to;
        if is_whole && let Some(summary) = self.summary(segment).await? {
            return Ok(summary.first_commit.zip(summary.last_commit));
        }
        let content = self.readable(segment).await?;
        Ok(content.and_then(|(header, content)| summary::commits_between((&header, &content), from, to)))
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

fn newest_of(timeline: TimelineId, segments: &BTreeSet<WalSegment>) -> Option<WalSegment> {
    segments.iter().rev().find(|segment| segment.timeline == timeline).copied()
}

fn oldest_of(timeline: TimelineId, segments: &BTreeSet<WalSegment>) -> Option<WalSegment> {
    segments.iter().find(|segment| segment.timeline == timeline).copied()
}
