//! What can go wrong with a PostgreSQL server.

use remount_core::{BackupId, OperatorError, RestoreId, Retry, with_causes};
use remount_host::{DiskFault, FileError};
use serde::{Deserialize, Serialize};

/// What the text of an [`Error::Settings`] begins with.
const SETTINGS_PREFIX: &str = "there can be no backup with these settings: ";
/// What the text of an [`Error::OtherDisk`] begins with.
const OTHER_DISK: &str = "not on the persistent disk, so that no snapshot would hold it: ";
/// What the text of an [`Error::NotText`] begins with.
const NOT_TEXT: &str = "not a path in UTF-8, so that no manifest could hold it: ";
/// What the text of an [`Error::Config`] begins with.
const CONFIG_PREFIX: &str = "configuration: ";
/// What the text of an [`Error::NotVerified`] begins with.
const NOT_VERIFIED: &str = "another state than the verified one is not promoted: ";
/// What stands before the detail in the text of an [`Error::NoRoom`].
const NO_ROOM: &str = "the disk is too full: ";

/// A call to a server or its agent failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent does not answer: what was asked for may have happened.
    #[error("{action}: the agent at {address} does not answer")]
    Unreachable {
        /// What was asked for.
        action: String,
        /// Where the agent should be.
        address: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent answers, PostgreSQL does not or refuses.
    #[error("{action}: {detail}")]
    Database {
        /// What was asked for.
        action: String,
        /// PostgreSQL's message.
        detail: String,
    },
    /// Another backup is in progress on this server.
    #[error("backup {0} is in progress on this server")]
    BackupInProgress(BackupId),
    /// This backup is not in progress: its lease ended, or the agent was restarted.
    #[error("backup {0} is not in progress on this server")]
    NoBackup(BackupId),
    /// The disk has the mark of another backup, which nobody has judged: it may be a copy.
    #[error("the disk has the mark of backup {backup}: {detail}")]
    Marked {
        /// The backup of the mark.
        backup: BackupId,
        /// Why it is still there.
        detail: String,
    },
    /// `postgresql.auto.conf` takes from a backup what it rests on.
    #[error("there can be no backup with these settings: {0}")]
    Settings(String),
    /// The disk has not applied this restore as a primary, or its recovery is over where it must not be.
    #[error("restore {0} is not being recovered on this server")]
    NoRestore(RestoreId),
    /// The restored primary is not where it was verified. Nothing was done; where it has left recovery by itself, users may
    /// write.
    #[error("another state than the verified one is not promoted: {0}")]
    NotVerified(String),
    /// The call needs a primary.
    #[error("{action}: the server is a standby")]
    NotPrimary {
        /// What was asked for.
        action: String,
    },
    /// The disk has no room for it; the server would end with a PANIC. Nothing was done.
    #[error("{action}: the disk is too full: {detail}")]
    NoRoom {
        /// What was asked for.
        action: String,
        /// What is free and what is needed.
        detail: String,
    },
    /// A file of the data directory or of Remount is not as it must be.
    #[error("{path}: {detail}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk of a file takes nothing more.
    #[error("{path}: {detail}")]
    Disk {
        /// The file.
        path: String,
        /// The operating system's message.
        detail: String,
        /// Why not.
        fault: DiskFault,
    },
    /// The agent failed at something that is neither PostgreSQL's nor a file's.
    #[error("{action}: {detail}")]
    Agent {
        /// What was asked for.
        action: String,
        /// What it says.
        detail: String,
    },
    /// Parts of the cluster are not on the persistent disk.
    #[error("{OTHER_DISK}{0}")]
    OtherDisk(String),
    /// Tablespaces whose paths are no text.
    #[error("{NOT_TEXT}{0}")]
    NotText(String),
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(String),
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        let (path, detail) = (error.path.display().to_string(), error.source.to_string());
        match DiskFault::of(&error.source) {
            Some(fault) => Self::Disk { path, detail, fault },
            None => Self::File { path, detail },
        }
    }
}

/// An error as the agent's API carries it: HTTP status 409 for the states, 502 for PostgreSQL's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The variant, as `backup_in_progress`.
    pub code: String,
    /// The text for people.
    pub message: String,
    /// The backup, where the code is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The restore, where the code is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreId>,
}

impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        let (code, backup) = match error {
            Error::BackupInProgress(backup) => ("backup_in_progress", Some(backup)),
            Error::NoBackup(backup) => ("no_backup", Some(backup)),
            Error::Marked { backup, .. } => ("marked", Some(backup)),
            Error::Settings(_) => ("settings", None),
            Error::NoRestore(_) => ("no_restore", None),
            Error::NotVerified(_) => ("not_verified", None),
            Error::NotPrimary { .. } => ("not_primary", None),
            Error::NoRoom { .. } => ("no_room", None),
            Error::Database { .. } => ("database", None),
            Error::Unreachable { .. } => ("unreachable", None),
            Error::File { .. } => ("file", None),
            Error::Disk { fault: DiskFault::Full, .. } => ("disk_full", None),
            Error::Disk { fault: DiskFault::ReadOnly, .. } => ("disk_read_only", None),
            Error::Agent { .. } => ("agent", None),
            Error::OtherDisk(_) => ("other_disk", None),
            Error::NotText(_) => ("not_text", None),
            Error::Config(_) => ("config", None),
        };
        let restore = if let Error::NoRestore(restore) = error { Some(restore.clone()) } else { None };
        Self { code: code.into(), message: with_causes(error), backup: backup.cloned(), restore }
    }
}

impl ApiError {
    /// The error as the driver sees it. A code that this version does not know is taken for a failure of the server.
    #[must_use]
    pub fn into_error(self, action: &str) -> Error {
        if let ("no_restore", Some(restore)) = (self.code.as_str(), &self.restore) {
            return Error::NoRestore(restore.clone());
        }
        match (self.code.as_str(), self.backup.clone()) {
            ("backup_in_progress", Some(backup)) => Error::BackupInProgress(backup),
            ("no_backup", Some(backup)) => Error::NoBackup(backup),
            ("marked", Some(backup)) => {
                let prefix = format!("the disk has the mark of backup {backup}: ");
                let detail = self.message.strip_prefix(&prefix).unwrap_or(&self.message).to_owned();
                Error::Marked { backup, detail }
            }
            ("settings", _) => {
                let detail = self.message.strip_prefix(SETTINGS_PREFIX).unwrap_or(&self.message);
                Error::Settings(detail.into())
            }
            ("not_verified", _) => {
                Error::NotVerified(self.message.strip_prefix(NOT_VERIFIED).unwrap_or(&self.message).into())
            }
            ("not_primary", _) => Error::NotPrimary { action: action.into() },
            ("no_room", _) => {
                let detail = self.message.split_once(NO_ROOM).map_or(&*self.message, |(_, detail)| detail);
                Error::NoRoom { action: action.into(), detail: detail.into() }
            }
            // A full or read-only disk does not pass by waiting, and PostgreSQL's log says nothing of it.
            ("file", _) => {
                let (path, detail) = self.path_and_detail();
                Error::File { path, detail }
            }
            (code @ ("disk_full" | "disk_read_only"), _) => {
                let fault = if code == "disk_full" { DiskFault::Full } else { DiskFault::ReadOnly };
                let (path, detail) = self.path_and_detail();
                Error::Disk { path, detail, fault }
            }
            ("agent", _) => Error::Agent { action: action.into(), detail: self.message },
            ("other_disk", _) => {
                Error::OtherDisk(self.message.strip_prefix(OTHER_DISK).unwrap_or(&self.message).into())
            }
            ("not_text", _) => {
                Error::NotText(self.message.strip_prefix(NOT_TEXT).unwrap_or(&self.message).into())
            }
            // What the agent does not take it will not take a second later.
            ("config", _) => {
                let detail = self.message.strip_prefix(CONFIG_PREFIX).unwrap_or(&self.message);
                Error::Config(detail.into())
            }
            _ => Error::Database { action: action.into(), detail: self.message },
        }
    }
}

impl ApiError {
    fn path_and_detail(&self) -> (String, String) {
        let (path, detail) = self.message.split_once(": ").unwrap_or(("a file", &self.message));
        (path.into(), detail.into())
    }
}

impl OperatorError for Error {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Database { .. } | Self::Agent { .. } => Retry::Soon,
            Self::BackupInProgress(_) | Self::Marked { .. } => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "check the instance with `bosh instances --ps`, and read /var/vcap/sys/log/remount-agent on it"
                    .into()
            }
            Self::Database { .. } => "read PostgreSQL's log below /var/vcap/sys/log/postgres".into(),
            Self::BackupInProgress(_) => "wait until that backup has ended, or run `remount journal`".into(),
            Self::Marked { .. } => {
                "make the object store reachable from the instance, which removes the mark of a backup that does not \
                 exist; if the disk is a copy, attach the one that the instance had before (`remount journal`)"
                    .into()
            }
            Self::Settings(_) => {
                "`ALTER SYSTEM RESET` each of them on the instance, then `SELECT pg_reload_conf()`, or restart it; set what has to \
                 differ by the job's properties"
                    .into()
            }
            Self::NoBackup(_) => "run the backup again".into(),
            Self::NoRestore(restore) => format!(
                "look at where the restore is with `remount journal {restore}`, and with `bosh instances --details` which disk the instance has"
            ),
            Self::NotVerified(_) => {
                "find out who restarted the server, resumed its replay or still archives, then restore again".into()
            }
            Self::NotPrimary { .. } => "run the command again: it reads the roles again and asks the primary".into(),
            Self::NoRoom { .. } => {
                "free room on the persistent disk (never below pg_wal), or enlarge it (`persistent_disk_type`) and deploy".into()
            }
            Self::File { .. } => {
                "check on the instance whether the disk of that file is full or read-only, and whether the file was changed by hand"
                    .into()
            }
            Self::Disk { fault, .. } => fault.next_step().into(),
            Self::Agent { .. } => "read /var/vcap/sys/log/remount-agent on the instance".into(),
            Self::OtherDisk(_) => {
                "move it below /var/vcap/store: a tablespace with `ALTER … SET TABLESPACE` and `DROP TABLESPACE`, `pg_wal` with the server stopped"
                    .into()
            }
            Self::NotText(_) => {
                "give it a path in UTF-8 below /var/vcap/store: `ALTER … SET TABLESPACE` to a new one, then `DROP TABLESPACE`".into()
            }
            Self::Config(_) => "fix the job's properties and redeploy".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_and_a_read_only_disk_are_told_as_such_across_the_agents_api_and_are_not_waited_out() {
        for (number, next) in [(28, "enlarge it"), (122, "enlarge it"), (30, "read-only")] {
            let source = std::io::Error::from_raw_os_error(number);
            let disk = Error::from(FileError { path: "/var/vcap/store/a".into(), source });
            let told = ApiError::from(&disk).into_error("begin the backup");
            assert_eq!((told.to_string(), told.retry()), (disk.to_string(), Retry::Never));
            assert!(told.next_step().unwrap().contains(next), "{told:?}");
        }
    }

    #[test]
    fn another_fault_of_a_file_is_told_with_its_cause() {
        let source = std::io::Error::from_raw_os_error(13);
        let file = Error::from(FileError { path: "/var/vcap/store/a".into(), source });
        let told = ApiError::from(&file).into_error("begin the backup");
        assert_eq!((told.to_string(), told.retry()), (file.to_string(), Retry::Never));
        assert!(told.to_string().contains("ermission denied"), "{told}");
    }

    #[test]
    fn the_agents_own_failure_sends_nobody_to_postgresqls_log() {
        let agent = ApiError { code: "agent".into(), message: "x: y".into(), backup: None, restore: None };
        let told = agent.into_error("begin the backup");
        assert_eq!(told.to_string(), "begin the backup: x: y");
        assert!(told.next_step().unwrap().contains("remount-agent"), "{told:?}");
    }

    #[test]
    fn data_on_another_disk_is_told_as_such_across_the_agents_api_and_is_not_asked_again() {
        let elsewhere = Error::OtherDisk("/var/vcap/store/postgres/data/pg_wal (/fast)".into());
        let told = ApiError::from(&elsewhere).into_error("begin the backup");
        assert_eq!((told.to_string(), told.retry()), (elsewhere.to_string(), Retry::Never));
    }

    #[test]
    fn a_path_that_is_no_text_is_told_as_such_across_the_agents_api_and_is_not_asked_again() {
        let path = Error::NotText("/var/vcap/store/postgres/data/pg_tblspc/3 (/var/vcap/store/x)".into());
        let told = ApiError::from(&path).into_error("begin the backup");
        assert_eq!((told.to_string(), told.retry()), (path.to_string(), Retry::Never));
        assert!(told.next_step().unwrap().contains("TABLESPACE"));
    }

    #[test]
    fn what_was_not_verified_is_told_as_such_across_the_agents_api_and_is_not_asked_again() {
        let refused = Error::NotVerified("the server stands at 0/2 of timeline 1".into());
        let told = ApiError::from(&refused).into_error("promote the server");
        assert_eq!((told.to_string(), told.retry()), (refused.to_string(), Retry::Never));
    }

    #[test]
    fn no_room_is_told_as_such_across_the_agents_api() {
        let full = Error::NoRoom { action: "switch WAL".into(), detail: "0 MiB are free".into() };
        let told = ApiError::from(&full).into_error("switch WAL");
        assert_eq!((told.to_string(), told.retry()), (full.to_string(), Retry::Never));
    }

    #[test]
    fn what_the_agent_does_not_take_is_not_asked_again() {
        let refused = Error::Config("`lease_seconds` has to be between 1 and 86400".into());
        assert!(refused.to_string().starts_with(CONFIG_PREFIX));
        let told = ApiError::from(&refused).into_error("begin the backup");
        assert_eq!((told.to_string(), told.retry()), (refused.to_string(), Retry::Never));
    }
}
