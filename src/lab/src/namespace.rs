//! Tests that mount: each runs again as a process of its own in its own mount and PID namespace,
//! so that the kernel cleans up after it whether it ends, panics or is killed.

use std::path::Path;
use std::process::Command;

/// Set in the second run of the test, to its folder.
const INSIDE: &str = "REMOUNT_LAB_TEST_NAMESPACE";

/// Runs `body` in a namespace of its own, with a temporary folder that the outer process removes;
/// `test` is the test's full name as `cargo test` lists it.
///
/// The processes of the body see PIDs of their own, but `/proc` is the machine's.
///
/// # Panics
/// The body does, or this is not run by root.
pub fn run_test(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return body(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("a test knows its program");
    let status = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--"])
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, folder.path())
        .status()
        .expect("unshare (util-linux) runs");
    assert!(status.success(), "{test} failed in its namespace (it needs root): {status}");
}
