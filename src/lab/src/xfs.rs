//! An XFS with reflink in an image file: where a landscape's disks lie.
//!
//! Nothing here unmounts. The mount is made in a mount namespace of its own (`unshare --mount`),
//! with a loop device that frees itself; when the last process of the namespace is gone, even by
//! `kill -9`, the kernel has taken both away.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use crate::vm::loops;

/// Makes a sparse image of `gib` GiB with an XFS in it, unless the file exists.
///
/// # Errors
/// `mkfs.xfs` (package `xfsprogs`) is missing or fails.
pub fn make_image(image: &Path, gib: u64) -> io::Result<()> {
    if image.exists() {
        return Ok(());
    }
    let half = image.with_extension("new");
    File::create(&half)?.set_len(gib << 30)?;
    run(Command::new("mkfs.xfs").args(["-q", "-f", "-m", "reflink=1"]).arg(&half))?;
    fs::rename(&half, image)
}

/// Mounts the image at `target`, which is made. Only in a mount namespace that is not the machine's.
///
/// # Errors
/// This process lives in the machine's own mount namespace, or `mount` fails.
pub fn mount_privately(image: &Path, target: &Path) -> io::Result<()> {
    // Some machines let nobody look at process 1; there the caller's word has to do.
    let machines = fs::read_link("/proc/1/ns/mnt").ok();
    if machines == Some(fs::read_link("/proc/self/ns/mnt")?) {
        let text = "this process shares the machine's mount namespace: start it with `unshare --mount`";
        return Err(io::Error::other(text));
    }
    fs::create_dir_all(target)?;
    run(&mut loops::mount(image, target))
}

/// Runs a program to its end; its own words are the error.
fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{:?}: {}: {}", command.get_program(), output.status, said.trim())))
}
