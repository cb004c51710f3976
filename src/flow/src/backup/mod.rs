//! Backup: see `run_backup`.

use jiff::Timestamp;
use remount_core::{BackupManifest, DeploymentName, GroupName};

use crate::{FlowContext, Progress, Result};

/// The backup to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRequest {
    /// The deployment.
    pub deployment: DeploymentName,
    /// Its PostgreSQL group, where it has more than one.
    pub group: Option<GroupName>,
    /// Which server's disk is snapshotted.
    pub source: BackupSource,
    /// The SLA class it is taken for.
    pub sla_class: Option<String>,
    /// Retention may delete it after this.
    pub retain_until: Option<Timestamp>,
    /// Retention may not delete it, whatever its age.
    pub hold: bool,
}

impl BackupRequest {
    /// A backup of the primary of a deployment's only PostgreSQL group.
    #[must_use]
    pub const fn of(deployment: DeploymentName) -> Self {
        Self {
            deployment,
            group: None,
            source: BackupSource::Primary,
            sla_class: None,
            retain_until: None,
            hold: false,
        }
    }
}

/// Which server's disk is snapshotted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupSource {
    /// The primary.
    #[default]
    Primary,
    /// A standby that streams; the primary where there is none.
    Standby,
}

/// Takes a backup.
///
/// # Errors
/// No backup exists afterwards, the server has left backup mode and the snapshot is deleted (or is,
/// where the cloud does not answer, by the next backup).
pub async fn run_backup(
    ctx: &FlowContext,
    request: &BackupRequest,
    progress: &dyn Progress,
) -> Result<BackupManifest> {
    todo!("{ctx:?} {request:?} {}", std::ptr::from_ref(progress).is_null())
}
