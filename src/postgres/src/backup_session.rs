//! Backup mode: one session that is held from `pg_backup_start` to `pg_backup_stop`.
//!
//! PostgreSQL ends backup mode when the session ends, however it ends. So nothing has to be cleaned
//! up after a crash of the agent: dropping the session is the abort.

use jiff::Timestamp;
use remount_core::{BackupId, Lsn, SegmentSize, TimelineId};
use tokio_postgres::{Client, Row};

use crate::local::{
    database, database_error, get, last_segment_before, lsn, one, segment_size, timeline_hex,
};
use crate::{BackupEnded, Error, LocalServer, Result};

const START: &str = "start backup mode";
const STOP: &str = "stop backup mode";

/// Backup mode of a server, for as long as this lives.
pub struct BackupSession {
    client: Client,
    backup: BackupId,
    start_lsn: Lsn,
    started_at: Timestamp,
    timeline: TimelineId,
    segment_size: SegmentSize,
}

impl BackupSession {
    /// Enters backup mode. The checkpoint is a fast one.
    ///
    /// # Errors
    /// [`Error::Database`]; backup mode was not entered.
    pub async fn start(server: &LocalServer, backup: &BackupId) -> Result<Self> {
        let client = server.connect_unlimited().await?;
        let facts = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                            current_setting('wal_segment_size')";
        let row = one(&client, START, facts).await?;
        let started_at = moment(&row, 0)?;
        let segment_size = segment_size(&get::<String>(&row, 1)?)?;
        let query = "SELECT pg_backup_start($1, fast => true)::text";
        let row = client.query_one(query, &[&backup.as_str()]).await.map_err(database(START))?;
        let start_lsn = lsn(&row, 0)?;
        // On a standby too the backup's checkpoint is the one in the control file by now.
        let query = "SELECT lpad(to_hex(timeline_id), 8, '0') FROM pg_control_checkpoint()";
        let row = one(&client, START, query).await?;
        let timeline = timeline_hex(&get::<String>(&row, 0)?)?;
        Ok(Self { client, backup: backup.clone(), start_lsn, started_at, timeline, segment_size })
    }

    /// The backup.
    #[must_use]
    pub fn backup(&self) -> &BackupId {
        &self.backup
    }

    /// Where replay will begin.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.start_lsn
    }

    /// The server's clock at the start.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The timeline it runs on.
    #[must_use]
    pub fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// Whether the session is gone, and backup mode with it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Leaves backup mode. Does not wait for the archive: the caller knows better what to wait for.
    ///
    /// # Errors
    /// [`Error::NoBackup`] where the session was lost meanwhile, [`Error::Database`] where PostgreSQL
    /// refuses (a standby was promoted). Backup mode has ended either way, and there is no backup.
    pub async fn stop(self) -> Result<BackupEnded> {
        if self.is_lost() {
            return Err(Error::NoBackup(self.backup));
        }
        let query = "SELECT lsn::text, labelfile, spcmapfile,
                            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
                       FROM pg_backup_stop(wait_for_archive => false)";
        let row = one(&self.client, STOP, query).await?;
        let stop_lsn = lsn(&row, 0)?;
        Ok(BackupEnded {
            start_lsn: self.start_lsn,
            stop_lsn,
            started_at: self.started_at,
            stopped_at: moment(&row, 3)?,
            stop_segment: last_segment_before(stop_lsn, self.timeline, self.segment_size),
            backup_label: get(&row, 1)?,
            tablespace_map: get::<Option<String>>(&row, 2)?.unwrap_or_default(),
            backup: self.backup,
        })
    }
}

impl std::fmt::Debug for BackupSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupSession").field("backup", &self.backup).finish_non_exhaustive()
    }
}

fn moment(row: &Row, index: usize) -> Result<Timestamp> {
    Timestamp::from_microsecond(get(row, index)?).map_err(database_error)
}
