//! The commands that only read: list, info, journal, requests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part of the support")]

mod support;

use serde_json::{Value, json};
use support::{BACKUP, RESTORE, Site, golden};

async fn two_clusters() -> Site {
    let site = Site::new();
    site.backup("pg-0001", BACKUP, |_| {}).await;
    site.backup("pg-0001", "20261122T004500Z-a1b2", |manifest| {
        manifest["hold"] = json!(true);
        manifest["stopped_at"] = json!("2026-11-22T00:45:09Z");
        manifest["data_bytes"] = json!(0);
    })
    .await;
    site.backup("pg-0002", "20261123T013000Z-zz00", |manifest| manifest["timeline"] = json!(3)).await;
    site
}

#[tokio::test]
async fn backups_are_listed_of_all_clusters_or_of_one() {
    let site = two_clusters().await;
    let said = site.run("list");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    golden("list.out", &said.out);
    let one = site.run("list --deployment pg-0002");
    assert_eq!(one.out.lines().count(), 2, "{}", one.out);
    assert!(one.out.contains("20261123T013000Z-zz00"));
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_changes_no_exit_code() {
    let site = two_clusters().await;
    assert_eq!(site.run_unread("list"), Some(0));
    assert_eq!(site.run_unread("info 20261101T000000Z-none"), Some(1));
}

#[tokio::test]
async fn json_on_standard_output_is_json_alone() {
    let site = two_clusters().await;
    let listed: Value = serde_json::from_str(&site.run("list --json").out).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let none: Value = serde_json::from_str(&Site::new().run("list --json").out).unwrap();
    assert_eq!(none, json!([]));
    let info: Value = serde_json::from_str(&site.run(&format!("info --json {BACKUP}")).out).unwrap();
    assert_eq!(info["snapshot"]["cid"], "snap-1");
}

#[tokio::test]
async fn a_backup_is_found_by_its_id_alone() {
    let site = two_clusters().await;
    let said = site.run(&format!("info {BACKUP}"));
    assert_eq!(said.code, 0, "{}", said.err);
    golden("info.out", &said.out);
    let missing = site.run("info 20200101T000000Z-0000");
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert!(missing.err.contains("next: choose one from `remount list`"), "{}", missing.err);
}

/// A typing error must not read as "there are no backups". The Director of a site does not answer.
#[tokio::test]
async fn a_deployment_that_nobody_knows_is_an_error() {
    let site = two_clusters().await;
    let said = site.run("list --deployment nope");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{}", said.err);
    assert!(said.err.contains("error: nobody knows deployment nope"), "{}", said.err);
    assert!(said.err.contains("the Director cannot be asked"), "{}", said.err);
}

#[tokio::test]
async fn a_manifest_that_was_changed_is_told_and_the_others_are_listed() {
    let site = two_clusters().await;
    let path = site.path(&format!("store/clusters/pg-0001/7574325123456789012/backups/{BACKUP}.json"));
    let changed = std::fs::read_to_string(&path).unwrap().replace("snap-1", "snap-2");
    std::fs::write(&path, changed).unwrap();
    let said = site.run("list");
    assert_eq!((said.code, said.out.lines().count()), (1, 3), "{}", said.out);
    assert!(said.err.contains("signature") && said.err.contains("1 of 3"), "{}", said.err);
}

#[tokio::test]
async fn a_journal_is_shown_step_by_step() {
    let site = Site::new();
    let events = [
        json!({"step": "begin", "event": "intended"}),
        json!({"step": "begin", "event": "done", "seconds": 0.21}),
        json!({"step": "create_disks", "event": "intended"}),
        json!({"step": "create_disks", "event": "done", "seconds": 95.0}),
        json!({"step": "stop_primary", "event": "intended"}),
        json!({"step": "stop_primary", "event": "failed", "error": "Director task 7 ended in error"}),
        json!({"step": "stop_primary", "event": "held", "error": "x",
            "next": [format!("go on with `remount resume {RESTORE}`")]}),
    ];
    site.restore(RESTORE, &events).await;
    site.restore("20261101T000000Z-0old", &[json!({"event": "finished", "outcome": "undone"})]).await;
    let newest = site.run("journal");
    assert_eq!(newest.code, 0, "{}", newest.err);
    golden("journal.out", &newest.out);
    assert_eq!(site.run(&format!("journal {RESTORE}")).out, newest.out);
    let old = site.run("journal 20261101T000000Z-0old");
    assert!(old.out.contains("state    undone"), "{}", old.out);
    let document: Value = serde_json::from_str(&site.run("journal --json").out).unwrap();
    assert_eq!(document["events"].as_array().unwrap().len(), 8);
    assert_eq!(document["plan"]["id"], RESTORE);
}

/// A half-done restore must be within reach without the index, or nobody can end it.
#[tokio::test]
async fn what_has_lost_its_index_entry_is_found_and_indexed_again() {
    let site = two_clusters().await;
    site.restore(RESTORE, &[json!({"step": "begin", "event": "intended"})]).await;
    let forget = || std::fs::remove_dir_all(site.path("store/index")).unwrap();
    for line in [
        format!("journal {RESTORE}"),
        format!("journal {RESTORE} --deployment pg-0001"),
        "journal".to_owned(),
        format!("info {BACKUP}"),
        format!("info {BACKUP} --deployment pg-0001"),
    ] {
        forget();
        let said = site.run(&line);
        assert_eq!(said.code, 0, "{line}: {}", said.err);
        assert!(site.path("store/index").exists(), "{line} writes the entry again");
    }
    forget();
    let abort = site.run(&format!("abort {RESTORE}"));
    assert!(!abort.err.contains("no cluster has a restore"), "{}", abort.err);
    let elsewhere = site.run(&format!("journal {RESTORE} --deployment pg-0002"));
    assert_eq!(elsewhere.code, 1);
    assert!(elsewhere.err.contains("cluster pg-0002 has no restore"), "{}", elsewhere.err);
}

#[tokio::test]
async fn a_journal_says_who_is_at_work() {
    let site = Site::new();
    site.restore(RESTORE, &[json!({"step": "begin", "event": "intended"})]).await;
    let lease = site.lease("pg-0001").await;
    let said = site.run("journal");
    assert!(said.out.contains("at step `begin`; the test holds the lease since"), "{}", said.out);
    lease.release().await.unwrap();
}

/// The process that is asked may be dead: nothing happens then, and the message says what to do and from when on.
#[tokio::test]
async fn who_is_asked_to_abort_is_told_with_what_to_do_if_that_one_is_dead() {
    let site = Site::new();
    site.restore(RESTORE, &[json!({"step": "begin", "event": "intended"})]).await;
    let lease = site.lease("pg-0001").await;
    let said = site.run(&format!("abort {RESTORE}"));
    assert_eq!(said.code, 0, "{}", said.err);
    let asked = "the test is asked to finish step `begin`, then to roll it back before step";
    assert!(said.err.contains(asked), "{}", said.err);
    let dead = format!("nothing is done until you run `remount resume {RESTORE}`, after 20");
    assert!(said.err.contains(&dead), "{}", said.err);
    lease.release().await.unwrap();
}

/// 25 s lay between the two processes: the last one's own 3.63 s are not the downtime.
#[tokio::test]
async fn a_journal_shows_the_downtime_of_all_its_processes() {
    let site = Site::new();
    let own = json!({"seconds": 3.63, "director_seconds": 1.0, "postgres_seconds": 1.0});
    let promoted = json!({"timeline": 2, "replayed_to": "0/3", "written_at": "0/4", "downtime": own});
    let events = [
        json!({"step": "stop_primary", "event": "intended"}),
        json!({"step": "stop_primary", "event": "intended", "epoch": 2, "at": "2026-11-23T10:17:27Z"}),
        json!({"step": "stop_primary", "event": "done", "seconds": 1.0, "epoch": 2, "at": "2026-11-23T10:17:28Z"}),
        json!({"step": "verify", "event": "intended", "epoch": 2, "at": "2026-11-23T10:17:29Z"}),
        json!({"step": "verify", "event": "done", "seconds": 0.5, "epoch": 2, "at": "2026-11-23T10:17:29Z",
            "output": {"timeline": 1, "replayed_to": "0/3", "last_commit": null}}),
        json!({"step": "promote", "event": "intended", "epoch": 2, "at": "2026-11-23T10:17:29Z"}),
        json!({"step": "promote", "event": "done", "seconds": 1.0, "epoch": 2, "at": "2026-11-23T10:17:30Z",
            "output": promoted}),
        json!({"event": "finished", "outcome": "completed", "epoch": 2, "at": "2026-11-23T10:17:40Z"}),
    ];
    site.restore(RESTORE, &events).await;
    let said = site.run("journal");
    assert_eq!(said.code, 0, "{}", said.err);
    let downtime = "downtime 28.00 s, of which 25.00 s no process worked on it (estimated";
    assert!(said.out.contains(downtime), "{}", said.out);
}

#[test]
fn nothing_there_is_no_crash() {
    let site = Site::new();
    let list = site.run("list");
    assert_eq!((list.code, list.out.as_str()), (0, ""));
    assert!(list.err.contains("remount backup"));
    assert_eq!(site.run("journal").code, 1);
    assert_eq!(site.run("requests").code, 0);
}
