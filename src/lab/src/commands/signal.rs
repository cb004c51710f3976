//! Signals to the processes of a VM, by their name.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal to every process of that name in the process namespace of a VM, given by its first process, and
/// answers how many there were.
pub(super) fn signal_named(init: &str, name: &str, signal: Signal) -> Result<u32> {
    let namespace = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|data| data.ino()).ok();
    let vm = namespace(init).context("the VM is gone")?;
    let mut reached = 0;
    for entry in fs::read_dir("/proc").context("list the processes")?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim_end() != name || namespace(&pid) != Some(vm) {
            continue;
        }
        let target = pid.parse().ok().and_then(Pid::from_raw).context("a process without a number")?;
        match kill_process(target, signal) {
            Ok(()) => reached += 1,
            Err(Errno::SRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("send {signal:?} to process {pid}")),
        }
    }
    Ok(reached)
}
