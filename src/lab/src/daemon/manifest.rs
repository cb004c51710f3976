//! What the lab changes in the release's own manifests, beyond filling in the operator's variables.

use serde_json::{Value, json};

/// Customers come by loopback; commit times are tracked, so that the stories know what was committed when; transactions can be prepared; and
/// a test sees within seconds that a broken store is refused and a dead process's lease ends.
pub fn for_the_lab(manifest: &mut Value) {
    for part in ["instance_groups", "addons"] {
        let groups = manifest.get_mut(part).and_then(Value::as_array_mut);
        groups
            .into_iter()
            .flatten()
            .filter_map(|group| group["jobs"].as_array_mut())
            .flatten()
            .for_each(change);
    }
}

fn change(job: &mut Value) {
    let name = job["name"].as_str().unwrap_or_default().to_owned();
    let properties = &mut job["properties"];
    match name.as_str() {
        "postgres" => {
            properties["client_cidrs"] = json!(["127.0.0.0/8"]);
            properties["settings"] = json!({"track_commit_timestamp": "on", "max_prepared_transactions": 10});
        }
        "remount-agent" => properties["pre_start"]["deadline_seconds"] = json!(20),
        "remount" => properties["backup"]["lease_seconds"] = json!(10),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manifest_says_beside_it_stays() {
        let mut manifest = json!({
            "instance_groups": [{"jobs": [{"name": "bpm"}, {"name": "remount-agent", "properties": {"listen_port": 1}}]}],
            "addons": [{"jobs": [{"name": "remount", "properties": {"agents": {"port": 7443}}}]}],
        });
        for_the_lab(&mut manifest);
        let mut without = json!({"instance_groups": []});
        for_the_lab(&mut without);
        assert_eq!(without, json!({"instance_groups": []}));
        let agent = &manifest["instance_groups"][0]["jobs"][1]["properties"];
        assert_eq!(*agent, json!({"listen_port": 1, "pre_start": {"deadline_seconds": 20}}));
        let remount = &manifest["addons"][0]["jobs"][0]["properties"];
        assert_eq!(*remount, json!({"agents": {"port": 7443}, "backup": {"lease_seconds": 10}}));
    }
}
