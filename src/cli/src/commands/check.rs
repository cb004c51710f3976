//! `remount check`: whether everything that a restore needs can be used.
//!
//! | part | what is asked |
//! |---|---|
//! | director | its name; its deployments, for which the credentials have to be right |
//! | store | the clusters; whether documents can be signed; the manifests of the first ones, whose signatures have to fit the keys, and whose newest backup has to hold all tablespaces; files beside the WAL that were archived twice |
//! | agents | that certificate, key and authority can be read |
//! | servers | of the first clusters: that `postgresql.auto.conf` takes nothing away that a restore rests on; who does not answer is only told |
//! | cloud | that its configuration is valid; it is not called |
//!
//! The job `remount` runs it as post-deploy: a wrong credential is found by the deploy that brought it. It changes
//! nothing, and reports all problems at once. With `--offline`, which the errands' jobs run as pre-start, only the
//! configuration is read: an errand without the job `remount` beside it fails the deploy instead of the restore.

use std::time::Duration;

use remount_core::documents::BackupManifest;
use remount_core::{ClusterName, DeploymentName, ExitCode, with_causes};
use remount_director::Director as _;
use remount_flow::{SettingsReport, read_settings};
use remount_host::RetryPolicy;
use remount_postgres::RemoteServers;
use remount_store::Store;
use serde::Serialize;

use super::{Output, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{message, output};

/// An outage of a minute must not fail a deploy.
const OUTAGE: Duration = Duration::from_secs(120);
/// An operator wants to know how it is now.
const LOST_ANSWER: Duration = Duration::from_secs(2);
/// In so many clusters a backup is looked for: the key is the same for all, and a store may hold thousands.
const CLUSTERS_MAX: usize = 10;

/// How long failures that may pass are tried again.
#[derive(Clone, Copy, Debug)]
pub enum RetryFor {
    /// For as long as one lost answer takes.
    LostAnswer,
    /// For as long as an outage lasts, as in a deploy.
    Outage,
}

/// What was found good.
#[derive(Serialize)]
struct Found {
    part: &'static str,
    said: String,
}

/// Says that the configuration could be read: who gets here has read it.
pub fn offline(output: Output) -> Result<(), Failure> {
    print(&[Found { part: "configuration", said: "it is valid".into() }], output)
}

/// Checks everything.
pub async fn run(config: &Config, retry_for: RetryFor, output: Output) -> Result<(), Failure> {
    let policy = RetryPolicy::within(match retry_for {
        RetryFor::LostAnswer => LOST_ANSWER,
        RetryFor::Outage => OUTAGE,
    });
    let (director, store) = tokio::join!(director(config, &policy), store(config, &policy));
    // Where one of the three cannot be used, that is what is told.
    let servers = match (&director, &store, RemoteServers::new(&config.agents)) {
        (Ok(_), Ok(_), Ok(servers)) => Some(settings(config, &policy, &servers).await),
        _ => None,
    };
    // A database's setting is not the control plane's, and fails no deploy of it.
    let servers = match servers {
        Some(Err(failure)) if matches!(retry_for, RetryFor::Outage) => {
            Some(Ok(failure.text().replace('\n', "; ")))
        }
        servers => servers,
    };
    let director = director.map_err(Failure::from);
    let agents = RemoteServers::new(&config.agents).map(|_| "the certificates can be read".to_owned());
    let cloud = match config.cloud.open(&policy) {
        // Reported, but no failure: a deploy cannot fix it, and commands that need no cloud work.
        Err(error @ remount_cloud::Error::NoAdapter { .. }) => {
            Ok(format!("its configuration is valid, but {error}: backups and restores are refused"))
        }
        opened => opened.map(|_| "its configuration is valid".to_owned()),
    };
    let mut answers: Vec<(&'static str, Result<String, Failure>)> = vec![
        ("director", director),
        ("store", store),
        ("agents", agents.map_err(Failure::from)),
        ("cloud", cloud.map_err(Failure::from)),
    ];
    answers.extend(servers.map(|servers| ("servers", servers)));
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (part, answer) in answers {
        match answer {
            Ok(said) => found.push(Found { part, said }),
            Err(failure) => failed.push((part, failure)),
        }
    }
    print(&found, output)?;
    for (part, failure) in &failed {
        message!("{part}: {}", failure.text());
    }
    let names: Vec<_> = failed.iter().map(|(part, _)| *part).collect();
    match failed.iter().map(|(_, failure)| failure.code()).max() {
        None => Ok(()),
        Some(code) => Err(Failure::because(
            code.max(ExitCode::Unchanged),
            "a restore would fail now",
            format!("these checks failed: {}", names.join(", ")),
            "fix the errors above, then run `remount check` again",
        )),
    }
}

fn print(found: &[Found], output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print_json(&found);
    }
    for Found { part, said } in found {
        output!("{part}: {said}");
    }
    Ok(())
}

async fn director(config: &Config, policy: &RetryPolicy) -> Result<String, remount_director::Error> {
    let director = config.director.open(policy)?;
    let info = director.info().await?;
    let deployments = director.deployments().await?.len();
    let user = info.user.unwrap_or_default();
    Ok(format!("{} {} answers `{user}`: {deployments} deployments", info.name, info.version))
}

async fn store(config: &Config, policy: &RetryPolicy) -> Result<String, Failure> {
    let store = config.store.open(policy)?;
    if !store.keys().can_sign() {
        let missing = "`signing.private_key` is missing: nothing can be signed";
        return Err(remount_store::Error::Config(missing.into()).into());
    }
    let clusters = store.clusters().await?;
    let (mut backups, mut of) = (0, Vec::new());
    for name in clusters.iter().take(CLUSTERS_MAX) {
        let survey = store.cluster(name).survey_backups().await?;
        refuse_incomplete(name, survey.good.last())?;
        backups += survey.good.len();
        match survey.unreadable.into_iter().next() {
            // Where none can be verified, the key is another one.
            Some(error) if backups == 0 => return Err(error.into()),
            Some(error) => return Err(damaged(name, &error)),
            None if survey.good.is_empty() => {}
            None => of.push(name.as_str()),
        }
    }
    let (all, second) = (clusters.len(), second_by_products(&store, &clusters).await?);
    Ok(match backups {
        0 => format!("{all} clusters; there is no backup yet to try the signing key on"),
        _ => {
            format!("{all} clusters; the signing key fits the {backups} backups of {}{second}", of.join(", "))
        }
    })
}

/// A restore to it is impossible, and nobody may learn that at the restore.
fn damaged(name: &ClusterName, error: &remount_store::Error) -> Failure {
    Failure::because(
        ExitCode::Unchanged,
        format!("a backup of {name} is damaged"),
        with_causes(error),
        format!(
            "`remount list --deployment {}` names each; restore its object from the bucket's versions, or take a backup \
             and delete the damaged object",
            name.as_str().split('@').next().unwrap_or_default()
        ),
    )
}

/// Of the first clusters, what was archived a second time with another content: no failure, and a sign of two servers.
async fn second_by_products(store: &Store, clusters: &[ClusterName]) -> Result<String, Failure> {
    let mut told = String::new();
    for name in clusters.iter().take(CLUSTERS_MAX) {
        let cluster = store.cluster(name);
        let Some(newest) = cluster.survey_backups().await?.good.pop() else { continue };
        let second = cluster.wal(newest.system_identifier).second_by_products().await?;
        if let Some(first) = second.first() {
            let count = second.len();
            told +=
                &format!("; {name}: {count} files beside the WAL were archived twice and differ, as {first}");
        }
    }
    Ok(told)
}

/// What servers do that their deployment does not say, of the first clusters that the Director has.
async fn settings(config: &Config, policy: &RetryPolicy, servers: &RemoteServers) -> Result<String, Failure> {
    let director = config.director.open(policy)?;
    let clusters = config.store.open(policy)?.clusters().await?;
    let deployments = director.deployments().await?;
    let (mut answered, mut silent, mut told) = (0, 0, Vec::new());
    for cluster in clusters.iter().take(CLUSTERS_MAX) {
        let is_its = |name: &&DeploymentName| cluster.as_str().split('@').next() == Some(name.as_str());
        let Some(deployment) = deployments.iter().find(is_its) else { continue };
        let report = read_settings(&director, servers, deployment, cluster).await?;
        refuse_breaking(cluster, &report)?;
        (answered, silent) = (answered + report.answered, silent + report.silent.len());
        told.extend(report.overrides.iter().map(|(slug, found)| format!("{slug}: {found}")));
        told.extend(report.silent.iter().map(|(slug, why)| format!("{slug}: {why}")));
    }
    let told: String = told.iter().map(|line| format!("; {line}")).collect();
    Ok(format!("{answered} answer, {silent} do not{told}"))
}

/// With these no WAL is archived, or no snapshot holds together: a restore would find out.
fn refuse_breaking(cluster: &ClusterName, report: &SettingsReport) -> Result<(), Failure> {
    let found = report.breaking();
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::because(
        ExitCode::Unchanged,
        format!("there can be no backup of {cluster} as its servers are"),
        found.join("; "),
        "`ALTER SYSTEM RESET` each setting, then `SELECT pg_reload_conf()` or a restart; move data below /var/vcap/store; then take a backup",
    ))
}

/// A backup from before backups of such a cluster were refused: it looks good and restores half of the data.
fn refuse_incomplete(cluster: &ClusterName, newest: Option<&BackupManifest>) -> Result<(), Failure> {
    let Some(newest) = newest else { return Ok(()) };
    let elsewhere = newest.tablespaces_elsewhere();
    if elsewhere.is_empty() {
        return Ok(());
    }
    Err(Failure::because(
        ExitCode::Unchanged,
        format!("backup {} of {cluster} does not hold all of it", newest.id),
        format!("tablespaces were on another disk: {}", elsewhere.join(", ")),
        "move them below /var/vcap/store, then take a backup",
    ))
}

#[cfg(test)]
mod tests {
    use remount_core::InstanceSlug;
    use remount_postgres::{SettingOverride, Severity};

    use super::*;

    #[test]
    fn a_setting_that_takes_the_archive_away_is_a_failure_and_one_that_differs_is_told() {
        let with = |severity| SettingsReport {
            overrides: vec![(
                InstanceSlug { group: "postgres".parse().unwrap(), id: "0a1b".parse().unwrap() },
                SettingOverride {
                    name: "archive_command".into(),
                    effective: "/bin/true".into(),
                    configured: Some("remount-wal push".into()),
                    severity,
                },
            )],
            ..SettingsReport::default()
        };
        let cluster: ClusterName = "pg-0001".parse().unwrap();
        let elsewhere = SettingsReport {
            elsewhere: vec![(with(Severity::Differs).overrides[0].0.clone(), "pg_wal (/fast)".into())],
            ..SettingsReport::default()
        };
        assert!(refuse_breaking(&cluster, &elsewhere).unwrap_err().text().contains("/fast"));
        assert!(refuse_breaking(&cluster, &with(Severity::Differs)).is_ok());
        let refused = refuse_breaking(&cluster, &with(Severity::Breaks)).unwrap_err();
        assert!(refused.text().contains("archive_command is `/bin/true`"), "{}", refused.text());
    }
}
