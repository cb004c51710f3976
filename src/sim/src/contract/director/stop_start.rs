//! Stopping and starting one instance.

use remount_director::StopKind;

use super::Subject;
use super::subject::disk_of;
use crate::contract::Verdict;

pub(super) async fn a_soft_stop_keeps_vm_and_disk(subject: Subject) -> Verdict {
    let (first, last) = (subject.first().await, subject.last().await);
    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    let stopped = subject.look(&first.slug).await;
    assert_eq!((stopped.desired.as_str(), stopped.job_state.as_deref()), ("stopped", Some("stopped")));
    assert_eq!((&stopped.vm, &stopped.ips), (&first.vm, &first.ips), "the VM stays");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    assert_eq!(subject.look(&last.slug).await, last, "no other instance is touched");

    subject.done(subject.start(&first.slug).await).await;
    assert_eq!(subject.look(&first.slug).await, first, "all is as before");
    Verdict::Holds
}

pub(super) async fn asking_for_what_is_so_is_done(subject: Subject) -> Verdict {
    let first = subject.first().await;
    subject.done(subject.start(&first.slug).await).await;
    assert_eq!(subject.look(&first.slug).await, first, "what runs is left alone");

    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    let stopped = subject.look(&first.slug).await;
    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    assert_eq!(subject.look(&first.slug).await, stopped);

    // From stopped to detached is a change; whatever follows is none, a soft stop least of all.
    subject.done(subject.stop(&first.slug, StopKind::HardWithoutDrain).await).await;
    let detached = subject.look(&first.slug).await;
    assert_eq!((detached.desired.as_str(), &detached.vm), ("detached", &None));
    for kind in [StopKind::Soft, StopKind::Hard, StopKind::HardWithoutDrain] {
        subject.done(subject.stop(&first.slug, kind).await).await;
        assert_eq!(subject.look(&first.slug).await, detached, "{kind:?}");
    }
    Verdict::Holds
}

pub(super) async fn a_hard_stop_takes_the_vm_and_a_start_makes_it_anew(subject: Subject) -> Verdict {
    let (first, last) = (subject.first().await, subject.last().await);
    let disk = disk_of(&first);
    subject.done(subject.stop(&first.slug, StopKind::Hard).await).await;
    let detached = subject.look(&first.slug).await;
    assert_eq!((detached.desired.as_str(), &detached.vm), ("detached", &None));
    assert_eq!((&detached.job_state, detached.ips.len()), (&None, 0), "who has no VM has no address");
    subject.assert_half_attached(&first.slug, &disk).await;

    subject.done(subject.start(&first.slug).await).await;
    let started = subject.look(&first.slug).await;
    assert_eq!((started.desired.as_str(), started.is_running()), ("started", true), "{started:?}");
    assert!(started.vm.is_some() && started.vm != first.vm, "it is a new VM: {started:?}");
    subject.assert_has(&first.slug, &disk).await;
    assert_eq!(subject.look(&last.slug).await, last, "no other instance is touched");
    Verdict::Holds
}

pub(super) async fn a_start_that_fails_counts_as_started(subject: Subject) -> Verdict {
    let first = subject.stopped().await;
    if !subject.fixture.break_jobs(&first).await {
        return Verdict::NotShown("jobs cannot be broken");
    }
    subject.failed(subject.start(&first.slug).await).await;
    let failed = subject.look(&first.slug).await;
    assert_eq!((failed.desired.as_str(), failed.is_running()), ("started", false), "{failed:?}");
    let disk = subject.fixture.new_disk(&subject.last().await).await;
    let refused = subject.failed(subject.attach(&first.slug, &disk).await).await;
    assert_eq!(refused.code, 520_003, "an attach needs a stop first: {refused:?}");
    subject.done(subject.stop(&first.slug, StopKind::Soft).await).await;
    assert_eq!(subject.look(&first.slug).await.desired, "stopped");
    subject.assert_has(&first.slug, &disk_of(&first)).await;
    Verdict::Holds
}

pub(super) async fn a_recreate_makes_the_vm_anew_and_starts_it(subject: Subject) -> Verdict {
    let mut before = subject.first().await;
    let (slug, disk) = (before.slug.clone(), disk_of(&before));
    for wanted in ["started", "stopped", "detached"] {
        match wanted {
            "stopped" => drop(subject.done(subject.stop(&slug, StopKind::Soft).await).await),
            "detached" => drop(subject.done(subject.stop(&slug, StopKind::Hard).await).await),
            _ => {}
        }
        subject.done(subject.recreate(&slug).await).await;
        let after = subject.look(&slug).await;
        assert_eq!((after.desired.as_str(), after.is_running()), ("started", true), "it was {wanted}");
        assert!(after.vm.is_some() && after.vm != before.vm, "it was {wanted}: {after:?}");
        subject.assert_has(&slug, &disk).await;
        before = after;
    }
    Verdict::Holds
}
