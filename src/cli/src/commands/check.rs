//! `remount check`: whether what a restore needs is there, asked before it is needed.
//!
//! | part | what is asked |
//! |---|---|
//! | director | its name; its deployments, which it tells nobody whose credentials it does not know |
//! | store | the clusters; the manifests of one, whose signatures have to fit the signing key |
//! | agents | that certificate, key and authority can be read; no agent is called |
//! | cloud | that its configuration is valid; it is not called |
//!
//! The job `remount` runs it as post-deploy: a wrong credential is found by the deploy that brought it. It changes
//! nothing, and tells of all that is wrong at once. With `--offline`, which the errands' jobs run as pre-start, only the
//! configuration is read: an errand without the job `remount` beside it fails the deploy, not the night.

use std::time::Duration;

use remount_core::ExitCode;
use remount_director::Director as _;
use remount_host::RetryPolicy;
use remount_postgres::RemoteServers;
use serde::Serialize;

use super::{Output, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{message, output};

/// An outage of a minute must not fail a deploy.
const OUTAGE: Duration = Duration::from_secs(120);
/// A person who asks wants to know how it is now.
const LOST_ANSWER: Duration = Duration::from_secs(2);
/// In so many clusters a backup is looked for: the key is the same for all, and a store may hold thousands.
const CLUSTERS_MAX: usize = 10;

/// What is waited out.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// A lost answer or two.
    OutLostAnswers,
    /// An outage, as in a deploy.
    OutAnOutage,
}

/// What was found good.
#[derive(Serialize)]
struct Found {
    part: &'static str,
    said: String,
}

/// Says that the configuration could be read: who gets here has read it.
pub fn offline(output: Output) -> Result<(), Failure> {
    tell(&[Found { part: "configuration", said: "it is valid".into() }], output)
}

/// Checks everything.
pub async fn run(config: &Config, wait: Wait, output: Output) -> Result<(), Failure> {
    let policy = RetryPolicy::within(match wait {
        Wait::OutLostAnswers => LOST_ANSWER,
        Wait::OutAnOutage => OUTAGE,
    });
    let (director, store) = tokio::join!(director(config, &policy), store(config, &policy));
    let (director, store) = (director.map_err(Failure::from), store.map_err(Failure::from));
    let agents = RemoteServers::new(&config.agents).map(|_| "the certificates can be read".to_owned());
    let cloud = match config.cloud.open(&policy) {
        // Said, but no failure: a deploy cannot fix it, and what needs no cloud works.
        Err(error @ remount_cloud::Error::NoAdapter { .. }) => {
            Ok(format!("its configuration is valid, but {error}: backups and restores are refused"))
        }
        opened => opened.map(|_| "its configuration is valid".to_owned()),
    };
    let answers: [(&'static str, Result<String, Failure>); 4] = [
        ("director", director),
        ("store", store),
        ("agents", agents.map_err(Failure::from)),
        ("cloud", cloud.map_err(Failure::from)),
    ];
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (part, answer) in answers {
        match answer {
            Ok(said) => found.push(Found { part, said }),
            Err(failure) => failed.push((part, failure)),
        }
    }
    tell(&found, output)?;
    for (part, failure) in &failed {
        message!("{part}: {}", failure.text());
    }
    let names: Vec<_> = failed.iter().map(|(part, _)| *part).collect();
    match failed.iter().map(|(_, failure)| failure.code()).max() {
        None => Ok(()),
        Some(code) => Err(Failure::because(
            code.max(ExitCode::Unchanged),
            "a restore would fail now",
            format!("of what it needs, this is not in order: {}", names.join(", ")),
            "fix what is said of each above, then run `remount check` again",
        )),
    }
}

fn tell(found: &[Found], output: Output) -> Result<(), Failure> {
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

async fn store(config: &Config, policy: &RetryPolicy) -> Result<String, remount_store::Error> {
    let store = config.store.open(policy)?;
    let clusters = store.clusters().await?;
    for name in clusters.iter().take(CLUSTERS_MAX) {
        let survey = store.cluster(name).survey_backups().await?;
        match (survey.good.len(), survey.unreadable.into_iter().next()) {
            (0, None) => {}
            // One that is damaged is the runbook's matter; none that fits means another key.
            (0, Some(error)) => return Err(error),
            (backups, _) => {
                let all = clusters.len();
                return Ok(format!("{all} clusters; the signing key fits the {backups} backups of {name}"));
            }
        }
    }
    Ok(format!("{} clusters; no backup yet that the signing key could be tried on", clusters.len()))
}
