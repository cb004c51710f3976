//! Backup mode: begun once, ended once.

use remount_core::{BackupId, OperatorError as _, Retry};
use remount_postgres::{BackupEnded, Error, Server};

use super::Subject;
use super::subject::{LONG, assert_no_backup, new_backup};
use crate::contract::Verdict;

pub(super) async fn one_backup_is_in_progress(subject: Subject) -> Verdict {
    let (place, server) = (subject.fixture.primary(), subject.primary());
    let (backup, other) = (new_backup(), new_backup());
    let before = subject.status().await;
    let begun = server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    assert_eq!((&begun.backup, begun.lease_seconds), (&backup, LONG));
    assert_eq!(begun.timeline, before.timeline);
    assert!(begun.start_lsn <= subject.status().await.lsn && begun.started_at >= before.now, "{begun:?}");
    assert_eq!(subject.mark(&place).await.as_ref(), Some(&backup), "the disk says that a copy of it is one");
    assert_eq!(subject.status().await.backup.as_ref(), Some(&backup));

    assert_eq!(
        server.begin_backup(&backup, LONG).await.expect("the same one"),
        begun,
        "asking twice begins once"
    );
    let refused = server.begin_backup(&other, LONG).await.expect_err("another one");
    assert!(matches!(&refused, Error::BackupInProgress(id) if *id == backup), "{refused:?}");
    assert_eq!(refused.retry(), Retry::Later);
    assert_no_backup("the end of another one", server.end_backup(&other).await, &other);
    assert_no_backup("the renewal of another one", server.renew_backup(&other).await, &other);
    server.abort_backup(&other).await.expect("another one is not in progress: that counts as aborted");
    assert_eq!(subject.status().await.backup.as_ref(), Some(&backup), "nothing of it has touched this one");

    server.renew_backup(&backup).await.expect("it is in progress");
    end(&*server, &backup).await;
    assert_eq!((subject.mark(&place).await, subject.status().await.backup), (None, None));
    Verdict::Holds
}

pub(super) async fn a_backup_ends_once(subject: Subject) -> Verdict {
    let (server, backup) = (subject.primary(), new_backup());
    let begun = server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    let probe = server.write_probe().await.expect("a backup stops no writes");
    let ended = end(&*server, &backup).await;
    assert_eq!(
        (&ended.backup, ended.start_lsn, ended.started_at),
        (&backup, begun.start_lsn, begun.started_at)
    );
    assert!(ended.stop_lsn > ended.start_lsn && ended.stop_lsn >= probe.lsn, "{ended:?}");
    assert!(ended.stopped_at >= ended.started_at);
    assert_eq!(ended.stop_segment.timeline, begun.timeline);
    let first = ended.backup_label.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("START WAL LOCATION: {} (file ", ended.start_lsn)), "{first}");
    assert!(ended.backup_label.contains(&format!("LABEL: {backup}\n")), "{}", ended.backup_label);

    assert_eq!(end(&*server, &backup).await, ended, "a lost answer can be had again");
    assert_no_backup("a renewal", server.renew_backup(&backup).await, &backup);
    assert_no_backup("a second begin: an id is used once", server.begin_backup(&backup, LONG).await, &backup);
    server.abort_backup(&backup).await.expect("it has ended");
    assert_eq!(end(&*server, &backup).await, ended, "what has ended is not aborted any more");
    Verdict::Holds
}

pub(super) async fn only_the_last_result_is_remembered(subject: Subject) -> Verdict {
    let (server, first, second) = (subject.primary(), new_backup(), new_backup());
    server.begin_backup(&first, LONG).await.expect("backup mode is entered");
    end(&*server, &first).await;
    server.begin_backup(&second, LONG).await.expect("the next one");
    assert_no_backup("the end of the one before", server.end_backup(&first).await, &first);
    server.abort_backup(&second).await.expect("it is in progress");
    for backup in [&first, &second] {
        assert_no_backup("there is no result", server.end_backup(backup).await, backup);
    }
    Verdict::Holds
}

pub(super) async fn a_primary_archives_the_stop_segment(subject: Subject) -> Verdict {
    let (server, backup) = (subject.primary(), new_backup());
    server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    let ended = end(&*server, &backup).await;
    assert_holds_stop(&subject, &ended).await;
    let archived = async || subject.fixture.is_archived(&ended.stop_segment).await;
    subject.until("the stop segment is archived", archived).await;
    Verdict::Holds
}

pub(super) async fn a_standbys_stop_segment_is_archived_by_a_switch(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let (place, server, backup) = (subject.fixture.standby(), subject.standby(), new_backup());
    let begun = server.begin_backup(&backup, LONG).await.expect("a standby enters backup mode, too");
    assert_eq!(subject.mark(&place).await.as_ref(), Some(&backup));
    assert_eq!(subject.status().await.backup, None, "the primary is not in it");
    let ended = end(&*server, &backup).await;
    assert_eq!(subject.mark(&place).await, None);
    assert_eq!(ended.start_lsn, begun.start_lsn);
    assert!(ended.stop_lsn > ended.start_lsn, "{ended:?}");
    assert_holds_stop(&subject, &ended).await;
    subject.primary().switch_wal().await.expect("a primary switches");
    let archived = async || subject.fixture.is_archived(&ended.stop_segment).await;
    subject.until("the stop segment is archived", archived).await;
    Verdict::Holds
}

pub(super) async fn an_aborted_backup_leaves_nothing(subject: Subject) -> Verdict {
    let place = subject.fixture.primary();
    let (server, backup) = (subject.primary(), new_backup());
    server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    for _ in 0..2 {
        server.abort_backup(&backup).await.expect("none in progress counts as done");
        assert_eq!((subject.mark(&place).await, subject.status().await.backup), (None, None));
    }
    assert_no_backup("an end", server.end_backup(&backup).await, &backup);
    server.begin_backup(&backup, LONG).await.expect("it never ended: its id is free");
    end(&*server, &backup).await;
    Verdict::Holds
}

/// Ends a backup that is in progress or has ended.
async fn end(server: &dyn Server, backup: &BackupId) -> BackupEnded {
    server.end_backup(backup).await.expect("backup mode is left with a result")
}

/// The stop segment holds the last byte of what the backup needs.
async fn assert_holds_stop(subject: &Subject, ended: &BackupEnded) {
    let (segment, size) = (ended.stop_segment, subject.status().await.segment_size);
    assert!(segment.start(size) < ended.stop_lsn && ended.stop_lsn <= segment.end(size), "{ended:?}");
}
