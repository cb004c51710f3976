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
//! | [`Server::write_probe`] | `POST /v1/probe` |
//! | [`Server::promote`] | `POST /v1/restore/promote` |
//! | [`Server::forward_restore`] | `POST /v1/restore/forward` |
//! | [`Server::finish_restore`] | `POST /v1/restore/finish` |

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use remount_core::{
    BackupId, ClusterName, InstanceSlug, Lsn, RestoreId, Role, SegmentSize, SystemIdentifier, TimelineId,
    WalSegment,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Promoted, Recovery};

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
    /// Whether data checksums are on.
    pub data_checksums: bool,
    /// Versions of the collations, by provider and name.
    pub collation_versions: BTreeMap<String, String>,
    /// Bytes below the data directory's file system.
    pub data_bytes: u64,
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

/// The body of `POST /v1/restore/promote`, `forward` and `finish`.
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

    /// Writes and flushes, on a primary.
    async fn write_probe(&self) -> Result<WriteProbe>;

    /// Ends the recovery of a restored primary that has come to where its plan wants it, records that, and makes roles
    /// and passwords those of the deployment again where the server is the job `postgres`'s. From then on it takes
    /// writes.
    ///
    /// # Errors
    /// [`Error::NoRestore`] where its disk has not applied this restore as a primary; [`Error::Database`] where
    /// recovery is not there yet, or does not end: it is in recovery or out of it, ask again.
    ///
    /// # Idempotence
    /// A recovery that is over answers as when it ended.
    async fn promote(&self, restore: &RestoreId) -> Result<Promoted>;

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
}

/// How a driver reaches the servers.
pub trait Servers: Debug + Send + Sync {
    /// The server of `instance`, whose VM has this address.
    ///
    /// # Errors
    /// The client's certificates cannot be used.
    fn server(&self, instance: &InstanceSlug, address: &str) -> Result<Arc<dyn Server>>;
}
