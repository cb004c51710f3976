//! VMs that are recreated: by the resurrector, and because of another stemcell.

use remount_lab::director::{Fault, FaultKind, Operation};
use serde_json::json;

use crate::client::Answer;
use crate::landscape::{Landscape, MANIFEST};

/// What the health monitor asks.
fn scan_and_fix(lab: &Landscape) -> Answer {
    let body = json!({"jobs": {"db": [lab.id(0), "1"]}}).to_string();
    let headers = [("content-type", "application/json")];
    lab.client.send("PUT", "/deployments/pg/scan_and_fix", &headers, &body).unwrap()
}

fn falls_silent(lab: &Landscape, index: usize) {
    let vm = lab.short_vm(index);
    lab.iaas.change(|w| w.vms.iter_mut().find(|(cid, _)| cid.as_str() == vm).unwrap().1.silent = true);
}

#[test]
fn a_silent_vm_is_made_anew_with_its_disk_and_the_others_are_left_alone() {
    let lab = Landscape::deployed();
    let (disk, other) = (lab.disk(0), lab.short_vm(1));
    falls_silent(&lab, 0);
    lab.iaas.take_journal();
    assert_eq!(lab.client.done(&scan_and_fix(&lab)), "scan and fix complete");
    let journal = lab.iaas.take_journal();
    assert_eq!(journal[..2], ["delete_vm", "create_vm"], "no agent is asked, no hook runs before");
    assert_eq!(
        journal[journal.len() - 4..],
        ["apply", "run_script pre-start", "start", "run_script post-start"]
    );
    assert_eq!(lab.iaas.attached_disks(&lab.short_vm(0)), [disk]);
    assert_eq!(lab.short_vm(1), other);
    lab.client.done(&scan_and_fix(&lab));
    assert_eq!(lab.iaas.take_journal(), Vec::<String>::new(), "all answer");
}

#[test]
fn a_stopped_instance_gets_its_vm_and_is_not_started() {
    let lab = Landscape::deployed();
    lab.client.done(&lab.action(0, "stop"));
    falls_silent(&lab, 0);
    lab.iaas.take_journal();
    lab.client.done(&scan_and_fix(&lab));
    assert!(!lab.iaas.take_journal().iter().any(|call| call.contains("start")));
    assert_eq!(lab.short(0)["state"], "stopped");
}

#[test]
fn it_does_not_wait_for_the_lock_and_not_while_it_is_paused() {
    let lab = Landscape::deployed();
    let slow = FaultKind::SlowUnderLock { milliseconds: 600_000 };
    lab.director.faults().add(Fault::new(Operation::Deploy, slow, 1));
    let deploy = lab.deploy(MANIFEST).task();
    lab.client.wait_for(deploy, |state| state == "processing");
    while lab.client.get("/locks").json().as_array().unwrap().is_empty() {
        std::thread::yield_now();
    }
    let (code, text) = lab.client.failed(&scan_and_fix(&lab));
    assert_eq!((code, text.contains("Unable to get deployment lock")), (100, true), "{text}");
    assert_eq!(lab.client.delete(&format!("/task/{deploy}")).status, 204);
    let paused = json!({"resurrection_paused": true}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(lab.client.send("PUT", "/resurrection", &headers, &paused).unwrap().status, 200);
    assert_eq!(scan_and_fix(&lab).code(), 410_004);
}

#[test]
fn another_stemcell_makes_every_vm_anew_and_keeps_the_disks() {
    let lab = Landscape::deployed();
    let of = |version: &str| {
        let stemcells = format!("name: pg\nstemcells: [{{alias: default, os: jammy, version: {version}}}]\n");
        let named = MANIFEST.replacen("name: pg\n", &stemcells, 1);
        named.replace("- name: db\n  instances: 2\n", "- name: db\n  instances: 2\n  stemcell: default\n")
    };
    lab.client.done(&lab.deploy(&of("1.5")));
    let (vms, disks) = ([lab.short_vm(0), lab.short_vm(1)], [lab.disk(0), lab.disk(1)]);
    lab.client.done(&lab.deploy(&of("1.5")));
    assert_eq!([lab.short_vm(0), lab.short_vm(1)], vms, "nothing changed");
    lab.client.done(&lab.deploy(&of("1.6")));
    assert!(lab.short_vm(0) != vms[0] && lab.short_vm(1) != vms[1]);
    assert_eq!([lab.disk(0), lab.disk(1)], disks);
    assert_eq!(lab.db(0)["stemcell"], json!({"name": "jammy", "version": "1.6", "api_version": 3}));
    let unknown = of("1.6").replace("stemcell: default", "stemcell: other");
    assert!(lab.client.failed(&lab.deploy(&unknown)).1.contains("unknown stemcell alias 'other'"));
}
