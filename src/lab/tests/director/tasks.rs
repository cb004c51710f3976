//! Tasks: the queue, outputs, cancellation, time-out, context ids.

use std::time::Duration;

use remount_lab::director::{Fault, FaultKind, Operation};
use serde_json::Value;

use crate::landscape::{Landscape, MANIFEST};

#[test]
fn event_output_is_read_in_pieces_and_416_says_that_nothing_is_new() {
    let lab = Landscape::deployed();
    let answer = lab.action(0, "stop");
    lab.client.done(&answer);
    let path = format!("/tasks/{}/output?type=event", answer.task());
    let whole = lab.client.get(&path);
    let size = whole.body.len();
    let range = |range: &str| lab.client.send("GET", &path, &[("range", range)], "").unwrap();
    let part = range("bytes=5-");
    assert_eq!((part.status, part.body.as_str()), (206, &whole.body[5..]));
    assert_eq!(part.header("content-range"), format!("bytes 5-{}/{size}", size - 1));
    let nothing = range(&format!("bytes={size}-"));
    assert_eq!(nothing.status, 416);
    assert_eq!(nothing.header("content-range"), format!("bytes */{size}"));
    let first: Value = serde_json::from_str(whole.body.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["state"].as_str(), first["task"].as_str()),
        (Some("started"), Some("Stopping instance"))
    );
    assert_eq!(lab.client.get(&format!("/tasks/{}/output?type=none", answer.task())).status, 204);
    assert_eq!(lab.client.get(&format!("/tasks/{}/output?type=cpi", answer.task())).status, 204);
    assert!(lab.client.get(&format!("/tasks/{}/output", answer.task())).body.contains("Running pre-stop"));
}

#[test]
fn busy_workers_leave_tasks_queued_and_a_queued_task_can_be_cancelled() {
    let lab = Landscape::deployed_with(|c| c.workers = 1);
    let errand = lab
        .client
        .send("POST", "/deployments/pg/errands/check/runs", &[], r#"{"instances":[{"group":"db","id":"0"}]}"#)
        .unwrap();
    lab.iaas.wait_until("the errand", |w| w.journal.iter().any(|e| e == "run_errand check"));
    let stop = lab.action(0, "stop").task();
    let start = lab.action(1, "start").task();
    let shown = lab.client.task(stop);
    assert_eq!(
        (shown["state"].as_str(), &shown["timestamp"], &shown["started_at"]),
        (Some("queued"), &Value::Null, &Value::Null)
    );
    assert_eq!(lab.client.delete(&format!("/task/{stop}")).status, 204);
    assert_eq!(lab.client.task(stop)["state"], "cancelling");
    let again = lab.client.delete(&format!("/task/{stop}"));
    assert_eq!(
        (again.status, again.body),
        (400, format!("Cannot cancel task {stop}: invalid state (cancelling)"))
    );
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    assert_eq!(lab.client.finish(stop)["state"], "cancelled");
    assert_eq!(lab.client.finish(start)["state"], "done");
    assert_eq!(lab.client.finish(errand.task())["state"], "done");
    assert!(lab.client.output(stop, "event").contains(r#""code":10001"#));
}

#[test]
fn urgent_tasks_go_before_those_that_waited_longer() {
    let lab = Landscape::deployed_with(|c| c.workers = 1);
    let errand = lab
        .client
        .send("POST", "/deployments/pg/errands/check/runs", &[], r#"{"instances":[{"group":"db","id":"0"}]}"#)
        .unwrap();
    lab.iaas.wait_until("the errand", |w| w.journal.iter().any(|e| e == "run_errand check"));
    let stop = lab.action(0, "stop").task();
    let look = lab.client.get("/deployments/pg/instances?format=full").task();
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    lab.client.finish(errand.task());
    lab.client.finish(stop);
    lab.client.finish(look);
    let report = lab.client.output(look, "result");
    assert!(report.contains(r#""state":"started""#) && !report.contains(r#""state":"stopped""#), "{report}");
}

#[test]
fn a_dead_workers_task_becomes_timeout_when_somebody_reads_it() {
    let lab = Landscape::deployed_with(|c| c.checkpoint_interval = Duration::from_millis(100));
    lab.director.faults().add(Fault::new(Operation::Stop, FaultKind::WorkerDies, 1));
    let task = lab.action(0, "stop").task();
    assert_eq!(lab.client.wait_for(task, |state| state == "timeout")["state"], "timeout");
    lab.client.done(&lab.action(0, "stop"));
}

#[test]
fn a_long_result_is_cut_and_the_whole_text_is_in_the_event_output() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    lab.client.failed(&lab.attach(0, "disk-nowhere", ""));
    let answer =
        lab.attach(0, "disk-with-a-very-long-name-that-will-not-fit-into-the-short-result-of-the-task", "");
    let (_, text) = lab.client.failed(&answer);
    assert!(text.ends_with("in 'attach_disk' CPI method"), "{text}");
    let result = lab.client.task(answer.task())["result"].as_str().unwrap().to_owned();
    assert!(
        result.ends_with("...") && result.len() <= 132 && text.starts_with(result.trim_end_matches("..."))
    );
}

#[test]
fn tasks_are_found_by_context_id_except_those_that_lose_it() {
    let lab = Landscape::deployed();
    let client = lab.client.with_context("restore-7");
    let path = format!("/deployments/pg/instance_groups/db/{}/actions/stop", lab.id(0));
    let stop = client.post(&path).task();
    client.finish(stop);
    lab.iaas.add_disk("disk-new", "z1", "");
    let attach = client
        .put(&format!("/disks/disk-new/attachments?deployment=pg&job=db&instance_id={}", lab.id(0)))
        .task();
    client.finish(attach);
    let found = client.get("/tasks?context_id=restore-7").json();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["id"]), (1, &stop.into()));
    assert_eq!(client.task(attach)["context_id"], "");
    let newest = client.get("/tasks?deployment=pg&limit=1").json();
    assert_eq!(newest[0]["id"], attach);
    assert!(newest[0]["description"].as_str().unwrap().contains("'disk-new'"));
    let all = client.get("/tasks?state=done,error&verbose=2").json();
    assert!(all.as_array().unwrap().len() >= 2);
}

#[test]
fn a_running_task_ends_at_its_next_checkpoint_when_it_is_cancelled() {
    let lab = Landscape::deployed();
    lab.director.faults().add(Fault::new(Operation::Stop, FaultKind::SlowTask { milliseconds: 60_000 }, 1));
    let task = lab.action(0, "stop").task();
    lab.client.wait_for(task, |state| state == "processing");
    let mass = lab
        .client
        .send("POST", "/tasks/cancel", &[], r#"{"states":["processing"],"deployment":"pg"}"#)
        .unwrap();
    assert_eq!(mass.status, 204);
    let shown = lab.client.finish(task);
    assert_eq!(
        (shown["state"].as_str(), shown["result"].as_str()),
        (Some("cancelled"), Some("task cancelled"))
    );
    assert_eq!(lab.short(0)["state"], "started");
}

#[test]
fn a_second_task_waits_for_the_deployments_lock_and_fails_with_code_100() {
    let lab = Landscape::deployed();
    let errand = lab.client.send("POST", "/deployments/pg/errands/check/runs", &[], "{}").unwrap();
    lab.iaas.wait_until("the errand", |w| w.journal.iter().any(|e| e == "run_errand check"));
    let locks = lab.client.get("/locks").json();
    assert_eq!((&locks[0]["type"], &locks[0]["resource"][0]), (&"deployment".into(), &"pg".into()));
    assert_eq!(locks[0]["task_id"], errand.task().to_string());
    assert!(locks[0]["timeout"].as_str().unwrap().contains('.'));
    assert_eq!(lab.client.get("/deployments").json()[0]["locked"], true);
    let before = std::time::Instant::now();
    let (code, text) = lab.client.failed(&lab.action(0, "stop"));
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!(code, 100);
    assert!(text.starts_with("Failed to acquire lock for lock:deployment:pg uid: "), "{text}");
    let holder =
        format!("Locking task id is {}, description: 'run errand check from deployment pg'", errand.task());
    assert!(text.ends_with(&holder), "{text}");
    assert_eq!(lab.client.failed(&lab.deploy(MANIFEST)).0, 100);
    // Reading and attaching take no lock.
    assert_eq!(lab.db(0)["state"], "started");
    lab.iaas.add_disk("disk-new", "z1", "");
    assert_eq!(lab.client.failed(&lab.attach(0, "disk-new", "")).0, 520_003);
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    lab.client.finish(errand.task());
    assert_eq!(lab.client.get("/locks").json(), serde_json::json!([]));
}

#[test]
fn a_dedicated_worker_answers_readers_while_all_others_are_busy() {
    let lab = Landscape::deployed_with(|c| {
        (c.workers, c.dedicated_status_worker) = (2, true);
    });
    let body = r#"{"instances":[{"group":"db","id":"0"}]}"#;
    let errand = lab.client.send("POST", "/deployments/pg/errands/check/runs", &[], body).unwrap();
    lab.iaas.wait_until("the errand", |w| w.journal.iter().any(|e| e == "run_errand check"));
    let stop = lab.action(1, "stop").task();
    assert_eq!(lab.db(1)["state"], "started");
    assert_eq!(lab.client.task(stop)["state"], "queued");
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    assert_eq!(lab.client.finish(errand.task())["state"], "done");
    assert_eq!(lab.client.finish(stop)["state"], "done");
}
