//! Following tasks to their end.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use remount_core::{OperatorError, Retry};
use remount_director::{Error, TaskId, TaskState};
use support::{Peer, Step, answer, task, wait, with};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn every_state_that_was_read_is_told() {
    let peer = Peer::plain([task(7, "queued"), task(7, "processing"), task(7, "resting"), task(7, "done")]);
    let seen = Mutex::new(Vec::new());
    let ended =
        wait(&peer.director(), TaskId(7), soon(), &|task| seen.lock().unwrap().push(task.state)).await;
    assert_eq!(ended.unwrap().state, TaskState::Done);
    let expected = [TaskState::Queued, TaskState::Processing, TaskState::Processing, TaskState::Done];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_lock_is_told_by_its_code_and_whole_message() {
    let long = format!("Failed to acquire lock for lock:deployment:pg uid: u. {}", "x".repeat(300));
    let events = format!("{{\"time\":1,\"error\":{{\"code\":100,\"message\":\"{long}\"}}}}\n");
    let range = format!("bytes 0-{}/{}", events.len() - 1, events.len());
    let peer = Peer::plain([task(7, "error"), with(206, &[("Content-Range", &range)], &events)]);
    let failed = wait(&peer.director(), TaskId(7), soon(), &|_| {}).await.unwrap_err();
    assert!(failed.is_locked(), "{failed:?}");
    assert_eq!(failed.retry(), Retry::Later);
    assert!(matches!(&failed, Error::TaskFailed { message, .. } if *message == long));
    assert_eq!(peer.lines()[1], "GET /tasks/7/output?type=event");
}

#[tokio::test]
async fn the_short_result_is_told_where_there_are_no_events() {
    for state in ["error", "cancelled", "timeout"] {
        let peer = Peer::plain([task(7, state), answer(204, "")]);
        let failed = wait(&peer.director(), TaskId(7), soon(), &|_| {}).await.unwrap_err();
        let as_read = matches!(
            &failed,
            Error::TaskFailed { code: 0, message, state: told, .. } if message == "cut..." && told == state
        );
        assert!(as_read, "{failed:?}");
    }
}

#[tokio::test]
async fn an_unknown_state_and_a_full_queue_end_at_the_deadline() {
    for state in ["queued", "resting"] {
        let peer = Peer::plain(vec![task(7, state); 50]);
        let deadline = Instant::now() + Duration::from_millis(200);
        let late = wait(&peer.director(), TaskId(7), deadline, &|_| {}).await.unwrap_err();
        assert!(matches!(&late, Error::TaskTimeout { state: told, .. } if told == state), "{late:?}");
        assert_eq!(late.next_step().unwrap().contains("workers"), state == "queued");
    }
}

#[tokio::test]
async fn an_outage_of_the_director_ends_no_wait() {
    let mut script = vec![task(7, "processing")];
    script.extend(vec![Step::CutAfter; 6]);
    script.push(task(7, "done"));
    let peer = Peer::plain(script);
    let ended = wait(&peer.director(), TaskId(7), soon(), &|_| {}).await.unwrap();
    assert_eq!(ended.state, TaskState::Done);
    assert_eq!(peer.received().len(), 8);
}

#[tokio::test]
async fn a_task_that_is_gone_is_not_waited_for() {
    let peer = Peer::plain([answer(404, r#"{"code":10000,"description":"Task 7 not found"}"#)]);
    let gone = wait(&peer.director(), TaskId(7), soon(), &|_| {}).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
}
