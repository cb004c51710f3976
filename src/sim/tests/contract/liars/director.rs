//! Directors that lie.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, InstanceSlug};
use remount_director::{
    Director, Error, Info, Instance, Lock, OrphanedDisk, Result, StopKind, Task, TaskId, TaskState,
};
use remount_sim::contract::director;

use super::assert_caught;
use crate::director::fresh;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Whose the credentials are is not told.
    NamesNobody,
    /// All instances have one address.
    SharesOneAddress,
    /// Who has no VM keeps his address.
    KeepsAddresses,
    /// A task that nobody knows is cancelled.
    CancelsTheUnknown,
    /// A long context is cut.
    CutsContexts,
    /// A soft stop is a hard one.
    StopsHard,
    /// A hard stop is a soft one.
    StopsSoft,
    /// A start makes the VM anew.
    StartsAnew,
    /// A recreate is a start.
    RecreatesNothing,
    /// What has failed is done.
    HidesFailures,
    /// A failed attach puts the old disk back.
    RepairsFailedAttaches,
    /// There are no orphans.
    HidesOrphans,
    /// As without `disk_properties=copy`.
    RecordsOneMib,
    /// Nothing is locked.
    HidesLocks,
    /// What waits for a worker is at work.
    HidesTheQueue,
    /// Instances are shown as they were when somebody asked first.
    ShowsTheCache,
    /// The oldest task comes first.
    SortsByAge,
    /// A cancellation is forgotten.
    CancelsNothing,
    /// What has ended cannot be cancelled.
    RefusesLateCancels,
    /// A change without an answer is sent again.
    SendsTwice,
    /// A delete says yes and does nothing.
    DeletesNothing,
}

const LIARS: [(Lie, &str); 21] = [
    (Lie::NamesNobody, "the_director_says_who_it_is_and_who_asks"),
    (Lie::SharesOneAddress, "instances_are_listed_as_they_are"),
    (Lie::KeepsAddresses, "a_hard_stop_takes_the_vm_and_a_start_makes_it_anew"),
    (Lie::CancelsTheUnknown, "what_is_unknown_is_not_found"),
    (Lie::CutsContexts, "what_cannot_be_asked_is_not_sent"),
    (Lie::StopsHard, "a_soft_stop_keeps_vm_and_disk"),
    (Lie::StopsSoft, "a_detached_instance_changes_in_the_record_alone"),
    (Lie::StartsAnew, "asking_for_what_is_so_is_done"),
    (Lie::RecreatesNothing, "a_silent_agent_is_got_past_by_a_recreate_alone"),
    (Lie::HidesFailures, "an_attach_needs_a_stopped_instance"),
    (Lie::RepairsFailedAttaches, "a_failed_attach_leaves_the_old_disk_detached_and_recorded"),
    (Lie::HidesOrphans, "an_attach_swaps_the_disk_and_orphans_the_old_one"),
    (Lie::RecordsOneMib, "the_recorded_size_is_copied"),
    (Lie::HidesLocks, "an_errand_holds_its_deployments_lock"),
    (Lie::HidesTheQueue, "busy_workers_leave_a_task_queued"),
    (Lie::ShowsTheCache, "reading_instances_takes_a_worker"),
    (Lie::SortsByAge, "tasks_are_listed_with_what_finds_them"),
    (Lie::CancelsNothing, "a_cancelled_task_ends_at_its_next_checkpoint"),
    (Lie::RefusesLateCancels, "cancelling_what_has_ended_is_done"),
    (Lie::SendsTwice, "a_lost_answers_task_is_found"),
    (Lie::DeletesNothing, "a_recorded_disk_is_not_deleted"),
];

#[derive(Debug)]
struct Liar {
    inner: Arc<dyn Director>,
    lie: Lie,
    cached: Mutex<Option<Vec<Instance>>>,
}

impl Liar {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    fn context(&self, context: &str) -> String {
        let length = if self.tells(Lie::CutsContexts) { 64 } else { usize::MAX };
        context.chars().take(length).collect()
    }

    /// A task that is done and has done nothing: a start of what runs.
    async fn idle(&self) -> Result<TaskId> {
        let deployment = self.inner.deployments().await?.remove(0);
        let last = self.inner.instances(&deployment).await?.pop().unwrap();
        self.inner.start(&deployment, &last.slug, "idle").await
    }

    /// Whether a change is sent once more.
    fn again(&self, first: &Result<TaskId>) -> bool {
        self.tells(Lie::SendsTwice) && matches!(first, Err(Error::Unanswered { .. }))
    }

    /// Attaches what was there before, where an attach has failed.
    async fn repair(&self, deployment: &DeploymentName, slug: &InstanceSlug, attach: TaskId) -> Result<()> {
        let recorded = |all: Vec<Instance>| all.into_iter().find(|instance| instance.slug == *slug);
        let instance = recorded(self.inner.instances(deployment).await?);
        let Some(instance) = instance.filter(|instance| instance.desired == "stopped") else { return Ok(()) };
        loop {
            match self.inner.task(attach).await {
                Ok(task) if task.state == TaskState::Done => return Ok(()),
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(_) => break,
            }
        }
        let again = self.inner.attach_disk(deployment, slug, &instance.disks[0]).await?;
        while self.inner.task(again).await.is_ok_and(|task| !task.state.is_final()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Director for Liar {
    async fn info(&self) -> Result<Info> {
        let info = self.inner.info().await?;
        let user = info.user.clone().filter(|_| !self.tells(Lie::NamesNobody));
        Ok(Info { user, ..info })
    }

    async fn deployments(&self) -> Result<Vec<DeploymentName>> {
        self.inner.deployments().await
    }

    async fn instances(&self, deployment: &DeploymentName) -> Result<Vec<Instance>> {
        let cached = self.cached.lock().unwrap().clone();
        if let Some(cached) = cached.filter(|_| self.tells(Lie::ShowsTheCache)) {
            return Ok(cached);
        }
        let mut instances = self.inner.instances(deployment).await?;
        for instance in &mut instances {
            if self.tells(Lie::SharesOneAddress)
                || (self.tells(Lie::KeepsAddresses) && instance.ips.is_empty())
            {
                instance.ips = vec!["127.0.0.1".into()];
            }
        }
        *self.cached.lock().unwrap() = Some(instances.clone());
        Ok(instances)
    }

    async fn stop(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        kind: StopKind,
        context: &str,
    ) -> Result<TaskId> {
        let kind = match self.lie {
            Lie::StopsHard => StopKind::Hard,
            Lie::StopsSoft => StopKind::Soft,
            _ => kind,
        };
        let context = self.context(context);
        let first = self.inner.stop(deployment, instance, kind, &context).await;
        if self.again(&first) {
            self.inner.stop(deployment, instance, kind, &context).await?;
        }
        first
    }

    async fn start(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        let context = self.context(context);
        if self.tells(Lie::StartsAnew) {
            return self.inner.recreate(deployment, instance, &context).await;
        }
        self.inner.start(deployment, instance, &context).await
    }

    async fn recreate(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        context: &str,
    ) -> Result<TaskId> {
        let context = self.context(context);
        if self.tells(Lie::RecreatesNothing) {
            return self.inner.start(deployment, instance, &context).await;
        }
        self.inner.recreate(deployment, instance, &context).await
    }

    async fn attach_disk(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        disk: &DiskCid,
    ) -> Result<TaskId> {
        let first = self.inner.attach_disk(deployment, instance, disk).await;
        if self.again(&first) {
            self.inner.attach_disk(deployment, instance, disk).await?;
        }
        let task = first?;
        if self.tells(Lie::RepairsFailedAttaches) {
            self.repair(deployment, instance, task).await?;
        }
        Ok(task)
    }

    async fn task(&self, task: TaskId) -> Result<Task> {
        match self.inner.task(task).await {
            Ok(found) if self.tells(Lie::HidesTheQueue) && found.state == TaskState::Queued => {
                Ok(Task { state: TaskState::Processing, ..found })
            }
            Err(Error::TaskFailed { task, description, .. }) if self.tells(Lie::HidesFailures) => Ok(Task {
                id: task,
                state: TaskState::Done,
                word: "done".into(),
                description,
                result: None,
                deployment: None,
                context_id: None,
                started_at: None,
            }),
            found => found,
        }
    }

    async fn tasks(&self, deployment: &DeploymentName, limit: u32) -> Result<Vec<Task>> {
        let mut tasks = self.inner.tasks(deployment, limit).await?;
        if self.tells(Lie::SortsByAge) {
            tasks.reverse();
        }
        Ok(tasks)
    }

    async fn cancel(&self, task: TaskId) -> Result<()> {
        let found = self.inner.task(task).await;
        let ended = found.as_ref().map_or(true, |task| task.state.is_final());
        match self.lie {
            Lie::CancelsNothing => found.map(drop),
            Lie::CancelsTheUnknown if found.is_err() => Ok(()),
            Lie::RefusesLateCancels if ended => {
                Err(Error::Refused { action: "cancel".into(), code: 0, detail: "invalid state".into() })
            }
            _ => self.inner.cancel(task).await,
        }
    }

    async fn locks(&self) -> Result<Vec<Lock>> {
        let locks = self.inner.locks().await?;
        Ok(if self.tells(Lie::HidesLocks) { Vec::new() } else { locks })
    }

    async fn orphaned_disks(&self) -> Result<Vec<OrphanedDisk>> {
        let mut orphans = self.inner.orphaned_disks().await?;
        match self.lie {
            Lie::HidesOrphans => orphans.clear(),
            Lie::RecordsOneMib => orphans.iter_mut().for_each(|orphan| orphan.size = Some(1)),
            _ => {}
        }
        Ok(orphans)
    }

    async fn delete_orphaned_disk(&self, disk: &DiskCid) -> Result<TaskId> {
        if self.tells(Lie::DeletesNothing) {
            self.idle().await
        } else {
            self.inner.delete_orphaned_disk(disk).await
        }
    }
}

#[tokio::test]
async fn every_check_catches_a_liar() {
    assert_caught(&LIARS, async |lie| {
        director::run(&format!("{lie:?}"), async || {
            let (inner, fixture) = fresh().await;
            let liar: Arc<dyn Director> = Arc::new(Liar { inner, lie, cached: Mutex::new(None) });
            (liar, fixture)
        })
        .await
    })
    .await;
}
