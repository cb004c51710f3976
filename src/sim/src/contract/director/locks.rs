//! Who excludes whom.

use remount_core::{OperatorError as _, Retry};
use remount_director::StopKind;

use super::Subject;
use crate::contract::Verdict;

pub(super) async fn an_errand_holds_its_deployments_lock(subject: Subject) -> Verdict {
    let first = subject.first().await;
    assert!(of_deployment(&subject).await.is_empty(), "nothing goes on");
    let errand = subject.fixture.begin_errand().await;
    let locks = of_deployment(&subject).await;
    assert_eq!(locks, [Some(errand.to_string())], "the lock names its task");

    let refused = subject.failed(subject.stop(&first.slug, StopKind::Soft).await).await;
    assert_eq!((refused.state.as_str(), refused.code), ("error", 100), "{refused:?}");
    assert!(refused.error.is_locked(), "{refused:?}");
    assert_eq!(refused.error.retry(), Retry::Later);
    for part in [format!("lock:deployment:{}", subject.deployment), format!("Locking task id is {errand}")] {
        assert!(refused.message.contains(&part), "`{part}` is not in {refused:?}");
    }
    assert_eq!(subject.look(&first.slug).await, first, "reading takes no lock, and nothing has changed");

    let waiting = subject.stop(&first.slug, StopKind::Soft).await.expect("the Director takes it");
    subject.until_it_is(waiting, remount_director::TaskState::Processing).await;
    subject.fixture.end_errand().await;
    subject.done(Ok(waiting)).await;
    subject.done(Ok(errand)).await;
    assert!(of_deployment(&subject).await.is_empty(), "the lock went with the errand");
    for asked in [subject.start(&first.slug).await, subject.recreate(&first.slug).await] {
        subject.done(asked).await;
    }
    Verdict::Holds
}

pub(super) async fn an_attach_takes_no_lock(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    let new = subject.fixture.new_disk(&first).await;
    let errand = subject.fixture.begin_errand().await;
    subject.done(subject.attach(&first.slug, &new).await).await;
    subject.assert_has(&first.slug, &new).await;
    assert_eq!(of_deployment(&subject).await, [Some(errand.to_string())], "the errand still has it");
    subject.fixture.end_errand().await;
    subject.done(Ok(errand)).await;
    Verdict::Holds
}

/// The tasks that hold the deployment's lock.
async fn of_deployment(subject: &Subject) -> Vec<Option<String>> {
    let locks = subject.director.locks().await.expect("the locks");
    let ours = locks.into_iter().filter(|lock| {
        lock.kind == "deployment" && lock.resource.iter().any(|name| name == subject.deployment.as_str())
    });
    ours.map(|lock| lock.task_id).collect()
}
