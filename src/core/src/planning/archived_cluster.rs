//! Clusters with a past, for the tests of planning.

use jiff::Timestamp;

use super::{PlanError, plan_recovery};
use crate::documents::{BackupManifest, DiskRecord, DiskShape, RecoveryPath, SnapshotRecord};
use crate::{
    ArchiveListing, BackupId, CommitSpan, DeploymentName, Fork, InstanceSlug, Lsn, MarkKind, MoreWal,
    RecoveryTarget, RestoreTarget, Role, RunningPrimary, SegmentSize, SystemIdentifier, TimelineHistory,
    TimelineId, WalMark, WalSegment,
};

pub(super) const SIZE: SegmentSize = SegmentSize::DEFAULT;

/// The backups and the archive of one cluster.
#[derive(Clone, Debug)]
pub(super) struct ArchivedCluster {
    pub(super) manifests: Vec<BackupManifest>,
    pub(super) archive: ArchiveListing,
}

impl ArchivedCluster {
    /// Nothing archived, nobody running.
    pub(super) fn empty() -> Self {
        let archive = ArchiveListing {
            system_identifier: SystemIdentifier(7),
            segments: std::collections::BTreeSet::new(),
            histories: std::collections::BTreeMap::new(),
            commit_times: std::collections::BTreeMap::new(),
            spans: Vec::new(),
            unknown_parts: Vec::new(),
            search: None,
            more_to_come: MoreWal::Nothing,
        };
        Self { manifests: Vec::new(), archive }
    }

    /// Timeline 1, segments 3 to 9, each ending with a commit at 10:03, 10:04 … 10:09. Backup `aaaa` in
    /// segment 3 (ended 10:02:30), `bbbb` in segment 5 (ended 10:04:30). The cluster is gone.
    pub(super) fn plain() -> Self {
        let mut cluster = Self::empty();
        for number in 3..=9 {
            cluster = cluster.archived(1, number, Some(&format!("10:0{number}:00")));
        }
        cluster.backup("aaaa", 1, ("0/3000028", "0/3100000"), "10:02:30").backup(
            "bbbb",
            1,
            ("0/5000028", "0/5200000"),
            "10:04:30",
        )
    }

    /// After [`Self::plain`] a restore left timeline 1 at 0/7400000 (10:06:30) at 11:00, and the cluster
    /// wrote segments 7 to 9 of timeline 2, with a backup `cccc` in segment 8 (ended 11:08).
    pub(super) fn forked() -> Self {
        Self::plain()
            .fork(2, 1, "0/7400000")
            .archived(2, 7, Some("11:07:00"))
            .archived(2, 8, Some("11:08:30"))
            .archived(2, 9, Some("11:09:00"))
            .backup("cccc", 2, ("0/8000028", "0/8200000"), "11:08:00")
            .lived(1, "0/0", ("10:00:01", "10:06:29"))
            .lived(1, "0/7400000", ("10:06:31", "10:09:00"))
            .lived(2, "0/7400000", ("11:00:01", "11:09:00"))
    }

    /// Nobody knows the commits of the part of a timeline that begins here.
    pub(super) fn unknown(mut self, tli: u32, from: &str) -> Self {
        let part = self
            .archive
            .spans
            .iter()
            .position(|span| span.part.timeline == timeline(tli) && span.part.from == lsn(from));
        let known = self.archive.spans.remove(part.expect("the part has commits"));
        self.archive.unknown_parts.push(known.part);
        self
    }

    /// Notes the first and the last commit of the part of a timeline that begins here.
    pub(super) fn lived(mut self, tli: u32, from: &str, (first, last): (&str, &str)) -> Self {
        let parts = self.archive.parts();
        let part = parts.iter().find(|part| part.timeline == timeline(tli) && part.from == lsn(from));
        let part = *part.unwrap_or_else(|| panic!("timeline {tli} has no part from {from}: {parts:?}"));
        self.archive.spans.push(CommitSpan { part, first: time(first), last: time(last) });
        self
    }

    /// A search has found a record of this kind.
    pub(super) fn marked(mut self, tli: u32, range: (&str, &str), clock: &str, kind: MarkKind) -> Self {
        let (begins, ends) = (lsn(range.0), lsn(range.1));
        let segment = WalSegment::containing(timeline(tli), begins, SIZE);
        let search = self.archive.search.get_or_insert_default();
        search.searched = self.archive.segments.len();
        search.found.push(WalMark { segment, begins, ends, time: time(clock), kind });
        self
    }

    pub(super) fn archived(mut self, tli: u32, number: u64, commit: Option<&str>) -> Self {
        let segment = segment(tli, number);
        self.archive.segments.insert(segment);
        self.archive.commit_times.extend(commit.map(|clock| (segment, time(clock))));
        self
    }

    pub(super) fn without(mut self, tli: u32, number: u64) -> Self {
        assert!(self.archive.segments.remove(&segment(tli, number)), "there was no such segment");
        self.archive.commit_times.remove(&segment(tli, number));
        self
    }

    /// Adds the history of `child`, which leaves `parent` at `at`.
    pub(super) fn fork(mut self, child: u32, parent: u32, at: &str) -> Self {
        let parents = self.archive.histories.get(&timeline(parent));
        let mut forks = parents.map_or_else(Vec::new, |history| history.forks.clone());
        forks.push(Fork { parent: timeline(parent), lsn: lsn(at), reason: String::new() });
        let history = TimelineHistory { timeline: timeline(child), forks };
        self.archive.histories.insert(timeline(child), history);
        self
    }

    pub(super) fn backup(mut self, name: &str, tli: u32, range: (&str, &str), stopped: &str) -> Self {
        self.manifests.push(manifest(name, timeline(tli), (lsn(range.0), lsn(range.1)), time(stopped)));
        self
    }

    pub(super) fn running(mut self, tli: u32, at: &str, now: &str) -> Self {
        let primary = RunningPrimary { now: time(now), timeline: timeline(tli), lsn: lsn(at) };
        self.archive.more_to_come = MoreWal::ClusterRuns(primary);
        self
    }

    pub(super) fn plan(&self, target: &RestoreTarget) -> Result<RecoveryPath, PlanError> {
        plan_recovery(&self.manifests, &self.archive, target)
    }
}

pub(super) fn manifest(
    name: &str,
    timeline: TimelineId,
    (start_lsn, stop_lsn): (Lsn, Lsn),
    stopped_at: Timestamp,
) -> BackupManifest {
    let instance = InstanceSlug { group: "postgres".parse().unwrap(), id: "0".parse().unwrap() };
    let deployment: DeploymentName = "pg-0001".parse().unwrap();
    BackupManifest {
        format: crate::documents::FORMAT,
        id: backup_id(name),
        cluster: "pg-0001".parse().unwrap(),
        deployment,
        system_identifier: SystemIdentifier(7),
        postgres_version: 150_018,
        segment_size: SIZE,
        timeline,
        start_lsn,
        stop_lsn,
        started_at: stopped_at,
        stopped_at,
        backup_label: String::new(),
        tablespace_map: String::new(),
        source: instance.clone(),
        source_role: Role::Primary,
        disk: DiskRecord {
            instance,
            cid: "disk-1".parse().unwrap(),
            az: None,
            shape: DiskShape { size_mib: 1024, ..DiskShape::default() },
        },
        other_disks: Vec::new(),
        data_bytes: 0,
        settings: std::collections::BTreeMap::new(),
        data_checksums: true,
        collation_versions: std::collections::BTreeMap::new(),
        snapshot: SnapshotRecord {
            iaas: "local".into(),
            cid: format!("snap-{name}").parse().unwrap(),
            region: String::new(),
            key: None,
            created_at: stopped_at,
            complete: true,
        },
        sla_class: None,
        retain_until: None,
        hold: false,
        tool_version: "0".into(),
    }
}

pub(super) fn backup_id(name: &str) -> BackupId {
    BackupId::new(format!("20261123T100000Z-{name}")).unwrap()
}

/// A clock time of the day on which all of this happens.
pub(super) fn time(clock: &str) -> Timestamp {
    format!("2026-11-23T{clock}Z").parse().unwrap()
}

pub(super) fn lsn(text: &str) -> Lsn {
    text.parse().unwrap()
}

pub(super) fn timeline(number: u32) -> TimelineId {
    TimelineId::new(number).unwrap()
}

pub(super) fn segment(tli: u32, number: u64) -> WalSegment {
    WalSegment::numbered(timeline(tli), number, SIZE)
}

pub(super) fn to_lsn(text: &str) -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Lsn(lsn(text)))
}

pub(super) fn to_time(clock: &str) -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Time(time(clock)))
}

pub(super) fn to_latest() -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Latest)
}

pub(super) fn to_name() -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Name("before-migration".into()))
}

pub(super) fn to_xid(xid: u64) -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Xid(xid))
}

pub(super) fn to_backup(name: &str) -> RestoreTarget {
    RestoreTarget::of(RecoveryTarget::Backup(backup_id(name)))
}

impl RestoreTarget {
    pub(super) fn on(self, number: u32) -> Self {
        Self { timeline: Some(timeline(number)), ..self }
    }

    pub(super) fn from(self, name: &str) -> Self {
        Self { from_backup: Some(backup_id(name)), ..self }
    }

    pub(super) fn accepted(self) -> Self {
        Self { accept_unverified: true, ..self }
    }

    pub(super) fn just_before(self) -> Self {
        Self { exclusive: true, ..self }
    }
}
