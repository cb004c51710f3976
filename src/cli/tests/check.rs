//! `remount check`: what is wrong is found before it is needed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part of the support")]

mod support;

use serde_json::json;
use support::{BACKUP, Site};

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let site = Site::new();
    let said = site.run("check");
    assert_eq!(said.code, 2, "{}", said.err);
    // No Director listens, and the agents' files are not there; the store is.
    for word in ["director: error:", "agents: error:", "/none", "a restore would fail now", " next:"] {
        assert!(said.err.contains(word), "{word} is not said:\n{}", said.err);
    }
    assert!(said.out.contains("store: 0 clusters"), "{}", said.out);
    assert!(!said.err.contains("store: error:"), "{}", said.err);
}

#[tokio::test]
async fn a_signing_key_that_is_not_the_landscapes_is_found() {
    let site = Site::new();
    site.backup("pg-0001", BACKUP, |_| {}).await;
    assert!(site.run("check").out.contains("the signing key fits the 1 backups of pg-0001"));
    let key = remount_sim::keys::OTHER_PRIVATE;
    let store = json!({"type": "fs", "root": site.path("store"), "signing": {"private_key": key}});
    site.configure(&json!({ "store": store }));
    let said = site.run("check");
    assert!(said.err.contains("store: error:") && said.err.contains("signing.public_keys"), "{}", said.err);
}

#[tokio::test]
async fn a_damaged_manifest_fails_the_check_though_the_key_fits() {
    let site = Site::new();
    site.backup("pg-0001", BACKUP, |_| {}).await;
    let damaged = "20261124T004500Z-a1b2";
    site.backup("pg-0001", damaged, |_| {}).await;
    let path = site.path(&format!("store/clusters/pg-0001/7574325123456789012/backups/{damaged}.json"));
    let changed = std::fs::read_to_string(&path).unwrap().replace("snap-1", "snap-2");
    std::fs::write(&path, changed).unwrap();
    let said = site.run("check");
    assert!(said.err.contains("store: error: a backup of pg-0001 is damaged"), "{}", said.err);
    assert!(
        said.err.contains(damaged) && said.err.contains("remount list --deployment pg-0001"),
        "{}",
        said.err
    );
    assert!(!said.out.contains("fits"), "{}", said.out);
}

#[test]
fn what_is_not_mounted_is_to_be_mounted() {
    let site = Site::new();
    std::fs::rename(site.path("store"), site.path("elsewhere")).unwrap();
    let said = site.run("list");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains(" next: mount it on this VM, or fix the `store.*` properties"), "{}", said.err);
}

#[test]
fn a_value_that_does_not_fit_is_told_with_its_key() {
    let site = Site::with(
        &json!({"director": {"url": "http://127.0.0.1:1", "username": "a", "password": "b", "task_deadline_seconds": "x"}}),
    );
    let said = site.run("list");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("`director.task_deadline_seconds`: invalid type: string"), "{}", said.err);
}

#[test]
fn a_cloud_without_an_adapter_is_told_and_fails_no_deploy() {
    let cloud = json!({"type": "aws", "region": "eu-central-1", "credentials_source": "env_or_profile"});
    let said = Site::with(&json!({ "cloud": cloud })).run("check");
    assert!(
        said.out.contains("cloud: its configuration is valid, but the cloud `aws` cannot be used"),
        "{}",
        said.out
    );
    assert!(!said.err.contains("cloud: error:"), "{}", said.err);
}

#[test]
fn a_configuration_that_everybody_may_read_is_refused() {
    let site = Site::new();
    site.open_to(0o644);
    let said = site.run("list");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("mode 644"), "{}", said.err);
    site.open_to(0o640);
    assert_eq!(site.run("list").code, 0, "as BOSH renders it");
}

#[test]
fn an_errand_without_the_job_remount_beside_it_says_what_to_add() {
    let site = Site::new();
    std::fs::remove_file(site.path("remount.json")).unwrap();
    for line in ["errand restore", "errand backup", "backup"] {
        let said = site.run(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        let lines: Vec<_> = said.err.lines().collect();
        assert!(
            lines[0].starts_with("error: /") && lines[0].ends_with("remount.json is missing"),
            "{}",
            said.err
        );
        assert!(lines[1].starts_with("cause: the job `remount` is not on this VM"), "{}", said.err);
        assert_eq!(lines[2], " next: add the job `remount` to the instance group and redeploy");
    }
}

#[test]
fn the_problems_of_both_files_are_told_at_once() {
    let site = Site::with(&json!({"cloud": {"type": "moon"}, "restore": {"deployment": "pg-0001"}}));
    let said = site.run("errand restore");
    assert_eq!(said.code, 2, "{}", said.err);
    for word in ["remount.json", "moon", "errand.json", "restore.target"] {
        assert!(said.err.contains(word), "{word} is not said:\n{}", said.err);
    }
}

#[test]
fn the_configuration_alone_is_checked_without_asking_anybody() {
    let site = Site::new();
    let said = site.run("check --offline");
    assert_eq!((said.code, said.out.as_str()), (0, "configuration: it is valid\n"), "{}", said.err);
    site.configure(&json!({"store": {"type": "moon"}}));
    assert_eq!(site.run("check --offline").code, 2);
}

#[test]
fn errands_without_work_say_so_and_fail() {
    let site = Site::new();
    for (errand, instead) in [("drill", "remount plan"), ("prune", "remount disks release --due")] {
        // Without a configuration too: their jobs render none.
        std::fs::write(site.path("errand.json"), "").unwrap();
        let said = site.run(&format!("errand {errand}"));
        assert_eq!(said.code, 2, "{errand}: {}", said.err);
        for word in ["is not in this version", "\ncause: ", "\n next: ", instead] {
            assert!(said.err.contains(word), "{errand}: {word:?} is not said:\n{}", said.err);
        }
        assert!(said.out.is_empty(), "{errand}: {}", said.out);
    }
}
