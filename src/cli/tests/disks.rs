//! `remount disks` and `remount disks release`, against a Director that has one orphan.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part of the support")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use support::{RESTORE, Site};

/// A site whose Director keeps these orphans, and knows no deployment.
fn site(orphans: &Value) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let orphans = orphans.to_string();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that went away is not the Director's trouble.
            drop(answer(stream, &orphans));
        }
    });
    with_director(&url)
}

/// A site that can open all its adapters.
fn with_director(url: &str) -> Site {
    let site = Site::with(&json!({"director": {"url": url, "username": "a", "password": "b"}}));
    let pair = rcgen::generate_simple_self_signed(vec!["remount".into()]).unwrap();
    let (certificate, key) = (site.path("certificate.pem"), site.path("key.pem"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let file = site.path("remount.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let agents = json!({"port": 7443, "certificate_file": certificate, "private_key_file": key, "ca_file": certificate});
    config["agents"] = agents;
    std::fs::write(&file, config.to_string()).unwrap();
    for folder in ["disks", "snapshots"] {
        std::fs::create_dir(site.path(folder)).unwrap();
    }
    site
}

fn answer(mut stream: TcpStream, orphans: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match first.split(' ').nth(1).unwrap_or_default() {
        "/disks" => (200, orphans.to_owned()),
        "/info" => (200, json!({"name": "d", "uuid": "u", "version": "1", "user": "a"}).to_string()),
        path if path.split('?').next() == Some("/deployments") => (200, "[]".to_owned()),
        path if path.starts_with("/deployments/") => {
            (404, json!({"code": 70_000, "description": "Deployment doesn't exist"}).to_string())
        }
        path => (500, json!({"code": 1, "description": format!("nobody expects {path}")}).to_string()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn one_orphan() -> Value {
    json!([{"disk_cid": "disk-1", "size": 10240, "deployment_name": "pg-0001", "orphaned_at": "2026-11-23 10:18:00 UTC"}])
}

/// A restore that ended as the last event says.
async fn restore(site: &Site, end: Value) {
    let events = [
        json!({"step": "swap_primary", "event": "intended"}),
        json!({"step": "swap_primary", "event": "done", "seconds": 1.0}),
        json!({"step": "verify", "event": "intended"}),
        json!({"step": "verify", "event": "done", "seconds": 1.0}),
        json!({"step": "promote", "event": "intended"}),
        json!({"step": "promote", "event": "done", "seconds": 1.0}),
        end,
    ];
    site.restore(RESTORE, &events).await;
}

fn restored() -> Value {
    json!({"event": "finished", "outcome": "completed"})
}

#[tokio::test]
async fn an_old_disk_is_listed_for_people_and_for_programs() {
    let site = site(&one_orphan());
    restore(&site, restored()).await;
    let said = site.run("disks");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for word in [RESTORE, "kept until", "disk-1", "10.0 GiB", "2026-11-28 10:18Z", "postgres/0f5a3b52"] {
        assert!(said.out.contains(word), "{word} is not in\n{}", said.out);
    }
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    let listed: Value = serde_json::from_str(&site.run("disks --json --deployment pg-0001").out).unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["disk"]), (&json!("kept"), &json!("disk-1")));
    assert_eq!(listed[0]["out_of_use_since"], "2026-11-23T10:17:03Z");
}

#[tokio::test]
async fn a_dry_run_says_what_would_go() {
    let site = site(&one_orphan());
    restore(&site, restored()).await;
    let said = site.run(&format!("disks release {RESTORE} --dry-run"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("disk-1") && said.out.contains("nothing was deleted"), "{}", said.out);
    let due = site.run("disks release --due");
    assert_eq!((due.code, due.out.as_str()), (0, ""), "it is kept: {}", due.err);
    assert!(due.err.contains("nothing was deleted"), "{}", due.err);
}

#[tokio::test]
async fn the_disks_of_a_held_restore_stay() {
    let site = site(&one_orphan());
    restore(&site, json!({"step": "rejoin", "event": "held", "error": "x", "next": []})).await;
    let said = site.run(&format!("disks release {RESTORE}"));
    assert_eq!((said.code, said.out.contains("disk-1")), (1, false), "{}", said.err);
    assert!(said.err.contains("has not ended well"), "{}", said.err);
    assert!(said.err.contains(&format!("next: end it first: `remount resume {RESTORE}`")), "{}", said.err);
}

#[tokio::test]
async fn disks_that_are_gone_are_told_on_demand_and_released_in_vain() {
    let site = site(&json!([]));
    restore(&site, restored()).await;
    let said = site.run("disks");
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(said.err.contains("no restore has left old disks behind"), "{}", said.err);
    assert!(site.run("disks --all").out.contains("gone"));
    let released = site.run(&format!("disks release {RESTORE}"));
    assert_eq!(released.code, 0, "{}", released.err);
    assert!(released.out.contains("already gone"), "{}", released.out);
}

#[test]
fn nothing_is_asked_of_the_director_where_nothing_was_restored() {
    let site = with_director("http://127.0.0.1:1");
    let none: Value = serde_json::from_str(&site.run("disks --json --all").out).unwrap();
    assert_eq!(none, json!([]));
    let missing = site.run("disks release 20200101T000000Z-0000");
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("next:"), "{}", missing.err);
    assert_eq!(site.run("disks release").code, 2, "which ones has to be said");
}

#[tokio::test]
async fn a_deployment_that_neither_store_nor_director_knows_is_an_error() {
    let site = site(&json!([]));
    restore(&site, json!({"event": "finished", "outcome": "completed"})).await;
    for line in ["disks --deployment nope", "disks release --due --deployment nope", "list --deployment nope"]
    {
        let said = site.run(line);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{line}: {}", said.err);
        assert!(said.err.contains("the Director has no such deployment"), "{line}: {}", said.err);
    }
    assert_eq!(site.run("disks --deployment pg-0001").code, 0);
}

/// The disks of a half-done restore are the only good ones: they have to be seen without the index.
#[tokio::test]
async fn old_disks_are_listed_without_the_index() {
    let site = site(&one_orphan());
    restore(&site, json!({"event": "finished", "outcome": "completed"})).await;
    let before = site.run("disks");
    assert!(before.out.contains("disk-1"), "{}{}", before.out, before.err);
    std::fs::remove_dir_all(site.path("store/index")).unwrap();
    assert_eq!(site.run("disks").out, before.out);
    assert!(site.path("store/index").exists());
}
