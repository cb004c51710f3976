//! Whether all of the cluster was, and is, on the disks that a restore replaces.

use remount_core::documents::BackupManifest;

use super::preflight::Findings;
use super::survey::Survey;

/// A backup without a tablespace restores a catalog without its tables; a tablespace or `pg_wal` on a disk that stays
/// is of another time than the restored data.
pub fn check(survey: &Survey, backup: &BackupManifest, findings: &mut Findings) {
    let elsewhere = backup.tablespaces_elsewhere();
    if !elsewhere.is_empty() {
        findings.problem(
            format!("backup {} does not hold all of the cluster: tablespaces were on another disk: {}", backup.id, elsewhere.join(", ")),
            "choose a backup from before they were made; they themselves have to be saved and restored by other means",
        );
    }
    for (slug, status) in &survey.statuses {
        let Ok(status) = status else { continue };
        if !status.on_other_disks.is_empty() {
            findings.problem(
                format!(
                    "{slug} has data that a restore does not replace, on another disk: {}",
                    status.on_other_disks.join(", ")
                ),
                "move it below /var/vcap/store, or stop the instance and take it away, before the restore",
            );
        }
    }
}
