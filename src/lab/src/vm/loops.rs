//! Loop devices as the kernel lists them. A disk image behind two loop devices at once would be a
//! file system mounted twice: written to pieces. So the kernel is asked, and waited for.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How often the kernel is asked while waiting.
const POLL: Duration = Duration::from_millis(5);

/// The loop devices whose backing file has this name.
///
/// The kernel shows the path as far as the asker's mount namespace can see it, so names are
/// compared, not paths; images are named by a CID, which nothing else has.
///
/// # Errors
/// `/sys/block` cannot be read.
pub fn of_image(image: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = image.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let device = entry?.file_name();
        // The file is there only while the device has a backing file.
        let backing = Path::new("/sys/block").join(&device).join("loop/backing_file");
        let Ok(path) = fs::read_to_string(backing) else { continue };
        let path = path.trim().trim_end_matches(" (deleted)");
        if path.rsplit('/').next() == Some(name) {
            found.push(Path::new("/dev").join(device));
        }
    }
    Ok(found)
}

/// Waits until no loop device has the image: the last unmount of a namespace happens after its
/// last process is gone, not with it.
///
/// # Errors
/// The limit passes, or `/sys/block` cannot be read.
pub fn wait_released(image: &Path, limit: Duration) -> io::Result<()> {
    let until = Instant::now() + limit;
    loop {
        let devices = of_image(image)?;
        if devices.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let text = format!("{} is still in use by {devices:?}", image.display());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        thread::sleep(POLL);
    }
}
