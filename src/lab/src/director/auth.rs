//! Who calls, and what they may: basic auth, tokens of the mini UAA, scopes.

use std::time::Instant;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config::{Account, Secret};
use super::core::LabDirector;
use super::error::{DirectorError, Result};
use super::ids::random_text;
use super::state::Deployment;
use super::tasks::TaskRow;

/// Tokens are opaque to clients; these are long enough not to be guessed.
const TOKEN_LENGTH: usize = 64;

/// A token that was given out.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) client: String,
    scopes: Vec<String>,
    expires: Instant,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) context_id: String,
}

/// What somebody must be allowed to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need<'a> {
    /// Everything on the Director; no team will do.
    DirectorAdmin,
    DirectorRead,
    /// Making a deployment: any team's admin.
    CreateDeployment,
    DeploymentRead(&'a Deployment),
    DeploymentAdmin(&'a Deployment),
    TaskRead(&'a TaskRow),
    TaskAdmin(&'a TaskRow),
}

impl LabDirector {
    /// The caller that these headers prove, if they do.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        let (name, scopes) = match scheme.to_ascii_lowercase().as_str() {
            "basic" => {
                let user = account(&self.config.users, credentials)?;
                (user.name.clone(), user.scopes.clone())
            }
            "bearer" => {
                let token = self.read(|s| s.tokens.get(credentials).cloned())?;
                if token.expires <= Instant::now() {
                    return None;
                }
                (token.client, token.scopes)
            }
            _ => return None,
        };
        let context_id = headers.get("x-bosh-context-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
        Some(Caller { name, scopes, context_id: context_id.to_owned() })
    }

    /// A new token for the client that these headers prove.
    pub(crate) fn issue_token(&self, headers: &HeaderMap) -> Option<String> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let client = account(&self.config.uaa_clients, value.strip_prefix("Basic ")?)?;
        let text = random_text(TOKEN_LENGTH);
        let now = Instant::now();
        let token = Token {
            client: client.name.clone(),
            scopes: client.scopes.clone(),
            expires: now + self.config.token_validity,
        };
        self.write(|s| {
            s.tokens.retain(|_, token| token.expires > now);
            s.tokens.insert(text.clone(), token);
        });
        Some(text)
    }

    /// Refuses a caller whose scopes do not suffice (401, code 600000).
    pub(crate) fn authorize(&self, caller: &Caller, need: Need<'_>) -> Result<()> {
        let mut expected = self.scopes("admin");
        match need {
            Need::DirectorAdmin | Need::TaskAdmin(_) => {}
            Need::DirectorRead => expected.extend(self.scopes("read")),
            Need::CreateDeployment => {
                let team_admins = caller.scopes.iter().filter(|scope| team_of(scope).is_some());
                expected.extend(team_admins.cloned());
            }
            Need::DeploymentAdmin(deployment) => expected.extend(team_scopes(&deployment.teams, "admin")),
            Need::DeploymentRead(Deployment { teams, .. }) | Need::TaskRead(TaskRow { teams, .. }) => {
                expected.extend(team_scopes(teams, "admin"));
                expected.extend(team_scopes(teams, "read"));
                expected.extend(self.scopes("read"));
            }
        }
        if let Need::TaskAdmin(task) = need {
            expected.extend(team_scopes(&task.teams, "admin"));
        }
        match expected.iter().any(|scope| caller.scopes.contains(scope)) {
            true => Ok(()),
            false => Err(DirectorError::scope(&expected)),
        }
    }

    fn scopes(&self, level: &str) -> Vec<String> {
        vec![format!("bosh.{level}"), format!("bosh.{}.{level}", self.uuid)]
    }
}

/// The team that a scope `bosh.teams.T.admin` makes admin.
pub(crate) fn team_of(scope: &str) -> Option<&str> {
    scope.strip_prefix("bosh.teams.")?.strip_suffix(".admin")
}

fn team_scopes(teams: &[String], level: &str) -> Vec<String> {
    teams.iter().map(|team| format!("bosh.teams.{team}.{level}")).collect()
}

fn account<'a>(accounts: &'a [Account], credentials: &str) -> Option<&'a Account> {
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (name, secret) = decoded.split_once(':')?;
    accounts.iter().find(|a| a.name == name && a.secret == Secret::new(secret))
}
