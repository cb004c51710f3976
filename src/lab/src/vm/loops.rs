//! Loop devices as the kernel lists them. A disk image behind two loop devices at once would be a
//! file system mounted twice: written to pieces. So the kernel is asked, and waited for.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How often the kernel is asked while waiting.
const POLL: Duration = Duration::from_millis(5);

/// Detaching a device that is open makes it free itself: at the unmount, or when the shell ends before the
/// mount, however it ends.
const MOUNT: &str = r#"
set -- "$1" "$2" "${3:-0}" "${4:-0}" "${5:-512}"
attach() { losetup --find --show --offset "$3" --sizelimit "$4" "${@:6}" "$1"; }
device=$(attach "$@" --direct-io=on --sector-size "$5" 2> /dev/null || attach "$@") || exit
exec 3<>"$device"
losetup --detach "$device" || exit
mount "$device" "$2"
"#;

/// What mounts the image, or a part of it: further arguments are offset, size and sector size, in bytes.
///
/// The loop device has no page cache of its own where the file system below allows that. So it is as with a
/// real disk: what was synced is written, and nothing goes on being written behind it.
#[must_use]
pub fn mount(image: &Path, target: &Path) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", MOUNT, "mount"]).arg(image).arg(target);
    command
}

/// The loop devices whose backing file has this name.
///
/// The kernel shows the path as far as the asker's mount namespace can see it, so names are
/// compared, not paths; images are named by a CID, which nothing else has.
///
/// # Errors
/// `/sys/block` cannot be read.
pub fn of_image(image: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = image.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    with_backing(|path| path.rsplit('/').next() == Some(name))
}

fn with_backing(matches: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let device = entry?.file_name();
        // The file is there only while the device has a backing file.
        let backing = Path::new("/sys/block").join(&device).join("loop/backing_file");
        let Ok(path) = fs::read_to_string(backing) else { continue };
        if matches(path.trim().trim_end_matches(" (deleted)")) {
            found.push(Path::new("/dev").join(device));
        }
    }
    Ok(found)
}

/// Waits until no loop device has this very file, which the asker can see.
///
/// # Errors
/// The limit passes, or `/sys/block` cannot be read.
pub fn wait_released_file(file: &Path, limit: Duration) -> io::Result<()> {
    wait_none(file, limit, || with_backing(|path| Path::new(path) == file))
}

/// Waits until no loop device has the image: the last unmount of a namespace happens after its
/// last process is gone, not with it.
///
/// # Errors
/// The limit passes, or `/sys/block` cannot be read.
pub fn wait_released(image: &Path, limit: Duration) -> io::Result<()> {
    wait_none(image, limit, || of_image(image))
}

fn wait_none(file: &Path, limit: Duration, look: impl Fn() -> io::Result<Vec<PathBuf>>) -> io::Result<()> {
    let until = Instant::now() + limit;
    loop {
        let devices = look()?;
        if devices.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let text = format!("{} is still in use by {devices:?}", file.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(POLL);
    }
}
