//! The persistent disk: partitioned and formatted if it is empty, grown if it became larger, mounted.
//!
//! The image is worked on as a file, and the loop device is made for the mount, at the partition's
//! offset (kernels need not scan loop devices for partitions) and freeing itself at the unmount: no
//! crash leaves one behind.
//!
//! # Source
//! `docs/reference/bosh-director.md`, section 11; bosh-agent, `platform/linux_platform.go` and `platform/disk`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::processes::Processes;
use crate::vm::loops;
use crate::vm::paths::STORE;

/// A partition that lacks more than this of its disk is grown; less is what tools leave free.
const SLACK_BYTES: u64 = 100 << 20;
/// How long an unmount waits for whoever still uses the disk. (A real agent waits half an hour.)
const UNMOUNT_LIMIT: Duration = Duration::from_secs(60);
/// How often it tries.
const UNMOUNT_POLL: Duration = Duration::from_millis(20);
/// How long the kernel may take to let go of the image afterwards.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);
/// Where a disk is mounted while another one is at `/var/vcap/store`.
const MIGRATION_TARGET: &str = "/var/vcap/store_migration_target";
/// Where the agent notes which disk is the persistent one.
const SETTINGS: &str = "/var/vcap/bosh/managed_disk_settings.json";

/// A disk that is mounted.
#[derive(Debug)]
struct Mounted {
    cid: String,
    image: PathBuf,
    at: &'static str,
}

/// What is mounted: one disk at `/var/vcap/store`, and while the Director migrates its content to
/// another, that one beside it.
#[derive(Debug)]
pub(super) struct Disk {
    tools: Arc<Processes>,
    mounted: Vec<Mounted>,
}

/// Partition 1, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    offset: u64,
    size: u64,
}

impl Disk {
    pub(super) fn new(tools: Arc<Processes>) -> Self {
        Self { tools, mounted: Vec::new() }
    }

    /// Mounts the disk at `/var/vcap/store`, or beside it where another disk is there already.
    pub(super) fn mount(&mut self, cid: &str, image: &Path) -> io::Result<()> {
        let at = match &self.mounted[..] {
            mounted if mounted.iter().any(|mounted| mounted.cid == cid) => return Ok(()),
            [] => STORE,
            [one] if one.at == STORE => MIGRATION_TARGET,
            _ => return Err(io::Error::other(format!("{:?} are mounted already", self.list()))),
        };
        loops::wait_released(image, RELEASE_LIMIT)?;
        let (partition, grown) = partition(&self.tools, image)?;
        let found = file_system(&self.tools, image, partition)?;
        match found.as_deref() {
            None => format(&self.tools, image, partition)?,
            Some("ext4") if grown => grow_ext4(&self.tools, image, partition)?,
            Some(_) => {}
        }
        mount_partition(&self.tools, image, partition, at)?;
        self.mounted.push(Mounted { cid: cid.to_owned(), image: image.to_owned(), at });
        if grown && found.as_deref() == Some("xfs") {
            run(&self.tools, Command::new("xfs_growfs").arg(at))?;
        }
        fs::write(SETTINGS, cid)
    }

    /// Unmounts the disk; one that is not mounted counts as unmounted.
    pub(super) fn unmount(&mut self, cid: &str) -> io::Result<()> {
        let Some(index) = self.mounted.iter().position(|mounted| mounted.cid == cid) else { return Ok(()) };
        unmount_with_retries(self.mounted[index].at)?;
        let unmounted = self.mounted.remove(index);
        loops::wait_released(&unmounted.image, RELEASE_LIMIT)
    }

    /// Copies `/var/vcap/store` to the disk beside it, which then takes its place.
    pub(super) fn migrate(&mut self, from: &str, to: &str) -> io::Result<()> {
        let at = |cid: &str| self.mounted.iter().find(|mounted| mounted.cid == cid).map(|mounted| mounted.at);
        if (at(from), at(to)) != (Some(STORE), Some(MIGRATION_TARGET)) {
            let text = format!("{from} is not at {STORE}, or {to} not at {MIGRATION_TARGET}");
            return Err(io::Error::other(text));
        }
        run(&self.tools, Command::new("mount").args(["-o", "remount,ro", STORE]))?;
        let copied =
            run(&self.tools, Command::new("bash").args(["-c", COPY, "copy", STORE, MIGRATION_TARGET]));
        if copied.is_err() {
            // The old disk goes on being the disk, so it must be writable again.
            run(&self.tools, Command::new("mount").args(["-o", "remount,rw", STORE]))?;
            return copied;
        }
        self.unmount(from)?;
        let image =
            self.mounted.iter().find(|mounted| mounted.cid == to).map(|mounted| mounted.image.clone());
        self.unmount(to)?;
        image.map_or(Ok(()), |image| self.mount(to, &image))
    }

    /// The CIDs of the mounted disks.
    pub(super) fn list(&self) -> Vec<String> {
        self.mounted.iter().map(|mounted| mounted.cid.clone()).collect()
    }
}

/// As the agent copies: sparse files stay sparse, extended attributes are kept.
const COPY: &str = r#"
set -o pipefail
tar -C "$1" --xattrs --xattrs-include='*.*' --sparse -cf - . | tar -C "$2" --xattrs --xattrs-include='*.*' -xpf -
"#;

fn unmount_with_retries(at: &str) -> io::Result<()> {
    let until = Instant::now() + UNMOUNT_LIMIT;
    loop {
        match unmount(at, UnmountFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < until => thread::sleep(UNMOUNT_POLL),
            Err(Errno::BUSY) => {
                let seconds = UNMOUNT_LIMIT.as_secs();
                let text = format!("umount: {at}: target is busy (for {seconds} s; used by {})", users(at));
                return Err(io::Error::other(text));
            }
            Err(other) => return Err(other.into()),
        }
    }
}

/// The processes that have something open below the mount point.
fn users(at: &str) -> String {
    let below = |path: io::Result<PathBuf>| path.is_ok_and(|path| path.starts_with(at));
    let uses = |folder: &Path| {
        let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        below(fs::read_link(folder.join("cwd"))) || open.into_iter().any(|fd| below(fs::read_link(fd.path())))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let found: Vec<String> = entries
        .filter(|folder| uses(folder))
        .filter_map(|folder| {
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            Some(format!("{} ({})", folder.file_name()?.to_str()?, name.trim()))
        })
        .collect();
    if found.is_empty() { "nobody in this VM".to_owned() } else { found.join(", ") }
}

/// The first partition, made if there is no table and grown if the disk is larger by now.
fn partition(tools: &Processes, image: &Path) -> io::Result<(Partition, bool)> {
    let size = fs::metadata(image)?.len();
    match partitions(tools, image)?.as_deref() {
        None | Some([]) => {
            let table = ["mklabel", "msdos", "mkpart", "primary", "ext4", "1MiB", "100%"];
            run(tools, parted(image).args(table))?;
            Ok((single(tools, image)?, false))
        }
        Some([found]) if size.saturating_sub(found.offset + found.size) > SLACK_BYTES => {
            run(tools, parted(image).args(["resizepart", "1", "100%"]))?;
            Ok((single(tools, image)?, true))
        }
        Some([found]) => Ok((*found, false)),
        Some(several) => {
            let text = format!("{} partitions found on a persistent disk, expected 1", several.len());
            Err(io::Error::other(text))
        }
    }
}

fn single(tools: &Processes, image: &Path) -> io::Result<Partition> {
    match partitions(tools, image)?.as_deref() {
        Some([found]) => Ok(*found),
        other => Err(io::Error::other(format!("expected one partition, found {other:?}"))),
    }
}

fn parted(image: &Path) -> Command {
    let mut command = Command::new("parted");
    command.args(["--script", "--machine"]).arg(image).args(["unit", "B"]);
    command
}

/// The partitions; none where there is no table.
fn partitions(tools: &Processes, image: &Path) -> io::Result<Option<Vec<Partition>>> {
    let output = tools.output(parted(image).arg("print"), "")?;
    if output.code == 0 {
        return Ok(Some(output.stdout.lines().filter_map(partition_line).collect()));
    }
    // The complaint is on either stream, by version.
    let said = output.stdout + &output.stderr;
    if said.contains("unrecognised disk label") {
        Ok(None)
    } else {
        Err(io::Error::other(said.trim().to_owned()))
    }
}

/// `1:1048576B:268435455B:267386880B:ext4::;` is number, start, end, size.
fn partition_line(line: &str) -> Option<Partition> {
    let mut fields = line.split(':');
    fields.next()?.parse::<u32>().ok()?;
    let bytes = |field: &str| field.strip_suffix('B')?.parse().ok();
    Some(Partition { offset: bytes(fields.next()?)?, size: bytes(fields.nth(1)?)? })
}

/// The type of the file system on the partition; none where `blkid` finds none.
fn file_system(tools: &Processes, image: &Path, partition: Partition) -> io::Result<Option<String>> {
    /// `blkid`: nothing was found. Any other failure must not lead to a format.
    const NOTHING: i32 = 2;
    let (offset, size) = (partition.offset.to_string(), partition.size.to_string());
    let mut command = Command::new("blkid");
    command.args(["-p", "-O", &offset, "-S", &size, "-o", "value", "-s", "TYPE"]).arg(image);
    let output = tools.output(&mut command, "")?;
    if output.code == NOTHING {
        return Ok(None);
    }
    let found = output.stdout.trim().to_owned();
    if output.code == 0 && matches!(found.as_str(), "ext4" | "xfs") {
        return Ok(Some(found));
    }
    let said = output.stderr.trim();
    Err(io::Error::other(format!("blkid: exit status {}: found `{found}`: {said}", output.code)))
}

fn format(tools: &Processes, image: &Path, partition: Partition) -> io::Result<()> {
    let at = format!("offset={},nodiscard", partition.offset);
    let size = format!("{}k", partition.size >> 10);
    let blocks = ["-b", SECTOR_BYTES, "-E", &at];
    run(tools, Command::new("mkfs.ext4").args(["-q", "-F"]).args(blocks).arg(image).arg(size))
}

/// What direct access to files on XFS is aligned to; so ext4's blocks are not smaller.
const SECTOR_BYTES: &str = "4096";

fn mount_partition(tools: &Processes, image: &Path, partition: Partition, at: &str) -> io::Result<()> {
    fs::create_dir_all(at)?;
    let (offset, size) = (partition.offset.to_string(), partition.size.to_string());
    run(tools, loops::mount(image, Path::new(at)).args([&offset, &size, SECTOR_BYTES]))
}

/// Checks and grows an ext4 on a loop device that frees itself when the shell ends, however it
/// ends: detaching a device that is open means exactly that.
///
/// Not at an offset of the file: there `e2fsck` loses its way after replaying a journal, and
/// `resize2fs` cuts the file short. Not mounted: that takes CAP_SYS_RESOURCE, which sandboxes like
/// to withhold.
const GROW_EXT4: &str = r#"
device=$(losetup --find --show --offset "$2" --sizelimit "$3" "$1") || exit
exec 3<>"$device"
losetup --detach "$device" || exit
e2fsck -f -p "$device" >&2
[ $? -le 1 ] && resize2fs "$device" >&2
"#;

fn grow_ext4(tools: &Processes, image: &Path, partition: Partition) -> io::Result<()> {
    let (offset, size) = (partition.offset.to_string(), partition.size.to_string());
    run(tools, Command::new("sh").args(["-c", GROW_EXT4, "grow"]).arg(image).args([offset, size]))?;
    loops::wait_released(image, RELEASE_LIMIT)
}

/// Runs a program to its end; its own words are the error.
fn run(tools: &Processes, command: &mut Command) -> io::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = tools.output(command, "")?;
    if finished.code == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("{name}: exit status {}: {}", finished.code, finished.stderr.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_partitions_are_partitions() {
        assert_eq!(partition_line("BYT;"), None);
        assert_eq!(partition_line("/x.img:268435456B:file:512:512:msdos::;"), None);
        let found = partition_line("1:1048576B:268435455B:267386880B:ext4::;");
        assert_eq!(found, Some(Partition { offset: 1_048_576, size: 267_386_880 }));
    }
}
