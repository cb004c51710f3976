//! Files that are there after a power cut: written beside, synced, renamed, the folder synced.
//!
//! A snapshot holds only what was synced, and a crash may come between any two calls. A reader sees
//! the old content or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Why a disk takes nothing more, until an operator does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No room, or none that its owner may use.
    Full,
    /// Its file system is read-only.
    ReadOnly,
}

impl DiskFault {
    /// The fault that an error of the operating system is.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ => None,
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::Full => {
                "free room on the disk of that file (never below pg_wal), or enlarge it (`persistent_disk_type`) and deploy"
            }
            Self::ReadOnly => {
                "read the kernel's log on the instance (`dmesg`): it makes a file system read-only after an error of the disk;                  `bosh recreate --no-converge` the instance mounts the disk again"
            }
        }
    }
}

/// The result of this module's functions.
pub type Result<T, E = FileError> = std::result::Result<T, E>;

/// Only the owner may read what we write: labels and settings name hosts and users.
const MODE: u32 = 0o600;

/// Writes `content` to `path` in the place of whatever was there. The file belongs to the owner of
/// its folder: the hooks run as root, PostgreSQL does not.
///
/// # Errors
/// The file system's; the old file is then still there, and nothing of the new one.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let beside = beside(path);
    let written = write_beside(folder, &beside, content).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // What cannot be removed is replaced by the next attempt.
        fs::remove_file(&beside).ok();
        return Err(at(path)(error));
    }
    sync_folder(folder)
}

/// Removes a file and syncs its folder. One that is already gone counts as removed.
///
/// # Errors
/// The file system's.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("/"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(path)(error)),
    }
}

/// The content of a file; none where there is no such file.
///
/// # Errors
/// The file system's; "no such file" is not one.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes a folder (and those above it) and gives the new ones to the owner of the first that existed.
///
/// # Errors
/// The file system's.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new("/"));
    create_folder(above)?;
    match fs::create_dir(path) {
        Ok(()) => {}
        // The other job's hook runs at the same moment and was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(at(path)(error)),
    }
    let owner = fs::metadata(above).map_err(at(above))?;
    std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).map_err(at(path))?;
    sync_folder(above)
}

/// Makes names in `folder` durable: creations, renames and removals.
///
/// # Errors
/// The file system's.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Makes everything on the file system of `path` durable.
///
/// # Errors
/// The file system's.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let folder = File::open(path).map_err(at(path))?;
    rustix::fs::syncfs(&folder).map_err(|error| at(path)(error.into()))
}

/// Names the file of an error.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { path, source }
}

/// One fixed name per file: what a crash leaves is replaced by the next attempt.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".remount-new");
    path.with_file_name(name)
}

/// A new file in any case: what lies there may be another user's, or a link.
fn write_beside(folder: &Path, beside: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    let owner = fs::metadata(folder)?;
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) != (owner.uid(), owner.gid()) {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("label");
        write(&path, b"first, and longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the file beside was left over");
    }

    /// A folder stands where the file is to go: all but the last call succeeds.
    #[test]
    fn what_was_written_beside_is_removed_where_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("label");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"ours").unwrap_err();
        assert_eq!(error.path, path, "the file that was wanted is named");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the file beside was left over");
    }

    #[test]
    fn a_full_and_a_read_only_disk_are_told_from_other_faults() {
        let fault = |number| DiskFault::of(&io::Error::from_raw_os_error(number));
        let (full, quota, read_only, denied) = (28, 122, 30, 13);
        assert_eq!([full, quota].map(fault), [Some(DiskFault::Full); 2]);
        assert_eq!([read_only, denied].map(fault), [Some(DiskFault::ReadOnly), None]);
    }

    #[test]
    fn a_link_beside_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("label"), folder.path().join("target"));
        fs::write(&target, "of another").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join("label.remount-new")).unwrap();
        write(&path, b"ours").unwrap();
        assert_eq!(read(&target).unwrap().unwrap(), b"of another");
        assert_eq!(read(&path).unwrap().unwrap(), b"ours");
    }

    #[test]
    fn what_is_gone_counts_as_removed_and_reads_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        remove(&folder.path().join("gone")).unwrap();
        assert_eq!(read(&folder.path().join("gone")).unwrap(), None);
    }
}
