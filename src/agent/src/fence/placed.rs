//! WAL that a restore needs in `pg_wal` and that PostgreSQL never gets from the archive.
//!
//! | what | for whom | why |
//! |---|---|---|
//! | the tail | the primary | its segment was never full: the archive has nothing under its name |
//! | a fork's segment under the parent's name, *below the fork* | both | recovery reads the child's segment, which begins with a copy of it. But the state of a prepared transaction is read once more, under its own timeline's name and from `pg_wal` alone; without it: `requested WAL segment … has already been removed`, for ever |
//!
//! From the fork on that copy holds zeros: PostgreSQL, which takes a parent's segment where the child's is missing, stops
//! at the fork in it. It is cut out of the child's segment, which is archived for certain; the parent's may never be.
//! Its content is not its name's: it is marked as archived before it is there, so that it never is.

use remount_core::documents::{ForkRecord, RestorePlan, WalTail};
use remount_core::{Lsn, TimelineHistory, WalSegment};
use remount_postgres::DataDirectory;
use remount_store::{ArchiveFile, ClusterStore, Error as StoreError, below};

/// A file for `pg_wal`.
pub struct PlacedWal {
    /// Its name.
    pub segment: WalSegment,
    /// All of it.
    pub content: Vec<u8>,
    kind: Kind,
}

/// What becomes of it after the promotion.
enum Kind {
    /// Nothing: its name's content is the parent's, which is archived, or was never.
    Parents,
    /// PostgreSQL ends its timeline in it and calls it `.partial`, unless it is marked as archived.
    Tail,
}

impl PlacedWal {
    /// Puts it there.
    ///
    /// # Errors
    /// The file system's.
    pub fn put_into(&self, data: &DataDirectory) -> remount_postgres::Result<()> {
        match self.kind {
            Kind::Parents => data.place_wal_for_reading(&self.segment, &self.content),
            Kind::Tail => data.place_wal(&self.segment, &self.content),
        }
    }
}

/// What a plan needs, and the tail that its last segment is; a fork makes the instance a standby.
///
/// # Errors
/// The store does not answer, or what it has is damaged or missing.
pub async fn needed(
    store: &ClusterStore,
    plan: &RestorePlan,
    fork: Option<&ForkRecord>,
) -> Result<(Vec<PlacedWal>, Option<WalTail>), StoreError> {
    let (path, archive) = (&plan.path, store.wal(plan.path.system_identifier));
    let history =
        fork.map_or_else(|| path.history.clone(), |fork| path.history.left_at(fork.fork_lsn, fork.timeline));
    let mut placed = Vec::new();
    for (parent, child, lsn) in inside_segments(&history, plan) {
        let Some(content) = archive.fetch(&ArchiveFile::Segment(child)).await? else {
            log::warn!(restore:% = plan.id, segment:% = child; "the archive does not have the segment of a fork");
            continue;
        };
        placed.push(PlacedWal {
            segment: parent,
            content: below(lsn, parent, content.into(), path.segment_size),
            kind: Kind::Parents,
        });
    }
    let tail = if fork.is_some() { None } else { tail(store, plan).await? };
    let Some(tail) = tail else { return Ok((placed, None)) };
    let missing = || StoreError::Document {
        path: format!("the last records of segment {}", tail.segment),
        detail: "restore's tail.json names them, and they are not in the archive".into(),
    };
    let content = archive.fetch_tail(&tail).await?.ok_or_else(missing)?;
    placed.push(PlacedWal { segment: tail.segment, content: content.into(), kind: Kind::Tail });
    Ok((placed, Some(tail)))
}

/// The tail that ends a plan's WAL; none where the archive has its segment by now, whole.
///
/// # Errors
/// The store does not answer.
pub async fn tail(store: &ClusterStore, plan: &RestorePlan) -> Result<Option<WalTail>, StoreError> {
    let Some(tail) = store.tail(&plan.id).await?.map(|record| record.tail) else { return Ok(None) };
    if store.wal(plan.path.system_identifier).contains(&tail.segment).await? {
        log::info!(restore:% = plan.id, segment:% = tail.segment; "the archive has the whole segment: its tail is not needed");
        return Ok(None);
    }
    Ok(Some(tail))
}

/// The forks that replay passes in the middle of a segment: the parent's name of it, the one that is in the archive, and
/// where.
fn inside_segments(history: &TimelineHistory, plan: &RestorePlan) -> Vec<(WalSegment, WalSegment, Lsn)> {
    let (size, start) = (plan.path.segment_size, plan.path.start_lsn);
    let passed = history.forks.iter().filter(|fork| fork.lsn > start);
    let inside = passed.filter(|fork| !fork.lsn.0.is_multiple_of(u64::from(size.bytes())));
    inside
        .map(|fork| {
            let parent = WalSegment::containing(fork.parent, fork.lsn, size);
            (parent, history.expected(parent.number(size), size), fork.lsn)
        })
        .collect()
}
