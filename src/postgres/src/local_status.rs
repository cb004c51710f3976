//! The status of the server on this machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use remount_core::{
    ClusterName, DeploymentName, InstanceSlug, Lsn, RestoreTarget, Role, SystemIdentifier, TimelineHistory,
    TimelineId,
};
use tokio_postgres::Client;

use crate::local::{database, database_error, get, lsn, one, segment_size, timeline_hex};
use crate::{FreeSpace, LocalServer, Result, ServerStatus};
use remount_host::config_file::Blocks;
use remount_host::durable;

const ACTION: &str = "ask for the status";

/// What a server cannot know of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The instance.
    pub instance: InstanceSlug,
    /// Its deployment.
    pub deployment: DeploymentName,
    /// Its cluster.
    pub cluster: ClusterName,
}

impl Identity {
    /// What `agent.json` says: `deployment`, `instance`, and whether the deployment has more than one PostgreSQL
    /// group (`cluster_per_group`).
    pub fn of_config(blocks: &mut Blocks) -> Option<Self> {
        let (deployment, instance) = (blocks.needed("deployment"), blocks.needed::<InstanceSlug>("instance"));
        let per_group = blocks.optional("cluster_per_group").unwrap_or(false);
        let (deployment, instance) = (deployment?, instance?);
        let cluster = ClusterName::of(&deployment, per_group.then_some(&instance.group));
        cluster.map_err(|error| blocks.note([remount_core::with_causes(&error)])).ok().map(|cluster| Self {
            instance,
            deployment,
            cluster,
        })
    }
}

/// `pg_control_checkpoint()` lags behind a promotion and behind a standby's replay, hence the greatest
/// of all that is known. `pg_walfile_name` fails during recovery, hence the `CASE`.
const FACTS: &str = "
    SELECT pg_is_in_recovery(),
           (SELECT system_identifier FROM pg_control_system())::text,
           current_setting('server_version_num'),
           current_setting('wal_segment_size'),
           CASE WHEN pg_is_in_recovery()
                THEN upper(lpad(to_hex(greatest(
                       (SELECT timeline_id FROM pg_control_checkpoint()),
                       (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                       (SELECT max(received_tli) FROM pg_stat_wal_receiver WHERE status = 'streaming'))), 8, '0'))
                ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
           CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')
                ELSE pg_current_wal_flush_lsn() END::text,
           CASE WHEN pg_is_in_recovery()
                THEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
                ELSE EXISTS (SELECT FROM pg_stat_replication
                              WHERE state = 'streaming' AND application_name <> 'pg_basebackup') END,
           (SELECT last_archived_wal FROM pg_stat_archiver),
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
           current_setting('data_checksums') = 'on'";

/// Settings that a standby must match or exceed, and those that say whether a backup can be good.
const SETTINGS: &str = "
    SELECT name, setting FROM pg_settings
     WHERE name IN ('archive_mode', 'archive_timeout', 'full_page_writes', 'max_connections',
                    'max_locks_per_transaction', 'max_prepared_transactions', 'max_wal_senders',
                    'max_worker_processes', 'server_encoding', 'wal_level', 'wal_log_hints')";

/// The libraries' versions: of every database's own collation, of glibc and of ICU's root; and under
/// `database/<name>` which collation each database has. A change of either
/// between backup and restore makes text indexes wrong without an error.
const COLLATIONS: &str = "
    SELECT CASE datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END
           || '/' || datcollate, pg_database_collation_actual_version(oid)
      FROM pg_database WHERE datallowconn
    UNION
    SELECT 'database/' || datname,
           CASE datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END || '/' || datcollate
      FROM pg_database WHERE datallowconn
    UNION
    SELECT 'libc', max(pg_collation_actual_version(oid))
      FROM pg_collation WHERE collprovider = 'c' AND collname NOT IN ('C', 'POSIX', 'ucs_basic')
    UNION
    SELECT 'icu/' || collname, pg_collation_actual_version(oid)
      FROM pg_collation WHERE collname = 'und-x-icu'";

impl LocalServer {
    /// The server's status. What only the agent knows (backup, applied restore, disks) is none; `target` is that of a plan
    /// whose recovery is not over.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn status(&self, identity: &Identity, target: Option<&RestoreTarget>) -> Result<ServerStatus> {
        let client = self.connect().await?;
        let row = one(&client, ACTION, FACTS).await?;
        let role = if get(&row, 0)? { Role::Standby } else { Role::Primary };
        let timeline = timeline_hex(&get::<String>(&row, 4)?)?;
        Ok(ServerStatus {
            instance: identity.instance.clone(),
            cluster: identity.cluster.clone(),
            role,
            system_identifier: system_identifier(&get::<String>(&row, 1)?)?,
            postgres_version: get::<String>(&row, 2)?.parse().map_err(database_error)?,
            segment_size: segment_size(&get::<String>(&row, 3)?)?,
            timeline,
            lsn: lsn(&row, 5)?,
            streaming: get(&row, 6)?,
            last_archived: get(&row, 7)?,
            now: Timestamp::from_microsecond(get(&row, 8)?).map_err(database_error)?,
            backup: None,
            applied_restore: None,
            replayed_to: self.replayed_to(timeline)?,
            recovery: self.recovery_by(&client, target).await?,
            settings: pairs(&client, SETTINGS).await?,
            overrides: self.overrides().await?,
            data_checksums: get(&row, 9)?,
            collation_versions: pairs(&client, COLLATIONS).await?,
            data_bytes: self.data_bytes()?,
            on_other_disks: Vec::new(),
            data_free: FreeSpace::of(&self.config().data_directory)?,
            wal_free: self.wal_free()?,
        })
    }

    /// Where recovery stopped when this timeline began: the last fork of its history file.
    pub(crate) fn replayed_to(&self, timeline: TimelineId) -> Result<Option<Lsn>> {
        if timeline == TimelineId::FIRST {
            return Ok(None);
        }
        let name = TimelineHistory::file_name(timeline);
        let path = self.config().data_directory.join("pg_wal").join(name);
        let Some(content) = durable::read(&path)? else {
            return Ok(None); // A standby that streams from the start has not fetched it.
        };
        let text = String::from_utf8_lossy(&content);
        let history = TimelineHistory::parse(timeline, &text).map_err(database_error)?;
        Ok(history.forks.last().map(|fork| fork.lsn))
    }

    fn data_bytes(&self) -> Result<u64> {
        let path = &self.config().data_directory;
        let usage = rustix::fs::statvfs(path).map_err(|error| durable::at(path)(error.into()))?;
        Ok(usage.f_blocks.saturating_sub(usage.f_bfree).saturating_mul(usage.f_frsize))
    }
}

/// PostgreSQL shows the 64 bits as a signed number.
fn system_identifier(text: &str) -> Result<SystemIdentifier> {
    text.parse::<i64>().map(|signed| SystemIdentifier(signed.cast_unsigned())).map_err(database_error)
}

async fn pairs(client: &Client, query: &str) -> Result<BTreeMap<String, String>> {
    let rows = client.query(query, &[]).await.map_err(database(ACTION))?;
    let pair = |row| -> Result<_> { Ok((get(row, 0)?, get::<Option<String>>(row, 1)?.unwrap_or_default())) };
    rows.iter().map(pair).collect()
}
