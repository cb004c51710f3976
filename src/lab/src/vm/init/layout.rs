//! The VM's view of the file system: `/var/vcap` with the folders and owners of a stemcell.
//!
//! # Source
//! bosh-agent, `platform/linux_platform.go`, `SetupDataDir`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind};

use crate::vm::protocol::Boot;

/// The user and group of the jobs' processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vcap {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Mounts and makes everything.
pub(super) fn make(boot: &Boot) -> io::Result<()> {
    let vcap = vcap()?;
    rustix::system::sethostname(boot.hostname.as_bytes())?;
    let root = Path::new("/var/vcap");
    fs::create_dir_all(root)?;
    mount_bind(&boot.vcap, root)?;
    for (path, mode) in [
        ("data", 0o755),
        ("data/sys", 0o755),
        ("data/sys/log", 0o750),
        ("data/sys/run", 0o750),
        ("jobs", 0o750),
        ("packages", 0o755),
        ("bosh", 0o755),
        ("store", 0o700),
    ] {
        folder(&root.join(path), mode, 0, vcap.gid)?;
    }
    symlink("data/sys", root.join("sys"))?;
    for (path, source) in &boot.binds {
        bind(source, &root.join(path))?;
    }
    // Processes count their own namespace's PIDs: the machine's /proc would show them strangers.
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    // Shared memory must end with the VM, and not meet another VM's of the same name.
    mount("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    Ok(())
}

/// Makes a folder with this mode and these owners, parents included where they are missing.
pub(super) fn folder(path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    chown(path, Some(uid), Some(gid))
}

/// Lets a file or folder of the machine appear on the VM, whatever stands above it there.
fn bind(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if source.is_dir() {
        fs::create_dir_all(target)?;
    } else {
        fs::write(target, "")?;
    }
    let bound = mount_bind(source, target);
    bound.map_err(|errno| {
        io::Error::other(format!("bind {} to {}: {errno}", source.display(), target.display()))
    })
}

/// The user `vcap`, which every stemcell has.
pub(super) fn vcap() -> io::Result<Vcap> {
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some("vcap")).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Vcap { uid, gid })
    });
    ids.ok_or_else(|| {
        io::Error::other("this machine has no user `vcap`: `useradd --system --create-home vcap`")
    })
}

/// The folder of one job.
pub(super) fn job(name: &str) -> PathBuf {
    Path::new(crate::vm::paths::JOBS).join(name)
}
