//! Attaching a disk, and everything that is unpleasant about it.

use remount_lab::iaas::IaasError;
use serde_json::json;

use crate::landscape::{Landscape, MANIFEST};

const COPY: &str = "&disk_properties=copy";

fn cpi_error(method: &str) -> IaasError {
    IaasError::Cpi {
        kind: "Bosh::Clouds::CloudError".into(),
        method: method.into(),
        message: "told to fail".into(),
    }
}

#[test]
fn an_attach_swaps_the_disk_of_a_stopped_instance_and_orphans_the_old_one() {
    let lab = Landscape::deployed();
    let old = lab.disk(0);
    lab.iaas.add_disk("disk-new", "z1", "restored");
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.take_journal();
    let result = lab.client.done(&lab.attach(0, "disk-new", COPY));
    assert_eq!(result, format!("attached disk 'disk-new' to 'db/{}' in deployment 'pg'", lab.id(0)));
    assert_eq!(
        lab.iaas.take_journal(),
        [
            "list_disk",
            "unmount_disk",
            &format!("detach_disk {old}"),
            "attach_disk disk-new",
            "set_disk_metadata disk-new",
            "mount_disk"
        ]
    );
    let orphans = lab.client.get("/disks").json();
    assert_eq!(orphans[0]["disk_cid"], old.as_str());
    assert_eq!(orphans[0]["size"], 1024);
    assert_eq!(orphans[0]["instance_name"], format!("db/{}", lab.id(0)));
    assert!(orphans[0]["orphaned_at"].as_str().unwrap().ends_with(" UTC"));
    assert_eq!(lab.db(0)["disk_cid"], "disk-new");
    let metadata =
        lab.iaas.state().disks.iter().find(|(c, _)| c.as_str() == "disk-new").unwrap().1.metadata.clone();
    assert_eq!(metadata["instance_group"], "db");
}

#[test]
fn an_attach_needs_a_stopped_instance_that_is_not_ignored_and_its_uuid() {
    let lab = Landscape::deployed();
    lab.iaas.add_disk("disk-new", "z1", "");
    let (code, text) = lab.client.failed(&lab.attach(0, "disk-new", ""));
    assert_eq!(code, 520_003);
    assert!(text.ends_with("must be in 'bosh stopped' state"), "{text}");

    let by_index = "/disks/disk-new/attachments?deployment=pg&job=db&instance_id=0";
    assert_eq!(lab.client.failed(&lab.client.put(by_index)).0, 520_001);
    let nowhere = lab.client.put("/disks/disk-new/attachments?deployment=none&job=db&instance_id=0");
    assert_eq!((nowhere.status, nowhere.code()), (404, 70000));

    lab.client.done(&lab.action(0, "stop"));
    let path = format!("/deployments/pg/instance_groups/db/{}/ignore", lab.id(0));
    let json = [("content-type", "application/json")];
    assert_eq!(lab.client.send("PUT", &path, &json, r#"{"ignore":true}"#).unwrap().status, 200);
    let (code, text) = lab.client.failed(&lab.attach(0, "disk-new", ""));
    assert_eq!(code, 520_003);
    assert!(text.contains("'ignore' state"), "{text}");
    assert_eq!(lab.client.failed(&lab.action(0, "start")).0, 190_020);
}

#[test]
fn without_copy_the_record_says_size_1_and_the_next_deploy_migrates_the_data_away() {
    let lab = Landscape::deployed();
    lab.iaas.add_disk("disk-new", "z1", "restored");
    lab.client.done(&lab.action(0, "stop"));
    lab.client.done(&lab.attach(0, "disk-new", ""));
    lab.client.done(&lab.action(0, "start"));
    lab.client.done(&lab.deploy(MANIFEST));
    let migrated = lab.disk(0);
    assert_ne!(migrated, "disk-new");
    assert_eq!(lab.iaas.content(&migrated), "restored");
    let orphans = lab.client.get("/disks").json();
    let orphan = orphans.as_array().unwrap().iter().find(|o| o["disk_cid"] == "disk-new").unwrap();
    assert_eq!((&orphan["size"], &orphan["cloud_properties"]), (&json!(1), &json!({})));
    assert_eq!(lab.db(0)["job_state"], "running");
}

#[test]
fn with_copy_the_next_deploy_changes_nothing() {
    let lab = Landscape::deployed();
    lab.iaas.add_disk("disk-new", "z1", "restored");
    lab.client.done(&lab.action(0, "stop"));
    lab.client.done(&lab.attach(0, "disk-new", COPY));
    lab.client.done(&lab.action(0, "start"));
    lab.iaas.take_journal();
    lab.client.done(&lab.deploy(MANIFEST));
    assert_eq!(lab.disk(0), "disk-new");
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
}

#[test]
fn a_failed_attach_leaves_the_old_disk_detached_and_recorded_and_a_start_does_not_see_it() {
    let lab = Landscape::deployed();
    let (old, vm) = (lab.disk(0), lab.db(0)["vm_cid"].as_str().unwrap().to_owned());
    lab.iaas.add_disk("disk-new", "z1", "restored");
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.fail("attach_disk", cpi_error("attach_disk"));
    let (code, text) = lab.client.failed(&lab.attach(0, "disk-new", COPY));
    assert_eq!(code, 100);
    assert_eq!(
        text,
        "CPI error 'Bosh::Clouds::CloudError' with message 'told to fail' in 'attach_disk' CPI method"
    );
    lab.iaas.mend();
    assert_eq!(lab.disk(0), old, "the database was rolled back");
    assert_eq!(lab.client.get("/disks").json(), json!([]));
    assert_eq!(lab.iaas.attached_disks(&vm), Vec::<String>::new(), "the machine was not");

    lab.iaas.take_journal();
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(lab.iaas.take_journal(), ["apply", "run_script pre-start", "start", "run_script post-start"]);
    assert_eq!(lab.iaas.attached_disks(&vm), Vec::<String>::new(), "it runs without a disk");
    assert_eq!(lab.db(0)["job_state"], "running");
}

#[test]
fn the_half_state_is_repaired_by_attaching_the_recorded_disk_again() {
    let lab = Landscape::deployed();
    let (old, vm) = (lab.disk(0), lab.db(0)["vm_cid"].as_str().unwrap().to_owned());
    lab.client.done(&lab.action(0, "stop"));
    lab.client.failed(&lab.attach(0, "disk-nowhere", COPY));
    lab.iaas.take_journal();
    lab.client.done(&lab.attach(0, &old, COPY));
    let journal = lab.iaas.take_journal();
    assert_eq!(journal[1], format!("detach_disk {old}"), "a detach that finds nothing is tolerated");
    assert_eq!(lab.iaas.attached_disks(&vm), [old.as_str()]);
    assert_eq!(lab.disk(0), old);
    assert_eq!(lab.client.get("/disks").json(), json!([]));
    lab.client.done(&lab.action(0, "start"));
    lab.iaas.take_journal();
    lab.client.done(&lab.deploy(MANIFEST));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new(), "size and properties were kept");
}

#[test]
fn a_hard_stop_in_the_half_state_fails_as_the_active_disk_is_not_attached() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    lab.client.failed(&lab.attach(0, "disk-nowhere", COPY));
    let (code, text) = lab.client.failed(&lab.action(0, "stop?hard=true"));
    assert_eq!(code, 390_001);
    assert!(text.ends_with("attached but it doesn't (according to CPI)"), "{text}");
}

#[test]
fn a_disk_that_another_instance_has_is_refused_after_the_old_one_was_detached() {
    let lab = Landscape::deployed();
    let (old, taken) = (lab.disk(0), lab.disk(1));
    lab.client.done(&lab.action(0, "stop"));
    lab.iaas.take_journal();
    let (code, text) = lab.client.failed(&lab.attach(0, &taken, COPY));
    assert_eq!((code, text.as_str()), (100, "disk_cid unique"));
    assert_eq!(lab.iaas.take_journal(), ["list_disk", "unmount_disk", &format!("detach_disk {old}")]);
    assert_eq!(lab.disk(0), old);
}

#[test]
fn an_orphan_comes_back_with_its_own_size_and_a_disk_that_cannot_be_mounted_is_detached() {
    let lab = Landscape::deployed();
    let old = lab.disk(0);
    lab.iaas.add_disk("disk-new", "z1", "");
    lab.client.done(&lab.action(0, "stop"));
    lab.client.done(&lab.attach(0, "disk-new", ""));
    lab.client.done(&lab.attach(0, &old, ""));
    let orphans = lab.client.get("/disks").json();
    assert_eq!((&orphans[0]["disk_cid"], &orphans[0]["size"]), (&json!("disk-new"), &json!(1)));

    lab.iaas.fail("mount_disk", IaasError::Agent("mount: wrong fs type".into()));
    let (code, _) = lab.client.failed(&lab.attach(0, "disk-new", COPY));
    assert_eq!(code, 450_001);
    let vm = lab.db(0)["vm_cid"].as_str().unwrap().to_owned();
    assert_eq!(lab.iaas.attached_disks(&vm), Vec::<String>::new());
    assert_eq!(lab.disk(0), old);
}

#[test]
fn a_detached_instance_changes_in_the_database_alone_and_gets_the_disk_with_its_vm() {
    let lab = Landscape::deployed();
    lab.iaas.add_disk("disk-new", "z1", "restored");
    lab.client.done(&lab.action(0, "stop?hard=true"));
    lab.iaas.take_journal();
    lab.client.done(&lab.attach(0, "disk-new", COPY));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new());
    lab.client.done(&lab.action(0, "start"));
    assert_eq!(lab.iaas.take_journal()[..2], ["create_vm", "attach_disk disk-new"]);
}

#[test]
fn orphans_are_deleted_recorded_disks_are_not_and_unknown_ones_count_as_deleted() {
    let lab = Landscape::deployed();
    let old = lab.disk(0);
    let refused = lab.client.delete(&format!("/disks/{old}"));
    assert_eq!((refused.status, refused.code()), (400, 520_000));
    lab.client.done(&lab.client.delete("/disks/disk-unknown"));
    lab.iaas.add_disk("caching:None;disk_name:bosh-disk-data-1", "z1", "");
    lab.client.done(&lab.action(0, "stop"));
    lab.client.done(&lab.attach(0, "caching%3ANone%3Bdisk_name%3Abosh-disk-data-1", COPY));
    assert_eq!(lab.disk(0), "caching:None;disk_name:bosh-disk-data-1");
    let result = lab.client.done(&lab.client.delete(&format!("/disks/{old}")));
    assert_eq!(result, format!("orphaned disk(s) {old} deleted"));
    assert_eq!(lab.client.get("/disks").json(), json!([]));
    assert!(!lab.iaas.state().disks.keys().any(|cid| cid.as_str() == old));
}

#[test]
fn orphaning_a_recorded_disk_does_not_detach_it() {
    let lab = Landscape::deployed();
    let (old, vm) = (lab.disk(0), lab.db(0)["vm_cid"].as_str().unwrap().to_owned());
    lab.client.done(&lab.client.delete(&format!("/disks/{old}?orphan=true")));
    assert_eq!(lab.iaas.attached_disks(&vm), [old.as_str()]);
    assert_eq!(lab.short(0)["disks"], json!([]));
}
