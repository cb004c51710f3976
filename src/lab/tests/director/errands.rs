//! Errands.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::landscape::Landscape;

fn run(lab: &Landscape, errand: &str, body: &str) -> Answer {
    let path = format!("/deployments/pg/errands/{errand}/runs");
    lab.client.send("POST", &path, &[("content-type", "application/json")], body).unwrap()
}

fn results(lab: &Landscape, task: u64) -> Vec<Value> {
    lab.client.output(task, "result").lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn an_errand_with_a_bad_exit_code_is_done_and_the_code_is_in_the_result() {
    let lab = Landscape::deployed();
    lab.iaas.change(|w| w.errands.insert("smoke".into(), 4));
    let answer = run(&lab, "tests", "{}");
    assert_eq!(lab.client.done(&answer), "0 succeeded, 1 errored, 0 canceled");
    let results = results(&lab, answer.task());
    assert_eq!((&results[0]["exit_code"], &results[0]["stdout"]), (&json!(4), &json!("out")));
    assert_eq!(
        (&results[0]["errand_name"], &results[0]["instance"]["group"]),
        (&json!("tests"), &json!("tests"))
    );
    let journal = lab.iaas.take_journal();
    assert_eq!((journal[0].as_str(), journal.last().unwrap().as_str()), ("create_vm", "delete_vm"));
}

#[test]
fn a_colocated_errand_runs_on_every_instance_or_on_the_chosen_one() {
    let lab = Landscape::deployed();
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    let answer = run(&lab, "check", "{}");
    assert_eq!(lab.client.done(&answer), "2 succeeded, 0 errored, 0 canceled");
    let answer = run(&lab, "check", &json!({"instances": [{"group": "db", "id": lab.id(1)}]}).to_string());
    lab.client.done(&answer);
    let results = results(&lab, answer.task());
    assert_eq!((results.len(), &results[0]["instance"]["id"]), (1, &json!(lab.id(1))));
    let names = lab.client.get("/deployments/pg/errands").json();
    assert_eq!(names, json!([{"name": "tests"}, {"name": "check"}, {"name": "smoke"}]));
}

#[test]
fn a_cancelled_errand_is_told_to_end_and_its_output_is_kept() {
    let lab = Landscape::deployed();
    let answer = run(&lab, "tests", "{}");
    lab.iaas.wait_until("the errand", |w| w.journal.iter().any(|e| e == "run_errand smoke"));
    assert_eq!(lab.client.delete(&format!("/task/{}", answer.task())).status, 204);
    assert_eq!(lab.client.finish(answer.task())["state"], "cancelled");
    assert_eq!(results(&lab, answer.task())[0]["exit_code"], 143);
    assert_eq!(lab.iaas.take_journal().last().unwrap(), "delete_vm");
    assert_eq!(lab.client.get("/locks").json(), json!([]));
}

#[test]
fn an_errand_beside_a_stopped_instance_is_refused_unless_others_are_chosen() {
    let lab = Landscape::deployed();
    lab.iaas.change(|w| w.errands.insert("check".into(), 0));
    lab.client.done(&lab.action(0, "stop"));
    let (code, text) = lab.client.failed(&run(&lab, "tests", "{}"));
    assert_eq!(code, 510_000);
    assert!(text.contains(&format!("'db/{}' is stopped", lab.id(0))), "{text}");
    lab.client.done(&run(&lab, "check", r#"{"instances":[{"group":"db","id":"1"}]}"#));
}

#[test]
fn unknown_errands_and_unwelcome_filters_are_refused_and_unchanged_ones_are_skipped() {
    let lab = Landscape::deployed();
    lab.iaas.change(|w| w.errands.insert("smoke".into(), 0));
    assert_eq!(lab.client.failed(&run(&lab, "none", "{}")).0, 70009);
    assert_eq!(lab.client.failed(&run(&lab, "db", "{}")).0, 510_000);
    let filtered = run(&lab, "tests", r#"{"instances":[{"group":"tests"}]}"#);
    assert_eq!(lab.client.failed(&filtered).0, 510_000);
    lab.client.done(&run(&lab, "tests", r#"{"keep-alive":true,"when-changed":null,"instances":null}"#));
    lab.iaas.take_journal();
    let again = run(&lab, "tests", r#"{"when-changed":true}"#);
    assert_eq!(lab.client.done(&again), "skipped - no changes detected");
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
    assert_eq!(run(&lab, "tests", "no json").status, 400);
}
