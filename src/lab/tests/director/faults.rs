//! Faults on order.

use std::time::{Duration, Instant};

use remount_lab::director::{Fault, FaultKind, Operation};

use crate::landscape::Landscape;

const COPY: &str = "&disk_properties=copy";

fn order(lab: &Landscape, on: Operation, kind: FaultKind) {
    lab.director.faults().add(Fault::new(on, kind, 1));
}

#[test]
fn a_lost_request_has_no_effect_and_a_lost_answer_has_its_effect() {
    let lab = Landscape::deployed();
    let path = format!("/deployments/pg/instance_groups/db/{}/actions/stop", lab.id(0));
    order(&lab, Operation::Stop, FaultKind::LoseRequest);
    assert!(lab.client.send("POST", &path, &[], "").is_err());
    assert_eq!(lab.client.get("/tasks?limit=1").json()[0]["description"], "create deployment");
    order(&lab, Operation::Stop, FaultKind::LoseAnswer);
    let client = lab.client.with_context("lost");
    assert!(client.send("POST", &path, &[], "").is_err());
    let found = lab.client.get("/tasks?context_id=lost").json();
    let task = found[0]["id"].as_u64().unwrap();
    assert_eq!(lab.client.finish(task)["state"], "done");
    assert_eq!(lab.short(0)["state"], "stopped");
    assert!(lab.director.faults().list().is_empty());
}

#[test]
fn an_attach_fails_before_between_and_after_its_effects() {
    let lab = Landscape::deployed();
    let (old, vm) = (lab.disk(0), lab.db(0)["vm_cid"].as_str().unwrap().to_owned());
    lab.iaas.add_disk("disk-new", "z1", "");
    lab.client.done(&lab.action(0, "stop"));
    for (kind, attached) in [
        (FaultKind::FailBefore, vec![old.as_str()]),
        (FaultKind::FailMidway, vec![]),
        (FaultKind::FailAfter, vec!["disk-new"]),
    ] {
        order(&lab, Operation::Attach, kind);
        assert_eq!(lab.client.failed(&lab.attach(0, "disk-new", COPY)).0, 100);
        assert_eq!(lab.iaas.attached_disks(&vm), attached, "{kind:?}");
        assert_eq!(lab.disk(0), old, "{kind:?}: the record never changes");
    }
}

#[test]
fn held_tasks_stay_queued_until_the_fault_is_cleared() {
    let lab = Landscape::deployed();
    order(&lab, Operation::Stop, FaultKind::HoldQueued);
    let held = lab.action(0, "stop").task();
    lab.client.done(&lab.action(1, "start"));
    assert_eq!(lab.client.task(held)["state"], "queued");
    lab.director.faults().clear();
    assert_eq!(lab.client.finish(held)["state"], "done");
}

#[test]
fn a_slow_answer_comes_late_and_a_slow_task_is_processing_meanwhile() {
    let lab = Landscape::deployed();
    order(&lab, Operation::Stop, FaultKind::SlowAnswer { milliseconds: 200 });
    let before = Instant::now();
    lab.client.done(&lab.action(0, "stop"));
    assert!(before.elapsed() >= Duration::from_millis(200));
    order(&lab, Operation::Start, FaultKind::SlowTask { milliseconds: 200 });
    let task = lab.action(0, "start").task();
    lab.client.wait_for(task, |state| state == "processing");
    assert_eq!(lab.client.finish(task)["state"], "done");
}

#[test]
fn a_shutdown_ends_tasks_at_their_next_checkpoint_and_closes_the_door() {
    let lab = Landscape::deployed();
    order(&lab, Operation::Stop, FaultKind::SlowTask { milliseconds: 60_000 });
    let task = lab.action(0, "stop").task();
    lab.client.wait_for(task, |state| state == "processing");
    let before = Instant::now();
    lab.director.shutdown();
    assert!(before.elapsed() < Duration::from_secs(10));
    assert!(lab.client.send("GET", "/info", &[], "").is_err());
}
