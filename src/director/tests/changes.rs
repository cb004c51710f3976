//! Stops, starts and attaches: what is sent, and that nothing is ever sent twice.

#![allow(clippy::unwrap_used)]

mod support;

use remount_core::{OperatorError, Retry};
use remount_director::{Director, Error, StopKind, TaskId};
use support::{ID, Peer, Step, answer, to_task, with};

fn slug() -> remount_core::InstanceSlug {
    remount_core::InstanceSlug { group: "postgres".parse().unwrap(), id: ID.parse().unwrap() }
}

#[tokio::test]
async fn a_stop_touches_one_instance_and_carries_its_context() {
    let peer = Peer::plain([to_task(7), to_task(8), to_task(9)]);
    let director = peer.director();
    let pg = "pg".parse().unwrap();
    for (kind, task) in [(StopKind::Soft, 7), (StopKind::Hard, 8), (StopKind::HardWithoutDrain, 9)] {
        assert_eq!(director.stop(&pg, &slug(), kind, "restore-1.stop").await.unwrap(), TaskId(task));
    }
    let actions = format!("POST /deployments/pg/instance_groups/postgres/{ID}/actions/stop");
    let expected =
        [actions.clone(), format!("{actions}?hard=true"), format!("{actions}?hard=true&skip_drain=true")];
    assert_eq!(peer.lines(), expected);
    let first = &peer.received()[0];
    assert_eq!(first.header("x-bosh-context-id"), Some("restore-1.stop"));
    assert_eq!(first.header("authorization"), Some("Basic YWRtaW46c2VjcmV0"));
    assert_eq!(first.header("content-length"), Some("0"));
    assert_eq!(first.body, "");
}

#[tokio::test]
async fn a_start_and_an_attach_ask_for_exactly_that() {
    let peer = Peer::plain([to_task(7), with(303, &[("Location", "/tasks/8")], "")]);
    let director = peer.director();
    let pg = "pg".parse().unwrap();
    director.start(&pg, &slug(), "c").await.unwrap();
    // Rack answers 303 to HTTP/1.1, and a relative place is a place too.
    assert_eq!(director.attach_disk(&pg, &slug(), &"a:b;c".parse().unwrap()).await.unwrap(), TaskId(8));
    let start = format!("POST /deployments/pg/instance_groups/postgres/{ID}/actions/start");
    let attach = format!(
        "PUT /disks/a%3Ab%3Bc/attachments?deployment=pg&job=postgres&instance_id={ID}&disk_properties=copy"
    );
    assert_eq!(peer.lines(), [start, attach]);
    assert_eq!(peer.received()[1].header("x-bosh-context-id"), None);
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_sent_once() {
    let cut = "HTTP/1.1 302 X\r\nLocation: /tas".to_owned();
    for step in [Step::CutAfter, Step::Raw(cut), answer(502, "<html>Bad Gateway</html>"), answer(500, "")] {
        let peer = Peer::plain([step.clone()]);
        let lost = peer.director().start(&"pg".parse().unwrap(), &slug(), "c").await.unwrap_err();
        assert!(matches!(lost, Error::Unanswered { .. }), "{step:?}: {lost:?}");
        assert_eq!(lost.retry(), Retry::Soon);
        assert_eq!(peer.received().len(), 1, "{step:?}");
    }
}

#[tokio::test]
async fn a_change_that_never_arrived_is_not_sent_again_either() {
    let peer = Peer::plain([Step::CutBefore]);
    let disk = "disk-1".parse().unwrap();
    let lost = peer.director().attach_disk(&"pg".parse().unwrap(), &slug(), &disk).await.unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }), "{lost:?}");
    assert!(peer.received().is_empty() && peer.is_done());
}

#[tokio::test]
async fn a_silent_director_is_given_up_at_the_timeout() {
    let peer = Peer::plain([Step::Silence]);
    let json =
        format!(r#"{{"url":"{}","username":"a","password":"b","request_timeout_seconds":1}}"#, peer.url());
    let config: remount_director::DirectorConfig = serde_json::from_str(&json).unwrap();
    let lost = config
        .open(&remount_host::RetryPolicy::within(support::RETRY))
        .unwrap()
        .start(&"pg".parse().unwrap(), &slug(), "c")
        .await
        .unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }), "{lost:?}");
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn an_answer_without_a_task_may_have_made_one() {
    for step in [answer(200, "{}"), with(302, &[("Location", "http://d/deployments/pg")], "")] {
        let peer = Peer::plain([step]);
        let lost = peer.director().start(&"pg".parse().unwrap(), &slug(), "c").await.unwrap_err();
        assert!(matches!(lost, Error::Unanswered { .. }), "{lost:?}");
    }
}

#[tokio::test]
async fn the_directors_codes_become_our_errors() {
    let peer = Peer::plain([
        answer(404, r#"{"code":70001,"description":"'pg/postgres/x' doesn't exist"}"#),
        answer(404, "Endpoint '/x' not found."),
        answer(400, r#"{"code":190020,"description":"ignored"}"#),
        answer(401, r#"{"code":600000,"description":"Require one of the scopes: bosh.admin"}"#),
        answer(403, "forbidden by a proxy"),
        answer(422, "nonsense"),
    ]);
    let director = peer.director();
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(director.start(&"pg".parse().unwrap(), &slug(), "c").await.unwrap_err());
    }
    assert!(matches!(&told[0], Error::NotFound { detail, .. } if detail.contains("70001")), "{:?}", told[0]);
    assert!(matches!(&told[1], Error::NotFound { detail, .. } if detail.contains("Endpoint")));
    assert!(matches!(&told[2], Error::Refused { code: 190_020, .. }));
    assert!(matches!(&told[3], Error::Unauthorized { .. }));
    assert!(told[3].next_step().unwrap().contains("bosh.admin"), "{:?}", told[3].next_step());
    assert!(matches!(&told[4], Error::Unauthorized { detail, .. } if detail.contains("proxy")));
    assert!(matches!(&told[5], Error::Refused { code: 0, .. }));
    assert!(peer.is_done());
}

#[tokio::test]
async fn what_a_director_would_refuse_is_not_sent() {
    let peer = Peer::plain([]);
    let director = peer.director();
    let index = remount_core::InstanceSlug { group: "postgres".parse().unwrap(), id: "0".parse().unwrap() };
    let pg = "pg".parse().unwrap();
    let refused = director.attach_disk(&pg, &index, &"disk-1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, Error::Config(_)), "{refused:?}");
    let long = "x".repeat(65);
    assert!(matches!(director.start(&pg, &slug(), &long).await.unwrap_err(), Error::Config(_)));
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn cancelling_what_has_ended_is_done() {
    let peer = Peer::plain([
        answer(204, ""),
        answer(400, "Cannot cancel task 7: invalid state (done)"),
        Step::CutAfter,
        answer(204, ""),
    ]);
    let director = peer.director();
    for _ in 0..3 {
        director.cancel(TaskId(7)).await.unwrap();
    }
    assert_eq!(peer.lines(), vec!["DELETE /task/7"; 4]);
}

#[tokio::test]
async fn an_orphan_is_deleted_by_its_escaped_cid() {
    let peer = Peer::plain([to_task(3)]);
    let task = peer.director().delete_orphaned_disk(&"a:b".parse().unwrap()).await.unwrap();
    assert_eq!((task, peer.lines()), (TaskId(3), vec!["DELETE /disks/a%3Ab".to_owned()]));
}
