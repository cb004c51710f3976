//! The release's own jobs and manifests, rendered by its own renderer.

use std::collections::BTreeMap;
use std::path::Path;

use remount_lab::director::fill_in;
use serde_json::json;

use crate::landscape::Landscape;

#[test]
fn the_releases_own_manifests_deploy() {
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lab = Landscape::with(|c| {
        c.render.arguments = vec![release.join("spec/renderer/render.rb").to_string_lossy().into_owned()];
        c.release_dir = release.clone();
    });
    let store = json!({"type": "fs", "root": "/var/vcap/store/objects", "timeout_seconds": 30});
    let variables = BTreeMap::from([
        ("deployment_name".to_owned(), json!("pg-0001")),
        ("persistent_disk_mib".to_owned(), json!(2048)),
        ("backup_deployments".to_owned(), json!(["pg-0001"])),
        ("store".to_owned(), store),
        ("cloud".to_owned(), json!({"type": "local", "local": {"root": "/cloud"}})),
        (
            "director".to_owned(),
            json!({"url": lab.director.url(), "ca": lab.director.ca_pem(), "username": "admin", "password": "x"}),
        ),
    ]);
    for name in ["postgres", "remount"] {
        let text = std::fs::read_to_string(release.join(format!("manifests/{name}.yml"))).unwrap();
        // The Director's own schedule is kept; a second each is enough here.
        let text = fill_in(&text.replace("1000-60000", "5"), &variables).unwrap();
        lab.client.done(&lab.deploy(&text));
    }
    let errands = lab.client.get("/deployments/remount/errands").json();
    let expected = ["restore", "backup", "drill", "prune"].map(|name| json!({ "name": name }));
    assert_eq!(errands, json!(expected));
    let state = lab.iaas.state();
    let primary = state.vms.values().find(|vm| vm.spec.deployment == "pg-0001").unwrap();
    let names: Vec<&str> = primary.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["postgres", "remount-agent"]);
    assert!(primary.jobs[1].files["config/agent.json"].content.contains("pg-0001"));
    let control = state.vms.values().find(|vm| vm.spec.deployment == "remount").unwrap();
    let names: Vec<&str> = control.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["restore", "backup", "drill", "prune", "remount"], "the addon's job is there too");
    assert!(primary.jobs[0].files["bin/pre-start"].executable);
    assert_eq!(primary.jobs[0].packages, ["postgres-15", "postgres-17", "remount-agent"]);
}
