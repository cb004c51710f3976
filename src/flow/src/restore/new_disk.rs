//! What the new disk of an instance has to be: what its old disk was, as the cloud says where it exists, as manifests
//! say where it is gone. The Director's name of a zone is no zone of the cloud and never becomes one.

use remount_core::documents::{BackupManifest, DiskRecord, DiskShape};
use remount_director::Instance;

use super::survey::Survey;
use crate::Problem;

/// The shape, never smaller than the disk of the backup.
///
/// # Errors
/// Neither the cloud nor a manifest tells in which zone the instance's disk has to lie.
pub fn shape(survey: &Survey, backup: &BackupManifest, instance: &Instance) -> Result<DiskShape, Problem> {
    let existing = instance.disks.iter().find_map(|cid| survey.disks.get(cid)).map(|disk| disk.shape.clone());
    let recorded = || records(backup).find(|record| record.instance == instance.slug).map(shape_of);
    let beside = || records(backup).find(|record| in_az(record, instance)).map(shape_of);
    let found = existing.or_else(recorded).or_else(beside).or_else(|| in_zone_of(survey, backup, instance));
    let Some(mut shape) = found else {
        let (slug, az) = (&instance.slug, instance.az.as_deref().unwrap_or("no AZ"));
        return Err(Problem::new(
            format!(
                "nothing tells what the cloud calls the zone of {slug} ({az}): its disk is gone, and no backup was taken while the cluster had a disk there"
            ),
            format!(
                "give the instance a disk again (`bosh deploy --fix`, or `bosh recreate {slug}`), then run the command again"
            ),
        ));
    };
    shape.size_mib = shape.size_mib.max(backup.disk.shape.size_mib);
    Ok(shape)
}

fn records(backup: &BackupManifest) -> impl Iterator<Item = &DiskRecord> {
    std::iter::once(&backup.disk).chain(&backup.other_disks)
}

fn shape_of(record: &DiskRecord) -> DiskShape {
    record.shape.clone()
}

fn in_az(record: &DiskRecord, instance: &Instance) -> bool {
    instance.az.is_some() && record.az == instance.az
}

/// The shape of the backup's disk in the instance's zone: that of a disk that another instance has there, or that
/// another backup saw there. A cloud whose disks have no zones needs none.
fn in_zone_of(survey: &Survey, backup: &BackupManifest, instance: &Instance) -> Option<DiskShape> {
    let neighbours = survey.instances.iter().filter(|other| instance.az.is_some() && other.az == instance.az);
    let there = neighbours.flat_map(|other| &other.disks).find_map(|cid| survey.disks.get(cid));
    let zone = there.map(|disk| disk.shape.zone.clone());
    let seen = || {
        let newest_first = survey.backups.iter().rev();
        newest_first
            .flat_map(records)
            .find(|record| in_az(record, instance))
            .map(|seen| seen.shape.zone.clone())
    };
    let zoneless = || records(backup).all(|record| record.shape.zone.is_none()).then_some(None);
    let zone = zone.or_else(seen).or_else(zoneless)?;
    Some(DiskShape { zone, ..backup.disk.shape.clone() })
}
