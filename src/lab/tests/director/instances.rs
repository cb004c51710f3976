//! Stopping and starting one instance, and what is said about it.

use remount_lab::iaas::IaasError;
use serde_json::{Value, json};

use crate::landscape::{Landscape, MANIFEST};

#[test]
fn a_stop_runs_the_hooks_in_order_and_a_second_one_does_nothing() {
    let lab = Landscape::deployed();
    assert_eq!(lab.client.done(&lab.action(0, "stop")), format!("db/{}", lab.id(0)));
    let hooks =
        ["run_script pre-stop vm=keep", "drain job_shutdown hash_unchanged", "stop", "run_script post-stop"];
    assert_eq!(lab.iaas.take_journal(), hooks);
    lab.client.done(&lab.action(0, "stop"));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
    assert_eq!(
        (lab.db(0)["state"].as_str(), lab.db(0)["job_state"].as_str()),
        (Some("stopped"), Some("stopped"))
    );
    assert_eq!(lab.db(1)["state"], "started");
}

#[test]
fn a_start_runs_the_hooks_in_order_and_skip_drain_skips_pre_stop_too() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop?skip_drain=true"));
    assert_eq!(lab.iaas.take_journal(), ["stop", "run_script post-stop"]);
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(lab.iaas.take_journal(), ["apply", "run_script pre-start", "start", "run_script post-start"]);
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new(), "it runs already");
}

#[test]
fn a_hard_stop_takes_the_vm_and_a_start_makes_it_anew_with_its_disk() {
    let lab = Landscape::deployed();
    let disk = lab.disk(0);
    lab.client.done(&lab.action(0, "stop?hard=true"));
    let journal = lab.iaas.take_journal();
    assert_eq!(journal[0], "run_script pre-stop vm=delete");
    assert_eq!(journal[journal.len() - 2..], [format!("detach_disk {disk}"), "delete_vm".into()]);
    let shown = lab.db(0);
    assert_eq!(
        (&shown["state"], &shown["vm_cid"], &shown["job_state"]),
        (&json!("detached"), &Value::Null, &Value::Null)
    );
    assert_eq!((&shown["disk_cid"], &shown["ips"]), (&json!(disk), &json!([])));
    let listed = lab.client.get("/deployments/pg/instances").json();
    let short = listed.as_array().unwrap().iter().find(|i| i["id"] == lab.id(0)).unwrap();
    assert_eq!(short["expects_vm"], false);
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(
        lab.iaas.take_journal(),
        [
            "create_vm",
            &format!("attach_disk {disk}"),
            &format!("set_disk_metadata {disk}"),
            "mount_disk",
            "apply",
            "run_script pre-start",
            "start",
            "run_script post-start"
        ]
    );
    assert_eq!(lab.db(0)["job_state"], "running");
}

#[test]
fn a_hard_stop_of_a_stopped_instance_runs_the_stop_hooks_again() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.take_journal();
    lab.client.done(&lab.action(0, "stop?hard=true"));
    assert_eq!(
        lab.iaas.take_journal()[..2],
        ["run_script pre-stop vm=delete", "drain job_shutdown hash_unchanged"]
    );
}

#[test]
fn an_instance_that_does_not_run_in_time_is_400007_and_started_all_the_same() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.change(|w| w.state_after_start = Some("failing".into()));
    let (code, text) = lab.client.failed(&lab.action(0, "start"));
    assert_eq!(code, 400_007);
    assert!(text.starts_with(&format!("'db/{} (0)' is not running after update.", lab.id(0))), "{text}");
    assert_eq!(lab.short(0)["state"], "started");
    lab.iaas.add_disk("disk-new", "z1", "");
    assert_eq!(lab.client.failed(&lab.attach(0, "disk-new", "")).0, 520_003, "it needs a stop first");
}

#[test]
fn a_pre_start_that_refuses_fails_the_start_with_the_agents_words() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    let refusal = "1 of 2 pre-start scripts failed. Failed Jobs: postgres. Successful Jobs: check.";
    lab.iaas.fail("run_script pre-start", IaasError::Agent(refusal.into()));
    assert_eq!(lab.client.failed(&lab.action(0, "start")), (450_001, refusal.into()));
}

#[test]
fn a_silent_agent_is_shown_and_fails_stop_and_deploy_until_it_is_recreated() {
    let lab = Landscape::deployed();
    let vm = lab.db(0)["vm_cid"].as_str().unwrap().to_owned();
    lab.iaas.change(|w| w.vms.iter_mut().find(|(cid, _)| cid.as_str() == vm).unwrap().1.silent = true);
    assert_eq!(lab.db(0)["job_state"], "unresponsive agent");
    assert_eq!(lab.client.failed(&lab.action(0, "stop?hard=true&skip_drain=true")).0, 450_002);
    assert_eq!(lab.client.failed(&lab.deploy(MANIFEST)).0, 450_002);
    lab.client.done(&lab.action(0, "recreate?ignore_unresponsive_agent=true"));
    assert_eq!(lab.db(0)["job_state"], "running");
    assert_ne!(lab.db(0)["vm_cid"], vm.as_str());

    let vm = lab.db(1)["vm_cid"].as_str().unwrap().to_owned();
    lab.iaas.change(|w| w.vms.retain(|cid, _| cid.as_str() != vm));
    let path = "/deployments/pg/jobs/db/1?state=started&fix=true";
    assert_eq!(lab.client.done(&lab.client.put_yaml(path)), "/deployments/pg");
    assert_eq!(lab.db(1)["job_state"], "running");
}

#[test]
fn errand_groups_cannot_be_stopped_and_a_stopped_instance_survives_deploys() {
    let lab = Landscape::deployed();
    let answer = lab.client.post("/deployments/pg/instance_groups/tests/0/actions/stop");
    assert_eq!(lab.client.failed(&answer).0, 90000);
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.take_journal();
    let changed = MANIFEST.replace("((superuser))", "other");
    lab.client.done(&lab.deploy(&changed));
    assert_eq!(lab.short(0)["state"], "stopped");
    assert_eq!(lab.db(0)["job_state"], "stopped");
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(
        lab.rendered(0, "postgres")["properties"]["password"],
        "other",
        "the start brings the new files"
    );
}

#[test]
fn the_converging_route_brings_pending_changes_of_others_along() {
    let lab = Landscape::deployed();
    lab.iaas.add_disk("disk-new", "z2", "restored");
    lab.client.done(&lab.action(1, "stop"));
    lab.client.done(&lab.attach(1, "disk-new", ""));
    lab.client.done(&lab.action(1, "start"));
    assert_eq!(
        lab.client.done(&lab.client.put_yaml("/deployments/pg/jobs/db/0?state=stopped")),
        "/deployments/pg"
    );
    assert_eq!(lab.short(0)["state"], "stopped");
    assert_ne!(lab.disk(1), "disk-new", "db/1 was migrated although only db/0 was named");
}

#[test]
fn snapshots_are_done_with_nothing_taken_unless_the_director_is_to_take_them() {
    let lab = Landscape::deployed();
    let path = format!("/deployments/pg/jobs/db/{}/snapshots", lab.id(0));
    assert_eq!(lab.client.done(&lab.client.post(&path)), "snapshot(s)  created");
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());

    let lab = Landscape::deployed_with(|c| c.enable_snapshots = true);
    let path = format!("/deployments/pg/jobs/db/{}/snapshots", lab.id(0));
    lab.client.done(&lab.client.post(&path));
    lab.client.done(&lab.action(0, "stop"));
    let listed = lab.client.get(&path).json();
    assert_eq!((&listed[0]["clean"], &listed[1]["clean"]), (&json!(false), &json!(true)));
    let disk = lab.disk(0);
    lab.iaas.add_disk("disk-new", "z1", "");
    lab.client.done(&lab.attach(0, "disk-new", "&disk_properties=copy"));
    lab.client.done(&lab.client.delete(&format!("/disks/{disk}")));
    assert!(lab.iaas.state().snapshots.is_empty(), "they die with the disk");
    assert_eq!(lab.client.delete("/deployments/pg/snapshots/none").code(), 70008);
}
