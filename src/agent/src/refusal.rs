//! Why PostgreSQL may not start, and what to do about it, for the operator who reads `bosh task`.

use remount_core::documents::DiskOwner;
use remount_core::{BackupId, InstanceSlug, RestoreId, StoreId, SystemIdentifier};

/// A refusal of the fence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The persistent disk is not there.
    #[error("{path} is not a mount point: the persistent disk is not attached to this VM")]
    NotMounted {
        /// Where it should be.
        path: String,
    },
    /// An instance that had data finds none.
    #[error("instance {instance} was initialised before, but its disk holds no data: this is not its disk")]
    DataMissing {
        /// The instance.
        instance: InstanceSlug,
    },
    /// An empty disk, and the store does not answer whether it should be.
    #[error(
        "the disk holds no data, and the object store did not answer within {seconds} s whether this instance has had data: {detail}"
    )]
    EmptyAndUnanswered {
        /// How long it was asked.
        seconds: u64,
        /// The last error.
        detail: String,
    },
    /// A mark without data.
    #[error("the disk is a copy from backup {backup}, but its data directory is empty")]
    CopyWithoutData {
        /// The backup.
        backup: BackupId,
    },
    /// A copy, and the store does not answer which restore it is for.
    #[error(
        "the disk is a copy from backup {backup}, and the object store did not answer within {seconds} s which restore \
         it is for: {detail}. If it started, PostgreSQL would take writes from the instant of the snapshot on, on the old \
         timeline; that cannot be undone"
    )]
    CopyAndUnanswered {
        /// The backup.
        backup: BackupId,
        /// How long it was asked.
        seconds: u64,
        /// The last error.
        detail: String,
    },
    /// A copy that no published restore uses.
    #[error(
        "the disk is a copy from backup {backup}, and no published restore uses it: if it started, PostgreSQL \
         would take writes from the instant of the snapshot on"
    )]
    NoPlan {
        /// The backup.
        backup: BackupId,
    },
    /// A copy of another instance's disk.
    #[error(
        "the disk is a copy from backup {backup}: it was marked as that of instance {} of cluster {} (system identifier {}), \
         this is instance {} of cluster {} (system identifier {})",
        found.instance, found.cluster, found.system_identifier, wanted.instance, wanted.cluster, wanted.system_identifier
    )]
    CopyOfAnother {
        /// The backup.
        backup: BackupId,
        /// Whose it was.
        found: Box<DiskOwner>,
        /// Whose it would have to be.
        wanted: Box<DiskOwner>,
    },
    /// A mark of a backup in another store.
    #[error(
        "the disk has the mark of backup {backup} in the object store {found}, and the store that is configured is {}",
        wanted.as_ref().map_or_else(|| "another one (it has no store.json)".into(), ToString::to_string)
    )]
    OtherStore {
        /// The backup.
        backup: BackupId,
        /// The mark's store.
        found: StoreId,
        /// The configured one's id.
        wanted: Option<StoreId>,
    },
    /// Another job started a server on the copy.
    #[error(
        "the disk is a copy from backup {backup} to which no plan was applied, and process {pid} ({name}) already uses its \
         data directory: another job's pre-start started it"
    )]
    AlreadyUsed {
        /// The backup.
        backup: BackupId,
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A copy from another backup than the plan's.
    #[error(
        "the wrong disk is attached: restore {restore} needs a disk from backup {wanted}, this one is from backup {found}"
    )]
    WrongDisk {
        /// The restore.
        restore: RestoreId,
        /// The plan's backup.
        wanted: BackupId,
        /// The disk's.
        found: BackupId,
    },
    /// A copy of another cluster.
    #[error(
        "the wrong disk is attached: restore {restore} is of system identifier {wanted}, the data on this disk is of {found}"
    )]
    OtherCluster {
        /// The restore.
        restore: RestoreId,
        /// The plan's.
        wanted: SystemIdentifier,
        /// The disk's.
        found: SystemIdentifier,
    },
    /// The plan does not name this instance.
    #[error("the disk is a copy, and the plan of restore {restore} does not name instance {instance}")]
    NotPlanned {
        /// The restore.
        restore: RestoreId,
        /// The instance.
        instance: InstanceSlug,
    },
    /// What a standby waited for did not come.
    #[error(
        "the standby waited {seconds} s for {missing} (restore {restore}); if it started now, it would replay past the fork"
    )]
    NoFork {
        /// The restore.
        restore: RestoreId,
        /// What is not there.
        missing: String,
        /// How long it waited.
        seconds: u64,
    },
    /// The plan was withdrawn while a standby waited.
    #[error("restore {restore} was withdrawn while this standby waited for its primary")]
    Withdrawn {
        /// The restore.
        restore: RestoreId,
    },
}

/// After a failed start the Director still records the instance as `started`, and it attaches to stopped ones alone. Without
/// `copy` it records a disk of 1 MiB, and the next deploy moves the data away.
const ATTACH: &str = "find the disk with `bosh disks --orphaned` or in the cloud; then `bosh stop --no-converge` the \
                      instance, `bosh attach-disk GROUP/ID DISK_CID --disk-properties=copy`, and \
                      `bosh start --no-converge`";

impl Refusal {
    pub fn copy_and_unanswered(backup: BackupId, seconds: u64, detail: String) -> Self {
        Self::CopyAndUnanswered { backup, seconds, detail }
    }

    /// What to do.
    pub fn next_step(&self) -> String {
        match self {
            Self::NotMounted { .. } => ATTACH.into(),
            Self::DataMissing { instance } => format!(
                "{ATTACH}. If its data is lost for good, restore the cluster with `remount restore`; if the instance \
                 is to be initialised again, remove instances/{}.json of the cluster from the object store and \
                 /var/vcap/data/remount-agent/initialised.json from the VM",
                instance.id
            ),
            Self::EmptyAndUnanswered { .. } => {
                "make the object store reachable from this VM (properties `store.*`), then `bosh start --no-converge` the instance".into()
            }
            Self::CopyWithoutData { .. } => {
                "the snapshot holds no data: restore from another backup (`remount list`)".into()
            }
            Self::CopyAndUnanswered { .. } => {
                "make the object store reachable from this VM (properties `store.*`), then `bosh start --no-converge` the instance; \
                 never remove backup.json by hand"
                    .into()
            }
            Self::AlreadyUsed { .. } => {
                "stop that process and do not use this disk any more; run the restore again, it makes a new disk. A \
                 release that starts PostgreSQL in pre-start cannot be restored (docs/colocation.md)"
                    .into()
            }
            Self::WrongDisk { .. } | Self::OtherCluster { .. } => {
                "run the restore errand again: it goes on, or attaches the disk this instance had; by hand: \
                 `bosh stop --no-converge` the instance, `bosh attach-disk GROUP/ID DISK_CID --disk-properties=copy` with \
                 the restore's disk (`remount journal`), and `bosh start --no-converge`"
                    .into()
            }
            Self::NotPlanned { .. } => {
                "`remount rollback` attaches the disk this instance had before; then request the restore again: its new \
                 plan names this instance"
                    .into()
            }
            Self::NoFork { .. } => {
                "look at the primary and at `remount journal`; once the restore has reached its step `rejoin`, \
                 `bosh start --no-converge` this instance again"
                    .into()
            }
            Self::OtherStore { .. } => {
                "if bucket, prefix or folder of the properties `store.*` were changed, set them back, deploy and start the instance \
                 again; else the disk is a copy from elsewhere: attach the disk this instance had before"
                    .into()
            }
            Self::Withdrawn { .. } | Self::NoPlan { .. } | Self::CopyOfAnother { .. } => {
                "attach the disk this instance had before (its CID is in `remount journal`): `bosh stop --no-converge`, `bosh \
                 attach-disk GROUP/ID DISK_CID --disk-properties=copy`, `bosh start --no-converge`"
                    .into()
            }
        }
    }
}
