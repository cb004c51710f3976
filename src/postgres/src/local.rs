//! The server on this machine, over its Unix socket: one short session per query, so that a restart of PostgreSQL
//! needs no handling.

use std::path::PathBuf;
use std::time::Duration;

use remount_core::{Lsn, SegmentSize, TimelineId, WalSegment};
use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, Row};

use crate::{DataDirectory, Error, FreeSpace, Result, WalSwitched, WriteProbe};

/// How long connecting may take; the socket is on this machine.
const CONNECT_SECONDS: u64 = 5;
/// How long a query may take. A server whose disk hangs must not hang its agent.
const STATEMENT_SECONDS: u64 = 30;
/// What our sessions set for themselves: defaults of the server, the database or the role (`ALTER SYSTEM`, `ALTER DATABASE`,
/// `ALTER ROLE`) would make queries fail, wait, end early, or answer in another form. What a session asks for at its start
/// goes before all of them.
const SESSION: &str = "-c lock_timeout=0 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 \
    -c search_path=pg_catalog -c standard_conforming_strings=on -c default_transaction_read_only=off \
    -c default_transaction_deferrable=off -c default_transaction_isolation=read\\ committed -c role=none \
    -c session_replication_role=origin -c client_encoding=UTF8 -c DateStyle=ISO -c TimeZone=UTC -c bytea_output=hex \
    -c lc_messages=C -c session_preload_libraries= -c local_preload_libraries=";
/// A checkpoint writes all dirty buffers; a large server with a slow disk takes minutes.
const CHECKPOINT_SECONDS: u64 = 1800;

/// A receiver that does not stream any more has told its last position; one that never did has none.
const RECEIVED: &str = "
    SELECT upper(lpad(to_hex(greatest(
             (SELECT timeline_id FROM pg_control_checkpoint()),
             (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
             (SELECT max(received_tli) FROM pg_stat_wal_receiver WHERE status = 'streaming'))), 8, '0')),
           greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0'::pg_lsn)::text,
           coalesce(pg_last_wal_replay_lsn(), '0/0'::pg_lsn)::text,
           current_setting('wal_segment_size')";

/// Where the server is: the `postgres` block of `agent.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The data directory.
    pub data_directory: PathBuf,
    /// The folder of its Unix socket.
    pub socket_directory: PathBuf,
    /// Its port; part of the socket's name.
    pub port: u16,
    /// Whom to connect as, by peer authentication.
    pub superuser: String,
    /// What to connect to.
    pub database: String,
    /// Where PostgreSQL's programs are.
    pub bin_directory: PathBuf,
    /// Where PostgreSQL's messages are found when it does not start.
    #[serde(default = "default_log_directory")]
    pub log_directory: PathBuf,
}

fn default_log_directory() -> PathBuf {
    "/var/vcap/sys/log/postgres".into()
}

/// Whether a server accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachable {
    /// It accepts connections.
    Yes,
    /// It recovers, or is starting or stopping: PostgreSQL's message.
    NotYet(String),
    /// Nothing listens on its socket.
    Down,
}

/// How far a standby is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The timeline.
    pub timeline: TimelineId,
    /// All before is durable in its `pg_wal`, or was.
    pub flushed: Lsn,
    /// The end of the last record that it has replayed.
    pub replayed: Lsn,
    /// The size of its segments.
    pub segment_size: SegmentSize,
}

/// The server on this machine.
#[derive(Clone, Debug)]
pub struct LocalServer {
    config: LocalConfig,
}

impl LocalServer {
    /// The server with this configuration; it need not run.
    #[must_use]
    pub fn new(config: LocalConfig) -> Self {
        Self { config }
    }

    /// Where it is.
    #[must_use]
    pub fn config(&self) -> &LocalConfig {
        &self.config
    }

    /// Its data directory.
    #[must_use]
    pub fn data_directory(&self) -> DataDirectory {
        DataDirectory::new(&self.config.data_directory)
    }

    /// Whether it accepts connections.
    ///
    /// # Errors
    /// [`Error::Database`]: it answers and refuses us (authentication, a missing database).
    pub async fn reachable(&self) -> Result<Reachable> {
        let error = match self.try_connect(&self.config.database, STATEMENT_SECONDS).await {
            Ok(_) => return Ok(Reachable::Yes),
            Err(error) => error,
        };
        match error.as_db_error() {
            Some(refusal) if is_passing(refusal.code()) => Ok(Reachable::NotYet(refusal.message().into())),
            Some(_) => Err(database("connect to PostgreSQL")(error)),
            None => Ok(Reachable::Down),
        }
    }

    /// A session with a limit of half a minute per statement.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn connect(&self) -> Result<Client> {
        self.connect_to(&self.config.database, STATEMENT_SECONDS).await
    }

    /// A session that may wait for ever and be idle for ever: for backup mode.
    pub(crate) async fn connect_unlimited(&self) -> Result<Client> {
        self.connect_to(&self.config.database, 0).await
    }

    /// The same in another database: for work that takes hours.
    pub(crate) async fn connect_unlimited_to(&self, name: &str) -> Result<Client> {
        self.connect_to(name, 0).await
    }

    /// Whether it is in recovery, that is a standby or a primary that has not been promoted yet.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn in_recovery(&self) -> Result<bool> {
        let client = self.connect().await?;
        let row = one(&client, "ask for the role", "SELECT pg_is_in_recovery()").await?;
        get(&row, 0)
    }

    /// The timeline on which a standby's WAL receiver streams; none where it does not.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn streams_on(&self) -> Result<Option<TimelineId>> {
        let client = self.connect().await?;
        let query = "SELECT max(received_tli) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let row = one(&client, "ask for the WAL receiver", query).await?;
        get::<Option<i32>>(&row, 0)?.map(timeline).transpose()
    }

    /// How far a standby is.
    ///
    /// # Errors
    /// [`Error::Config`] on a primary, [`Error::Database`].
    pub async fn received(&self) -> Result<Received> {
        const ACTION: &str = "ask what was streamed";
        let client = self.connect().await?;
        let row = one(&client, ACTION, "SELECT pg_is_in_recovery()").await?;
        if !get::<bool>(&row, 0)? {
            return Err(Error::Config("the server is a primary: it archives its WAL by itself".into()));
        }
        let row = one(&client, ACTION, RECEIVED).await?;
        Ok(Received {
            timeline: timeline_hex(&get::<String>(&row, 0)?)?,
            flushed: lsn(&row, 1)?,
            replayed: lsn(&row, 2)?,
            segment_size: segment_size(&get::<String>(&row, 3)?)?,
        })
    }

    /// What the file system of the WAL has left.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn wal_free(&self) -> Result<FreeSpace> {
        FreeSpace::of(&self.config.data_directory.join("pg_wal"))
    }

    /// Refuses a backup whose checkpoint could end the server. To be asked before anything of it is written.
    ///
    /// # Errors
    /// [`Error::NoRoom`], [`Error::Database`]; [`Error::File`] where nobody can say.
    pub async fn must_have_room_for_backup(&self) -> Result<()> {
        const ACTION: &str = "begin a backup";
        let client = self.connect().await?;
        let row = one(&client, ACTION, "SELECT current_setting('wal_segment_size')").await?;
        self.must_have_room(ACTION, segment_size(&get::<String>(&row, 0)?)?)
    }

    /// Whether there is room to checkpoint and to switch WAL.
    fn must_have_room(&self, action: &str, segment_size: SegmentSize) -> Result<()> {
        self.wal_free()?.admits(action, segment_size)?;
        FreeSpace::of(&self.config.data_directory)?.admits(action, segment_size)
    }

    /// Checkpoints and switches to a new WAL segment, where there is room for both.
    ///
    /// # Errors
    /// [`Error::NotPrimary`] on a standby, [`Error::NoRoom`], [`Error::Database`].
    pub async fn switch_wal(&self) -> Result<WalSwitched> {
        const ACTION: &str = "switch WAL";
        let client = self.connect_to(&self.config.database, CHECKPOINT_SECONDS).await?;
        must_be_primary(&client, ACTION).await?;
        let row = one(&client, ACTION, "SELECT current_setting('wal_segment_size')").await?;
        self.must_have_room(ACTION, segment_size(&get::<String>(&row, 0)?)?)?;
        client.batch_execute("CHECKPOINT").await.map_err(database(ACTION))?;
        let query = "SELECT lsn::text, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
                            current_setting('wal_segment_size')
                       FROM pg_switch_wal() AS lsn";
        let row = one(&client, ACTION, query).await?;
        let lsn = lsn(&row, 0)?;
        let size = segment_size(&get::<String>(&row, 2)?)?;
        let last_segment = last_segment_before(lsn, timeline_hex(&get::<String>(&row, 1)?)?, size);
        Ok(WalSwitched { lsn, last_segment })
    }

    /// Writes a message into the WAL, commits and flushes it. Waits for no standby.
    ///
    /// # Errors
    /// [`Error::NotPrimary`] on a standby, [`Error::Database`].
    pub async fn write_probe(&self) -> Result<WriteProbe> {
        const ACTION: &str = "write a probe";
        let client = self.connect().await?;
        must_be_primary(&client, ACTION).await?;
        // In a transaction of its own: a standby that has gone must not make the probe wait.
        let write = "SET synchronous_commit = local;
                     SELECT pg_logical_emit_message(true, 'remount', 'probe')";
        client.batch_execute(write).await.map_err(database(ACTION))?;
        let row = one(&client, ACTION, "SELECT pg_current_wal_flush_lsn()::text").await?;
        Ok(WriteProbe { lsn: lsn(&row, 0)? })
    }

    /// Makes the server read its configuration files again.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn reload(&self) -> Result<()> {
        let client = self.connect().await?;
        one(&client, "reload the configuration", "SELECT pg_reload_conf()").await.map(drop)
    }

    async fn connect_to(&self, database_name: &str, statement_seconds: u64) -> Result<Client> {
        let session = self.try_connect(database_name, statement_seconds).await;
        session.map_err(database("connect to PostgreSQL"))
    }

    async fn try_connect(
        &self,
        database_name: &str,
        statement_seconds: u64,
    ) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.config.socket_directory)
            .port(self.config.port)
            .user(&self.config.superuser)
            .dbname(database_name)
            .application_name("remount-agent")
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS))
            .options(format!("-c statement_timeout={statement_seconds}s {SESSION}{}", self.newer()));
        let (client, connection) = config.connect(NoTls).await?;
        // It ends by itself when the client is dropped or the server goes away.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("a session with PostgreSQL ended: {error}");
            }
        });
        Ok(client)
    }

    /// What a session asks for at its start where its server knows it: an earlier one refuses who does. Not by `SET`
    /// afterwards, which is a transaction that the server's default would end.
    fn newer(&self) -> &'static str {
        let version = remount_host::durable::read(&self.config.data_directory.join("PG_VERSION"));
        let version = version.ok().flatten().and_then(|content| String::from_utf8(content).ok());
        let major = version.and_then(|text| text.trim().parse::<u32>().ok());
        if major.is_some_and(|major| major >= 17) { " -c transaction_timeout=0" } else { "" }
    }
}

/// States that pass by themselves: starting, stopping, recovering; no free connection.
fn is_passing(code: &SqlState) -> bool {
    [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(code)
}

/// Wraps the driver's error, so that its chain ends here.
pub(crate) fn database(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |error| {
        let is_full = error.code() == Some(&SqlState::DISK_FULL);
        let detail = match error.as_db_error() {
            None => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |cause| format!("{error} ({cause})")),
            Some(refusal) => {
                let mut text =
                    format!("{}: {} ({})", refusal.severity(), refusal.message(), refusal.code().code());
                for more in [refusal.detail(), refusal.hint()].into_iter().flatten() {
                    text.push_str("; ");
                    text.push_str(more);
                }
                text
            }
        };
        match is_full {
            true => Error::NoRoom { action: action.into(), detail },
            false => Error::Database { action: action.into(), detail },
        }
    }
}

pub(crate) async fn one(client: &Client, action: &'static str, query: &str) -> Result<Row> {
    client.query_one(query, &[]).await.map_err(database(action))
}

pub(crate) async fn must_be_primary(client: &Client, action: &'static str) -> Result<()> {
    let row = one(client, action, "SELECT pg_is_in_recovery()").await?;
    if get(&row, 0)? { Err(Error::NotPrimary { action: action.into() }) } else { Ok(()) }
}

pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(database("read PostgreSQL's answer"))
}

pub(crate) fn lsn(row: &Row, index: usize) -> Result<Lsn> {
    get::<String>(row, index)?.parse().map_err(database_error)
}

pub(crate) fn timeline(number: i32) -> Result<TimelineId> {
    TimelineId::new(u32::try_from(number).unwrap_or(0)).map_err(database_error)
}

pub(crate) fn timeline_hex(digits: &str) -> Result<TimelineId> {
    TimelineId::new(u32::from_str_radix(digits, 16).unwrap_or(0)).map_err(database_error)
}

/// `wal_segment_size` as `SHOW` tells it: `16MB`, `1GB`.
pub(crate) fn segment_size(text: &str) -> Result<SegmentSize> {
    let unit = |ending: &str, bytes: u32| {
        let number: u32 = text.strip_suffix(ending)?.parse().ok()?;
        number.checked_mul(bytes)
    };
    let bytes = unit("MB", 1 << 20).or_else(|| unit("GB", 1 << 30)).unwrap_or(0);
    SegmentSize::new(bytes).map_err(database_error)
}

/// The segment that ends at or holds what lies before `lsn`: at a boundary it is the one before.
pub(crate) fn last_segment_before(lsn: Lsn, timeline: TimelineId, size: SegmentSize) -> WalSegment {
    WalSegment::containing(timeline, Lsn(lsn.0.saturating_sub(1)), size)
}

/// An answer of PostgreSQL that cannot be read.
pub(crate) fn database_error(error: impl std::error::Error) -> Error {
    Error::Database { action: "read PostgreSQL's answer".into(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_at_a_boundary_belongs_to_the_segment_before() {
        let name = |lsn| last_segment_before(Lsn(lsn), TimelineId::FIRST, SegmentSize::DEFAULT).to_string();
        assert_eq!(name(0x0300_0000), "000000010000000000000002");
        assert_eq!(name(0x0300_0001), "000000010000000000000003");
    }

    #[test]
    fn segment_sizes_are_read_as_postgresql_shows_them() {
        assert_eq!(segment_size("16MB").unwrap(), SegmentSize::DEFAULT);
        assert_eq!(segment_size("1GB").unwrap().bytes(), 1 << 30);
        assert!(segment_size("16kB").is_err() && segment_size("8GB").is_err());
    }
}
