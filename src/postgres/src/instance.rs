//! One PostgreSQL server of a cluster as a driver (errand, CLI, scheduler) sees it: through the
//! `remount-agent` on its VM. The types here are the agent's API, JSON over HTTPS with client
//! certificates; the trait is implemented by [`crate::RemoteServer`] and in memory by `remount-sim`.
//!
//! | call | route |
//! |---|---|
//! | [`Server::status`] | `GET /v1/status` |
//! | [`Server::begin_backup`] | `POST /v1/backup/begin` |
//! | [`Server::renew_backup`] | `POST /v1/backup/renew` |
//! | [`Server::end_backup`] | `POST /v1/backup/end` |
//! | [`Server::abort_backup`] | `POST /v1/backup/abort` |
//! | [`Server::switch_wal`] | `POST /v1/wal/switch` |
//! | [`Server::archive_streamed`] | `POST /v1/wal/streamed` |
//! | [`Server::write_probe`] | `POST /v1/probe` |
//! | [`Server::promote`] | `POST /v1/restore/promote` |
//! | [`Server::forward_restore`] | `POST /v1/restore/forward` |
//! | [`Server::finish_restore`] | `POST /v1/restore/finish` |
//! | [`Server::refresh_collations`] | `POST /v1/collations/refresh` |

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::documents::WalTail;
use remount_core::{
    BackupId, ClusterName, DeploymentName, InstanceSlug, Lsn, RestoreId, Role, SegmentSize, SystemIdentifier,
    TimelineId, WalSegment,
};
use serde::{Deserialize, Serialize};

use crate::{Error, FreeSpace, Promoted, Recovery, SettingOverride, VerifiedPosition};

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A server's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The instance.
    pub instance: InstanceSlug,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Primary or standby, by `pg_is_in_recovery()`.
    pub role: Role,
    /// From the control file.
    pub system_identifier: SystemIdentifier,
    /// `server_version_num`.
    pub postgres_version: u32,
    /// The size of its WAL segments.
    pub segment_size: SegmentSize,
    /// The timeline it writes on or replays.
    pub timeline: TimelineId,
    /// Primary: flushed up to here. Standby: replayed up to here.
    pub lsn: Lsn,
    /// Standby: whether its WAL receiver streams. Primary: whether any standby streams from it.
    pub streaming: bool,
    /// The last segment that `pg_stat_archiver` counts as archived.
    pub last_archived: Option<String>,
    /// The clock of the server.
    pub now: Timestamp,
    /// The backup in progress.
    pub backup: Option<BackupId>,
    /// The restore whose plan this disk applied last.
    pub applied_restore: Option<RestoreId>,
    /// The position recovery stopped at when this server was last promoted by a restore.
    pub replayed_to: Option<Lsn>,
    /// Where its recovery is.
    pub recovery: Recovery,
    /// `archive_mode`, `max_connections`, … as named in `settings` of the manifest.
    pub settings: BTreeMap<String, String>,
    /// Settings that `postgresql.auto.conf` overrides.
    #[serde(default)]
    pub overrides: Vec<SettingOverride>,
    /// Whether data checksums are on.
    pub data_checksums: bool,
    /// Versions of the collations, by provider and name; and under `database/<name>` which one each database has.
    pub collation_versions: BTreeMap<String, String>,
    /// Bytes below the data directory's file system.
    pub data_bytes: u64,
    /// What of the cluster is not on the persistent disk: no snapshot holds it.
    #[serde(default)]
    pub on_other_disks: Vec<String>,
    /// What the data directory's file system has left.
    pub data_free: FreeSpace,
    /// What the file system of its WAL has left.
    pub wal_free: FreeSpace,
}

impl ServerStatus {
    /// Why a checkpoint and a switch of WAL would risk the server; none where they have room.
    #[must_use]
    pub fn lacks_room(&self) -> Option<String> {
        self.wal_free.lacks(self.segment_size).or_else(|| self.data_free.lacks(self.segment_size))
    }
}

/// Backup mode was entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupBegun {
    /// The backup.
    pub backup: BackupId,
    /// The redo position.
    pub start_lsn: Lsn,
    /// The server's clock at the start.
    pub started_at: Timestamp,
    /// The timeline it runs on.
    pub timeline: TimelineId,
    /// Backup mode ends by itself unless renewed within this time.
    pub lease_seconds: u64,
}

/// Backup mode was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEnded {
    /// The backup.
    pub backup: BackupId,
    /// The redo position.
    pub start_lsn: Lsn,
    /// Consistent from here.
    pub stop_lsn: Lsn,
    /// The server's clock at the start.
    pub started_at: Timestamp,
    /// The server's clock at the end.
    pub stopped_at: Timestamp,
    /// The segment that has to be archived before the backup is good.
    pub stop_segment: WalSegment,
    /// `backup_label`, verbatim.
    pub backup_label: String,
    /// `tablespace_map`, verbatim.
    pub tablespace_map: String,
}

/// WAL was switched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSwitched {
    /// Everything before this position is in `last_segment` or before.
    pub lsn: Lsn,
    /// The segment that was closed: wait for it in the archive.
    pub last_segment: WalSegment,
}

/// How far the indexes of collations with another version have been rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollationRefresh {
    /// It goes on.
    Running,
    /// It is done.
    Done {
        /// The databases whose indexes were rebuilt; none where all versions were right.
        databases: Vec<String>,
    },
    /// It failed; asking again begins again.
    Failed {
        /// Why.
        what: String,
    },
}

/// A standby's WAL is in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamedWal {
    /// The timeline it has streamed.
    pub timeline: TimelineId,
    /// All before is in the archive, or in the tail: the end of the last record that it has replayed.
    pub end: Lsn,
    /// How many segments are left for another call; without them nothing here is complete.
    pub left: usize,
    /// The records of the segment that is not full yet.
    pub tail: Option<WalTail>,
}

/// The body of `POST /v1/backup/begin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginBackup {
    /// The backup.
    pub backup: BackupId,
    /// Backup mode ends by itself unless renewed within this time.
    pub lease_seconds: u64,
}

/// The body of `POST /v1/backup/renew`, `end` and `abort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedBackup {
    /// The backup.
    pub backup: BackupId,
}

/// The body of `POST /v1/restore/promote`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromoteRestore {
    /// The restore.
    pub restore: RestoreId,
    /// What may be promoted.
    pub verified: VerifiedPosition,
}

/// The body of `POST /v1/restore/forward` and `finish`, and of `POST /v1/collations/refresh`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRestore {
    /// The restore.
    pub restore: RestoreId,
}

/// The target of a recovery was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// Whether the server has to be started again for it: it runs with another target.
    pub needs_restart: bool,
}

/// A write was tried (`pg_logical_emit_message`, flushed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteProbe {
    /// The position of the write; a standby that follows replays past it.
    pub lsn: Lsn,
}

/// A PostgreSQL server, through the agent on its VM.
#[async_trait]
pub trait Server: Debug + Send + Sync {
    /// The server's status.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where the agent does not answer, [`Error::Database`] where the agent
    /// does and the server does not.
    async fn status(&self) -> Result<ServerStatus>;

    /// The server's status; what fails in passing is tried again for at most `limit` by those that try again.
    ///
    /// # Errors
    /// As [`Server::status`].
    async fn status_with_retry(&self, limit: Duration) -> Result<ServerStatus> {
        let _ = limit;
        self.status().await
    }

    /// Enters backup mode: file lock, `backup.json`, `pg_backup_start(fast)`, `syncfs`; the session is held.
    ///
    /// # Idempotence
    /// The same backup again answers as the first call did; another one is [`Error::BackupInProgress`].
    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun>;

    /// Extends the lease of the backup in progress.
    async fn renew_backup(&self, backup: &BackupId) -> Result<()>;

    /// Leaves backup mode and removes `backup.json`.
    ///
    /// # Errors
    /// [`Error::NoBackup`] where this backup is not in progress (its lease ended): there is no backup.
    ///
    /// # Idempotence
    /// The same backup again answers as the first call did, as long as the agent lives.
    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded>;

    /// Leaves backup mode without a result. None in progress counts as done.
    async fn abort_backup(&self, backup: &BackupId) -> Result<()>;

    /// Checkpoints and switches to a new WAL segment, on a primary.
    async fn switch_wal(&self) -> Result<WalSwitched>;

    /// Archives what a standby has streamed and the archive lacks: where its primary cannot. Full segments under their
    /// names, as the primary would; what it has of the next one as a tail.
    ///
    /// # Idempotence
    /// What is archived is archived. Call again while segments are left: a call takes some seconds and no more.
    async fn archive_streamed(&self) -> Result<StreamedWal>;

    /// Writes and flushes, on a primary.
    async fn write_probe(&self) -> Result<WriteProbe>;

    /// Ends the recovery of a restored primary that has come to where its plan wants it and stands where it was
    /// `verified`, records that, and makes roles and passwords those of the deployment again where the server is the job
    /// `postgres`'s. From then on it takes writes.
    ///
    /// # Errors
    /// [`Error::NoRestore`] where its disk has not applied this restore as a primary; [`Error::NotVerified`] where it
    /// stands elsewhere, or has left recovery elsewhere; [`Error::Database`] where recovery is not there yet, or does
    /// not end: it is in recovery or out of it, ask again.
    ///
    /// # Idempotence
    /// A recovery that is over answers as when it ended.
    async fn promote(&self, restore: &RestoreId, verified: &VerifiedPosition) -> Result<Promoted>;

    /// Takes the newest version of the restore's plan over into the settings of a recovery that goes on: they count
    /// from the next start on.
    ///
    /// # Errors
    /// [`Error::NoRestore`] as for [`Self::promote`], or where the recovery is over.
    ///
    /// # Idempotence
    /// Taking it over again changes nothing, and answers whether the server runs with it.
    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded>;

    /// Removes the settings that only the restore needed, and reloads.
    ///
    /// # Idempotence
    /// Settings that are gone count as removed.
    async fn finish_restore(&self, restore: &RestoreId) -> Result<()>;

    /// Begins to rebuild the indexes of every database in which a collation has another version than when they were
    /// built, on a primary; answers at once how far it has come. It takes hours where there is much to rebuild.
    ///
    /// # Idempotence
    /// The same restore again tells of the same work, as long as the agent lives; work that was done finds nothing
    /// left to do.
    async fn refresh_collations(&self, restore: &RestoreId) -> Result<CollationRefresh>;
}

/// How a driver reaches the servers.
pub trait Servers: Debug + Send + Sync {
    /// The server of `instance` of `deployment`, whose VM has this address. An agent of another deployment does not
    /// count as an answer.
    ///
    /// # Errors
    /// The client's certificates cannot be used, or no certificate can name the deployment.
    fn server(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<Arc<dyn Server>>;
}
