//! Requests, the errands that carry them out, and what is refused before anything is touched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part of the support")]

mod support;

use remount_core::documents::OnFailure;
use remount_core::{ExitCode, RestoreId};
use serde_json::{Value, json};
use support::{RESTORE, Site};

#[tokio::test]
async fn a_request_is_stored_and_listed() {
    let site = Site::new();
    let said = site.run(
        "restore request --deployment pg-0001 --to-time 2026-11-23T10:15:00Z --timeline 1 --exclusive --on-failure hold",
    );
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("bosh -d remount run-errand restore"), "{}", said.err);
    let pending = site.store.requests().pending().await.unwrap().requests;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].target.to_string(), "just before time 2026-11-23T10:15:00Z on timeline 1");
    assert_eq!(pending[0].on_failure, OnFailure::Hold);
    assert!(said.out.contains(pending[0].id.as_str()), "{}", said.out);
    let listed = site.run("requests");
    assert!(
        listed.out.contains(pending[0].id.as_str()) && listed.out.contains("just before"),
        "{}",
        listed.out
    );
    let documents: Value = serde_json::from_str(&site.run("requests --json").out).unwrap();
    assert_eq!(documents[0]["deployment"], "pg-0001");
}

#[tokio::test]
async fn the_errands_own_deployment_is_refused_with_the_reason() {
    let site = Site::new();
    for line in [
        "restore request --deployment remount --to-latest",
        "restore run --deployment remount --to-latest",
        "restore --now --deployment remount --to-latest",
        "plan --deployment remount --to-latest",
    ] {
        let said = site.run(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        assert!(said.err.contains("lock") && said.err.contains("next:"), "{line}: {}", said.err);
    }
    assert!(site.store.requests().pending().await.unwrap().requests.is_empty());
}

#[tokio::test]
async fn a_dry_run_stores_no_request() {
    let site = Site::new();
    let said = site.run("restore request --deployment pg-0001 --to-latest --dry-run");
    assert_ne!(said.code, 0, "no Director answers here");
    assert!(site.store.requests().pending().await.unwrap().requests.is_empty());
}

#[test]
fn wrong_usage_and_configuration_are_exit_code_2() {
    let site = Site::new();
    for line in [
        "restore --deployment pg-0001 --to-latest",
        "restore --now --to-latest",
        "restore --now --deployment pg-0001",
        "restore request --deployment pg-0001",
        "plan --deployment pg-0001 --to-latest --to-xid 7",
        "backup",
        "errand backup",
        "errand drill",
        "nonsense",
    ] {
        let said = site.run(line);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {}", said.err);
    }
    let broken = Site::with(&json!({"store": {"type": "moon"}, "colour": 1}));
    let said = broken.run("list");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("moon") && said.err.contains("colour"), "{}", said.err);
}

fn aws() -> Value {
    json!({"type": "aws", "region": "eu-central-1", "credentials_source": "env_or_profile"})
}

#[tokio::test]
async fn a_cloud_that_this_version_cannot_speak_to_is_refused_before_anything_is_done() {
    let target = json!({"deployment": "pg-0002", "target": {"target": "latest"}});
    let site =
        Site::with(&json!({"cloud": aws(), "backup": {"deployments": ["pg-0001"]}, "restore": target}));
    let id = put(&site, RESTORE, "pg-0001").await;
    for line in [
        "errand backup",
        "errand restore",
        "backup --deployment pg-0001",
        "plan --deployment pg-0001 --to-latest",
        "restore --now --deployment pg-0001 --to-latest",
        "restore run --deployment pg-0001 --to-latest",
        "restore request --deployment pg-0001 --to-latest",
        "resume 20261123T101700Z-0abc",
        "rollback 20261123T101700Z-0abc",
        "disks",
    ] {
        let said = site.run(line);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {}", said.err);
        let expected = "error: the cloud `aws` cannot be used\n\
                        cause: this version of Remount has only the adapter `local`\n next: ";
        assert!(said.err.starts_with(expected), "{line}: {}", said.err);
    }
    // Neither did the properties become a request, nor was the one of a person ended.
    let pending: Vec<_> = site
        .store
        .requests()
        .pending()
        .await
        .unwrap()
        .requests
        .into_iter()
        .map(|request| request.id)
        .collect();
    assert_eq!(pending, [id]);
}

#[tokio::test]
async fn commands_that_need_no_cloud_work_where_there_is_no_adapter() {
    let site = Site::with(&json!({"cloud": aws()}));
    site.backup("pg-0001", support::BACKUP, |_| {}).await;
    site.restore(RESTORE, &[]).await;
    let info = format!("info {}", support::BACKUP);
    for line in ["list", info.as_str(), "journal", "requests"] {
        let said = site.run(line);
        assert_eq!(said.code, 0, "{line}: {}", said.err);
    }
}

#[test]
fn an_errand_with_nothing_to_do_is_done() {
    let said = Site::new().run("errand restore");
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert!(said.err.contains("nothing to do"));
}

/// Stores a request behind the command line's back.
async fn put(site: &Site, id: &str, deployment: &str) -> RestoreId {
    let request = json!({
        "format": 1, "id": id, "deployment": deployment, "target": {"target": "latest"},
        "requested_by": "root@ops", "requested_at": "2026-11-23T10:17:00Z",
    });
    site.store.requests().put(&serde_json::from_value(request).unwrap()).await.unwrap();
    id.parse().unwrap()
}

#[tokio::test]
async fn the_errand_ends_a_request_that_can_never_be_carried_out() {
    let site = Site::new();
    let id = put(&site, RESTORE, "remount").await;
    let said = site.run("errand restore");
    assert_eq!(said.code, 2, "{}", said.err);
    let outcome = site.store.requests().outcome(&id).await.unwrap().unwrap();
    assert_eq!(outcome.exit_code, ExitCode::Usage as u8);
    assert!(outcome.message.contains("lock"));
    assert!(site.store.requests().pending().await.unwrap().requests.is_empty());
}

/// As an attacker on a file share keeps a signed request, and puts it back after its record was deleted; or as an operator
/// forgets one.
#[tokio::test]
async fn a_request_that_was_asked_for_long_ago_is_not_carried_out() {
    let site = Site::new();
    let id = put(&site, RESTORE, "pg-0001").await;
    let said = site.run("errand restore");
    assert_ne!(said.code, 0, "{}", said.err);
    let outcome = site.store.requests().outcome(&id).await.unwrap().expect("it is over");
    let told = &outcome.message;
    assert!(told.contains("was asked for at 2026-11-23T10:17:00Z") && told.contains("24 h"), "{told}");
    assert!(told.contains("remount restore request"), "{told}");
}

#[tokio::test]
async fn one_request_that_cannot_be_verified_stops_nobody_elses() {
    let site = Site::new();
    let id = put(&site, RESTORE, "remount").await;
    let forged = "20261123T111700Z-0bad";
    let content = json!({"format": 1, "id": forged}).to_string();
    site.store.objects().replace(&format!("requests/{forged}.json"), content.into()).await.unwrap();
    let said = site.run("errand restore");
    assert_ne!(said.code, 0);
    assert!(said.err.contains(forged), "it is named: {}", said.err);
    assert!(site.store.requests().outcome(&id).await.unwrap().is_some(), "the other one had its turn");
    let listed = site.run("requests");
    assert!(listed.code != 0 && listed.err.contains(forged), "{}", listed.err);
}

#[tokio::test]
async fn what_the_properties_ask_for_is_asked_once() {
    let restore = json!({"deployment": "remount", "target": {"target": {"xid": 742}}});
    let site = Site::with(&json!({"restore": restore}));
    // Refused as the errand's own deployment, so that no Director is needed to see what was asked.
    let said = site.run("errand restore");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("transaction 742, asked for by the properties"), "{}", said.err);
}

/// A pipeline that deployed `pause: true` meanwhile does not want the restore that goes on by itself.
#[tokio::test]
async fn what_the_properties_asked_for_before_they_changed_is_replaced() {
    let restore = json!({"deployment": "remount", "target": {"target": {"xid": 742}}, "pause": true});
    let site = Site::with(&json!({"restore": restore}));
    let id = RESTORE;
    let earlier = json!({
        "format": 1, "id": id, "deployment": "remount", "target": {"target": {"xid": 742}},
        "requested_by": "the properties of the errand", "requested_at": "2026-11-23T10:17:00Z",
    });
    site.store.requests().put(&serde_json::from_value(earlier).unwrap()).await.unwrap();
    let said = site.run("errand restore");
    assert!(said.err.contains(&format!("request {id} was replaced")), "{}", said.err);
    let outcome = site.store.requests().outcome(&id.parse().unwrap()).await.unwrap().expect("it is over");
    assert_eq!(outcome.exit_code, ExitCode::Unchanged as u8);
    assert!(outcome.message.contains("have changed since"), "{}", outcome.message);
    assert_eq!(said.err.matches("transaction 742, asked for by the properties").count(), 1, "{}", said.err);
}

/// It is continued. A second restore to the same target would take away what was written since the first.
#[tokio::test]
async fn what_was_begun_is_not_asked_for_again_when_the_properties_change() {
    let restore = json!({"deployment": "pg-0001", "target": {"target": {"xid": 742}}, "pause": true});
    let site = Site::with(&json!({"restore": restore}));
    let begun = json!({
        "format": 1, "id": RESTORE, "deployment": "pg-0001", "target": {"target": {"xid": 742}},
        "requested_by": "the properties of the errand", "requested_at": "2026-11-23T10:17:00Z",
    });
    site.store.requests().put(&serde_json::from_value(begun).unwrap()).await.unwrap();
    site.restore(RESTORE, &[]).await;
    let said = site.run("errand restore");
    let told = format!("request {RESTORE} was begun before the properties changed");
    assert!(said.err.contains(&told), "{}", said.err);
    assert_eq!(said.err.matches("transaction 742, asked for by the properties").count(), 1, "{}", said.err);
}
