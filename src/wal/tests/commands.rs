//! The two commands as PostgreSQL calls them: what they do, say and end with.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::time::Instant;

use remount_core::{SegmentSize, SystemIdentifier, WalSegment};
use remount_sim::sample_segment;
use remount_store::{ArchiveFile, Codec, PushOptions};
use serde_json::{Value, json};
use support::Vm;

const OWNER: SystemIdentifier = SystemIdentifier(7_300_000_000_000_000_001);

fn size() -> SegmentSize {
    SegmentSize::new(1 << 20).unwrap()
}

fn segment(text: &str) -> WalSegment {
    text.parse().unwrap()
}

fn vm() -> Vm {
    let vm = Vm::new();
    vm.control_file("data", OWNER);
    vm.configure("agent.json", "data", &vm.store_json(), 1);
    vm
}

fn write_segment(vm: &Vm, name: &str) {
    vm.write(&format!("data/pg_wal/{name}"), sample_segment(segment(name), size(), OWNER));
}

/// Puts a segment into the archive.
fn archive(vm: &Vm, name: &str) {
    write_segment(vm, name);
    vm.push(&format!("pg_wal/{name}")).ends(0, &[]);
}

#[test]
fn what_is_pushed_is_fetched_into_place() {
    let vm = vm();
    archive(&vm, "000000010000000000000003");
    vm.push("pg_wal/000000010000000000000003").ends(0, &[]);
    let ran = vm.fetch("000000010000000000000003");
    ran.ends(0, &[]);
    assert!(ran.said.is_empty(), "success is silent: {}", ran.said);
    let delivered = fs::read(vm.path("data/pg_wal/RECOVERYXLOG")).unwrap();
    assert_eq!(delivered, fs::read(vm.path("data/pg_wal/000000010000000000000003")).unwrap());
    let names = fs::read_dir(vm.path("data/pg_wal")).unwrap().count();
    assert_eq!(names, 2, "nothing temporary is left");
}

#[test]
fn absent_is_1_and_only_for_a_cluster_that_the_store_knows() {
    let vm = vm();
    let begun = Instant::now();
    vm.fetch("00000002.history")
        .ends(200, &["no success within 1 s", "holds nothing at all of cluster pg-0001"]);
    assert!(begun.elapsed().as_secs() < 5);
    archive(&vm, "000000010000000000000003");
    for name in ["00000002.history", "000000010000000000000004"] {
        vm.fetch(name).ends(1, &[]);
        assert!(!vm.path("data/pg_wal/RECOVERYXLOG").exists());
    }
}

#[test]
fn a_store_that_does_not_answer_is_above_125_for_fetch_and_1_for_push() {
    let vm = vm();
    write_segment(&vm, "000000010000000000000003");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = json!({"type": "s3", "bucket": "b", "endpoint": format!("http://127.0.0.1:{port}"),
                       "access_key_id": "id", "secret_access_key": "very-secret",
                       "signing": {"public_keys": [remount_sim::keys::PUBLIC]}, "timeout_seconds": 1});
    vm.configure("agent.json", "data", &store, 1);
    let fetched = vm.fetch("000000010000000000000003");
    fetched.ends(200, &["error:", "cause:", "next:", "read clusters/pg-0001"]);
    let pushed = vm.push("pg_wal/000000010000000000000003");
    pushed.ends(1, &["error:", "cause:", "next:"]);
    assert!(!format!("{fetched:?}{pushed:?}").contains("very-secret"));
}

#[test]
fn a_store_that_is_not_mounted_is_above_125() {
    let vm = vm();
    archive(&vm, "000000010000000000000003");
    fs::rename(vm.path("objects"), vm.path("elsewhere")).unwrap();
    vm.fetch("000000010000000000000003").ends(202, &["is its filesystem mounted?"]);
    // An empty mount point in its place.
    vm.make("objects");
    vm.fetch("000000010000000000000003").ends(200, &["holds nothing at all of cluster pg-0001"]);
}

#[test]
fn a_target_that_cannot_be_written_is_named_and_the_archive_is_not_blamed() {
    let vm = vm();
    let name = "000000010000000000000003";
    archive(&vm, name);
    let config = vm.path("agent.json");
    let fetched = vm.run(&["fetch", "--config", config.to_str().unwrap(), name, "nowhere/RECOVERYXLOG"]);
    fetched.ends(200, &["nowhere/RECOVERYXLOG cannot be read or written", "No such file"]);
    assert!(!format!("{fetched:?}").contains("the archive failed"), "{fetched:?}");
}

#[test]
fn wrong_usage_and_configuration_never_read_as_the_end_of_the_archive() {
    let vm = vm();
    let config = vm.path("agent.json");
    let config = config.to_str().unwrap();
    vm.run(&["fetch"]).ends(202, &["--config"]);
    vm.run(&["fetch", "--config", config, "RECOVERYXLOG", "x"]).ends(202, &["RECOVERYXLOG"]);
    vm.run(&["fetch", "--config", "/nowhere", "00000002.history", "x"]).ends(202, &["/nowhere"]);
    vm.run(&["nonsense"]).ends(202, &["nonsense"]);
    vm.run(&["push"]).ends(1, &["--config"]);
    vm.run(&["push", "--config", "/nowhere", "x"]).ends(1, &["/nowhere"]);

    let mut text: Value = serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    text["wal"]["level"] = 9.into();
    vm.write("agent.json", text.to_string());
    vm.fetch("00000002.history").ends(202, &["level"]);
    vm.write("data/global/pg_control", "short");
    vm.configure("agent.json", "data", &vm.store_json(), 1);
    vm.fetch("00000002.history").ends(200, &["control file"]);
}

#[test]
fn every_wrong_file_is_refused_by_push_with_its_own_words() {
    let vm = vm();
    let name = "000000010000000000000003";
    let good = sample_segment(segment(name), size(), OWNER);
    let foreign = sample_segment(segment(name), size(), SystemIdentifier(99));
    let elsewhere = sample_segment(segment("000000010000000000000004"), size(), OWNER);
    let later = sample_segment(segment("000000020000000000000003"), size(), OWNER);
    let rows: [(&[u8], &str); 5] = [
        (&foreign, "written by the cluster with system identifier 99"),
        (&vec![0; 1 << 20], "nothing but zeros"),
        (&good[..300 << 10], "it has 307200 bytes"),
        (&elsewhere, "it begins at 0/400000"),
        (&later, "written on timeline 2"),
    ];
    for (content, words) in rows {
        vm.write(&format!("data/pg_wal/{name}"), content);
        vm.push(&format!("pg_wal/{name}")).ends(1, &[name, words, "next:"]);
    }
    vm.push("pg_wal/000000010000000000000009").ends(1, &["No such file"]);
    vm.push("postgresql.conf").ends(1, &["is not a file that PostgreSQL archives"]);

    archive(&vm, name);
    let mut other = good.to_vec();
    other[9000] = 1;
    vm.write(&format!("data/pg_wal/{name}"), other);
    vm.push(&format!("pg_wal/{name}")).ends(1, &["exists with other content", "two clusters"]);
}

#[test]
fn a_damaged_object_is_not_delivered() {
    let vm = vm();
    archive(&vm, "000000010000000000000003");
    let path = format!("objects/clusters/pg-0001/{OWNER}/wal/00000001/000000010000000000000003");
    let mut content = fs::read(vm.path(&path)).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(vm.path(&path), content).unwrap();
    vm.fetch("000000010000000000000003").ends(201, &["is damaged in the store", "next:"]);
    assert!(!vm.path("data/pg_wal/RECOVERYXLOG").exists());
}

/// A note of a plan on the line 1 → 2 (from 0/680000), needing segments 3 to 8.
fn applied(vm: &Vm, id: &str, changes: &Value) {
    let mut note = json!({
        "format": 1, "restore": id, "number": 1, "backup": "20261123T004500Z-k3f9", "role": "primary",
        "applied_at": "2026-11-23T01:00:00Z", "target": {"target": "latest"}, "outcome": null, "fork": null,
        "path": {
            "backup": "20261123T004500Z-k3f9", "snapshot": "snap-1", "system_identifier": OWNER.to_string(),
            "segment_size": 1 << 20,
            "history": {"timeline": 2, "forks": [{"parent": 1, "lsn": "0/680000", "reason": "x"}]},
            "new_timeline": 3, "start_lsn": "0/300028", "consistent_lsn": "0/400000", "minimum_lsn": "0/800000",
            "segments": ["000000010000000000000003", "000000020000000000000008"],
        },
    });
    for (key, value) in changes.as_object().unwrap() {
        note[key] = value.clone();
    }
    vm.write(&format!("data-disk/remount/applied/{id}.json"), note.to_string());
}

const RESTORE: &str = "20261123T010000Z-aaaa";

#[test]
fn a_primary_stops_at_a_segment_beyond_the_fork_and_at_a_gap() {
    let vm = vm();
    for name in ["000000010000000000000005", "000000010000000000000006", "000000020000000000000007"] {
        archive(&vm, name);
    }
    applied(&vm, RESTORE, &json!({}));
    vm.fetch("000000010000000000000005").ends(0, &[]);
    vm.fetch("000000020000000000000007").ends(0, &[]);
    // The line's own is missing, the parent's is there: PostgreSQL would take it.
    vm.fetch("000000020000000000000006")
        .ends(201, &["000000020000000000000006", "is not in the archive", RESTORE]);
    vm.fetch("000000010000000000000006")
        .ends(201, &["is not on the planned timelines", "000000020000000000000006", RESTORE]);
    // After the last one that the plan needs the archive may end; histories are never guarded.
    vm.fetch("000000020000000000000009").ends(1, &[]);
    vm.fetch("000000010000000000000009").ends(1, &[]);
    vm.fetch("00000003.history").ends(1, &[]);
}

#[test]
fn a_standby_streams_where_its_line_leaves_the_parent() {
    let vm = vm();
    for n in 5..=9 {
        archive(&vm, &format!("00000002000000000000000{n}"));
    }
    archive(&vm, "000000030000000000000008");
    applied(&vm, RESTORE, &json!({"role": "standby"}));
    vm.fetch("000000020000000000000007")
        .ends(201, &["where its primary left the planned timeline is not recorded"]);

    let fork = json!({"format": 1, "restore": RESTORE, "timeline": 3, "fork_lsn": "0/7ABCDE",
                      "fork_segment": "000000030000000000000007"});
    applied(&vm, RESTORE, &json!({"role": "standby", "fork": fork}));
    vm.fetch("000000020000000000000006").ends(0, &[]);
    vm.fetch("000000030000000000000008").ends(0, &[]);
    // The fork segment is not archived yet, the parent's is: it must not be taken.
    for name in ["000000030000000000000007", "000000020000000000000007", "000000020000000000000008"] {
        vm.fetch(name).ends(1, &[]);
    }

    applied(&vm, RESTORE, &json!({"role": "standby", "fork": fork, "outcome": "streaming"}));
    vm.fetch("000000020000000000000007").ends(0, &[]);
}

#[test]
fn only_the_newest_note_binds() {
    let vm = vm();
    archive(&vm, "000000010000000000000006");
    applied(&vm, "20261122T010000Z-zzzz", &json!({}));
    vm.fetch("000000010000000000000006").ends(201, &["20261122T010000Z-zzzz"]);
    // The disk was copied while the older one was open; the newer is closed.
    applied(&vm, RESTORE, &json!({"number": 2, "outcome": "streaming"}));
    vm.fetch("000000010000000000000006").ends(0, &[]);
    // Asked for before them and applied after them.
    let late = "20261121T010000Z-yyyy";
    applied(&vm, late, &json!({"number": 3}));
    vm.fetch("000000010000000000000006").ends(201, &[late]);
    vm.write(&format!("data-disk/remount/applied/{RESTORE}.json"), "{");
    vm.fetch("000000010000000000000006").ends(201, &["cannot be used", RESTORE]);
}

#[test]
fn a_push_that_is_killed_leaves_the_whole_segment_or_none_and_the_next_one_succeeds() {
    let vm = vm();
    archive(&vm, "000000010000000000000001");
    let mut outcomes = Vec::new();
    for n in 0..40_u32 {
        let name = format!("0000000100000000000001{n:02X}");
        write_segment(&vm, &name);
        let mut push = vm.command(&[
            "push",
            "--config",
            vm.path("agent.json").to_str().unwrap(),
            &format!("pg_wal/{name}"),
        ]);
        let mut child = push.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(u64::from(n) * 250));
        child.kill().unwrap();
        let done = child.wait().unwrap().success();
        let fetched = vm.fetch(&name);
        assert!(matches!(fetched.code, Some(0 | 1)), "{fetched:?}");
        assert!(!done || fetched.code == Some(0), "success was said of what is not there");
        outcomes.push(fetched.code);
        vm.push(&format!("pg_wal/{name}")).ends(0, &[]);
        vm.fetch(&name).ends(0, &[]);
    }
    assert!(outcomes.contains(&Some(1)), "some were killed before the segment was there: {outcomes:?}");
}

#[tokio::test]
async fn segments_of_another_codec_are_found() {
    let vm = vm();
    let name = segment("000000010000000000000003");
    for (file, codec) in [(name, Codec::Zst), (name.next(size()), Codec::Raw)] {
        let options = PushOptions { codec, segment_size: size() };
        let content = sample_segment(file, size(), OWNER);
        vm.archive(OWNER).push(&ArchiveFile::Segment(file), content, options).await.unwrap();
        vm.fetch(&file.to_string()).ends(0, &[]);
    }
}
