//! Whether texts still sort as they did when the backup's indexes were built. glibc and ICU come with the stemcell: a
//! restore of an older backup onto a newer one leaves indexes in an order that the new library does not know, and
//! PostgreSQL finds wrong rows, or none, without an error.

use std::collections::BTreeSet;

use remount_core::documents::{BackupManifest, RestoreOptions};
use remount_postgres::{changed_collations, reindex_commands};

use super::preflight::Findings;
use super::survey::Survey;

/// Compares the versions of the backup with those of the server that becomes the primary, or of any that answers.
pub fn check(survey: &Survey, backup: &BackupManifest, options: RestoreOptions, findings: &mut Findings) {
    let answering = || survey.statuses.iter().find_map(|(_, status)| status.as_ref().ok());
    let Some(status) = survey.status(&survey.primary).or_else(answering) else {
        findings.warn("no server answers, so that the versions of its collations could not be compared with the backup's");
        return;
    };
    let changes = changed_collations(&backup.collation_versions, &status.collation_versions);
    if changes.is_empty() {
        findings.check("the collations have the versions that they had in the backup");
        return;
    }
    let told: Vec<String> =
        changes.iter().map(|(name, (then, now))| format!("{name} was {then} and is {now}")).collect();
    findings.warn(format!(
        "collations have other versions than in backup {}: {}; text indexes can be wrong without an error",
        backup.id,
        told.join(", ")
    ));
    if options.reindex {
        findings.check("indexes are rebuilt after the promotion (`--reindex`)");
        return;
    }
    let names: BTreeSet<&str> = changes.keys().map(String::as_str).collect();
    for command in reindex_commands(&backup.collation_versions, &names) {
        findings.warn(format!("after the restore: {command}"));
    }
}
