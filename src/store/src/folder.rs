//! A folder as an object store, for what OpenDAL's file system service does not do as needed here.
//!
//! Writes: an object appears whole or not at all.
//! OpenDAL's create-if-absent on a filesystem writes in place: a crash leaves half an object under its
//! final name, and a reader can see it grow. Here content goes to a temporary file on the same
//! filesystem, is fsynced, and then gets its name by a hard link (which fails where the name is
//! taken) or a rename (which replaces); then the folder is fsynced.
//!
//! Listings: OpenDAL's has no sizes and times, and reading those of 100,000 segments one by one takes seconds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::{Created, Denial, Error, Metadata, ObjectInfo, Result};

/// A folder that holds objects.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    timeout: Duration,
}

/// Holds the files that have no name yet. No object's path begins with a dot.
const TEMPORARY: &str = ".remount-tmp";

/// A temporary file of this age was left by a writer that died.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

impl Folder {
    pub(crate) fn new(root: PathBuf, timeout: Duration) -> Self {
        Self { root, timeout }
    }

    pub(crate) async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let (root, target) = (self.root.clone(), self.root.join(path));
        let metadata = metadata.clone();
        self.call(format!("create {path}"), move || {
            let written = write_temporary(&root, &content, &metadata)?;
            prepare_folder(&root, &target)?;
            let created = link(&written, &target)?;
            // Also where it existed: its writer may have died before it could do this.
            sync_folder_of(&target)?;
            Ok(created)
        })
        .await
    }

    pub(crate) async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        let (root, target) = (self.root.clone(), self.root.join(path));
        self.call(format!("write {path}"), move || {
            let written = write_temporary(&root, &content, &Metadata::new())?;
            prepare_folder(&root, &target)?;
            written.persist(&target).map_err(|error| error.error)?;
            sync_folder_of(&target)
        })
        .await
    }

    /// Every object below the prefix, sorted.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        self.call(format!("list {prefix}"), move || {
            let mut found = Vec::new();
            walk(&root, &root.join(&prefix), &mut found)?;
            found.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(found)
        })
        .await
    }

    /// Runs `work` where it may block, for as long as one call may take. A hung network
    /// filesystem keeps its thread; it does not keep us.
    async fn call<T: Send + 'static>(
        &self,
        action: String,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = tokio::time::timeout(self.timeout, tokio::task::spawn_blocking(work)).await;
        match done {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(failure(action, error)),
            Ok(Err(join)) => Err(Error::Unanswered { action, source: Box::new(join) }),
            Err(elapsed) => Err(Error::Unanswered { action, source: Box::new(elapsed) }),
        }
    }
}

fn failure(action: String, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::Denied { action, denial: Denial::Permission, source: Box::new(error) }
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::Unsupported => {
            Error::Refused { action, source: Box::new(error) }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { action, source: error },
        _ => Error::Unanswered { action, source: Box::new(error) },
    }
}

/// A durable file without its name. It disappears when it is dropped.
fn write_temporary(root: &Path, content: &[u8], metadata: &Metadata) -> io::Result<NamedTempFile> {
    let folder = root.join(TEMPORARY);
    // Not `create_dir_all`: a root that is not there is a filesystem that is not mounted.
    make_folder(root, &folder)?;
    let mut file = NamedTempFile::new_in(&folder)?;
    if let Some((owner, group)) = heir(root)? {
        std::os::unix::fs::fchown(file.as_file(), Some(owner), Some(group))?;
    }
    file.write_all(content)?;
    for (key, value) in metadata {
        set_attribute(file.as_file(), key, value)?;
    }
    file.as_file().sync_all()?;
    delete_abandoned(&folder, file.as_file())?;
    Ok(file)
}

/// Deletes what killed writers left a day or more ago, by the clock that dates files. No writer works
/// that long.
fn delete_abandoned(folder: &Path, new: &File) -> io::Result<()> {
    let now = new.metadata()?.modified()?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(metadata) = unless_gone(entry.metadata())? else {
            continue;
        };
        if now.duration_since(metadata.modified()?).is_ok_and(|age| age >= ABANDONED) {
            unless_gone(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// What was deleted meanwhile is no error: other processes write and delete here, too.
fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    let Some(entries) = unless_gone(fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let Some(metadata) = unless_gone(entry.metadata())? else {
            continue;
        };
        if metadata.is_dir() {
            walk(root, &entry.path(), found)?;
        } else if let Ok(path) = entry.path().strip_prefix(root) {
            let modified = Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
            let path = path.to_string_lossy().into_owned();
            found.push(ObjectInfo { path, size_bytes: metadata.len(), modified });
        }
    }
    Ok(())
}

/// As OpenDAL reads it: an extended attribute in the user's namespace.
fn set_attribute(file: &File, key: &str, value: &str) -> io::Result<()> {
    rustix::fs::fsetxattr(file, format!("user.{key}"), value.as_bytes(), XattrFlags::empty()).map_err(
        |errno| match errno {
            Errno::NOTSUP => io::Error::new(
                io::ErrorKind::Unsupported,
                "the filesystem of `store.root` keeps no extended attributes (user.*)",
            ),
            errno => errno.into(),
        },
    )
}

/// Makes the folders above `target`, each durable in its parent.
fn prepare_folder(root: &Path, target: &Path) -> io::Result<()> {
    let Some(folder) = target.parent() else {
        return Ok(());
    };
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    prepare_folder(root, folder)?;
    make_folder(root, folder)?;
    sync_folder_of(folder)
}

fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => match heir(root)? {
            Some((owner, group)) => std::os::unix::fs::chown(folder, Some(owner), Some(group)),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Who is to own what root writes: the owner of the store's folder. A hook that runs as root would
/// otherwise leave folders into which the archiver, which does not, cannot write.
fn heir(root: &Path) -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let folder = fs::metadata(root)?;
    Ok(Some((folder.uid(), folder.gid())))
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Gives the file its name, unless that is taken. Over NFS a link whose answer was lost is repeated
/// and finds its own name taken: the file then has two.
fn link(written: &NamedTempFile, target: &Path) -> io::Result<Created> {
    match fs::hard_link(written.path(), target) {
        Ok(()) => Ok(Created::New),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let names = written.as_file().metadata()?.nlink();
            Ok(if names > 1 { Created::New } else { Created::Existed })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use remount_core::{OperatorError as _, Retry};

    use super::*;

    #[test]
    fn a_full_filesystem_is_told_as_such_and_not_waited_out() {
        for number in [28, 122] {
            let full = failure("write a".into(), io::Error::from_raw_os_error(number));
            assert!(matches!(full, Error::Full { .. }), "{full:?}");
            assert_eq!(full.retry(), Retry::Never);
            assert!(full.next_step().unwrap().contains("store.root"), "{full:?}");
        }
    }
}
