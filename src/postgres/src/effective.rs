//! Settings that are not what the job's configuration file says: `postgresql.auto.conf` (`ALTER SYSTEM`) is read last, so it
//! wins, and nobody sees it in the deployment.

use serde::{Deserialize, Serialize};

use crate::local::{database, get};
use crate::{LocalServer, Result};

const ACTION: &str = "compare the settings";

/// What Remount rests on, as it was written: in the job's own file (the last line counts) and in `postgresql.auto.conf`.
const OVERRIDDEN: &str = "
    SELECT auto.name, auto.setting, job.setting
      FROM (SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting FROM pg_file_settings
             WHERE sourcefile ~ '[/]postgresql[.]auto[.]conf$' AND setting IS NOT NULL
             ORDER BY lower(name), seqno DESC) AS auto
      LEFT JOIN (SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting FROM pg_file_settings
             WHERE sourcefile !~ '[/]postgresql[.]auto[.]conf$' AND setting IS NOT NULL
             ORDER BY lower(name), seqno DESC) AS job USING (name)
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
    /// What `postgresql.auto.conf` says, and the server does.
    pub effective: String,
    /// What the job's configuration file says; none where it says nothing.
    #[serde(default)]
    pub configured: Option<String>,
    /// What it takes away.
    pub severity: Severity,
}

/// What an override takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// WAL may not reach the archive, or a snapshot may not hold together: there is no backup with it.
    Breaks,
    /// It is not what the deployment says.
    Differs,
}

impl SettingOverride {
    fn of(name: String, effective: String, configured: Option<String>) -> Option<Self> {
        // What a restore has written itself.
        if name == "restore_command" && effective.contains("remount-wal") {
            return None;
        }
        let severity = severity(&name, &effective);
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

fn severity(name: &str, effective: &str) -> Severity {
    let is_off = ["off", "false", "no", "0"].contains(&effective.to_ascii_lowercase().as_str());
    let breaks = match name {
        "archive_command" | "archive_library" => true,
        "archive_mode" | "fsync" | "full_page_writes" => is_off,
        "wal_level" => effective.eq_ignore_ascii_case("minimal"),
        _ => false,
    };
    if breaks { Severity::Breaks } else { Severity::Differs }
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
            found.extend(SettingOverride::of(get(&row, 0)?, get(&row, 1)?, get(&row, 2)?));
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
            ("fsync", "on", Severity::Differs),
            ("wal_level", "minimal", Severity::Breaks),
            ("wal_level", "logical", Severity::Differs),
            ("restore_command", "cp /x/%f %p", Severity::Differs),
        ] {
            let found = SettingOverride::of(name.into(), value.into(), None).unwrap();
            assert_eq!(found.severity, severity, "{found}");
        }
        assert!(
            SettingOverride::of("restore_command".into(), "/bin/remount-wal fetch".into(), None).is_none()
        );
    }
}
