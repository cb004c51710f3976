//! Clouds that lie.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_cloud::{Disk, DiskCloud, DiskSpec, DiskState, Error, Result, Snapshot, SnapshotState, Tags};
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};
use remount_sim::contract::disk_cloud;

use super::assert_caught;
use crate::disk_cloud::Clouds;
use crate::landscape;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// A disk is made from what the snapshot's disk holds by now.
    CopiesLive,
    /// Tags are dropped.
    DropsTags,
    /// The same tags find every object of the run.
    FindsTooMuch,
    /// A disk is made without what is paid for.
    ForgetsAttributes,
    /// The zone of a disk is what the Director calls it.
    NamesZonesAsTheDirector,
    /// An id comes back in the form that the cloud likes best.
    RewritesIds,
    /// Its word for a VM is compared with the Director's.
    ComparesTexts,
    /// Tags that are set later take the place of the first ones.
    ReplacesTags,
    /// Every request is a new one.
    IgnoresKeys,
    /// A key is answered with whatever it made.
    AnswersAnyKey,
    /// An incomplete snapshot is a busy one.
    IsBusyUntilComplete,
    /// A second delete fails.
    DeletesOnce,
    /// Nothing is attached anywhere.
    HidesAttachments,
    /// Too small a size is made larger.
    RoundsUp,
    /// A used-up quota is a busy account.
    IsBusyAtQuota,
    /// A disk with snapshots is not deleted.
    PinsDisks,
    /// A delete says yes and does nothing.
    DeletesNothing,
}

const LIARS: [(Lie, &str); 17] = [
    (Lie::CopiesLive, "a_snapshot_keeps_the_content"),
    (Lie::DropsTags, "a_disk_has_the_snapshots_content"),
    (Lie::FindsTooMuch, "created_objects_are_found_by_tag"),
    (Lie::ForgetsAttributes, "a_disk_is_what_the_old_one_was"),
    (Lie::NamesZonesAsTheDirector, "a_disk_is_what_the_old_one_was"),
    (Lie::RewritesIds, "an_id_comes_back_as_it_was_given"),
    (Lie::ComparesTexts, "an_attached_disk_stays"),
    (Lie::IgnoresKeys, "the_same_key_makes_one"),
    (Lie::AnswersAnyKey, "a_key_is_not_used_for_two_things"),
    (Lie::ReplacesTags, "tags_are_added_to_a_snapshot"),
    (Lie::IsBusyUntilComplete, "an_incomplete_snapshot_makes_no_disk"),
    (Lie::DeletesOnce, "gone_is_deleted"),
    (Lie::HidesAttachments, "an_attached_disk_stays"),
    (Lie::RoundsUp, "refusals_make_nothing"),
    (Lie::IsBusyAtQuota, "a_used_up_quota_makes_nothing"),
    (Lie::PinsDisks, "copies_stand_alone"),
    (Lie::DeletesNothing, "nothing_is_left"),
];

#[derive(Debug)]
struct Liar {
    inner: Arc<dyn DiskCloud>,
    lie: Lie,
}

impl Liar {
    fn key(&self, key: &RequestKey) -> RequestKey {
        let any = || RequestKey::new(format!("{:016x}", rand::random::<u64>())).unwrap();
        if self.lie == Lie::IgnoresKeys { any() } else { key.clone() }
    }

    fn tags(&self, tags: &Tags) -> Tags {
        if self.lie == Lie::DropsTags { Tags::new() } else { tags.clone() }
    }

    fn wanted(&self, tags: &Tags) -> Tags {
        let mut tags = tags.clone();
        if self.lie == Lie::FindsTooMuch {
            tags.remove(remount_cloud::tag::BACKUP);
        }
        tags
    }

    /// Calls a refusal something that passes.
    fn busy<T>(&self, answer: Result<T>) -> Result<T> {
        match answer {
            Err(Error::QuotaExceeded { action, detail }) if self.lie == Lie::IsBusyAtQuota => {
                Err(Error::Busy { action, detail })
            }
            Err(Error::SnapshotNotComplete(cid)) if self.lie == Lie::IsBusyUntilComplete => {
                Err(Error::Busy { action: "make a disk".into(), detail: format!("{cid} is on its way") })
            }
            answer => answer,
        }
    }

    /// A snapshot of the disk as it is now.
    async fn live(&self, snapshot: &SnapshotCid) -> Result<SnapshotCid> {
        let disk = self.inner.snapshot(snapshot).await?.unwrap().disk;
        let key = RequestKey::new(format!("live-{snapshot}")).unwrap();
        let live = self.inner.create_snapshot(&disk, &Tags::new(), &key).await?.cid;
        while self.inner.snapshot(&live).await?.unwrap().state != SnapshotState::Complete {}
        Ok(live)
    }
}

#[async_trait]
impl DiskCloud for Liar {
    fn iaas(&self) -> &'static str {
        "liar"
    }

    fn settle(&self) -> Duration {
        self.inner.settle()
    }

    async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        let mut found = self.inner.disk(cid).await?;
        if let Some(disk) = found.as_mut().filter(|_| self.lie == Lie::RewritesIds) {
            disk.cid = DiskCid::new(format!("disk_name:{cid}")).unwrap();
        }
        if let Some(disk) = found.as_mut().filter(|_| self.lie == Lie::HidesAttachments) {
            (disk.attached_to, disk.state) = (None, DiskState::Available);
        }
        Ok(found)
    }

    async fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
        // What compares its own word for a VM with the Director's.
        let compared = self.inner.is_attached(disk, vm).await?;
        Ok(compared && self.lie != Lie::ComparesTexts)
    }

    async fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        self.inner.disks_tagged(&self.wanted(tags)).await
    }

    async fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        let made = self.inner.create_snapshot(disk, &self.tags(tags), &self.key(key)).await;
        match made {
            Err(Error::Refused { .. }) if self.lie == Lie::AnswersAnyKey => {
                Ok(self.inner.snapshots_tagged(tags).await?.remove(0))
            }
            made => self.busy(made),
        }
    }

    async fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        self.inner.snapshot(cid).await
    }

    async fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        self.inner.snapshots_tagged(&self.wanted(tags)).await
    }

    async fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()> {
        match self.lie {
            Lie::ReplacesTags => {
                let first = self.inner.snapshot(cid).await?.map(|found| found.tags).unwrap_or_default();
                let emptied = first.into_keys().filter(|key| key != remount_cloud::tag::CLUSTER);
                let mut tags = tags.clone();
                tags.extend(emptied.map(|key| (key, String::new())));
                self.inner.tag_snapshot(cid, &tags).await
            }
            _ => self.inner.tag_snapshot(cid, tags).await,
        }
    }

    async fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        match self.lie {
            Lie::DeletesNothing => Ok(()),
            _ => self.inner.delete_snapshot(cid).await,
        }
    }

    async fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        self.busy(self.inner.check_create_disk(snapshot, spec).await)
    }

    async fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        let snapshot = if self.lie == Lie::CopiesLive { &self.live(snapshot).await? } else { snapshot };
        let mut spec = DiskSpec { tags: self.tags(&spec.tags), ..spec.clone() };
        if let Some(source) = self.inner.snapshot(snapshot).await?.filter(|_| self.lie == Lie::RoundsUp) {
            spec.like.size_mib = spec.like.size_mib.max(source.size_mib);
        }
        match self.lie {
            Lie::ForgetsAttributes => spec.like.attributes.encryption = None,
            Lie::NamesZonesAsTheDirector => spec.like.zone = Some("z1".into()),
            _ => {}
        }
        self.busy(self.inner.create_disk(snapshot, &spec, &self.key(key)).await)
    }

    async fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        let gone = self.inner.disk(cid).await?.is_none();
        let has_snapshots =
            self.inner.snapshots_tagged(&Tags::new()).await?.iter().any(|snapshot| snapshot.disk == *cid);
        match self.lie {
            Lie::DeletesNothing => Ok(()),
            Lie::DeletesOnce if gone => Err(Error::DiskNotFound(cid.clone())),
            Lie::PinsDisks if has_snapshots => Err(Error::Refused {
                action: format!("delete disk {cid}"),
                detail: "it has snapshots".into(),
            }),
            _ => self.inner.delete_disk(cid).await,
        }
    }
}

#[tokio::test]
async fn every_check_catches_a_liar() {
    assert_caught(&LIARS, async |lie| {
        let landscape = landscape();
        let liar = Liar { inner: landscape.cloud(), lie };
        disk_cloud::run(&format!("{lie:?}"), Arc::new(liar), Arc::new(Clouds(landscape))).await
    })
    .await;
}
