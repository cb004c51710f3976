//! Deploys: variables, links, zones, addresses, disks, deletion.

use remount_lab::iaas::IaasError;
use serde_json::json;

use crate::landscape::{Landscape, MANIFEST};

#[test]
fn a_deploy_fills_in_variables_links_zones_and_addresses() {
    let lab = Landscape::deployed();
    let (first, second) = (lab.rendered(0, "postgres"), lab.rendered(1, "postgres"));
    assert_eq!(first["properties"]["port"], 5432);
    assert_eq!(first["properties"]["store"], json!({"type": "fs", "root": "/store"}));
    assert_eq!(first["properties"]["password"], second["properties"]["password"]);
    assert_eq!(first["properties"]["password"].as_str().unwrap().len(), 30);
    assert!(first["properties"]["tls"]["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
    assert_eq!(first["properties"]["tls"]["ca"], lab.director.variable("pg", "/ca").unwrap()["certificate"]);
    let link = &first["consumes"]["db"];
    assert_eq!(link["properties"], json!({"port": 5432}));
    assert_eq!(link["instances"][1]["address"], "127.10.0.3");
    assert_eq!(
        (&link["instances"][0]["bootstrap"], &link["instances"][1]["bootstrap"]),
        (&json!(true), &json!(false))
    );
    assert_eq!((&second["spec"]["az"], &second["spec"]["ip"]), (&json!("z2"), &json!("127.10.0.3")));
    assert_eq!(lab.db(1)["ips"], json!(["127.10.0.3"]));
    let manifest = lab.client.get("/deployments/pg").json();
    assert!(
        manifest["manifest"].as_str().unwrap().contains("((superuser))"),
        "secrets are not in the manifest"
    );
}

#[test]
fn a_changed_property_restarts_the_instances_in_order_and_an_unchanged_manifest_nothing() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.deploy(MANIFEST));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
    lab.client.done(&lab.deploy(&MANIFEST.replace("((superuser))", "x")));
    let one = [
        "run_script pre-stop vm=keep",
        "drain job_changed hash_changed",
        "stop",
        "run_script post-stop",
        "list_disk",
        "apply",
        "run_script pre-start",
        "start",
        "run_script post-start",
    ];
    let both: Vec<&str> = one.iter().chain(&one).copied().chain(["run_script post-deploy"; 2]).collect();
    assert_eq!(lab.iaas.take_journal(), both);
}

#[test]
fn a_bigger_disk_is_a_new_disk_with_the_old_ones_data() {
    let lab = Landscape::deployed();
    let old = lab.disk(0);
    lab.iaas
        .change(|w| w.disks.iter_mut().find(|(c, _)| c.as_str() == old).unwrap().1.content = "data".into());
    lab.client.done(&lab.deploy(&MANIFEST.replace("1024", "2048")));
    let new = lab.disk(0);
    assert_ne!(new, old);
    assert_eq!(lab.iaas.content(&new), "data");
    let orphans = lab.client.get("/disks").json();
    assert_eq!(orphans.as_array().unwrap().len(), 2);
    let vm = lab.db(0)["vm_cid"].as_str().unwrap().to_owned();
    assert!(lab.iaas.state().disks.iter().any(|(cid, d)| cid.as_str() == new && d.size_mib == 2048));
    assert_eq!(lab.iaas.attached_disks(&vm), [new]);
}

#[test]
fn a_failed_migration_keeps_the_old_disk_and_orphans_the_new_one() {
    let lab = Landscape::deployed();
    let old = lab.disk(0);
    lab.iaas.fail("migrate_disk", IaasError::Agent("tar: no space left".into()));
    assert_eq!(lab.client.failed(&lab.deploy(&MANIFEST.replace("1024", "2048"))).0, 450_001);
    assert_eq!(lab.short(0)["disks"], json!([old]));
    assert_eq!(lab.client.get("/disks").json().as_array().unwrap().len(), 1);
    lab.iaas.mend();
    lab.client.done(&lab.deploy(&MANIFEST.replace("1024", "2048")));
    assert_ne!(lab.disk(0), old);
}

#[test]
fn a_deploy_attaches_the_recorded_disk_where_the_agent_has_none_and_refuses_another() {
    let lab = Landscape::deployed();
    let (disk, vm) = (lab.disk(0), lab.db(0)["vm_cid"].as_str().unwrap().to_owned());
    let changed = MANIFEST.replace("((superuser))", "x");
    let other = lab.iaas.add_disk("disk-other", "z1", "");
    let mount = |disks: Vec<remount_core::DiskCid>| {
        lab.iaas.change(|w| w.vms.iter_mut().find(|(c, _)| c.as_str() == vm).unwrap().1.mounted = disks);
    };
    mount(vec![other]);
    let (code, text) = lab.client.failed(&lab.deploy(&changed));
    assert_eq!(code, 400_010);
    assert!(text.contains("agent reports 'disk-other'"), "{text}");
    mount(vec![]);
    lab.iaas.change(|w| w.disks.iter_mut().find(|(c, _)| c.as_str() == disk).unwrap().1.attached_to = None);
    lab.client.done(&lab.deploy(&changed));
    assert_eq!(lab.iaas.attached_disks(&vm), [disk]);
}

#[test]
fn a_smaller_group_loses_its_last_instance_and_the_disk_is_orphaned() {
    let lab = Landscape::deployed();
    let disk = lab.disk(1);
    lab.client.done(&lab.deploy(&MANIFEST.replace("instances: 2", "instances: 1")));
    assert_eq!(lab.client.get("/deployments/pg/jobs/db/1").code(), 70001);
    assert_eq!(lab.client.get("/disks").json()[0]["disk_cid"], disk.as_str());
    lab.client.done(&lab.deploy(MANIFEST));
    assert_eq!(lab.db(1)["ips"], json!(["127.10.0.3"]), "the address was free again");
}

#[test]
fn a_deleted_deployment_leaves_orphans_and_nothing_else() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.client.delete("/deployments/pg"));
    assert_eq!(lab.client.get("/deployments/pg").status, 404);
    assert_eq!(lab.client.get("/disks").json().as_array().unwrap().len(), 2);
    assert!(lab.iaas.state().vms.is_empty());
    let journal = lab.iaas.take_journal();
    assert!(journal.contains(&"run_script pre-stop vm=delete".to_owned()));
}

#[test]
fn a_deploy_that_cannot_be_rendered_touches_nothing() {
    let lab = Landscape::deployed();
    for (broken, wanted) in [
        (MANIFEST.replace("((store))", "((nowhere))"), "'nowhere'"),
        (MANIFEST.replace("store: ((store))", "explode: true"), "told to fail"),
        (MANIFEST.replace("name: postgres", "name: mystery"), "'mystery' is not in the release"),
        (MANIFEST.replace("name: smoke", "name: postgres"), "Failed to resolve link 'db'"),
    ] {
        let (_, text) = lab.client.failed(&lab.deploy(&broken));
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
    assert_eq!(lab.db(0)["job_state"], "running");
    assert_eq!(lab.deploy("instance_groups: []").code(), 40001);
}

#[test]
fn two_deployments_share_absolute_variables_and_not_the_others() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.deploy(&MANIFEST.replace("name: pg", "name: pg2")));
    let variable = |deployment: &str, name: &str| lab.director.variable(deployment, name).unwrap();
    assert_eq!(variable("pg", "/ca"), variable("pg2", "/ca"));
    assert_ne!(variable("pg", "superuser"), variable("pg2", "superuser"));
    let names: Vec<String> = lab
        .client
        .get("/deployments")
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["pg", "pg2"]);
}

#[test]
fn a_deploy_starts_again_what_should_run_and_does_not() {
    let lab = Landscape::deployed();
    let vm = lab.db(1)["vm_cid"].as_str().unwrap().to_owned();
    lab.iaas.change(|w| w.vms.iter_mut().find(|(c, _)| c.as_str() == vm).unwrap().1.state = "failing".into());
    lab.client.done(&lab.deploy(MANIFEST));
    assert_eq!(lab.db(1)["job_state"], "running");
    assert_eq!(lab.iaas.take_journal().iter().filter(|e| *e == "start").count(), 1, "db/0 was left alone");
}

#[test]
fn a_link_of_another_deployment_has_to_be_shared() {
    let lab = Landscape::deployed();
    let consumer = "{name: app, update: {canary_watch_time: 5}, instance_groups: [{name: app, instances: 1, \
        jobs: [{name: smoke, consumes: {target: {from: main, deployment: pg}}}]}]}";
    let (_, text) = lab.client.failed(&lab.deploy(consumer));
    assert!(text.contains("Failed to resolve link 'target' with type 'database'"), "{text}");
    let provides = "  - name: postgres\n    provides: {db: {as: main, shared: true}}\n";
    lab.client.done(&lab.deploy(&MANIFEST.replace("  - name: postgres\n", provides)));
    lab.client.done(&lab.deploy(consumer));
    let state = lab.iaas.state();
    let vm = state.vms.values().find(|vm| vm.spec.deployment == "app").unwrap();
    assert!(vm.jobs[0].files["config.json"].content.contains("127.10.0.3"));
}

#[test]
fn deployments_that_are_made_at_the_same_time_get_different_addresses() {
    let lab = Landscape::deployed();
    let names = ["pg2", "pg3", "pg4"];
    let answers: Vec<_> = names
        .iter()
        .map(|name| lab.deploy(&MANIFEST.replace("name: pg", &format!("name: {name}"))))
        .collect();
    answers.iter().for_each(|answer| assert!(lab.client.done(answer).starts_with("/deployments/pg")));
    let state = lab.iaas.state();
    let ips: std::collections::BTreeSet<&str> = state.vms.values().map(|vm| vm.spec.ip.as_str()).collect();
    assert_eq!(ips.len(), 8);
}
