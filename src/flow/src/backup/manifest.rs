//! The manifest of a backup.

use remount_cloud::Snapshot;
use remount_core::documents::{BackupManifest, DiskRecord, DiskShape, FORMAT, SnapshotRecord};
use remount_postgres::BackupEnded;

use super::BackupRun;

/// Everything a restore has to know.
pub fn of(run: &BackupRun<'_>, ended: &BackupEnded, snapshot: &Snapshot) -> BackupManifest {
    let (source, request) = (&run.source, run.request);
    let status = &source.status;
    BackupManifest {
        format: FORMAT,
        id: run.id.clone(),
        cluster: run.holder.cluster.name().clone(),
        deployment: request.deployment.clone(),
        system_identifier: status.system_identifier,
        postgres_version: status.postgres_version,
        segment_size: status.segment_size,
        timeline: status.timeline,
        start_lsn: ended.start_lsn,
        stop_lsn: ended.stop_lsn,
        started_at: ended.started_at,
        stopped_at: ended.stopped_at,
        backup_label: ended.backup_label.clone(),
        tablespace_map: ended.tablespace_map.clone(),
        source: source.instance.slug.clone(),
        source_role: status.role,
        disk: DiskRecord {
            shape: DiskShape { size_mib: snapshot.size_mib, ..source.disk.shape.clone() },
            ..source.disk.clone()
        },
        other_disks: source.other_disks.clone(),
        data_bytes: status.data_bytes,
        settings: status.settings.clone(),
        data_checksums: status.data_checksums,
        collation_versions: status.collation_versions.clone(),
        snapshot: SnapshotRecord {
            iaas: run.ctx.cloud.iaas().into(),
            cid: snapshot.cid.clone(),
            region: snapshot.region.clone(),
            key: snapshot.key.clone(),
            created_at: snapshot.created_at,
            complete: true,
        },
        sla_class: request.sla_class.clone(),
        retain_until: request.retain_until,
        hold: request.hold,
        tool_version: env!("CARGO_PKG_VERSION").into(),
    }
}
