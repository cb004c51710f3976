//! The table of targets, row by row: what is planned, and what is refused with which words.

use super::PlanError;
use super::archived_cluster::*;
use crate::documents::RecoveryPath;
use crate::{
    LastWritten, MarkKind, MoreWal, OperatorError, RestoreTarget, Retry, SystemIdentifier, TargetSearch,
    TimelineHistory, Witness, report,
};

fn planned(cluster: &ArchivedCluster, target: RestoreTarget) -> RecoveryPath {
    cluster.plan(&target).unwrap_or_else(|error| panic!("{target} was refused: {error}"))
}

fn refused(cluster: &ArchivedCluster, target: RestoreTarget) -> PlanError {
    match cluster.plan(&target) {
        Ok(path) => panic!("{target} was planned: {path:?}"),
        Err(error) => error,
    }
}

/// Backup, line, first and last segment, minimum and new timeline, as one comparable line.
fn brief(path: &RecoveryPath) -> String {
    let (first, last) = path.segments;
    format!(
        "{} timelines {} wal {first}..{last} at least {} then {}",
        &path.backup.as_str()[17..],
        path.history,
        path.minimum_lsn,
        path.new_timeline
    )
}

#[test]
fn latest_replays_to_the_last_archived_segment() {
    let path = planned(&ArchivedCluster::plain(), to_latest());
    let expected =
        "bbbb timelines 1 wal 000000010000000000000005..000000010000000000000009 at least 0/9000000 then 2";
    assert_eq!(brief(&path), expected);
    assert_eq!((path.start_lsn, path.consistent_lsn), (lsn("0/5000028"), lsn("0/5200000")));
    assert_eq!(path.snapshot.as_str(), "snap-bbbb");
}

#[test]
fn latest_of_a_running_cluster_has_to_reach_what_the_primary_has_flushed() {
    let path = planned(&ArchivedCluster::plain().running(1, "0/A123456", "10:10:00"), to_latest());
    let expected =
        "bbbb timelines 1 wal 000000010000000000000005..00000001000000000000000A at least 0/A123456 then 2";
    assert_eq!(brief(&path), expected);
}

#[test]
fn an_lsn_is_reached_from_the_newest_backup_that_ends_before_it() {
    let cluster = ArchivedCluster::plain();
    for (target, backup, last, minimum) in [
        ("0/3100000", "aaaa", 3, "0/3100000"),
        ("0/51FFFFF", "aaaa", 5, "0/51FFFFF"),
        ("0/5200000", "bbbb", 5, "0/5200000"),
        ("0/9FFFFFF", "bbbb", 9, "0/9FFFFFF"),
    ] {
        let path = planned(&cluster, to_lsn(target));
        assert_eq!((path.backup, path.segments.1), (backup_id(backup), segment(1, last)), "{target}");
        assert_eq!(path.minimum_lsn, lsn(minimum), "{target}");
    }
}

#[test]
fn just_before_an_lsn_replay_may_end_in_front_of_the_pages_header() {
    let path = planned(&ArchivedCluster::plain(), to_lsn("0/6002018").just_before());
    assert_eq!(path.minimum_lsn, lsn("0/6001FF0"));
}

#[test]
fn a_time_is_reached_where_a_later_commit_is_archived() {
    let path = planned(&ArchivedCluster::plain(), to_time("10:08:30"));
    // 10:06 is surely before the target; 10:08 is too close to it to prove that its segment is passed.
    let expected =
        "bbbb timelines 1 wal 000000010000000000000005..000000010000000000000009 at least 0/8000000 then 2";
    assert_eq!(brief(&path), expected);
    assert_eq!(planned(&ArchivedCluster::plain(), to_time("10:04:29")).backup, backup_id("aaaa"));
}

#[test]
fn the_time_of_the_last_commit_is_covered_only_just_before_it() {
    let cluster = ArchivedCluster::plain();
    assert_eq!(planned(&cluster, to_time("10:09:00").just_before()).segments.1, segment(1, 9));
    let error = refused(&cluster, to_time("10:09:00"));
    assert!(matches!(error, PlanError::BeyondEnd { .. }), "{error:?}");
}

#[test]
fn a_past_time_of_a_running_cluster_is_covered_though_nothing_later_is_archived_yet() {
    let cluster = ArchivedCluster::plain().running(1, "0/A000100", "10:12:00");
    assert_eq!(planned(&cluster, to_time("10:11:59")).segments.1, segment(1, 9));
}

#[test]
fn a_time_in_the_future_is_never_accepted() {
    let cluster = ArchivedCluster::plain().running(1, "0/A000100", "10:12:00");
    let error = refused(&cluster, to_time("10:12:01"));
    assert!(matches!(error, PlanError::InFuture { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
}

#[test]
fn a_transaction_is_reached_from_the_newest_backup_that_ends_before_its_commit() {
    // Committed in segment 4, between the two backups: the newest ends after it.
    let cluster =
        ArchivedCluster::plain().marked(1, ("0/4000100", "0/4000180"), "10:03:30", MarkKind::Commit);
    let path = planned(&cluster, to_xid(742));
    assert_eq!((path.backup, path.segments.1), (backup_id("aaaa"), segment(1, 4)));
    assert_eq!(path.minimum_lsn, lsn("0/4000180"));
    assert_eq!(planned(&cluster, to_xid(742).just_before()).minimum_lsn, lsn("0/40000D8"));
    let error = refused(&cluster, to_xid(742).from("bbbb"));
    assert!(matches!(error, PlanError::BeforeNamedBackup { .. }), "{error:?}");
}

#[test]
fn a_transaction_that_was_rolled_back_ends_replay_too() {
    let cluster = ArchivedCluster::plain().marked(1, ("0/6000100", "0/6000180"), "10:05:30", MarkKind::Abort);
    assert_eq!(planned(&cluster, to_xid(742)).backup, backup_id("bbbb"));
}

#[test]
fn a_transaction_or_a_point_that_nobody_has_found_is_refused_and_can_be_accepted() {
    let mut cluster = ArchivedCluster::plain();
    for target in [to_xid(742), to_name()] {
        let error = refused(&cluster, target.clone());
        assert!(matches!(error, PlanError::Unverified { .. }), "{error:?}");
        let path = planned(&cluster, target.clone().accepted());
        assert_eq!((path.backup, path.minimum_lsn), (backup_id("bbbb"), lsn("0/5200000")));
        assert_eq!(planned(&cluster, target.accepted().from("aaaa")).backup, backup_id("aaaa"));
    }
    cluster.archive.search = Some(TargetSearch { found: Vec::new(), searched: 7, unread: 1 });
    let expected = "error: transaction 742 is not in the archive (7 segments were searched, 1 could not be)\n \
                    next: check it, or accept that PostgreSQL may find out after the stop that it does not exist: \
                    `--accept-unverified` (property `restore.target.accept_unverified`)";
    assert_eq!(report(&refused(&cluster, to_xid(742))), expected);
    let running = cluster.running(1, "0/A000100", "10:12:00");
    let error = refused(&running, to_xid(742));
    assert!(error.next_step().unwrap().contains("pg_switch_wal"), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
}

#[test]
fn a_part_of_a_transaction_is_named_with_the_whole_even_where_the_unverified_is_accepted() {
    let cluster =
        ArchivedCluster::plain().marked(1, ("0/6000100", "0/6000180"), "10:05:30", MarkKind::PartOf(740));
    let expected = "error: transaction 742 was a part of transaction 740: replay never stops for a part\n \
                    next: choose the whole: `--to-xid 740`";
    assert_eq!(report(&refused(&cluster, to_xid(742).accepted())), expected);
}

#[test]
fn a_transaction_that_was_only_prepared_is_not_found_and_it_is_said_where_it_was_prepared() {
    let cluster =
        ArchivedCluster::plain().marked(1, ("0/6000100", "0/6000180"), "10:05:30", MarkKind::Prepared);
    let error = refused(&cluster, to_xid(742));
    assert!(error.to_string().contains("prepared at 0/6000100"), "{error}");
}

#[test]
fn a_name_that_was_given_twice_is_decided_by_the_operator() {
    let point = MarkKind::RestorePoint;
    let cluster = ArchivedCluster::plain().marked(1, ("0/4000100", "0/4000180"), "10:03:30", point).marked(
        1,
        ("0/6000100", "0/6000180"),
        "10:05:30",
        point,
    );
    let expected = "error: there is more than one restore point `before-migration`: at 0/4000100 \
                    (2026-11-23T10:03:30Z), at 0/6000100 (2026-11-23T10:05:30Z)\n \
                    next: choose one by its position: `--to-lsn` (a backup that begins between them, `--from-backup`, \
                    decides too)";
    assert_eq!(report(&refused(&cluster, to_name())), expected);
    assert_eq!(planned(&cluster, to_name().from("aaaa")).segments.1, segment(1, 4));
    assert_eq!(planned(&cluster, to_name().from("bbbb")).segments.1, segment(1, 6));
}

#[test]
fn a_record_that_two_timelines_hold_is_one_and_one_of_another_branch_names_it() {
    let point = MarkKind::RestorePoint;
    let cluster = ArchivedCluster::forked().marked(1, ("0/7200000", "0/7200080"), "10:06:20", point).marked(
        2,
        ("0/7200000", "0/7200080"),
        "10:06:20",
        point,
    );
    let path = planned(&cluster, to_name());
    assert_eq!((path.backup, path.segments.1), (backup_id("bbbb"), segment(2, 7)));
    let left = ArchivedCluster::forked().marked(1, ("0/7600000", "0/7600080"), "10:06:50", point);
    let error = refused(&left, to_name());
    assert!(matches!(error, PlanError::AbandonedTarget { holder, .. } if holder == timeline(1)), "{error:?}");
    assert_eq!(planned(&left, to_name().on(1)).segments.1, segment(1, 7));
}

#[test]
fn a_backup_ends_at_its_own_stop_position() {
    let path = planned(&ArchivedCluster::plain(), to_backup("aaaa"));
    let expected =
        "aaaa timelines 1 wal 000000010000000000000003..000000010000000000000003 at least 0/3100000 then 2";
    assert_eq!(brief(&path), expected);
}

#[test]
fn a_target_before_the_first_backup_is_refused() {
    for target in [to_lsn("0/30FFFFF"), to_time("10:02:29")] {
        let error = refused(&ArchivedCluster::plain(), target);
        assert!(matches!(&error, PlanError::BeforeFirstBackup { first, .. } if *first == backup_id("aaaa")));
    }
}

#[test]
fn a_target_before_the_named_backup_is_refused() {
    let error = refused(&ArchivedCluster::plain(), to_lsn("0/4000000").from("bbbb"));
    assert!(matches!(error, PlanError::BeforeNamedBackup { .. }), "{error:?}");
    let error = refused(&ArchivedCluster::plain(), to_latest().from("zzzz"));
    assert_eq!(error, PlanError::UnknownBackup(backup_id("zzzz")));
}

#[test]
fn a_position_beyond_the_archive_is_refused_unless_the_primary_has_written_it() {
    let error = refused(&ArchivedCluster::plain(), to_lsn("0/A000000"));
    let expected = "error: LSN 0/A000000 is beyond the end of the archive (0/A000000 on timeline 1, \
                    last commit known 2026-11-23T10:09:00Z)\n \
                    next: choose a position before 0/A000000, or the latest commit (`--to-latest`)";
    assert_eq!(report(&error), expected);
    let running = ArchivedCluster::plain().running(1, "0/B000100", "10:12:00");
    assert_eq!(planned(&running, to_lsn("0/A000000")).segments.1, segment(1, 10));
    assert!(matches!(refused(&running, to_lsn("0/B000101")), PlanError::BeyondEnd { .. }));
}

#[test]
fn a_gap_is_named_with_what_can_be_reached_on_either_side() {
    let cluster = ArchivedCluster::plain().without(1, 4);
    let error = refused(&cluster, to_lsn("0/4000000"));
    let expected = "error: a gap in the archive: segment 000000010000000000000004 of timeline 1 is missing\n \
                    next: put 000000010000000000000004 back into the archive if an instance still has it in \
                    `pg_wal`; before the gap you can reach 0/3100000 (2026-11-23T10:02:30Z) to 0/4000000 \
                    (2026-11-23T10:03:00Z) from backup 20261123T100000Z-aaaa; after the gap you can reach \
                    0/5200000 (2026-11-23T10:04:30Z) to 0/A000000 (2026-11-23T10:09:00Z) from backup \
                    20261123T100000Z-bbbb";
    assert_eq!(report(&error), expected);
    assert_eq!(planned(&cluster, to_latest()).backup, backup_id("bbbb"));
}

#[test]
fn a_gap_stops_only_the_targets_behind_it() {
    let cluster = ArchivedCluster::plain().without(1, 7);
    assert_eq!(planned(&cluster, to_lsn("0/6FFFFFF")).segments.1, segment(1, 6));
    assert_eq!(planned(&cluster, to_time("10:05:59")).segments.1, segment(1, 6));
    for target in [to_lsn("0/7000000"), to_time("10:07:30"), to_latest(), to_name().accepted()] {
        let error = refused(&cluster, target);
        assert!(matches!(error, PlanError::Gap { missing, .. } if missing == segment(1, 7)), "{error:?}");
    }
}

#[test]
fn a_gap_before_the_end_of_the_backup_is_one_even_while_the_cluster_runs() {
    let cluster = ArchivedCluster::plain().without(1, 5).running(1, "0/A000100", "10:12:00");
    let error = refused(&cluster, to_backup("bbbb"));
    assert!(matches!(error, PlanError::Gap { missing, .. } if missing == segment(1, 5)), "{error:?}");
    assert_eq!(error.retry(), Retry::Later, "segments are archived in parallel: it may close by itself");
}

#[test]
fn wal_that_a_later_backup_proves_is_missed_even_at_the_end_of_the_archive() {
    let cluster = ArchivedCluster::plain().backup("cccc", 1, ("0/9000028", "0/A000100"), "10:09:30");
    for cluster in [cluster.clone(), cluster.running(1, "0/A000200", "10:12:00")] {
        for target in [to_latest(), to_latest().from("bbbb"), to_lsn("0/A000000")] {
            let error = refused(&cluster, target);
            assert!(
                matches!(error, PlanError::Gap { missing, .. } if missing == segment(1, 10)),
                "{error:?}"
            );
        }
    }
}

#[test]
fn a_backup_across_two_segments_needs_both() {
    let cluster = ArchivedCluster::empty().archived(1, 3, None).backup(
        "aaaa",
        1,
        ("0/3000028", "0/4000100"),
        "10:00:00",
    );
    let error = refused(&cluster, to_latest());
    assert!(matches!(error, PlanError::Gap { missing, .. } if missing == segment(1, 4)), "{error:?}");
    let cluster = ArchivedCluster::empty().archived(1, 3, None).backup(
        "aaaa",
        1,
        ("0/3000028", "0/4000000"),
        "10:00:00",
    );
    assert_eq!(planned(&cluster, to_latest()).segments, (segment(1, 3), segment(1, 3)));
}

#[test]
fn latest_of_a_restored_cluster_follows_its_newest_timeline() {
    let path = planned(&ArchivedCluster::forked(), to_latest());
    let expected = "cccc timelines 1 → 2 (from 0/7400000) wal 000000020000000000000008..000000020000000000000009 \
                    at least 0/9000000 then 3";
    assert_eq!(brief(&path), expected);
}

#[test]
fn a_path_over_a_fork_reads_the_childs_copy_of_the_fork_segment() {
    let path = planned(&ArchivedCluster::forked(), to_lsn("0/8100000"));
    let expected = "bbbb timelines 1 → 2 (from 0/7400000) wal 000000010000000000000005..000000020000000000000008 \
                    at least 0/8100000 then 3";
    assert_eq!(brief(&path), expected);
    // Timeline 1's own segment 7 is not needed, timeline 2's is.
    assert_eq!(planned(&ArchivedCluster::forked().without(1, 7), to_lsn("0/8100000")), path);
    let error = refused(&ArchivedCluster::forked().without(2, 7), to_lsn("0/8100000"));
    assert!(matches!(error, PlanError::Gap { missing, .. } if missing == segment(2, 7)), "{error:?}");
}

#[test]
fn a_target_before_the_fork_ends_the_line_with_its_own_timeline() {
    for target in [to_lsn("0/6000000"), to_time("10:05:30"), to_backup("bbbb")] {
        let path = planned(&ArchivedCluster::forked(), target);
        assert_eq!((path.history, path.new_timeline), (TimelineHistory::first(), timeline(3)));
    }
}

#[test]
fn the_abandoned_part_of_a_timeline_is_reached_by_naming_it() {
    let path = planned(&ArchivedCluster::forked(), to_lsn("0/9000100").on(1));
    let expected =
        "bbbb timelines 1 wal 000000010000000000000005..000000010000000000000009 at least 0/9000100 then 3";
    assert_eq!(brief(&path), expected);
    assert_eq!(planned(&ArchivedCluster::forked(), to_time("10:07:30").on(1)).segments.1, segment(1, 8));
}

#[test]
fn a_target_that_only_the_abandoned_part_holds_is_refused_and_its_timeline_named() {
    let error = refused(&ArchivedCluster::forked().without(2, 9), to_lsn("0/9000100"));
    let expected = "error: LSN 0/9000100 is not on timeline 2 as far as it is archived, but timeline 1 has it\n \
                    next: restore on that timeline: `--timeline 1` (property `restore.timeline`)";
    assert_eq!(report(&error), expected);
}

#[test]
fn a_time_at_which_the_cluster_was_on_another_branch_is_refused_with_the_timelines_and_their_ranges() {
    // On timeline 2 PostgreSQL would stop at the fork and call that 10:07:30.
    let expected = "error: time 2026-11-23T10:07:30Z is not on timeline 2: the cluster was on timeline 1 then \
                    (timeline 1 from 0/7400000 on has commits from 2026-11-23T10:06:31Z to 2026-11-23T10:09:00Z; \
                    timeline 1 from 0/0 on has commits from 2026-11-23T10:00:01Z to 2026-11-23T10:06:29Z; \
                    timeline 2 from 0/7400000 on has commits from 2026-11-23T11:00:01Z to 2026-11-23T11:09:00Z)\n \
                    next: to have it as it was then: `--timeline 1` (property `restore.timeline`); `--timeline 2` \
                    stops where timeline 2's history had got to by then";
    assert_eq!(report(&refused(&ArchivedCluster::forked(), to_time("10:07:30"))), expected);
    // After the last commit of the part that was left, and before the first of the new one, it is the same state.
    for clock in ["10:06:31", "10:09:30", "11:00:00"] {
        let error = refused(&ArchivedCluster::forked(), to_time(clock));
        assert!(matches!(error, PlanError::AbandonedTime { .. }), "{clock}: {error:?}");
    }
    for clock in ["10:06:29", "11:00:01", "11:08:15"] {
        let path = ArchivedCluster::forked().plan(&to_time(clock));
        assert!(path.is_ok(), "{clock}: {path:?}");
    }
    assert_eq!(planned(&ArchivedCluster::forked(), to_time("11:08:15")).history.timeline, timeline(2));
    for number in [1, 2] {
        let path = planned(&ArchivedCluster::forked(), to_time("10:07:30").on(number));
        assert_eq!(path.history.timeline, timeline(number), "naming the timeline is the answer");
    }
}

#[test]
fn a_time_that_a_part_with_unknown_commits_may_hold_is_refused_until_somebody_answers() {
    let cluster = ArchivedCluster::forked().unknown(1, "0/7400000");
    let expected = "error: whether time 2026-11-23T10:07:30Z is on timeline 2 is not known: when the cluster lived on \
                    timeline 1 from 0/7400000 on could not be found out";
    assert!(report(&refused(&cluster, to_time("10:07:30"))).starts_with(expected));
    for answered in [to_time("10:07:30").on(1), to_time("10:07:30").on(2), to_time("10:07:30").accepted()] {
        planned(&cluster, answered);
    }
    // Before the part's parent ended, and after the history went on, the part says nothing.
    for clock in ["10:05:30", "11:00:01", "11:08:15"] {
        planned(&cluster, to_time(clock));
    }
    // A timeline beside the history, begun and given up.
    let beside = ArchivedCluster::plain()
        .fork(2, 1, "0/7400000")
        .archived(2, 7, Some("10:40:00"))
        .running(1, "0/A000100", "12:00:00")
        .lived(1, "0/0", ("10:00:01", "10:06:29"))
        .lived(1, "0/7400000", ("10:06:31", "10:09:00"))
        .lived(2, "0/7400000", ("10:20:00", "10:40:00"))
        .unknown(2, "0/7400000");
    assert!(matches!(refused(&beside, to_time("10:30:00")), PlanError::UnknownLives { .. }));
    planned(&beside, to_time("10:05:30"));
}

#[test]
fn a_time_within_a_restore_that_was_gone_back_from_is_refused_though_the_present_line_is_older() {
    // From timeline 1 a restore began timeline 2 at 10:20; it was given up, and another began timeline 3 at 11:00.
    let cluster = ArchivedCluster::plain()
        .fork(2, 1, "0/7400000")
        .archived(2, 7, Some("10:40:00"))
        .fork(3, 1, "0/A000000")
        .archived(3, 10, Some("11:10:00"))
        .lived(1, "0/0", ("10:00:01", "10:06:29"))
        .lived(1, "0/7400000", ("10:06:31", "10:09:00"))
        .lived(2, "0/7400000", ("10:20:00", "10:40:00"))
        .lived(3, "0/A000000", ("11:00:00", "11:10:00"));
    for clock in ["10:20:00", "10:30:00", "10:45:00"] {
        let error = refused(&cluster, to_time(clock));
        let then = |error: &PlanError| match error {
            PlanError::AbandonedTime { lives, .. } => Some(lives.then.timeline),
            _ => None,
        };
        assert_eq!(then(&error), Some(timeline(2)), "{clock}: {error:?}");
    }
    for clock in ["10:06:45", "10:15:00", "11:00:00", "11:05:00"] {
        assert_eq!(planned(&cluster, to_time(clock)).new_timeline, timeline(4), "{clock}");
    }
}

#[test]
fn a_restore_that_was_rolled_back_long_ago_takes_no_time_from_the_line_that_went_on() {
    let cluster = ArchivedCluster::plain()
        .fork(2, 1, "0/7400000")
        .archived(2, 7, Some("10:07:40"))
        .running(1, "0/A000100", "12:00:00")
        .lived(1, "0/0", ("10:00:01", "10:06:29"))
        .lived(1, "0/7400000", ("10:06:31", "10:09:00"))
        .lived(2, "0/7400000", ("10:07:30", "10:07:40"));
    for clock in ["10:06:45", "10:08:30", "11:30:00"] {
        assert_eq!(planned(&cluster, to_time(clock)).history.timeline, timeline(1), "{clock}");
    }
    assert!(matches!(refused(&cluster, to_time("10:07:35")), PlanError::AbandonedTime { .. }));
}

#[test]
fn a_backup_on_the_abandoned_part_serves_only_its_own_timeline() {
    let cluster = ArchivedCluster::forked().backup("dddd", 1, ("0/8000028", "0/8300000"), "10:07:10");
    assert_eq!(planned(&cluster, to_lsn("0/8400000")).backup, backup_id("cccc"));
    assert_eq!(planned(&cluster, to_lsn("0/8400000").on(1)).backup, backup_id("dddd"));
    assert_eq!(planned(&cluster, to_backup("dddd")).history, TimelineHistory::first());
    let error = refused(&cluster, to_latest().from("dddd"));
    assert!(matches!(error, PlanError::AbandonedBackup { .. }), "{error:?}");
}

#[test]
fn a_fork_inside_the_backup_is_refused() {
    let cluster = ArchivedCluster::plain().fork(2, 1, "0/5100000").archived(2, 5, None).archived(2, 6, None);
    let only_bbbb = ArchivedCluster { manifests: cluster.manifests[1..].to_vec(), ..cluster.clone() };
    let error = refused(&only_bbbb, to_lsn("0/6000000").on(2));
    assert!(matches!(error, PlanError::ForkInsideBackup { .. }), "{error:?}");
    assert_eq!(planned(&cluster, to_lsn("0/6000000").on(2)).backup, backup_id("aaaa"), "an older one serves");
    assert_eq!(planned(&only_bbbb, to_lsn("0/6000000").on(1)).backup, backup_id("bbbb"));
}

#[test]
fn a_fork_at_the_very_end_of_the_backup_is_no_obstacle() {
    let cluster = ArchivedCluster::plain().fork(2, 1, "0/5200000").archived(2, 5, None).archived(2, 6, None);
    assert_eq!(planned(&cluster, to_lsn("0/6000000").on(2)).backup, backup_id("bbbb"));
}

#[test]
fn a_timeline_without_its_own_wal_is_a_gap_unless_its_primary_runs() {
    let cluster = ArchivedCluster::plain().fork(2, 1, "0/7400000");
    let error = refused(&cluster, to_latest().on(2));
    assert!(matches!(error, PlanError::Gap { missing, .. } if missing == segment(2, 7)), "{error:?}");
    let path = planned(&cluster.running(2, "0/7400100", "11:00:00"), to_latest());
    assert_eq!((path.segments.1, path.new_timeline), (segment(2, 7), timeline(3)));
}

#[test]
fn a_running_primary_decides_the_timeline_even_where_a_younger_one_was_left_behind() {
    // A restore to timeline 3 was rolled back; the cluster went on on timeline 2.
    let cluster = ArchivedCluster::forked().fork(3, 2, "0/8500000").archived(3, 8, Some("11:08:10"));
    let path = planned(&cluster.clone().running(2, "0/A000100", "11:30:00"), to_latest());
    assert_eq!((path.history.timeline, path.new_timeline), (timeline(2), timeline(4)));
    let error = refused(&cluster, to_latest());
    assert!(matches!(error, PlanError::TimelineUnclear { .. }), "{error:?}");
    assert_eq!(planned(&cluster, to_latest().on(2)).history.timeline, timeline(2));
}

#[test]
fn a_missing_history_file_is_refused_by_name() {
    let cluster = ArchivedCluster::forked();
    let mut lost = cluster.clone();
    lost.archive.histories.clear();
    let error = refused(&lost, to_latest());
    assert_eq!(error, PlanError::MissingHistory { missing: timeline(2), wanted: timeline(2) });
    let mut ancestor_lost = cluster.fork(3, 2, "0/9400000").archived(3, 9, None);
    ancestor_lost.archive.histories.remove(&timeline(2));
    let error = refused(&ancestor_lost, to_latest());
    assert_eq!(error, PlanError::MissingHistory { missing: timeline(2), wanted: timeline(3) });
}

#[test]
fn a_timeline_that_nobody_knows_is_refused_with_those_that_there_are() {
    let error = refused(&ArchivedCluster::forked(), to_latest().on(9));
    assert_eq!(
        report(&error),
        "error: there is no timeline 9: neither WAL, nor a history file, nor a backup is of it\n next: choose one of those \
         that there are with `--timeline` (property `restore.timeline`): 1, 2"
    );
}

#[test]
fn a_timeline_number_that_was_used_before_is_never_taken_again() {
    let mut cluster = ArchivedCluster::forked();
    cluster.archive.histories.clear();
    let error = refused(&cluster, to_lsn("0/6000000").on(1));
    assert_eq!(error, PlanError::TimelineTaken { timeline: timeline(2) });
}

#[test]
fn the_new_timeline_is_the_first_free_number_as_postgresql_probes() {
    let mut cluster =
        ArchivedCluster::plain().fork(2, 1, "0/7400000").fork(3, 1, "0/7400000").fork(5, 1, "0/7400000");
    assert_eq!(planned(&cluster, to_lsn("0/6000000").on(1)).new_timeline, timeline(4));
    cluster.archive.histories.remove(&timeline(2));
    assert_eq!(planned(&cluster, to_lsn("0/6000000").on(1)).new_timeline, timeline(2));
}

#[test]
fn backups_of_another_system_identifier_are_never_used() {
    let mut cluster = ArchivedCluster::plain();
    cluster.manifests[1].system_identifier = SystemIdentifier(8);
    assert_eq!(planned(&cluster, to_latest()).backup, backup_id("aaaa"));
    assert!(matches!(refused(&cluster, to_backup("bbbb")), PlanError::OtherCluster { .. }));
    cluster.manifests[0].system_identifier = SystemIdentifier(8);
    assert!(matches!(refused(&cluster, to_latest()), PlanError::OtherCluster { .. }));
    cluster.manifests.clear();
    assert_eq!(refused(&cluster, to_latest()), PlanError::NoBackup(SystemIdentifier(7)));
}

#[test]
fn the_segments_worth_dating_are_the_last_of_each_timeline_that_have_no_time() {
    let mut cluster = ArchivedCluster::forked();
    assert!(cluster.archive.worth_dating().is_empty());
    cluster.archive.commit_times.clear();
    assert_eq!(
        cluster.archive.worth_dating()[..4],
        [segment(2, 9), segment(2, 8), segment(2, 7), segment(1, 9)]
    );
}

#[test]
fn a_tablespace_that_was_on_another_disk_is_not_in_the_backup() {
    let mut manifest = ArchivedCluster::plain().manifests.remove(0);
    assert!(manifest.tablespaces_elsewhere().is_empty());
    manifest.tablespace_map =
        "16385 /var/vcap/store/space\n16386 /fast/space\n16387 pg_tblspc/16387\n16388 /var/vcap/storey\n"
            .into();
    assert_eq!(manifest.tablespaces_elsewhere(), ["/fast/space", "/var/vcap/storey"]);
}

/// A restore that was rolled back leaves the youngest timeline, and the cluster goes on on the old one.
#[test]
fn who_wrote_last_outranks_the_youngest_timeline_of_the_archive() {
    let ended = |tli: u32, at: &str, witness: Witness| {
        let mut cluster = ArchivedCluster::forked();
        let last = LastWritten { timeline: timeline(tli), end: Some(lsn(at)), witness };
        cluster.archive.more_to_come = MoreWal::Ended(last);
        cluster
    };
    let of = |cluster: &ArchivedCluster| planned(cluster, to_latest()).history.timeline;
    assert_eq!(of(&ArchivedCluster::forked()), timeline(2));
    assert_eq!(of(&ended(1, "0/9900000", Witness::Primary)), timeline(1));
    assert_eq!(of(&ended(2, "0/9900000", Witness::Primary)), timeline(2));
    assert_eq!(of(&ended(1, "0/7400000", Witness::Standby)), timeline(2), "it has stayed behind");
    let beyond = ended(1, "0/9900000", Witness::Standby);
    assert!(matches!(refused(&beyond, to_latest()), PlanError::TimelineUnclear { .. }));
}
