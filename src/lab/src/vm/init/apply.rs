//! `apply`: the jobs' files replace those on the VM, with the owners and modes a real agent gives them; and the
//! packages that these jobs name are found, no others.
//!
//! # Source
//! bosh-agent, `agent/applier/jobs/owner_fix.go`: root:vcap; folders and `bin/*` 0750, the rest 0640.
//! `agent/applier/packages/compiled_package_applier.go`: installed below `data/packages`, enabled by a link.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Component, Path};

use super::layout::{self, folder};
use crate::vm::paths::{INSTALLED, JOBS, LOGS, PACKAGES};
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
    enable_packages(jobs)?;
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

/// A package that this landscape does not have (PostgreSQL 17 without compiled packages) is not there: whoever wants it
/// says so by its path.
fn enable_packages(jobs: &[Job]) -> io::Result<()> {
    let wanted: BTreeSet<&String> = jobs.iter().flat_map(|job| &job.packages).collect();
    for entry in fs::read_dir(PACKAGES)? {
        let entry = entry?;
        if !wanted.iter().any(|package| entry.file_name() == package.as_str()) {
            fs::remove_file(entry.path())?;
        }
    }
    for package in wanted {
        let (link, installed) = (Path::new(PACKAGES).join(package), Path::new(INSTALLED).join(package));
        if installed.exists() && !link.exists() {
            symlink(installed, link)?;
        }
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
