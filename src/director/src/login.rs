//! The credentials for the Director: user and password, or a token of its UAA for the client credentials.
//!
//! The UAA's address is what the Director's `/info` says, reached through the same pinned authorities.
//! A token is renewed before it ends, and once when the Director no longer accepts it. There is no
//! refresh token in this grant.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remount_host::Secret;
use serde::Deserialize;
use ureq::http::Method;

use crate::answer::{check_status, parse, unusable};
use crate::config::{Credentials, plain_url};
use crate::http::{Call, Http};
use crate::{Error, Result};

/// A token is renewed so long before it ends, or at half its life where that is shorter.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// A UAA that does not say how long a token lives.
const UNKNOWN_LIFE: Duration = Duration::from_secs(120);

/// The credentials and what they were exchanged for.
pub(crate) struct Login {
    base: String,
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None until `/info` was read.
    method: Option<LoginMethod>,
    token: Option<Token>,
}

#[derive(Clone)]
enum LoginMethod {
    Basic,
    Uaa { url: String },
}

struct Token {
    header: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct Info {
    user_authentication: Option<UserAuthentication>,
}

#[derive(Deserialize)]
struct UserAuthentication {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    options: UaaOptions,
}

#[derive(Default, Deserialize)]
struct UaaOptions {
    url: Option<String>,
    urls: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: Secret,
    token_type: Option<String>,
    expires_in: Option<u64>,
}

impl Login {
    pub(crate) fn new(base: String, credentials: Credentials) -> Self {
        Self { base, credentials, state: Mutex::default() }
    }

    /// The value of the `Authorization` header. Callers at the same time share one exchange.
    pub(crate) fn header(&self, http: &Http) -> Result<String> {
        let (id, secret) = match &self.credentials {
            Credentials::User { name, password } => return Ok(basic(name, password)),
            Credentials::Client { id, secret } => (id, secret),
        };
        let mut state = self.lock();
        let method = match &state.method {
            Some(method) => method.clone(),
            None => state.method.insert(self.ask_method(http)?).clone(),
        };
        let LoginMethod::Uaa { url } = method else {
            return Ok(basic(id, secret));
        };
        match &state.token {
            Some(token) if Instant::now() < token.renew_at => Ok(token.header.clone()),
            _ => Ok(state.token.insert(exchange(http, &url, &basic(id, secret))?).header.clone()),
        }
    }

    /// Drops a token that was not accepted. `false` where another attempt would be the same one.
    pub(crate) fn forget(&self, header: &str) -> bool {
        let mut state = self.lock();
        match &state.token {
            Some(token) if token.header == header => {
                state.token = None;
                // The Director may have been given another UAA since.
                state.method = None;
                true
            }
            // Another caller was faster and has a newer one.
            Some(_) => true,
            None => matches!(self.credentials, Credentials::Client { .. }) && state.method.is_none(),
        }
    }

    fn ask_method(&self, http: &Http) -> Result<LoginMethod> {
        let action = "ask the Director how to log in";
        let call =
            Call { method: Method::GET, url: format!("{}/info", self.base), headers: Vec::new(), form: None };
        let info: Info = parse(action, &check_status(action, http.send(action, &call, None)?)?)?;
        let Some(how) = info.user_authentication.filter(|how| how.kind == "uaa") else {
            return Ok(LoginMethod::Basic);
        };
        let named = how.options.url.or_else(|| how.options.urls?.into_iter().next());
        let url = named.ok_or_else(|| Error::Config("the Director's /info names no UAA".into()))?;
        plain_url("the UAA's address in the Director's /info", &url).map_err(Error::Config)?;
        Ok(LoginMethod::Uaa { url: url.trim_end_matches('/').to_owned() })
    }

    /// Nothing that holds the lock can panic midway and leave it half written.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exchanges client credentials for a token, asking once. Asking twice makes two tokens and harms nothing.
fn exchange(http: &Http, url: &str, authorization: &str) -> Result<Token> {
    let action = format!("get a token from the UAA at {url}");
    let call = Call {
        method: Method::POST,
        url: format!("{url}/oauth/token"),
        headers: vec![
            ("Accept", "application/json".into()),
            ("Content-Type", "application/x-www-form-urlencoded".into()),
        ],
        form: Some("grant_type=client_credentials".into()),
    };
    let asked_at = Instant::now();
    let answer = check_status(&action, http.send(&action, &call, Some(authorization))?).map_err(refused)?;
    // Not by `parse`: its error would repeat the body, and the body may be a token.
    let reply: TokenReply = serde_json::from_str(&answer.body)
        .map_err(|_| unusable(&action, format!("HTTP {} without a token", answer.status)))?;
    let life = reply.expires_in.map_or(UNKNOWN_LIFE, Duration::from_secs);
    Ok(Token {
        header: format!(
            "{} {}",
            reply.token_type.as_deref().unwrap_or("bearer"),
            reply.access_token.expose()
        ),
        renew_at: asked_at + life.saturating_sub(RENEW_BEFORE.min(life / 2)),
    })
}

/// A UAA answers 400 or 401 to a client it does not know.
fn refused(error: Error) -> Error {
    match error {
        Error::Refused { action, detail, .. } | Error::NotFound { action, detail } => {
            Error::Unauthorized { action, detail }
        }
        other => other,
    }
}

fn basic(name: &str, secret: &Secret) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{}", secret.expose())))
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("base", &self.base).finish_non_exhaustive()
    }
}
