//! What is told of an instance, an orphaned disk, a failed task and a queued one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use remount_core::InstanceSlug;
use remount_director::{Error, Instance, QueueNotice, Task, TaskId, TaskState};

#[test]
fn what_a_dry_run_left_is_a_record_alone_and_what_lost_all_is_an_instance() {
    let record = Instance {
        deployment: "pg-1".parse().unwrap(),
        slug: InstanceSlug { group: "postgres".parse().unwrap(), id: "0a1b".parse().unwrap() },
        index: 2,
        az: None,
        vm: None,
        ips: Vec::new(),
        disks: Vec::new(),
        desired: "started".into(),
        job_state: None,
        bootstrap: false,
        ignored: false,
        vm_type: None,
    };
    assert!(record.is_record_alone());
    let with = |change: fn(&mut Instance)| {
        let mut instance = record.clone();
        change(&mut instance);
        instance.is_record_alone()
    };
    assert!(!with(|instance| instance.bootstrap = true), "the primary whose VM and disk are gone");
    assert!(!with(|instance| instance.desired = "detached".into()), "stopped --hard, its disk orphaned");
    assert!(!with(|instance| instance.disks = vec!["disk-1".parse().unwrap()]));
    assert!(!with(|instance| instance.vm = Some("vm-1".parse().unwrap())));
}

#[test]
fn a_start_that_the_jobs_own_pre_start_refused_has_not_spared_it() {
    let failed = |message: &str| Error::TaskFailed {
        task: TaskId(17),
        description: "start instance".into(),
        state: "error".into(),
        code: 450_001,
        message: message.into(),
    };
    let spared = |message: &str| failed(message).spared_pre_start("remount-agent");
    assert!(spared(
        "1 of 2 pre-start scripts failed. Failed Jobs: postgres. Successful Jobs: bpm, remount-agent."
    ));
    assert!(!spared(
        "1 of 2 pre-start scripts failed. Failed Jobs: remount-agent. Successful Jobs: postgres."
    ));
    assert!(!spared("2 of 2 pre-start scripts failed. Failed Jobs: postgres, remount-agent."));
    assert!(!spared(
        "1 of 2 post-start scripts failed. Failed Jobs: postgres. Successful Jobs: remount-agent."
    ));
}

#[test]
fn a_task_that_stays_queued_is_told_now_and_then() {
    let task = |state: TaskState| Task {
        id: TaskId(7),
        state,
        word: String::new(),
        description: "stop instance postgres/1".into(),
        result: None,
        deployment: None,
        context_id: None,
        started_at: None,
    };
    let asked = Instant::now();
    let queue = QueueNotice::since(asked);
    let at = |seconds| asked + Duration::from_secs(seconds);
    assert_eq!(queue.notice(&task(TaskState::Queued), at(3)), None, "not at once");
    assert_eq!(queue.notice(&task(TaskState::Processing), at(30)), None, "it runs");
    let said = queue.notice(&task(TaskState::Queued), at(30)).unwrap();
    assert!(said.contains("task 7 (stop instance postgres/1)") && said.contains("30 s"), "{said}");
    assert_eq!(queue.notice(&task(TaskState::Queued), at(40)), None, "not again so soon");
    assert!(queue.notice(&task(TaskState::Queued), at(95)).is_some());
}
