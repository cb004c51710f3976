//! What a CPI does with disks, for the lab's Director: [`crate::DiskCloud`] offers none of it.

use std::fs::File;

use remount_core::documents::DiskShape;
use remount_core::{DiskCid, VmCid};

use super::LocalDisks;
use super::disks::{named, new_disk};
use super::errors::{broken, refused};
use super::record::{self, DiskRecord, Quota};
use crate::{Disk, Error, Result, Tags};

/// What a detach found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// The disk was attached to that VM and is so no longer.
    Now,
    /// It was not attached to that VM; nothing was changed.
    WasNot,
}

impl LocalDisks {
    /// CPI `create_disk`: an empty disk, all zeros, no partition table.
    ///
    /// # Errors
    /// The quota is used up, or the file system refuses.
    pub fn create_empty(&self, like: &DiskShape) -> Result<Disk> {
        let action = format!("create an empty disk of {} MiB", like.size_mib);
        let _lock = self.lock(&action)?;
        self.check_quota::<DiskRecord>(&action)?;
        self.reap::<DiskRecord>(&action)?;
        let record = new_disk(like);
        let made = File::create_new(self.image(&record.cid)).and_then(|image| {
            image.set_len(like.size_mib << 20)?;
            image.sync_all()
        });
        made.map_err(|error| broken(&action, error))?;
        self.save(&action, record.cid.as_str(), &record)?;
        Ok(record.into())
    }

    /// CPI `attach_disk`: from now on the disk says that this VM, in zone `zone`, has it.
    ///
    /// # Errors
    /// [`Error::DiskNotFound`]; [`Error::DiskInUse`] where any VM has it; [`Error::Refused`] where
    /// it lies in another zone. The disk is then as it was.
    pub fn attach(&self, disk: &DiskCid, vm: &VmCid, zone: &str) -> Result<()> {
        let action = format!("attach disk {disk} to {vm}");
        let _lock = self.lock(&action)?;
        let mut record =
            self.record::<DiskRecord>(disk.as_str())?.ok_or_else(|| Error::DiskNotFound(disk.clone()))?;
        if let Some(vm) = record.attached_to {
            return Err(Error::DiskInUse { disk: disk.clone(), vm: named(&vm) });
        }
        if let Some(other) = record.shape.zone.as_deref().filter(|other| *other != zone) {
            return Err(refused(&action, format!("the disk lies in zone {other}, the VM in {zone}")));
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
}
