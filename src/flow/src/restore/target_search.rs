//! What a target needs to know of the archive beyond its names: where a transaction or a restore point lies, and when
//! the cluster lived on which timeline.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use remount_core::documents::BackupManifest;
use remount_core::{
    ArchiveListing, CommitSpan, RecoveryTarget, RestoreTarget, SegmentSize, TimelinePart, WalSegment,
};
use remount_host::Poll;
use remount_store::{ClusterStore, PartCommits, SearchBounds, SearchedFor, WalArchive};
use tokio::time::Instant;

use super::survey::Survey;
use crate::wait::until;
use crate::{FlowContext, FlowError, Problem, Result, instances};

/// What is asked of an archive.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The cluster's backups.
    pub backups: &'a [BackupManifest],
    /// The target.
    pub target: &'a RestoreTarget,
}

/// How far the archive is searched. A minute reads the summaries of tens of thousands of segments.
const BOUNDS: SearchBounds = SearchBounds { time: Duration::from_secs(60), contents: 256 };
/// Parts that are looked at at a time: each may read a segment.
const PARTS_AT_ONCE: usize = 2;

/// Finds out what the target needs.
///
/// # Errors
/// The store does not answer.
pub async fn fill_in(wal: &WalArchive, listing: &mut ArchiveListing, question: &Question<'_>) -> Result<()> {
    let ours: Vec<&BackupManifest> = question
        .backups
        .iter()
        .filter(|backup| backup.system_identifier == listing.system_identifier)
        .collect();
    let Some(size) = ours.first().map(|backup| backup.segment_size) else { return Ok(()) };
    match &question.target.target {
        RecoveryTarget::Time(_) if question.target.timeline.is_none() => {
            (listing.spans, listing.unknown_parts) = lives(wal, listing, size).await?;
        }
        target => {
            let Some(wanted) = searched_for(target) else { return Ok(()) };
            // No backup reaches what lies before the oldest one's beginning.
            let begin = ours.iter().map(|backup| backup.start_lsn.0 / u64::from(size.bytes())).min();
            let reachable = |segment: &&WalSegment| begin.is_none_or(|begin| segment.number(size) >= begin);
            let segments: BTreeSet<WalSegment> = listing.segments.iter().filter(reachable).copied().collect();
            let search = wal.search(&wanted, &segments, size, BOUNDS).await;
            listing.search =
                Some(search.map_err(FlowError::store(format!("search the archive for {target}")))?);
        }
    }
    Ok(())
}

/// What a target is searched for as; none where its place is known without a search. PostgreSQL compares 32 bits of
/// a transaction's number.
#[expect(clippy::cast_possible_truncation, reason = "PostgreSQL's own comparison")]
fn searched_for(target: &RecoveryTarget) -> Option<SearchedFor> {
    match target {
        RecoveryTarget::Xid(xid) => Some(SearchedFor::Transaction(*xid as u32)),
        RecoveryTarget::Name(name) => Some(SearchedFor::RestorePoint(name.clone())),
        _ => None,
    }
}

/// When the cluster lived on which part of a timeline, and the parts of which that is not known. The newest come first,
/// and what there is no time for is not known.
async fn lives(
    wal: &WalArchive,
    listing: &ArchiveListing,
    size: SegmentSize,
) -> Result<(Vec<CommitSpan>, Vec<TimelinePart>)> {
    let end = Instant::now() + BOUNDS.time;
    let looked = iter(listing.parts()).map(|part| async move {
        let commits = wal.commits_of(&part, &listing.segments, size, end).await?;
        Ok::<_, remount_store::Error>((part, commits))
    });
    let looked: Vec<_> = looked
        .buffered(PARTS_AT_ONCE)
        .try_collect()
        .await
        .map_err(FlowError::store("read the commits beside the forks"))?;
    let (mut spans, mut unknown) = (Vec::new(), Vec::new());
    for (part, commits) in looked {
        match commits {
            PartCommits::Span(span) => spans.push(span),
            PartCommits::Unknown => unknown.push(part),
            PartCommits::None => {}
        }
    }
    Ok((spans, unknown))
}

/// Whether the target may be in the segment that a running primary has not closed yet: it was not found.
pub fn may_be_unarchived(listing: &ArchiveListing) -> bool {
    let found = |search: &remount_core::TargetSearch| search.found.iter().any(|mark| mark.kind.ends_replay());
    listing.primary().is_some() && listing.search.as_ref().is_some_and(|search| !found(search))
}

/// Has the primary close its segment, and waits until that is archived. Nothing serves worse for it; where it cannot
/// be done, the target stays unverified, and the reason is said.
pub async fn close_segment(ctx: &FlowContext, survey: &Survey, store: &ClusterStore) -> Option<String> {
    let outcome = close(ctx, survey, store).await;
    outcome.err().map(|error| {
        format!(
            "the primary's present segment could not be archived to search it: {}",
            Problem::of(&error).what
        )
    })
}

async fn close(ctx: &FlowContext, survey: &Survey, store: &ClusterStore) -> Result<()> {
    let Some(instance) = survey.instances.iter().find(|instance| instance.slug == survey.primary) else {
        return Ok(());
    };
    let (server, Some(system)) = (instances::server(ctx, instance)?, survey.system_identifier()) else {
        return Ok(());
    };
    let switched = server.switch_wal().await.map_err(FlowError::server("switch WAL", &survey.primary))?;
    let (wal, segment) = (&store.wal(system), &switched.last_segment);
    until(ctx, format!("segment {segment} in the archive"), ctx.timeouts.archived, || async move {
        let found = wal.contains(segment).await;
        let found = found.map_err(FlowError::store(format!("look for segment {segment}")))?;
        Ok(if found { Poll::Ready(()) } else { Poll::NotYet("it is not there".into()) })
    })
    .await
}
