//! What the job `remount` renders for each cloud (`spec/golden/clouds/`, written by `spec/remount_spec.rb`) is what the
//! program reads: the same names, the same rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use remount_cloud::{CloudConfig, Error};
use remount_host::RetryPolicy;

/// Every cloud that a configuration may name, as the parser lists them.
fn clouds() -> BTreeSet<String> {
    let error = serde_json::from_str::<CloudConfig>(r#"{"type": "moon"}"#).unwrap_err().to_string();
    let names = error.split('`').skip(3).step_by(2).map(str::to_owned);
    names.collect()
}

#[test]
fn every_cloud_is_read_as_it_is_rendered_and_refused_at_use() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/golden/clouds");
    let policy = RetryPolicy::within(Duration::ZERO);
    let mut seen = BTreeSet::from(["local".to_owned()]);
    for file in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let config: CloudConfig =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let cloud = file.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap();
        assert!(
            matches!(config.open(&policy), Err(Error::NoAdapter { cloud: named, .. }) if named == cloud),
            "{}",
            file.display()
        );
        seen.insert(cloud.to_owned());
    }
    assert_eq!(seen, clouds());
}
