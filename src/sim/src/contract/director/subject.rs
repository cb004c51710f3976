//! A Director under test, and the words the checks speak in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use remount_core::{DeploymentName, DiskCid, InstanceSlug};
use remount_director::{
    Director, Error, Follow, Instance, OrphanedDisk, Result, StopKind, Task, TaskId, TaskState, follow,
};
use remount_host::Pace;
use tokio_util::sync::CancellationToken;

use super::Fixture;
use crate::contract::wait::until;

/// How long a task of the suite may take.
const TASK_LIMIT: Duration = Duration::from_secs(60);
/// A suite of many short tasks does not wait for each as long as a flow does.
const PACE: Pace = Pace { first: Duration::from_millis(5), longest: Duration::from_secs(1) };

/// A Director and what is around it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) director: Arc<dyn Director>,
    pub(super) fixture: Arc<dyn Fixture>,
    pub(super) deployment: DeploymentName,
}

/// How a task failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) state: String,
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) error: Error,
}

impl Subject {
    pub(super) fn new(director: Arc<dyn Director>, fixture: Arc<dyn Fixture>) -> Self {
        let deployment = fixture.deployment();
        Self { director, fixture, deployment }
    }

    /// The group's instances, by index.
    pub(super) async fn instances(&self) -> Vec<Instance> {
        let mut all = self.director.instances(&self.deployment).await.expect("the instances");
        all.retain(|instance| instance.slug.group == self.fixture.group());
        all
    }

    /// The instance that the checks change.
    pub(super) async fn first(&self) -> Instance {
        self.instances().await.swap_remove(0)
    }

    /// An instance that is left alone.
    pub(super) async fn last(&self) -> Instance {
        self.instances().await.pop().expect("the fixture has two instances")
    }

    /// The instance as it is now.
    pub(super) async fn look(&self, slug: &InstanceSlug) -> Instance {
        let all = self.instances().await;
        all.into_iter().find(|instance| instance.slug == *slug).expect("the instance is still listed")
    }

    /// A context that nobody has used.
    pub(super) fn context(&self) -> String {
        format!("contract-{:016x}", rand::random::<u64>())
    }

    pub(super) async fn stop(&self, slug: &InstanceSlug, kind: StopKind) -> Result<TaskId> {
        self.director.stop(&self.deployment, slug, kind, &self.context()).await
    }

    pub(super) async fn start(&self, slug: &InstanceSlug) -> Result<TaskId> {
        self.director.start(&self.deployment, slug, &self.context()).await
    }

    pub(super) async fn recreate(&self, slug: &InstanceSlug) -> Result<TaskId> {
        self.director.recreate(&self.deployment, slug, &self.context()).await
    }

    pub(super) async fn attach(&self, slug: &InstanceSlug, disk: &DiskCid) -> Result<TaskId> {
        self.director.attach_disk(&self.deployment, slug, disk).await
    }

    /// The first instance, stopped, as it was before.
    pub(super) async fn stopped(&self) -> Instance {
        let first = self.first().await;
        self.done(self.stop(&first.slug, StopKind::Soft).await).await;
        first
    }

    /// The first instance in the half state of a failed attach: stopped, its disk recorded and detached.
    pub(super) async fn half_attached(&self) -> Instance {
        let first = self.stopped().await;
        self.failed(self.attach(&first.slug, &unknown_disk()).await).await;
        first
    }

    /// Follows a task to its end, as flows do.
    pub(super) async fn follow(&self, task: TaskId) -> Result<Task> {
        let cancellation = CancellationToken::new();
        let deadline = Instant::now() + TASK_LIMIT;
        let how = Follow { deadline, pace: PACE, cancellation: &cancellation, progress: &|_| {} };
        follow(&*self.director, task, how).await
    }

    /// A task that must end well.
    pub(super) async fn done(&self, asked: Result<TaskId>) -> Task {
        let ended = self.follow(asked.expect("the Director takes it")).await.expect("the task ends well");
        assert_eq!(ended.state, TaskState::Done);
        ended
    }

    /// A task that must fail.
    pub(super) async fn failed(&self, asked: Result<TaskId>) -> Failure {
        let asked = asked.expect("the Director takes it");
        let error = self.follow(asked).await.expect_err("the task fails");
        let Error::TaskFailed { task, state, code, message, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*task, asked);
        Failure { state: state.clone(), code: *code, message: message.clone(), error }
    }

    /// Waits until a task is in this state.
    pub(super) async fn until_it_is(&self, task: TaskId, state: TaskState) {
        let what = format!("task {task} is {state:?}");
        let look = async || self.director.task(task).await.expect("the task goes on").state == state;
        until(&what, TASK_LIMIT, look).await;
    }

    /// The orphan of this disk.
    pub(super) async fn orphan(&self, disk: &DiskCid) -> Option<OrphanedDisk> {
        let orphans = self.director.orphaned_disks().await.expect("the orphans");
        let mut of = orphans.into_iter().filter(|orphan| orphan.disk_cid == *disk);
        let found = of.next();
        assert_eq!(of.next(), None, "a disk is an orphan once");
        found
    }

    /// Record and cloud both say that the instance has this disk.
    pub(super) async fn assert_has(&self, slug: &InstanceSlug, disk: &DiskCid) {
        let instance = self.look(slug).await;
        assert_eq!(instance.disks, std::slice::from_ref(disk), "what is recorded for {slug}");
        let attached = self.fixture.attached_to(disk).await;
        assert!(attached.is_some() && attached == instance.vm, "the cloud has {disk} at {attached:?}");
        assert_eq!(self.orphan(disk).await, None, "what is recorded is no orphan");
    }

    /// The record says that the instance has this disk, and the cloud that nobody has.
    pub(super) async fn assert_half_attached(&self, slug: &InstanceSlug, disk: &DiskCid) {
        assert_eq!(self.look(slug).await.disks, std::slice::from_ref(disk), "what is recorded for {slug}");
        assert_eq!(self.fixture.attached_to(disk).await, None, "the disk is detached");
        assert_eq!(self.orphan(disk).await, None, "what is recorded is no orphan");
    }
}

/// The only disk that an instance has.
pub(super) fn disk_of(instance: &Instance) -> DiskCid {
    assert_eq!(instance.disks.len(), 1, "{instance:?}");
    instance.disks[0].clone()
}

/// No cloud has this disk.
pub(super) fn unknown_disk() -> DiskCid {
    DiskCid::new("disk-nowhere").expect("a CID")
}
