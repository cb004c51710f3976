//! Writing, and what becomes of what was written.

use remount_core::{OperatorError as _, Retry, WalSegment};
use remount_postgres::Error;

use super::Subject;
use crate::contract::Verdict;

pub(super) async fn a_write_reaches_the_standby(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let before = subject.status().await;
    let probe = subject.primary().write_probe().await.expect("a primary writes");
    assert!(probe.lsn > before.lsn, "{} after {}", probe.lsn, before.lsn);
    assert!(subject.status().await.lsn >= probe.lsn, "it is flushed");
    let standby = subject.standby();
    let replayed = async || standby.status().await.is_ok_and(|status| status.lsn >= probe.lsn);
    subject.until("the standby has replayed the write", replayed).await;
    Verdict::Holds
}

pub(super) async fn a_switch_closes_a_segment_that_is_archived(subject: Subject) -> Verdict {
    let primary = subject.primary();
    let status = subject.status().await;
    let probe = primary.write_probe().await.expect("a primary writes");
    let switched = primary.switch_wal().await.expect("a primary switches");
    let (segment, size) = (switched.last_segment, status.segment_size);
    assert_eq!(segment.timeline, status.timeline);
    assert!(switched.lsn >= probe.lsn, "all that was written before is in it or before");
    assert!(segment.start(size) < switched.lsn && switched.lsn <= segment.end(size), "{switched:?}");
    subject.until("the segment is archived", async || subject.fixture.is_archived(&segment).await).await;
    let counted = async || {
        let last = subject.status().await.last_archived;
        last.and_then(|name| name.parse::<WalSegment>().ok()).is_some_and(|last| last >= segment)
    };
    subject.until("the server counts it as archived", counted).await;
    let after = primary.write_probe().await.expect("a primary writes");
    assert!(after.lsn > segment.end(size), "the next write is in the next segment");
    let again = primary.switch_wal().await.expect("a primary switches");
    assert!(again.last_segment > segment, "{again:?}");
    Verdict::Holds
}

pub(super) async fn a_standby_writes_nothing(subject: Subject) -> Verdict {
    let standby = subject.standby();
    let switched = standby.switch_wal().await.expect_err("a standby");
    let written = standby.write_probe().await.expect_err("a standby");
    for error in [switched, written] {
        assert!(matches!(error, Error::NotPrimary { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
    Verdict::Holds
}

pub(super) async fn a_standby_archives_what_it_has_streamed(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let probe = subject.primary().write_probe().await.expect("a primary writes");
    let standby = subject.standby();
    let replayed = async || standby.status().await.is_ok_and(|status| status.lsn >= probe.lsn);
    subject.until("the standby has replayed the write", replayed).await;
    let streamed = standby.archive_streamed().await.expect("a standby archives");
    let status = subject.status().await;
    assert_eq!((streamed.timeline, streamed.left), (status.timeline, 0));
    assert!(streamed.end >= probe.lsn, "{streamed:?} holds {}", probe.lsn);
    let tail = streamed.tail.as_ref().expect("the write is in a segment that is not full");
    assert!(tail.end >= probe.lsn && tail.segment.timeline == status.timeline, "{tail:?}");
    assert!(tail.segment.start(status.segment_size) < probe.lsn, "{tail:?} is the segment of {}", probe.lsn);
    let again = standby.archive_streamed().await.expect("again");
    assert!(again.end >= streamed.end, "{again:?} after {streamed:?}");
    let refused = subject.primary().archive_streamed().await.expect_err("a primary archives by itself");
    assert_eq!(refused.retry(), Retry::Never, "{refused:?}");
    Verdict::Holds
}
