//! The Director works on a few tasks at once.

use std::time::Duration;

use remount_director::{TaskId, TaskState};
use tokio::time::timeout;

use super::Subject;
use crate::contract::Verdict;

/// Long enough to see that nothing happens, shorter than any wait for a lock.
const MOMENT: Duration = Duration::from_millis(300);

pub(super) async fn busy_workers_leave_a_task_queued(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let new = subject.fixture.new_disk(&first).await;
    let busy = all_busy(&subject).await;
    // It needs no lock, and waits all the same.
    let attach = subject.attach(&first.slug, &new).await.expect("the Director takes it");
    tokio::time::sleep(MOMENT).await;
    let queued = subject.director.task(attach).await.expect("the task");
    assert_eq!((queued.state, queued.word.as_str(), queued.started_at), (TaskState::Queued, "queued", None));
    subject.fixture.end_errand().await;
    subject.done(Ok(attach)).await;
    subject.assert_has(&first.slug, &new).await;
    for task in busy {
        subject.done(Ok(task)).await;
    }
    Verdict::Holds
}

pub(super) async fn reading_instances_takes_a_worker(subject: Subject) -> Verdict {
    let busy = all_busy(&subject).await;
    let mut reading = Box::pin(subject.director.instances(&subject.deployment));
    let early = timeout(MOMENT, &mut reading).await;
    assert!(early.is_err(), "every worker is busy, and somebody read {early:?}");
    subject.fixture.end_errand().await;
    assert!(!reading.await.expect("the instances").is_empty());
    for task in busy {
        subject.done(Ok(task)).await;
    }
    Verdict::Holds
}

/// Has every worker at work until the errand ends: one with it, the others waiting for its lock.
pub(super) async fn all_busy(subject: &Subject) -> Vec<TaskId> {
    let last = subject.last().await;
    let mut busy = vec![subject.fixture.begin_errand().await];
    for _ in 1..subject.fixture.workers() {
        let start = subject.start(&last.slug).await.expect("the Director takes it");
        subject.until_it_is(start, TaskState::Processing).await;
        busy.push(start);
    }
    busy
}
