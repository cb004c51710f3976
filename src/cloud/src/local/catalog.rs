//! What every operation on the local cloud rests on: the lock, the documents, what an interrupted create left.
//!
//! An object exists when its document exists. The image is made first and the document last, the document is removed
//! first and the image last; so an image without a document is what a crash left, and the next change removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fs2::FileExt as _;
use remount_core::RequestKey;

use super::errors::{broken, refused};
use super::record::{self, DiskRecord, FORMAT, Quota, Record, SnapshotRecord};
use crate::{Error, Result, Tags, tag};

/// How long a change waits for the lock before it answers "busy".
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// Between two attempts meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The image files of one local cloud. Blocking; see [`super::LocalCloud`] for the async face.
#[derive(Clone, Debug)]
pub struct LocalDisks {
    pub(super) root: PathBuf,
}

impl LocalDisks {
    /// Makes the folders of a new cloud below `root`, or opens what is there.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        for folder in [DiskRecord::FOLDER, SnapshotRecord::FOLDER] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(folder));
            made.map_err(|error| broken(&format!("make {}", root.join(folder).display()), error))?;
        }
        Ok(Self { root })
    }

    /// Opens the cloud at `root`.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none: a typing error in `cloud.root` must not look like an
    /// account without disks.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if root.join(DiskRecord::FOLDER).is_dir() && root.join(SnapshotRecord::FOLDER).is_dir() {
            return Ok(Self { root });
        }
        let detail = format!("{} holds no folders `disks` and `snapshots`", root.display());
        Err(refused("open the local cloud", detail))
    }

    /// Takes the lock of every change; freed on drop, and by the kernel when its holder dies.
    pub(super) fn lock(&self, action: &str) -> Result<File> {
        let options =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join("lock"));
        let file = options.map_err(|error| broken(action, error))?;
        let until = Instant::now() + LOCK_WAIT;
        while let Err(error) = file.try_lock_exclusive() {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(broken(action, error));
            }
            if Instant::now() >= until {
                let detail = format!("{}/lock is held for {} s", self.root.display(), LOCK_WAIT.as_secs());
                return Err(Error::Busy { action: action.to_owned(), detail });
            }
            thread::sleep(LOCK_POLL);
        }
        Ok(file)
    }

    pub(super) fn path<R: Record>(&self, cid: &str, extension: &str) -> PathBuf {
        self.root.join(R::FOLDER).join(format!("{cid}.{extension}"))
    }

    pub(super) fn record<R: Record>(&self, cid: &str) -> Result<Option<R>> {
        // A CID may hold any printable character; ours hold no slash, so that one is not ours.
        if cid.contains('/') {
            return Ok(None);
        }
        let path = self.path::<R>(cid, "json");
        let action = format!("read {}", path.display());
        let record: Option<R> = record::read(&path).map_err(|error| broken(&action, error))?;
        match record {
            Some(newer) if newer.format() > FORMAT => {
                Err(refused(&action, format!("format {} is newer than this program", newer.format())))
            }
            other => Ok(other),
        }
    }

    pub(super) fn save<R: Record>(&self, action: &str, cid: &str, record: &R) -> Result<()> {
        record::write(&self.path::<R>(cid, "json"), record).map_err(|error| broken(action, error))
    }

    pub(super) fn erase<R: Record>(&self, action: &str, cid: &str) -> Result<()> {
        if cid.contains('/') {
            return Ok(());
        }
        for extension in ["json", "img"] {
            record::remove(&self.path::<R>(cid, extension)).map_err(|error| broken(action, error))?;
        }
        Ok(())
    }

    /// The ids that have a file with this extension, sorted.
    pub(super) fn cids<R: Record>(&self, extension: &str) -> io::Result<Vec<String>> {
        let mut cids = Vec::new();
        for entry in fs::read_dir(self.root.join(R::FOLDER))? {
            let path = entry?.path();
            if path.extension().is_some_and(|found| found == extension) {
                cids.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        cids.sort();
        Ok(cids)
    }

    pub(super) fn tagged<R: Record>(&self, tags: &Tags) -> Result<Vec<R>> {
        let cids = self.cids::<R>("json").map_err(|error| broken("list the local cloud", error))?;
        let mut found = Vec::new();
        for cid in cids {
            // One that vanished since the listing was deleted meanwhile.
            let Some(record) = self.record::<R>(&cid)? else { continue };
            if tags.iter().all(|(key, value)| record.tags().get(key) == Some(value)) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// The object that an earlier request with this key made.
    pub(super) fn made_by<R: Record>(&self, key: &RequestKey) -> Result<Option<R>> {
        let tags = Tags::from([(tag::REQUEST.to_owned(), key.as_str().to_owned())]);
        Ok(self.tagged::<R>(&tags)?.into_iter().next())
    }

    pub(super) fn quota(&self, action: &str) -> Result<Quota> {
        let quota: Option<Quota> =
            record::read(&self.root.join("quota.json")).map_err(|error| broken(action, error))?;
        Ok(quota.unwrap_or_default())
    }

    pub(super) fn check_quota<R: Record>(&self, action: &str) -> Result<()> {
        let quota = self.quota(action)?;
        let limit = if R::FOLDER == DiskRecord::FOLDER { quota.disks } else { quota.snapshots };
        let Some(limit) = limit else { return Ok(()) };
        let count = self.cids::<R>("json").map_err(|error| broken(action, error))?.len();
        if count < limit {
            return Ok(());
        }
        let detail = format!("{count} of {limit} {} exist", R::FOLDER);
        Err(Error::QuotaExceeded { action: action.to_owned(), detail })
    }

    /// Removes what a crash left: with the lock held, an image without a document belongs to no object.
    pub(super) fn reap<R: Record>(&self, action: &str) -> Result<()> {
        let reaped = || -> io::Result<()> {
            let known = self.cids::<R>("json")?;
            for extension in ["img", "tmp"] {
                for cid in self.cids::<R>(extension)? {
                    if extension == "tmp" || known.binary_search(&cid).is_err() {
                        let path = self.path::<R>(&cid, extension);
                        log::warn!(path:% = path.display(); "removing what an interrupted create left");
                        record::remove(&path)?;
                    }
                }
            }
            Ok(())
        };
        reaped().map_err(|error| broken(action, error))
    }
}

pub(super) fn with_key(tags: &Tags, key: &RequestKey) -> Tags {
    let mut tags = tags.clone();
    tags.insert(tag::REQUEST.to_owned(), key.as_str().to_owned());
    tags
}
