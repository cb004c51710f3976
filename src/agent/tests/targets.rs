//! What a push notes of the WAL that PostgreSQL 15 to 18 really write, and what a search of the archive finds by it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use remount_core::{Lsn, MarkKind, SegmentSize, TimelinePart, WalMark};
use remount_store::{PartCommits, SearchBounds, SearchedFor, WalArchive};
use support::Landscape;
use support::postgres::Postgres;

const BOUNDS: SearchBounds = SearchBounds { time: Duration::from_secs(60), contents: 100 };

async fn found(archive: &WalArchive, wanted: SearchedFor) -> Vec<WalMark> {
    let segments = archive.listing().await.unwrap().segments;
    let search = archive.search(&wanted, &segments, SegmentSize::DEFAULT, BOUNDS).await.unwrap();
    assert_eq!((search.searched, search.unread), (segments.len(), 0), "{wanted:?}");
    search.found
}

async fn kinds(archive: &WalArchive, xid: &str) -> Vec<MarkKind> {
    let wanted = SearchedFor::Transaction(xid.parse().unwrap());
    found(archive, wanted).await.into_iter().map(|mark| mark.kind).collect()
}

#[tokio::test]
async fn transactions_their_parts_and_restore_points_are_found_where_postgresql_15_to_18_wrote_them() {
    for major in 15..=18 {
        let landscape = Landscape::new();
        let mut server = Postgres::init(major, landscape.home.path(), "cluster");
        server.spawn_with(&["-c", "max_prepared_transactions=5"]);
        server.wait_until_reachable().await;
        server
            .execute("CREATE TABLE t (a text); CREATE TABLE gone (a text); INSERT INTO gone VALUES ('x')")
            .await;

        server
            .execute("BEGIN; INSERT INTO t VALUES ('whole'); SAVEPOINT s; INSERT INTO t VALUES ('part'); RELEASE s; COMMIT")
            .await;
        let xid =
            async |row: &str| server.value(&format!("SELECT xmin::text FROM t WHERE a = '{row}'")).await;
        let (whole, part) = (xid("whole").await, xid("part").await);
        // Files, statistics and invalidations lie between a prepared transaction's time and its number.
        server
            .execute("BEGIN; INSERT INTO t VALUES ('prepared'); DROP TABLE gone; PREPARE TRANSACTION 'p'")
            .await;
        server.execute("COMMIT PREPARED 'p'").await;
        let prepared = xid("prepared").await;
        server.execute("BEGIN; INSERT INTO t VALUES ('open'); PREPARE TRANSACTION 'open'").await;
        let open = server.value("SELECT transaction::text FROM pg_prepared_xacts").await;
        let point = server.value("SELECT pg_create_restore_point('before-migration')::text").await;
        server.execute("SELECT pg_switch_wal()").await;
        server.stop();
        let data = std::fs::read(landscape.path("cluster/global/pg_control")).unwrap();
        let system = remount_core::SystemIdentifier(u64::from_le_bytes(*data.first_chunk().unwrap()));
        landscape.push_archive(system).await;

        let archive = landscape.store().wal(system);
        assert_eq!(kinds(&archive, &whole).await, [MarkKind::Commit], "PostgreSQL {major}");
        assert_eq!(kinds(&archive, &part).await, [MarkKind::PartOf(whole.parse().unwrap())], "{major}");
        let both = kinds(&archive, &prepared).await;
        assert_eq!(both, [MarkKind::Prepared, MarkKind::Commit], "PostgreSQL {major}");
        assert_eq!(kinds(&archive, &open).await, [MarkKind::Prepared], "PostgreSQL {major}");
        assert_eq!(kinds(&archive, "4000000").await, [], "PostgreSQL {major}");
        let points = found(&archive, SearchedFor::RestorePoint("before-migration".into())).await;
        let point: Lsn = point.parse().unwrap();
        assert_eq!(points.iter().map(|mark| mark.ends).collect::<Vec<_>>(), [point], "PostgreSQL {major}");
        assert_eq!(found(&archive, SearchedFor::RestorePoint("never made".into())).await, []);

        // The commits on either side of a position, as those beside a fork are asked for.
        let segments = archive.listing().await.unwrap().segments;
        let part = |from, to| TimelinePart { timeline: remount_core::TimelineId::FIRST, from, to };
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        let commits = async |from, to| {
            let part = part(from, to);
            archive.commits_of(&part, &segments, SegmentSize::DEFAULT, until).await.unwrap()
        };
        let PartCommits::Span(before) = commits(Lsn(0), Some(point)).await else {
            panic!("there are commits before the restore point");
        };
        assert!(before.first <= before.last && before.last <= points[0].time, "{before:?}");
        let after = commits(point, None).await;
        assert_eq!(
            after,
            PartCommits::None,
            "PostgreSQL {major}: nothing was committed after the restore point"
        );
    }
}
