//! Settings that are not what the job's configuration file says: `postgresql.auto.conf` (`ALTER SYSTEM`) is read last, so it
//! wins, and nobody sees it in the deployment.

use serde::{Deserialize, Serialize};

use crate::local::{database, get};
use crate::{LocalServer, Result};

const ACTION: &str = "compare the settings";

/// What Remount rests on, as it was written: in the job's own file (the last line counts) and in `postgresql.auto.conf`; and
/// what the server makes of it now, which may need a reload or a restart first.
const OVERRIDDEN: &str = "
    SELECT auto.name, auto.setting, job.setting, running.setting
      FROM (SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting FROM pg_file_settings
             WHERE sourcefile ~ '[/]postgresql[.]auto[.]conf$' AND setting IS NOT NULL
             ORDER BY lower(name), seqno DESC) AS auto
      LEFT JOIN (SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting FROM pg_file_settings
             WHERE sourcefile !~ '[/]postgresql[.]auto[.]conf$' AND setting IS NOT NULL
             ORDER BY lower(name), seqno DESC) AS job USING (name)
      LEFT JOIN pg_settings AS running USING (name)
     WHERE auto.name IN ('archive_command', 'archive_library', 'archive_mode', 'archive_timeout', 'fsync',
                         'full_page_writes', 'hot_standby', 'max_connections', 'max_locks_per_transaction',
                         'max_prepared_transactions', 'max_wal_senders', 'max_worker_processes',
                         'recovery_min_apply_delay', 'restore_command', 'wal_level')
       AND auto.setting IS DISTINCT FROM job.setting
     ORDER BY auto.name";

/// A setting that beats the job's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingOverride {
    /// Its name.
    pub name: String,
    /// What `postgresql.auto.conf` says, and the server does from its next start on at the latest.
    pub effective: String,
    /// What the job's configuration file says; none where it says nothing.
    #[serde(default)]
    pub configured: Option<String>,
    /// What it takes away.
    pub severity: Severity,
}

/// What an override takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is not what the deployment says.
    Differs,
    /// WAL may not reach the archive, or a snapshot may not hold together: there is no backup with it.
    Breaks,
}

impl SettingOverride {
    /// `running` is the server's own spelling of what it does now.
    fn of(
        name: String,
        effective: String,
        configured: Option<String>,
        running: Option<&str>,
    ) -> Option<Self> {
        // What a restore has written itself; and no library, which is what the server has where nobody says anything.
        let is_ours = name == "restore_command" && effective.contains("remount-wal");
        let says = |value: &str| !value.is_empty();
        let no_library = name == "archive_library" && !says(&effective);
        if is_ours || no_library && !configured.as_deref().is_some_and(says) {
            return None;
        }
        let severity = running.map_or(Severity::Differs, |running| severity(&name, running));
        let severity = severity.max(self::severity(&name, &effective));
        Some(Self { name, effective, configured, severity })
    }
}

impl std::fmt::Display for SettingOverride {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, effective, configured, .. } = self;
        let configured = configured.as_ref().map_or("nothing".to_owned(), |value| format!("`{value}`"));
        write!(f, "{name} is `{effective}` by postgresql.auto.conf, the job says {configured}")
    }
}

fn severity(name: &str, value: &str) -> Severity {
    let breaks = match name {
        "archive_command" => true,
        "archive_library" => !value.is_empty(),
        "archive_mode" | "fsync" | "full_page_writes" => is_off(value),
        "wal_level" => value.eq_ignore_ascii_case("minimal"),
        _ => false,
    };
    if breaks { Severity::Breaks } else { Severity::Differs }
}

/// PostgreSQL takes every beginning of a word that is no other word's.
///
/// # Source
/// PostgreSQL, `src/backend/utils/adt/bool.c`, `parse_bool_with_len`.
fn is_off(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, shortest: usize| value.len() >= shortest && word.starts_with(&value);
    value == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2)
}

impl LocalServer {
    /// The settings that beat the job's.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn overrides(&self) -> Result<Vec<SettingOverride>> {
        let client = self.connect().await?;
        let rows = client.query(OVERRIDDEN, &[]).await.map_err(database(ACTION))?;
        let mut found = Vec::new();
        for row in rows {
            let running: Option<String> = get(&row, 3)?;
            let (name, effective, configured) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
            found.extend(SettingOverride::of(name, effective, configured, running.as_deref()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_no_backup_is_told_from_what_differs() {
        for (name, value, severity) in [
            ("archive_command", "/bin/true", Severity::Breaks),
            ("archive_library", "basic_archive", Severity::Breaks),
            ("archive_mode", "OFF", Severity::Breaks),
            ("archive_mode", "always", Severity::Differs),
            ("fsync", "0", Severity::Breaks),
            ("fsync", "f", Severity::Breaks),
            ("fsync", "FAL", Severity::Breaks),
            ("full_page_writes", "n", Severity::Breaks),
            ("full_page_writes", "of", Severity::Breaks),
            ("fsync", "o", Severity::Differs),
            ("fsync", "t", Severity::Differs),
            ("fsync", "on", Severity::Differs),
            ("wal_level", "minimal", Severity::Breaks),
            ("wal_level", "logical", Severity::Differs),
            ("restore_command", "cp /x/%f %p", Severity::Differs),
        ] {
            let found = SettingOverride::of(name.into(), value.into(), None, None).unwrap();
            assert_eq!(found.severity, severity, "{found}");
        }
        for (name, value) in [("restore_command", "/bin/remount-wal fetch"), ("archive_library", "")] {
            assert!(SettingOverride::of(name.into(), value.into(), None, None).is_none(), "{name}");
        }
        let of = |effective: &str, running| {
            SettingOverride::of("fsync".into(), effective.into(), None, Some(running)).unwrap().severity
        };
        assert_eq!(of("on", "off"), Severity::Breaks, "it is not reloaded yet");
        assert_eq!(of("off", "on"), Severity::Breaks, "the next start, or reload, takes it");
    }
}
