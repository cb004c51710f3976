//! Who the Director is and what it has; what it does not have, and what it is not asked.

use std::collections::BTreeSet;

use remount_core::{DeploymentName, InstanceSlug, OperatorError as _, Retry};
use remount_director::{Error, StopKind, TaskId};

use super::Subject;
use super::subject::{disk_of, unknown_disk};
use crate::contract::Verdict;

/// No Director comes to this number in a test.
const UNKNOWN_TASK: TaskId = TaskId(999_999_999);
/// The longest context that a Director takes.
const LONGEST_CONTEXT: usize = 64;

pub(super) async fn the_director_says_who_it_is_and_who_asks(subject: Subject) -> Verdict {
    let info = subject.director.info().await.expect("the info");
    assert!(!info.name.is_empty() && !info.uuid.is_empty() && !info.version.is_empty(), "{info:?}");
    assert!(info.user.is_some_and(|user| !user.is_empty()), "the credentials are good");
    let again = subject.director.info().await.expect("the info");
    assert_eq!(again.uuid, info.uuid, "it is the same one");
    let deployments = subject.director.deployments().await.expect("the deployments");
    assert!(deployments.contains(&subject.deployment), "{deployments:?}");
    Verdict::Holds
}

pub(super) async fn instances_are_listed_as_they_are(subject: Subject) -> Verdict {
    let instances = subject.instances().await;
    assert!(instances.len() >= 2, "{instances:?}");
    for (index, instance) in instances.iter().enumerate() {
        assert_eq!(instance.index as usize, index, "they are sorted by index");
        assert_eq!((instance.desired.as_str(), instance.is_running()), ("started", true), "{instance:?}");
        assert!(!instance.ignored && !instance.ips.is_empty(), "{instance:?}");
        assert_eq!(subject.fixture.attached_to(&disk_of(instance)).await, instance.vm);
    }
    assert_eq!(
        instances.iter().filter(|instance| instance.bootstrap).count(),
        1,
        "one is the bootstrap instance"
    );
    let vms: BTreeSet<_> = instances.iter().filter_map(|instance| instance.vm.as_ref()).collect();
    let disks: BTreeSet<_> = instances.iter().map(disk_of).collect();
    let addresses: BTreeSet<_> = instances.iter().map(|instance| &instance.ips[0]).collect();
    let count = instances.len();
    assert_eq!((vms.len(), disks.len(), addresses.len()), (count, count, count), "{instances:?}");
    Verdict::Holds
}

pub(super) async fn what_is_unknown_is_not_found(subject: Subject) -> Verdict {
    let nowhere = DeploymentName::new("contract-nowhere").expect("a name");
    let first = subject.first().await;
    let stranger = InstanceSlug {
        group: first.slug.group.clone(),
        id: "ffffffff-ffff-4fff-8fff-ffffffffffff".parse().expect("a uuid"),
    };
    let (director, disk) = (&subject.director, unknown_disk());
    let before = director.tasks(&subject.deployment, 100).await.expect("the tasks").len();
    let refusals = [
        ("instances", director.instances(&nowhere).await.map(drop)),
        ("stop", director.stop(&nowhere, &first.slug, StopKind::Soft, "context").await.map(drop)),
        ("start", director.start(&nowhere, &first.slug, "context").await.map(drop)),
        ("recreate", director.recreate(&nowhere, &first.slug, "context").await.map(drop)),
        ("attach", director.attach_disk(&nowhere, &first.slug, &disk).await.map(drop)),
        ("stop of a stranger", subject.stop(&stranger, StopKind::Soft).await.map(drop)),
        ("start of a stranger", subject.start(&stranger).await.map(drop)),
        ("recreate of a stranger", subject.recreate(&stranger).await.map(drop)),
        ("task", director.task(UNKNOWN_TASK).await.map(drop)),
        ("cancel", director.cancel(UNKNOWN_TASK).await),
    ];
    for (what, refused) in refusals {
        let error = refused.expect_err(what);
        assert!(matches!(error, Error::NotFound { .. }), "{what}: {error:?}");
        assert_eq!(error.retry(), Retry::Never, "{what}: asking again does not help");
    }
    let tasks = director.tasks(&subject.deployment, 100).await.expect("the tasks");
    assert_eq!(tasks.len(), before, "nothing of it became a task");
    assert!(director.tasks(&nowhere, 10).await.expect("an empty list").is_empty());

    // The one change whose task finds out.
    let failure = subject.failed(subject.attach(&stranger, &disk).await).await;
    assert_eq!(failure.code, 520_001, "{failure:?}");
    Verdict::Holds
}

pub(super) async fn what_cannot_be_asked_is_not_sent(subject: Subject) -> Verdict {
    let first = subject.first().await;
    let before = subject.director.tasks(&subject.deployment, 100).await.expect("the tasks").len();
    let by_index =
        InstanceSlug { group: first.slug.group.clone(), id: "0".parse().expect("an index looks like an id") };
    let too_long = "x".repeat(LONGEST_CONTEXT + 1);
    let (director, deployment) = (&subject.director, &subject.deployment);
    let refusals = [
        ("an index", subject.stop(&by_index, StopKind::Soft).await),
        ("an index", subject.start(&by_index).await),
        ("an index", subject.recreate(&by_index).await),
        ("an index", subject.attach(&by_index, &unknown_disk()).await),
        ("no context", director.stop(deployment, &first.slug, StopKind::Soft, "").await),
        ("a context with a blank", director.start(deployment, &first.slug, "a b").await),
        ("a long context", director.recreate(deployment, &first.slug, &too_long).await),
    ];
    for (what, refused) in refusals {
        let error = refused.expect_err(what);
        assert!(matches!(error, Error::Config(_)), "{what}: {error:?}");
    }
    let tasks = director.tasks(deployment, 100).await.expect("the tasks");
    assert_eq!(tasks.len(), before, "nothing of it became a task");
    assert_eq!(subject.look(&first.slug).await, first);
    let longest = "x".repeat(LONGEST_CONTEXT);
    subject.done(director.start(deployment, &first.slug, &longest).await).await;
    Verdict::Holds
}
