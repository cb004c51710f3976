//! What the errands' templates render for each cloud (`spec/golden/clouds/`, written by `spec/errands_spec.rb`)
//! is what the program reads: the same names, the same rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use remount_cloud::{CloudConfig, Error};
use remount_host::RetryPolicy;

#[test]
fn every_cloud_is_read_as_it_is_rendered_and_refused_at_use() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/golden/clouds");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let policy = RetryPolicy::within(Duration::ZERO);
    assert_eq!(files.len(), 10, "five clouds with two sources of credentials each: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let config: CloudConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(config.problems(), Vec::<String>::new(), "{}", file.display());
        let cloud = file.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap();
        assert!(
            matches!(config.open(&policy), Err(Error::NoAdapter { cloud: named, .. }) if named == cloud),
            "{}",
            file.display()
        );
    }
}
