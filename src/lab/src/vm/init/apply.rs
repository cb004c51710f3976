//! `apply`: the jobs' files replace those on the VM, with the owners and modes a real agent gives them.
//!
//! # Source
//! bosh-agent, `agent/applier/jobs/owner_fix.go`: root:vcap; folders and `bin/*` 0750, the rest 0640.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Component, Path};

use super::layout::{self, folder};
use crate::vm::paths::{JOBS, LOGS};
use crate::vm::protocol::Job;

/// The job whose place the lab's supervisor takes.
const BPM: &str = "/var/vcap/sys/run/bpm";

/// Writes the jobs and removes those that are no longer there.
pub(super) fn apply(jobs: &[Job]) -> io::Result<()> {
    let vcap = layout::vcap()?;
    for entry in fs::read_dir(JOBS)? {
        let entry = entry?;
        if !jobs.iter().any(|job| entry.file_name() == job.name.as_str()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    folder(Path::new(BPM), 0o755, 0, vcap.gid)?;
    for job in jobs {
        for place in [LOGS, "/var/vcap/sys/run"] {
            let path = Path::new(place).join(&job.name);
            if !path.exists() {
                folder(&path, 0o770, 0, vcap.gid)?;
            }
        }
        write(job, vcap.gid)?;
    }
    Ok(())
}

/// Files are written beside the old ones and then renamed over, so that a script that runs just
/// now never sees half of one.
fn write(job: &Job, group: u32) -> io::Result<()> {
    let (target, fresh) = (layout::job(&job.name), layout::job(&format!(".{}.new", job.name)));
    remove(&fresh)?;
    folder(&fresh, 0o750, 0, group)?;
    for (path, content) in &job.files {
        let relative = Path::new(path);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("job {}: {path} is not a path below the job", job.name)));
        }
        for parent in relative.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            folder(&fresh.join(parent), 0o750, 0, group)?;
        }
        let file = fresh.join(relative);
        let mode = if relative.starts_with("bin") { 0o750 } else { 0o640 };
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        chown(&file, Some(0), Some(group))?;
    }
    remove(&target)?;
    fs::rename(&fresh, &target)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
