//! A real PostgreSQL 15 archives with the program and recovers with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use jiff::Timestamp;
use remount_core::documents::ForkRecord;
use remount_core::{SegmentSize, SystemIdentifier, TimelineHistory, TimelineId, WalSegment};
use serde_json::{Value, json};
use support::Vm;
use support::postgres::Server;

const RESTORE: &str = "20261123T010000Z-aaaa";

fn commands(vm: &Vm, config: &str) -> String {
    let (program, config) = (vm.path("remount-wal"), vm.path(config));
    let (program, config) = (program.display(), config.display());
    format!(
        "archive_mode = on\narchive_command = '{program} push --config {config} %p'\n\
         restore_command = '{program} fetch --config {config} %f %p'\n"
    )
}

/// A primary in `data` and its base backup in `copy`, then `rows` rows, one segment each.
fn archived(vm: &Vm, rows: u32) -> Server<'_> {
    vm.configure("agent.json", "data", &vm.store_json(), 20);
    vm.configure("copy.json", "copy", &vm.store_json(), 3);
    let primary = Server::initialise(vm, "data");
    primary.configure(&commands(vm, "agent.json"));
    primary.start();
    primary.sql("CREATE TABLE ledger (id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())");
    primary.copy_to("copy");
    for row in 1..=rows {
        primary.sql(&format!("INSERT INTO ledger VALUES ({row})"));
        primary.sql("SELECT pg_switch_wal()");
    }
    primary
}

/// The base backup, to be recovered.
fn recovering<'a>(vm: &'a Vm, settings: &str) -> Server<'a> {
    let server = Server::at(vm, "copy");
    server.configure(&format!("{}{settings}", commands(vm, "copy.json")));
    vm.write("copy/recovery.signal", "");
    server
}

fn system_identifier(vm: &Vm) -> SystemIdentifier {
    let control = fs::read(vm.path("data/global/pg_control")).unwrap();
    SystemIdentifier(u64::from_le_bytes(*control.first_chunk().unwrap()))
}

fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).unwrap()
}

/// The segments in the store, oldest first.
async fn segments(vm: &Vm) -> Vec<WalSegment> {
    vm.archive(system_identifier(vm)).listing().await.unwrap().segments.into_iter().collect()
}

fn promoted(vm: &Vm) -> bool {
    fs::read_dir(vm.path("copy/pg_wal"))
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with(".history"))
}

fn count(server: &Server<'_>) -> String {
    server.sql("SELECT count(*) FROM ledger")
}

#[tokio::test]
async fn it_archives_and_recovers_every_row() {
    let vm = Vm::new();
    let primary = archived(&vm, 5);
    let times = primary.sql("SELECT string_agg(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ'), ' ' ORDER BY id) FROM ledger");
    primary.stop();
    let archive = vm.archive(system_identifier(&vm));
    let mut commits = Vec::new();
    for segment in segments(&vm).await {
        commits.extend(archive.last_commit(&segment).await.unwrap());
    }
    for time in times.split(' ') {
        let inserted: Timestamp = time.parse().unwrap();
        let known = |commit: &&Timestamp| {
            let after = commit.duration_since(inserted).as_secs_f64();
            (0.0..0.5).contains(&after)
        };
        assert!(
            commits.iter().any(|commit| known(&commit)),
            "no segment knows the commit after {time}: {commits:?}"
        );
    }

    let restored = recovering(&vm, "");
    restored.start();
    restored.wait_until_promoted();
    assert_eq!(count(&restored), "5");
    restored.sql("SELECT pg_switch_wal()");
    restored.wait("timeline 2 is archived", || {
        restored.sql("SELECT last_archived_wal LIKE '00000002%' AND last_archived_wal NOT LIKE '%history' FROM pg_stat_archiver") == "t"
    });
    let histories = vm.archive(system_identifier(&vm)).listing().await.unwrap().histories;
    assert_eq!(histories.len(), 1, "the history of timeline 2 is archived: {histories:?}");
    assert_eq!(restored.sql("SELECT failed_count FROM pg_stat_archiver"), "0", "{}", restored.log());
}

#[tokio::test]
async fn an_outage_of_the_store_stops_recovery_instead_of_ending_it() {
    let vm = Vm::new();
    let primary = archived(&vm, 6);
    primary.stop();
    let all = segments(&vm).await;
    let last_before = all[all.len() - 4];
    let (program, config) = (vm.path("remount-wal"), vm.path("copy.json"));
    let (objects, away) = (vm.path("objects"), vm.path("away"));
    vm.write(
        "outage",
        format!(
            "#!/bin/sh\n{} fetch --config {} $1 $2\ncode=$?\n\
             [ $1 = {last_before} ] && mv {} {} && mkdir {}\nexit $code\n",
            program.display(),
            config.display(),
            objects.display(),
            away.display(),
            objects.display(),
        ),
    );
    let restored = recovering(&vm, &format!("restore_command = 'sh {} %f %p'", vm.path("outage").display()));
    restored.try_start();
    restored.wait_until_stopped();
    let log = restored.log();
    assert!(log.contains("holds nothing at all of cluster pg-0001"), "{log}");
    assert!(log.contains("no success within 3 s"), "it tried until the deadline: {log}");
    assert!(!promoted(&vm), "it must not have been promoted: {log}");

    fs::remove_dir(&objects).unwrap();
    fs::rename(&away, &objects).unwrap();
    let restored = recovering(&vm, "");
    restored.start();
    restored.wait_until_promoted();
    assert_eq!(count(&restored), "6", "the same disk goes on when the store is back");
}

/// Notes on the disk of `data` an open plan on timeline 1.
fn note_plan(vm: &Vm, data: &str, needed: (WalSegment, WalSegment), changes: &Value) {
    let (first, last) = needed;
    let mut note = json!({
        "format": 1, "restore": RESTORE, "number": 1, "backup": "20261123T004500Z-k3f9", "role": "primary", "outcome": null,
        "applied_at": "2026-11-23T01:00:00Z", "target": {"target": "latest"},
        "path": {
            "backup": "20261123T004500Z-k3f9", "snapshot": "snap-1",
            "system_identifier": system_identifier(vm).to_string(), "segment_size": size().bytes(),
            "history": {"timeline": 1, "forks": []}, "new_timeline": 2, "start_lsn": first.start(size()),
            "consistent_lsn": first.end(size()), "minimum_lsn": last.start(size()), "segments": [first, last],
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        note[key] = value.clone();
    }
    let folder = format!("{data}-disk/remount/applied");
    vm.make(&folder);
    vm.write(&format!("{folder}/{RESTORE}.json"), note.to_string());
}

#[tokio::test]
async fn a_gap_stops_a_planned_recovery_which_would_end_an_unplanned_one() {
    let vm = Vm::new();
    let primary = archived(&vm, 6);
    primary.stop();
    let all = segments(&vm).await;
    let (first, missing, last) = (all[0], all[all.len() - 3], all[all.len() - 1]);
    let path = format!("objects/clusters/pg-0001/{}/wal/00000001/{missing}", system_identifier(&vm));
    fs::rename(vm.path(&path), vm.path("missing")).unwrap();
    note_plan(&vm, "copy", (first, last), &json!({}));
    let restored = recovering(&vm, "");
    restored.try_start();
    restored.wait_until_stopped();
    let log = restored.log();
    assert!(log.contains(&format!("{missing} is needed by restore {RESTORE}")), "{log}");
    assert!(!promoted(&vm), "{log}");

    fs::rename(vm.path("missing"), vm.path(&path)).unwrap();
    restored.start();
    restored.wait_until_promoted();
    assert_eq!(count(&restored), "6");
}

/// The restored primary's history: where it left timeline 1.
fn fork_of(vm: &Vm) -> ForkRecord {
    let text = fs::read_to_string(vm.path("copy/pg_wal/00000002.history")).unwrap();
    let timeline = TimelineId::new(2).unwrap();
    let fork_lsn = TimelineHistory::parse(timeline, &text).unwrap().left(TimelineId::FIRST).unwrap();
    let fork_segment = WalSegment::containing(timeline, fork_lsn, size());
    ForkRecord { format: 1, restore: RESTORE.parse().unwrap(), timeline, fork_lsn, fork_segment }
}

#[tokio::test]
async fn a_standby_never_runs_past_the_fork_although_the_fork_segment_is_not_archived() {
    let vm = Vm::new();
    let old = archived(&vm, 3);
    old.copy_to("standby");
    old.sql("SELECT pg_create_restore_point('three')");
    for row in 4..=6 {
        old.sql(&format!("INSERT INTO ledger VALUES ({row})"));
        old.sql("SELECT pg_switch_wal()");
    }
    old.stop();
    let primary = recovering(&vm, "recovery_target_name = 'three'\nrecovery_target_action = promote");
    primary.start();
    primary.wait_until_promoted();
    assert_eq!(count(&primary), "3");
    let fork = fork_of(&vm);
    let all = segments(&vm).await;
    assert!(!all.contains(&fork.fork_segment) && all.contains(&fork.fork_segment.on(TimelineId::FIRST)));

    vm.configure("standby.json", "standby", &vm.store_json(), 3);
    note_plan(&vm, "standby", (all[0], all[all.len() - 1]), &json!({"role": "standby", "fork": fork}));
    let standby = Server::at(&vm, "standby");
    let settings = format!("primary_conninfo = '{}'\nrecovery_target_timeline = '2'", primary.conninfo());
    standby.configure(&format!("{}{settings}", commands(&vm, "standby.json")));
    vm.write("standby/standby.signal", "");
    standby.start();
    primary.sql("INSERT INTO ledger VALUES (100)");
    standby.wait("it follows", || standby.sql("SELECT count(*) FROM ledger WHERE id = 100") == "1");
    let ids = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM ledger";
    assert_eq!(standby.sql(ids), "1 2 3 100");
    assert_eq!(primary.sql(ids), "1 2 3 100");
    let streaming = "SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'";
    assert_eq!(standby.sql(streaming), "2");
}
