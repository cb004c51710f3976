//! The shelf: disks and snapshots as image files on a reflink file system, changed under one lock.
//!
//! Two parties work on it. [`super::LocalCloud`] is the part every cloud offers (snapshots, disks
//! from them). The lab's CPI does what a CPI does, and only it may: [`LocalDisks::create_empty`],
//! [`LocalDisks::attach`], [`LocalDisks::detach`], [`LocalDisks::set_tags`].
//!
//! An object exists when its document exists. The image is made first and the document last, the
//! document is removed first and the image last; so an image without a document is what a crash
//! left, and the next change removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs2::FileExt as _;
use jiff::Timestamp;
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};

use super::record::{self, DiskRecord, FORMAT, Quota, Record, SnapshotRecord};
use crate::{Disk, DiskSpec, Error, Result, Snapshot, SnapshotState, Tags, tag};

/// How long a change waits for the lock before it answers "busy".
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How often it looks meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// The type of a disk for which none was asked.
const DEFAULT_TYPE: &str = "local";

/// What a detach found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// The disk was attached to that VM and is so no longer.
    Now,
    /// It was not attached to that VM; nothing was changed.
    WasNot,
}

/// The image files of one local cloud. Blocking; see [`super::LocalCloud`] for the async face.
#[derive(Clone, Debug)]
pub struct LocalDisks {
    root: PathBuf,
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

    /// The disk's image: partition table and all.
    #[must_use]
    pub fn image(&self, cid: &DiskCid) -> PathBuf {
        self.path::<DiskRecord>(cid.as_str(), "img")
    }

    /// The disk, if there is one.
    ///
    /// # Errors
    /// Its document cannot be read.
    pub fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        Ok(self.record::<DiskRecord>(cid.as_str())?.map(Disk::from))
    }

    /// The disks that carry all of these tags.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        Ok(self.tagged::<DiskRecord>(tags)?.into_iter().map(Disk::from).collect())
    }

    /// The snapshot, if there is one.
    ///
    /// # Errors
    /// Its document cannot be read.
    pub fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        Ok(self.record::<SnapshotRecord>(cid.as_str())?.map(Snapshot::from))
    }

    /// The snapshots that carry all of these tags.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        Ok(self.tagged::<SnapshotRecord>(tags)?.into_iter().map(Snapshot::from).collect())
    }

    /// See [`crate::DiskCloud::create_snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        let action = format!("snapshot disk {disk}");
        let _lock = self.lock(&action)?;
        if let Some(made) = self.made_by::<SnapshotRecord>(key)? {
            let same = made.disk == *disk;
            return if same { Ok(made.into()) } else { Err(key_taken(&action, key, made.cid.as_str())) };
        }
        let source =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        self.check_quota::<SnapshotRecord>(&action)?;
        self.reap::<SnapshotRecord>(&action)?;
        let delay = self.quota(&action)?.snapshot_seconds.map(Duration::from_secs);
        let created_at = Timestamp::now();
        let record = SnapshotRecord {
            format: FORMAT,
            cid: new_cid("snap", SnapshotCid::new),
            disk: disk.clone(),
            size_mib: source.size_mib,
            created_at,
            complete_at: delay.and_then(|delay| created_at.checked_add(delay).ok()),
            tags: with_key(tags, key),
        };
        let image = self.path::<SnapshotRecord>(record.cid.as_str(), "img");
        clone(&self.image(disk), &image, None).map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// See [`crate::DiskCloud::delete_snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        let action = format!("delete snapshot {cid}");
        let _lock = self.lock(&action)?;
        self.erase::<SnapshotRecord>(&action, cid.as_str())
    }

    /// See [`crate::DiskCloud::check_create_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        let action = format!("create a disk from snapshot {snapshot}");
        let source = self
            .record::<SnapshotRecord>(snapshot.as_str())?
            .ok_or_else(|| Error::SnapshotNotFound(snapshot.clone()))?;
        if Snapshot::from(source.clone()).state != SnapshotState::Complete {
            return Err(Error::SnapshotNotComplete(snapshot.clone()));
        }
        if spec.size_mib < source.size_mib {
            let detail = format!("{} MiB are less than the snapshot's {}", spec.size_mib, source.size_mib);
            return Err(refused(&action, detail));
        }
        self.check_quota::<DiskRecord>(&action)
    }

    /// See [`crate::DiskCloud::create_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        let action = format!("create a disk from snapshot {snapshot}");
        let _lock = self.lock(&action)?;
        if let Some(made) = self.made_by::<DiskRecord>(key)? {
            let same = made.made_from.as_ref() == Some(snapshot);
            return if same { Ok(made.into()) } else { Err(key_taken(&action, key, made.cid.as_str())) };
        }
        self.check_create_disk(snapshot, spec)?;
        self.reap::<DiskRecord>(&action)?;
        let record = DiskRecord {
            made_from: Some(snapshot.clone()),
            tags: with_key(&spec.tags, key),
            ..new_disk(spec.size_mib, &spec.disk_type, spec.az.clone())
        };
        let source = self.path::<SnapshotRecord>(snapshot.as_str(), "img");
        let bytes = Some(spec.size_mib << 20);
        clone(&source, &self.image(&record.cid), bytes).map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// See [`crate::DiskCloud::delete_disk`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        let action = format!("delete disk {cid}");
        let _lock = self.lock(&action)?;
        match self.record::<DiskRecord>(cid.as_str())?.and_then(|record| record.attached_to) {
            Some(vm) => Err(Error::DiskInUse { disk: cid.clone(), vm }),
            None => self.erase::<DiskRecord>(&action, cid.as_str()),
        }
    }

    /// CPI `create_disk`: an empty disk, all zeros, no partition table.
    ///
    /// # Errors
    /// The quota is used up, or the file system refuses.
    pub fn create_empty(&self, size_mib: u64, disk_type: &str, az: Option<String>) -> Result<Disk> {
        let action = format!("create an empty disk of {size_mib} MiB");
        let _lock = self.lock(&action)?;
        self.check_quota::<DiskRecord>(&action)?;
        self.reap::<DiskRecord>(&action)?;
        let record = new_disk(size_mib, disk_type, az);
        let made = File::create_new(self.image(&record.cid)).and_then(|image| {
            image.set_len(size_mib << 20)?;
            image.sync_all()
        });
        made.map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// CPI `attach_disk`: from now on the disk says that this VM, in zone `az`, has it.
    ///
    /// # Errors
    /// [`Error::DiskNotFound`]; [`Error::DiskInUse`] where any VM has it; [`Error::Refused`] where
    /// it lies in another zone. The disk is then as it was.
    pub fn attach(&self, disk: &DiskCid, vm: &VmCid, az: &str) -> Result<()> {
        let action = format!("attach disk {disk} to {vm}");
        let _lock = self.lock(&action)?;
        let mut record =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        if let Some(vm) = record.attached_to {
            return Err(Error::DiskInUse { disk: disk.clone(), vm });
        }
        if let Some(other) = record.az.as_deref().filter(|other| *other != az) {
            return Err(refused(&action, format!("the disk lies in zone {other}, the VM in {az}")));
        }
        record.attached_to = Some(vm.clone());
        self.save(&action, disk.as_str(), &record)
    }

    /// CPI `detach_disk`: the disk belongs to no VM any more.
    ///
    /// # Errors
    /// [`Error::DiskNotFound`].
    pub fn detach(&self, disk: &DiskCid, vm: &VmCid) -> Result<Detached> {
        let action = format!("detach disk {disk} from {vm}");
        let _lock = self.lock(&action)?;
        let mut record =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        if record.attached_to.as_ref() != Some(vm) {
            return Ok(Detached::WasNot);
        }
        record.attached_to = None;
        self.save(&action, disk.as_str(), &record).map(|()| Detached::Now)
    }

    /// CPI `set_disk_metadata`: adds these tags, replaces those of the same name, keeps the others.
    ///
    /// # Errors
    /// [`Error::DiskNotFound`].
    pub fn set_tags(&self, disk: &DiskCid, tags: &Tags) -> Result<()> {
        let action = format!("tag disk {disk}");
        let _lock = self.lock(&action)?;
        let mut record =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        record.tags.extend(tags.clone());
        self.save(&action, disk.as_str(), &record)
    }

    /// Sets the limits of this "account", for tests of what happens at them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_quota(&self, quota: Quota) -> Result<()> {
        record::write(&self.root.join("quota.json"), &quota).map_err(|error| broken("set the quota", error))
    }

    /// Takes the lock of every change; freed on drop, and by the kernel when its holder dies.
    fn lock(&self, action: &str) -> Result<File> {
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

    fn path<R: Record>(&self, cid: &str, extension: &str) -> PathBuf {
        self.root.join(R::FOLDER).join(format!("{cid}.{extension}"))
    }

    fn record<R: Record>(&self, cid: &str) -> Result<Option<R>> {
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

    fn save<R: Record>(&self, action: &str, cid: &str, record: &R) -> Result<()> {
        record::write(&self.path::<R>(cid, "json"), record).map_err(|error| broken(action, error))
    }

    fn erase<R: Record>(&self, action: &str, cid: &str) -> Result<()> {
        if cid.contains('/') {
            return Ok(());
        }
        for extension in ["json", "img"] {
            record::remove(&self.path::<R>(cid, extension)).map_err(|error| broken(action, error))?;
        }
        Ok(())
    }

    /// The ids that have a file with this extension, sorted.
    fn cids<R: Record>(&self, extension: &str) -> io::Result<Vec<String>> {
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

    fn tagged<R: Record>(&self, tags: &Tags) -> Result<Vec<R>> {
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
    fn made_by<R: Record>(&self, key: &RequestKey) -> Result<Option<R>> {
        let tags = Tags::from([(tag::REQUEST.to_owned(), key.as_str().to_owned())]);
        Ok(self.tagged::<R>(&tags)?.into_iter().next())
    }

    fn quota(&self, action: &str) -> Result<Quota> {
        let quota: Option<Quota> =
            record::read(&self.root.join("quota.json")).map_err(|error| broken(action, error))?;
        Ok(quota.unwrap_or_default())
    }

    fn check_quota<R: Record>(&self, action: &str) -> Result<()> {
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

    /// Removes what a crash left: with the lock held, an image without a document is nobody's.
    fn reap<R: Record>(&self, action: &str) -> Result<()> {
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

fn new_disk(size_mib: u64, disk_type: &str, az: Option<String>) -> DiskRecord {
    let disk_type = if disk_type.is_empty() { DEFAULT_TYPE } else { disk_type };
    DiskRecord {
        format: FORMAT,
        cid: new_cid("disk", DiskCid::new),
        size_mib,
        disk_type: disk_type.to_owned(),
        az,
        attached_to: None,
        made_from: None,
        created_at: Timestamp::now(),
        tags: Tags::new(),
    }
}

/// An id no other object has.
fn new_cid<C, E: std::fmt::Debug>(kind: &str, make: impl Fn(String) -> std::result::Result<C, E>) -> C {
    make(format!("{kind}-{:032x}", rand::random::<u128>())).expect("hexadecimal digits are printable")
}

fn with_key(tags: &Tags, key: &RequestKey) -> Tags {
    let mut tags = tags.clone();
    tags.insert(tag::REQUEST.to_owned(), key.as_str().to_owned());
    tags
}

/// Copies an image by sharing its blocks: milliseconds at any size, and the copy is the source at
/// one instant, because the kernel holds its writers off meanwhile.
fn clone(source: &Path, target: &Path, bytes: Option<u64>) -> io::Result<()> {
    let from = File::open(source)?;
    let to = File::create_new(target)?;
    rustix::fs::ioctl_ficlone(&to, &from).map_err(|errno| match errno {
        rustix::io::Errno::OPNOTSUPP => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{} is not on a file system with reflink (XFS, Btrfs)", target.display()),
        ),
        other => other.into(),
    })?;
    if let Some(bytes) = bytes {
        to.set_len(bytes)?;
    }
    to.sync_all()
}

fn refused(action: &str, detail: String) -> Error {
    Error::Refused { action: action.to_owned(), detail }
}

fn key_taken(action: &str, key: &RequestKey, cid: &str) -> Error {
    refused(action, format!("the request key {key} made {cid} of something else"))
}

/// What the file system says, in the trait's terms.
fn broken(action: &str, error: io::Error) -> Error {
    let action = action.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull => Error::QuotaExceeded { action, detail: error.to_string() },
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied => {
            Error::Refused { action, detail: error.to_string() }
        }
        _ => Error::Unanswered { action, source: Box::new(error) },
    }
}
