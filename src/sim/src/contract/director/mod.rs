//! What every [`Director`] must do, as far as flows rely on it (`docs/reference/bosh-director.md`).
//!
//! | subject | rule | check |
//! |---|---|---|
//! | listing | who answers there, and whose the credentials are | `the_director_says_who_it_is_and_who_asks` |
//! | | each instance with VM, address, recorded disk, wanted and actual state | `instances_are_listed_as_they_are` |
//! | | an unknown deployment or instance is not found at once; attach finds out in its task | `what_is_unknown_is_not_found` |
//! | | an index is no instance, a context has 1 to 64 characters: nothing is sent | `what_cannot_be_asked_is_not_sent` |
//! | stop, start | processes stop, VM and disk stay, no other instance is touched | `a_soft_stop_keeps_vm_and_disk` |
//! | | what is so already is done | `asking_for_what_is_so_is_done` |
//! | | the VM goes and comes again with the recorded disk | `a_hard_stop_takes_the_vm_and_a_start_makes_it_anew` |
//! | | a start that fails counts as started: it needs a stop before the next attach | `a_start_that_fails_counts_as_started` |
//! | | the VM is made anew, and started whatever it was | `a_recreate_makes_the_vm_anew_and_starts_it` |
//! | agents | a silent agent is shown; all but a recreate fail | `a_silent_agent_is_got_past_by_a_recreate_alone` |
//! | | nothing is attached through a silent agent, nothing detached | `a_silent_agent_loses_no_disk` |
//! | | an ignored instance is left alone | `an_ignored_instance_is_left_alone` |
//! | attach | only to a stopped instance | `an_attach_needs_a_stopped_instance` |
//! | | the new disk takes the old one's place, which becomes an orphan | `an_attach_swaps_the_disk_and_orphans_the_old_one` |
//! | | the record has the size of the disk that was replaced, an orphan keeps its own | `the_recorded_size_is_copied` |
//! | | a failure leaves the old disk detached and recorded | `a_failed_attach_leaves_the_old_disk_detached_and_recorded` |
//! | | a soft start is blind to disks | `a_start_in_the_half_state_attaches_nothing` |
//! | | a hard stop is not | `a_hard_stop_in_the_half_state_fails` |
//! | | attaching the recorded disk repairs it | `the_half_state_is_repaired_by_attaching_the_recorded_disk` |
//! | | another instance's disk is refused when the old one is gone already | `a_disk_of_another_instance_is_refused_after_the_detach` |
//! | | a detached instance gets its disk when its VM is made | `a_detached_instance_changes_in_the_record_alone` |
//! | locks | an errand holds its deployment's lock, all that takes it waits and fails with 100 | `an_errand_holds_its_deployments_lock` |
//! | | attach takes no lock | `an_attach_takes_no_lock` |
//! | workers | busy workers leave tasks queued | `busy_workers_leave_a_task_queued` |
//! | | reading instances is a task too | `reading_instances_takes_a_worker` |
//! | tasks | the newest come first, each with description, deployment and context | `tasks_are_listed_with_what_finds_them` |
//! | | a cancelled task ends at its next checkpoint | `a_cancelled_task_ends_at_its_next_checkpoint` |
//! | | or before it begins | `a_task_that_is_cancelled_in_the_queue_does_nothing` |
//! | | what has ended is cancelled | `cancelling_what_has_ended_is_done` |
//! | | a lost answer's task is found by its context, an attach's by its disk | `a_lost_answers_task_is_found` |
//! | | a lost request has no task | `a_lost_request_has_no_task` |
//! | orphans | deleting one deletes the disk | `a_deleted_orphan_is_gone_with_its_disk` |
//! | | what is gone or unknown is deleted | `deleting_what_is_gone_is_done` |
//! | | what an instance has is not | `a_recorded_disk_is_not_deleted` |
//!
//! Not here, because no flow asks for it through the trait: deploys, snapshots, scopes, output ranges. The lab's
//! Director has tests of its own for these.

mod agents;
mod attach;
mod half_state;
mod listing;
mod locks;
mod orphans;
mod stop_start;
mod subject;
mod tasks;
mod workers;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, GroupName, VmCid};
use remount_director::{Director, Instance, TaskId};

use super::suite::{self, CHECK_LIMIT, checks};
use super::{Check, Report};

pub use subject::Subject;

/// The checks, in order.
const CHECKS: &[Check<Subject>] = checks![Subject:
    listing::the_director_says_who_it_is_and_who_asks,
    listing::instances_are_listed_as_they_are,
    listing::what_is_unknown_is_not_found,
    listing::what_cannot_be_asked_is_not_sent,
    stop_start::a_soft_stop_keeps_vm_and_disk,
    stop_start::asking_for_what_is_so_is_done,
    stop_start::a_hard_stop_takes_the_vm_and_a_start_makes_it_anew,
    stop_start::a_start_that_fails_counts_as_started,
    stop_start::a_recreate_makes_the_vm_anew_and_starts_it,
    agents::a_silent_agent_is_got_past_by_a_recreate_alone,
    agents::a_silent_agent_loses_no_disk,
    agents::an_ignored_instance_is_left_alone,
    attach::an_attach_needs_a_stopped_instance,
    attach::an_attach_swaps_the_disk_and_orphans_the_old_one,
    attach::the_recorded_size_is_copied,
    attach::a_disk_of_another_instance_is_refused_after_the_detach,
    attach::a_detached_instance_changes_in_the_record_alone,
    half_state::a_failed_attach_leaves_the_old_disk_detached_and_recorded,
    half_state::a_start_in_the_half_state_attaches_nothing,
    half_state::a_hard_stop_in_the_half_state_fails,
    half_state::the_half_state_is_repaired_by_attaching_the_recorded_disk,
    locks::an_errand_holds_its_deployments_lock,
    locks::an_attach_takes_no_lock,
    workers::busy_workers_leave_a_task_queued,
    workers::reading_instances_takes_a_worker,
    tasks::tasks_are_listed_with_what_finds_them,
    tasks::a_cancelled_task_ends_at_its_next_checkpoint,
    tasks::a_task_that_is_cancelled_in_the_queue_does_nothing,
    tasks::cancelling_what_has_ended_is_done,
    tasks::a_lost_answers_task_is_found,
    tasks::a_lost_request_has_no_task,
    orphans::a_deleted_orphan_is_gone_with_its_disk,
    orphans::deleting_what_is_gone_is_done,
    orphans::a_recorded_disk_is_not_deleted,
];

/// What the suite needs beyond the trait: the cloud behind the Director, and what operators and mishaps do to a
/// deployment.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// A deployment that nothing goes on in.
    fn deployment(&self) -> DeploymentName;
    /// Its group of two started instances or more, each with a persistent disk of its own.
    fn group(&self) -> GroupName;
    /// How many tasks the Director works on at once; two or more.
    fn workers(&self) -> usize;
    /// Makes a disk that the Director has never heard of: detached, in the zone of this instance, larger than its
    /// recorded one, with a content that the instance starts from.
    async fn new_disk(&self, of: &Instance) -> DiskCid;
    /// The VM that the *cloud* says the disk is attached to.
    async fn attached_to(&self, disk: &DiskCid) -> Option<VmCid>;
    /// Whether the cloud has the disk.
    async fn has_disk(&self, disk: &DiskCid) -> bool;
    /// Begins an errand of the deployment, on its last instance, and waits until it holds the deployment's lock. It
    /// goes on until [`Fixture::end_errand`].
    async fn begin_errand(&self) -> TaskId;
    /// Lets the errand end well.
    async fn end_errand(&self);
    /// Lets no start of this instance succeed, which is stopped; says whether it can.
    async fn break_jobs(&self, _of: &Instance) -> bool {
        false
    }
    /// Lets the agent of this instance's VM answer no more; says whether it can. The disk stays attached.
    async fn silence_agent(&self, _of: &Instance) -> bool {
        false
    }
    /// Has the Director ignore this instance; says whether it can.
    async fn ignore(&self, _instance: &Instance) -> bool {
        false
    }
    /// Lets the next such change be lost on its way; says whether it can.
    async fn lose(&self, _lost: Lost, _of: Change) -> bool {
        false
    }
}

/// What is lost; see [`Fixture::lose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It never arrives.
    Request,
    /// It is carried out, and nobody hears of it.
    Answer,
}

/// See [`Fixture::lose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A stop.
    Stop,
    /// An attach.
    Attach,
}

/// Runs the suite. `fresh` makes a Director and what is around it for each check: most leave it changed.
pub async fn run(name: &str, fresh: impl AsyncFn() -> (Arc<dyn Director>, Arc<dyn Fixture>)) -> Report {
    suite::run("Director", name, CHECKS, CHECK_LIMIT, async || {
        let (director, fixture) = fresh().await;
        Subject::new(director, fixture)
    })
    .await
}
