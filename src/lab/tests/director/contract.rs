//! Remount's client and the lab's Director under the contract of every Director: two implementations of one API, by
//! different hands. Where they and `docs/reference/bosh-director.md` disagree, the page is right.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{DeploymentName, DiskCid, GroupName, VmCid};
use remount_director::{Director, DirectorConfig, Instance, TaskId};
use remount_host::RetryPolicy;
use remount_lab::director::{Fault, FaultKind, LabDirectorConfig, Operation};
use remount_sim::contract::director::{self, Change, Fixture, Lost};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::landscape::{Landscape, account};

/// Short, and long enough for what a check does meanwhile on a busy machine.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const WORKERS: usize = 2;
/// Larger than what the manifest says.
const LARGER_MIB: u64 = 4096;

/// The deployment `pg` of a lab. Its Director is blocking: whatever waits for it does so on a thread of its own.
#[derive(Debug)]
struct Lab {
    lab: Option<Landscape>,
    _ca: NamedTempFile,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Ending a Director waits for its threads.
        if let Some(lab) = self.lab.take() {
            std::thread::spawn(move || drop(lab)).join().unwrap();
        }
    }
}

impl Lab {
    fn lab(&self) -> &Landscape {
        self.lab.as_ref().unwrap()
    }
}

#[async_trait]
impl Fixture for Lab {
    fn deployment(&self) -> DeploymentName {
        DeploymentName::new("pg").unwrap()
    }

    fn group(&self) -> GroupName {
        GroupName::new("db").unwrap()
    }

    fn workers(&self) -> usize {
        WORKERS
    }

    async fn new_disk(&self, of: &Instance) -> DiskCid {
        let cid = format!("disk-made-{:08x}", rand::random::<u32>());
        let disk = self.lab().iaas.add_disk(&cid, of.az.as_deref().unwrap(), "restored");
        self.lab().iaas.change(|state| state.disks.get_mut(&disk).unwrap().size_mib = LARGER_MIB);
        disk
    }

    async fn attached_to(&self, disk: &DiskCid) -> Option<VmCid> {
        self.lab().iaas.state().disks.get(disk).and_then(|disk| disk.attached_to.clone())
    }

    async fn has_disk(&self, disk: &DiskCid) -> bool {
        self.lab().iaas.state().disks.contains_key(disk)
    }

    async fn begin_errand(&self) -> TaskId {
        // On the second instance alone: beside a stopped one an errand is refused.
        let run = "/deployments/pg/errands/check/runs";
        let body = r#"{"instances":[{"group":"db","id":"1"}]}"#;
        tokio::task::block_in_place(|| {
            self.lab().iaas.change(|state| {
                state.errands.remove("check");
                state.journal.clear();
            });
            let errand = self.lab().client.send("POST", run, &[], body).unwrap().task();
            let runs = |journal: &[String]| journal.iter().any(|entry| entry == "run_errand check");
            self.lab().iaas.wait_until("the errand", |state| runs(&state.journal));
            TaskId(errand)
        })
    }

    async fn end_errand(&self) {
        self.lab().iaas.change(|state| state.errands.insert("check".into(), 0));
    }

    async fn break_jobs(&self, _of: &Instance) -> bool {
        self.lab().iaas.change(|state| state.state_after_start = Some("failing".into()));
        true
    }

    async fn silence_agent(&self, of: &Instance) -> bool {
        let vm = of.vm.as_ref().unwrap();
        self.lab().iaas.change(|state| state.vms.get_mut(vm).unwrap().silent = true);
        true
    }

    async fn ignore(&self, instance: &Instance) -> bool {
        let path = format!("/deployments/pg/instance_groups/db/{}/ignore", instance.slug.id);
        let json = [("content-type", "application/json")];
        let sent = || self.lab().client.send("PUT", &path, &json, r#"{"ignore":true}"#).unwrap().status;
        assert_eq!(tokio::task::block_in_place(sent), 200);
        true
    }

    async fn lose(&self, lost: Lost, of: Change) -> bool {
        let operation = match of {
            Change::Stop => Operation::Stop,
            Change::Attach => Operation::Attach,
        };
        let kind = match lost {
            Lost::Request => FaultKind::LoseRequest,
            Lost::Answer => FaultKind::LoseAnswer,
        };
        self.lab().director.faults().add(Fault::new(operation, kind, 1));
        true
    }
}

/// A lab whose Director knows the UAA client `remount`, and Remount's client of it.
async fn fresh() -> (Arc<dyn Director>, Arc<dyn Fixture>) {
    let configure = |config: &mut LabDirectorConfig| {
        config.uaa_clients = vec![account("remount", "s", &["bosh.admin"])];
        (config.lock_wait, config.workers) = (LOCK_WAIT, WORKERS);
    };
    let lab = tokio::task::spawn_blocking(move || Landscape::deployed_with(configure)).await.unwrap();
    let ca = NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), lab.director.ca_pem()).unwrap();
    let config: DirectorConfig = serde_json::from_value(json!({
        "url": lab.director.url(), "ca_file": ca.path(), "client_id": "remount", "client_secret": "s"}))
    .unwrap();
    let director = config.open(&RetryPolicy::within(Duration::from_secs(5))).unwrap();
    (Arc::new(director), Arc::new(Lab { lab: Some(lab), _ca: ca }))
}

#[tokio::test(flavor = "multi_thread")]
async fn remounts_client_and_the_labs_director_keep_the_contract() {
    director::run("the lab's Director, by Remount's client", fresh).await.assert_holds();
}
