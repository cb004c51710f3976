//! Putting a file where PostgreSQL wants it: whole, durable, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `content` under a name of its own in the same folder, so on the same filesystem, and renames
/// it. One fetch at a time writes one target; what a killed one left is overwritten by the next.
pub fn deliver(content: &[u8], target: &Path) -> Result<()> {
    let temporary = temporary_for(target);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    write_durably(content, &temporary).map_err(failed(&temporary))?;
    fs::rename(&temporary, target).map_err(failed(target))?;
    sync_folder_of(target).map_err(failed(target))
}

fn temporary_for(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".remount");
    name.into()
}

fn write_durably(content: &[u8], path: &Path) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
