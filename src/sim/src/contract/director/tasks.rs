//! Tasks: the list, cancellation, and those whose answer was lost.

use remount_core::{OperatorError as _, Retry};
use remount_director::{Error, StopKind, Task, TaskState};

use super::subject::disk_of;
use super::workers::all_busy;
use super::{Change, Lost, Subject};
use crate::contract::Verdict;

pub(super) async fn tasks_are_listed_with_what_finds_them(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let new = subject.fixture.new_disk(&first).await;
    let (director, deployment) = (&subject.director, &subject.deployment);
    let asked = director.stop(deployment, &first.slug, StopKind::Soft, "contract-stop").await;
    let stopped = subject.done(asked).await;
    let attached = subject.done(subject.attach(&first.slug, &new).await).await;
    let started = subject.done(director.start(deployment, &first.slug, "contract-start").await).await;
    // Reading leaves no trace among them.
    subject.instances().await;
    let listed = director.tasks(deployment, 100).await.expect("the tasks");
    assert_eq!(listed[..3], [started.clone(), attached.clone(), stopped.clone()], "the newest come first");
    assert_eq!(director.tasks(deployment, 2).await.expect("the tasks"), [started.clone(), attached.clone()]);
    for (task, context) in
        [(&stopped, Some("contract-stop")), (&attached, None), (&started, Some("contract-start"))]
    {
        assert_eq!(task.context_id.as_deref(), context, "{task:?}");
        assert_eq!(task.deployment.as_deref(), Some(deployment.as_str()), "{task:?}");
        assert_eq!((task.state, task.word.as_str()), (TaskState::Done, "done"), "{task:?}");
        assert!(task.started_at.is_some() && task.result.is_some(), "{task:?}");
        assert_eq!(director.task(task.id).await.expect("the task"), *task);
    }
    assert_eq!(stopped.description, "stop instance", "it names no instance: only the context does");
    assert_eq!(started.description, "start instance");
    assert_eq!(attached.description, format!("attach disk '{new}' to '{}'", first.slug));
    assert!(stopped.id < attached.id && attached.id < started.id, "numbers grow");
    Verdict::Holds
}

pub(super) async fn a_cancelled_task_ends_at_its_next_checkpoint(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let errand = subject.fixture.begin_errand().await;
    let stop = subject.stop(&first.slug, StopKind::Soft).await.expect("the Director takes it");
    subject.until_it_is(stop, TaskState::Processing).await;
    subject.director.cancel(stop).await.expect("it is asked to end");
    let shown = subject.director.task(stop).await.expect("it has not ended");
    assert_eq!((shown.state, shown.word.as_str()), (TaskState::Cancelling, "cancelling"));
    subject.director.cancel(stop).await.expect("asking again is harmless");
    subject.fixture.end_errand().await;
    let failure = subject.failed(Ok(stop)).await;
    assert_eq!((failure.state.as_str(), failure.code), ("cancelled", 10_001), "{failure:?}");
    assert_eq!(failure.error.retry(), Retry::Never);
    assert_eq!(subject.look(&first.slug).await, first, "nothing was stopped");
    subject.done(Ok(errand)).await;
    Verdict::Holds
}

pub(super) async fn a_task_that_is_cancelled_in_the_queue_does_nothing(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let busy = all_busy(&subject).await;
    let stop = subject.stop(&first.slug, StopKind::Soft).await.expect("the Director takes it");
    subject.director.cancel(stop).await.expect("it is asked to end");
    let shown = subject.director.task(stop).await.expect("no worker has seen it yet");
    assert_eq!(shown.state, TaskState::Cancelling);
    subject.fixture.end_errand().await;
    let failure = subject.failed(Ok(stop)).await;
    assert_eq!((failure.state.as_str(), failure.code), ("cancelled", 10_001), "{failure:?}");
    for task in busy {
        subject.done(Ok(task)).await;
    }
    assert_eq!(subject.look(&first.slug).await, first);
    Verdict::Holds
}

pub(super) async fn cancelling_what_has_ended_is_done(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let done = subject.done(subject.start(&first.slug).await).await;
    subject.director.cancel(done.id).await.expect("it has ended");
    assert_eq!(subject.director.task(done.id).await.expect("the task"), done, "and ended well");
    let new = subject.fixture.new_disk(&first).await;
    let asked = subject.attach(&first.slug, &new).await.expect("the Director takes it");
    let before = subject.failed(Ok(asked)).await;
    subject.director.cancel(asked).await.expect("it has ended");
    let after = subject.failed(Ok(asked)).await;
    assert_eq!((after.state, after.code), (before.state, before.code));
    Verdict::Holds
}

pub(super) async fn a_lost_answers_task_is_found(subject: Subject) -> Verdict {
    if !subject.fixture.lose(Lost::Answer, Change::Stop).await {
        return Verdict::NotShown("answers cannot be lost");
    }
    let first = subject.first().await;
    let (director, deployment) = (&subject.director, &subject.deployment);
    let lost = director.stop(deployment, &first.slug, StopKind::Soft, "contract-lost").await;
    assert_unanswered(lost.expect_err("the answer is lost"));
    let found = with_context(&subject, "contract-lost").await;
    assert_eq!(found.len(), 1, "it was asked for once: {found:?}");
    subject.done(Ok(found[0].id)).await;
    assert_eq!(subject.look(&first.slug).await.desired, "stopped");

    let new = subject.fixture.new_disk(&first).await;
    assert!(subject.fixture.lose(Lost::Answer, Change::Attach).await);
    assert_unanswered(subject.attach(&first.slug, &new).await.expect_err("the answer is lost"));
    let named = format!("'{new}'");
    let tasks = director.tasks(deployment, 100).await.expect("the tasks");
    let found: Vec<Task> = tasks.into_iter().filter(|task| task.description.contains(&named)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    subject.done(Ok(found[0].id)).await;
    subject.assert_has(&first.slug, &new).await;
    Verdict::Holds
}

pub(super) async fn a_lost_request_has_no_task(subject: Subject) -> Verdict {
    if !subject.fixture.lose(Lost::Request, Change::Stop).await {
        return Verdict::NotShown("requests cannot be lost");
    }
    let first = subject.first().await;
    let (director, deployment) = (&subject.director, &subject.deployment);
    let lost = director.stop(deployment, &first.slug, StopKind::Soft, "contract-lost").await;
    assert_unanswered(lost.expect_err("the request is lost"));
    let count = director.tasks(deployment, 100).await.expect("the tasks").len();
    assert_eq!(with_context(&subject, "contract-lost").await, []);
    assert_eq!(subject.look(&first.slug).await, first);
    let new = subject.fixture.new_disk(&first).await;
    assert!(subject.fixture.lose(Lost::Request, Change::Attach).await);
    assert_unanswered(subject.attach(&first.slug, &new).await.expect_err("the request is lost"));
    assert_eq!(director.tasks(deployment, 100).await.expect("the tasks").len(), count);
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    Verdict::Holds
}

/// It may have happened: who asks again has to look first.
fn assert_unanswered(error: Error) {
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Soon);
}

async fn with_context(subject: &Subject, context: &str) -> Vec<Task> {
    let tasks = subject.director.tasks(&subject.deployment, 100).await.expect("the tasks");
    tasks.into_iter().filter(|task| task.context_id.as_deref() == Some(context)).collect()
}
