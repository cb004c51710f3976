//! `DiskCloud` in memory.

use std::time::Duration;

use async_trait::async_trait;
use remount_cloud::{
    Disk, DiskCloud, DiskSpec, DiskState, Error, Result, Snapshot, SnapshotState, Tags, tag,
};
use remount_core::{DiskCid, RequestKey, SnapshotCid, VmCid};

use super::MemoryLandscape;
use super::cid_form::name_of;
use super::faults::{Fault, lost};
use super::mishaps::Quota;
use super::state::{MemorySnapshot, State};

/// The cloud of a [`MemoryLandscape`].
#[derive(Debug)]
pub struct MemoryCloud(pub MemoryLandscape);

/// Looks at a snapshot until it is captured; as many more until it is complete.
const LOOKS: u32 = 2;

impl MemoryCloud {
    /// Fails as injected; `true` means: do it, then lose the answer.
    fn begin(&self, call: &'static str, about: &str) -> Result<bool> {
        match self.0.fault(call, about) {
            None => Ok(false),
            Some(Fault::LoseAnswer) => Ok(true),
            Some(Fault::LoseRequest) => Err(unanswered(call)),
            Some(_) => Err(Error::Refused { action: call.into(), detail: "injected".into() }),
        }
    }
}

fn unanswered(call: &str) -> Error {
    Error::Unanswered { action: call.into(), source: lost() }
}

fn answer<T>(call: &str, lose: bool, value: T) -> Result<T> {
    if lose { Err(unanswered(call)) } else { Ok(value) }
}

fn carries(tags: &Tags, wanted: &Tags) -> bool {
    wanted.iter().all(|(key, value)| tags.get(key) == Some(value))
}

#[async_trait]
impl DiskCloud for MemoryCloud {
    fn iaas(&self) -> &'static str {
        "memory"
    }

    fn settle(&self) -> Duration {
        self.0.state().lag.settle_time()
    }

    async fn disk(&self, cid: &DiskCid) -> Result<Option<Disk>> {
        let lose = self.begin("cloud.disk", cid.as_str())?;
        let mut state = self.0.state();
        let seen = state.see_disk(&name_of(cid));
        if let Some(made) = state.disk_mut(cid).filter(|made| made.disk.state == DiskState::Creating) {
            made.disk.state = DiskState::Available;
        }
        let found = seen.map(|seen| Disk { cid: cid.clone(), ..seen.disk });
        answer("cloud.disk", lose, found)
    }

    async fn is_attached(&self, disk: &DiskCid, vm: &VmCid) -> Result<bool> {
        let lose = self.begin("cloud.is_attached", disk.as_str())?;
        let seen = self.0.state().see_disk(&name_of(disk));
        answer("cloud.is_attached", lose, seen.is_some_and(|seen| seen.vm.as_ref() == Some(vm)))
    }

    async fn disks_tagged(&self, tags: &Tags) -> Result<Vec<Disk>> {
        let lose = self.begin("cloud.disks_tagged", "")?;
        let mut found = self.0.state().see_disks();
        found.retain(|disk| carries(&disk.tags, tags));
        answer("cloud.disks_tagged", lose, found)
    }

    async fn create_snapshot(&self, disk: &DiskCid, tags: &Tags, key: &RequestKey) -> Result<Snapshot> {
        let lose = self.begin("cloud.create_snapshot", disk.as_str())?;
        let mut state = self.0.state();
        let mut tags = tags.clone();
        tags.insert(tag::REQUEST.into(), key.to_string());
        let request = Tags::from([(tag::REQUEST.into(), key.to_string())]);
        let made = state.snapshots.values().find(|made| carries(&made.snapshot.tags, &request)).cloned();
        let made = match made {
            Some(made) if name_of(&made.snapshot.disk) == name_of(disk) => made.snapshot,
            Some(made) => return Err(key_taken(key, made.snapshot.cid.as_str())),
            None => take_snapshot(&mut state, disk, tags)?,
        };
        answer("cloud.create_snapshot", lose, made)
    }

    async fn snapshot(&self, cid: &SnapshotCid) -> Result<Option<Snapshot>> {
        let lose = self.begin("cloud.snapshot", cid.as_str())?;
        let mut state = self.0.state();
        if let Some(past) = state.see_past_snapshot(cid) {
            return answer("cloud.snapshot", lose, past);
        }
        let found = state.snapshots.get_mut(cid).map(|made| {
            made.looks = made.looks.saturating_sub(1);
            made.snapshot.state = match made.looks {
                0 => SnapshotState::Complete,
                looks if looks <= LOOKS => SnapshotState::Captured,
                _ => SnapshotState::Pending,
            };
            made.snapshot.clone()
        });
        answer("cloud.snapshot", lose, found)
    }

    async fn snapshots_tagged(&self, tags: &Tags) -> Result<Vec<Snapshot>> {
        let lose = self.begin("cloud.snapshots_tagged", "")?;
        let mut found = self.0.state().see_snapshots();
        found.retain(|snapshot| carries(&snapshot.tags, tags));
        answer("cloud.snapshots_tagged", lose, found)
    }

    async fn tag_snapshot(&self, cid: &SnapshotCid, tags: &Tags) -> Result<()> {
        let lose = self.begin("cloud.tag_snapshot", cid.as_str())?;
        let mut state = self.0.state();
        state.remember_snapshot(cid);
        let found = state.snapshots.get_mut(cid).ok_or_else(|| Error::SnapshotNotFound(cid.clone()))?;
        found.snapshot.tags.extend(tags.clone());
        drop(state);
        answer("cloud.tag_snapshot", lose, ())
    }

    async fn delete_snapshot(&self, cid: &SnapshotCid) -> Result<()> {
        let lose = self.begin("cloud.delete_snapshot", cid.as_str())?;
        let mut state = self.0.state();
        state.remember_snapshot(cid);
        state.snapshots.remove(cid);
        drop(state);
        answer("cloud.delete_snapshot", lose, ())
    }

    async fn check_create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
        let lose = self.begin("cloud.check_create_disk", snapshot.as_str())?;
        check(&self.0.state(), snapshot, spec)?;
        answer("cloud.check_create_disk", lose, ())
    }

    async fn create_disk(&self, snapshot: &SnapshotCid, spec: &DiskSpec, key: &RequestKey) -> Result<Disk> {
        let lose = self.begin("cloud.create_disk", spec.like.zone.as_deref().unwrap_or_default())?;
        let mut state = self.0.state();
        let request = Tags::from([(tag::REQUEST.into(), key.to_string())]);
        let made = state.disks.values().find(|disk| carries(&disk.disk.tags, &request)).cloned();
        match made {
            Some(made) if made.disk.made_from.as_ref() == Some(snapshot) => {
                return answer("cloud.create_disk", lose, made.disk);
            }
            Some(made) => return Err(key_taken(key, made.disk.cid.as_str())),
            None => {}
        }
        check(&state, snapshot, spec)?;
        let mut tags = spec.tags.clone();
        tags.extend(request);
        let content = state.snapshots[snapshot].content.clone();
        let cid = state.new_disk(&spec.like, content);
        let disk = state.disk_mut(&cid).ok_or_else(|| Error::DiskNotFound(cid.clone()))?;
        disk.disk.tags = tags;
        disk.disk.made_from = Some(snapshot.clone());
        disk.disk.state = DiskState::Creating;
        answer("cloud.create_disk", lose, disk.disk.clone())
    }

    async fn delete_disk(&self, cid: &DiskCid) -> Result<()> {
        let lose = self.begin("cloud.delete_disk", cid.as_str())?;
        let mut state = self.0.state();
        if let Some(vm) = state.disk(cid).and_then(|disk| disk.disk.attached_to.clone()) {
            return Err(Error::DiskInUse { disk: cid.clone(), vm });
        }
        state.delete_disk(cid);
        answer("cloud.delete_disk", lose, ())
    }
}

fn take_snapshot(state: &mut State, disk: &DiskCid, tags: Tags) -> Result<Snapshot> {
    let source = state.disk(disk).ok_or_else(|| Error::DiskNotFound(disk.clone()))?.clone();
    check_quota(state, "create snapshot")?;
    let cid = SnapshotCid::new(format!("snapshot-{}", state.number())).expect("a CID");
    let snapshot = Snapshot {
        cid: cid.clone(),
        disk: disk.clone(),
        size_mib: source.disk.shape.size_mib,
        state: SnapshotState::Pending,
        created_at: state.now,
        region: String::new(),
        key: None,
        tags,
    };
    let made = MemorySnapshot { snapshot: snapshot.clone(), content: source.content, looks: 2 * LOOKS };
    state.remember_snapshot(&cid);
    state.snapshots.insert(cid, made);
    Ok(snapshot)
}

fn check(state: &State, snapshot: &SnapshotCid, spec: &DiskSpec) -> Result<()> {
    let made = state.snapshots.get(snapshot).ok_or_else(|| Error::SnapshotNotFound(snapshot.clone()))?;
    if made.snapshot.state != SnapshotState::Complete {
        return Err(Error::SnapshotNotComplete(snapshot.clone()));
    }
    if spec.like.size_mib < made.snapshot.size_mib {
        let detail = format!("{} MiB is less than the snapshot's", spec.like.size_mib);
        return Err(Error::Refused { action: "create disk".into(), detail });
    }
    check_quota(state, "create disk")
}

fn check_quota(state: &State, action: &str) -> Result<()> {
    match state.quota {
        Quota::Ample => Ok(()),
        Quota::UsedUp => {
            Err(Error::QuotaExceeded { action: action.into(), detail: "the account is full".into() })
        }
    }
}

fn key_taken(key: &RequestKey, by: &str) -> Error {
    Error::Refused { action: "create".into(), detail: format!("key {key} has made {by} of something else") }
}
