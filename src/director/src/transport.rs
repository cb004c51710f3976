//! Requests to the Director and its UAA: certificates, authentication, redirects, and what an answer means.
//!
//! The rules of `bosh-cli`, which the Director's operators are used to: a redirect's path is followed on the
//! *configured* host, whatever host it names; only 200, 201, 204, 206 and 302 are good; reads are repeated after
//! a lost connection, changes never: what they asked for may have happened.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::config::{Credentials, DirectorConfig};
use crate::{Error, Result};

/// A read is tried this often before it counts as unanswered.
const READ_ATTEMPTS: u32 = 5;
/// Between two attempts.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// A token is renewed this long before it ends.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// No answer is read beyond this; an event log of a large task is the largest.
const BODY_LIMIT: u64 = 256 << 20;

/// The way to the Director. Blocking: call it on a thread of its own.
pub(crate) struct Transport {
    agent: Agent,
    base: String,
    credentials: Credentials,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: String,
    renew_at: Instant,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

/// A change that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Post,
    Put,
    Delete,
}

impl Transport {
    /// # Errors
    /// The CA cannot be read, or the credentials are not one pair.
    pub(crate) fn new(config: &DirectorConfig) -> Result<Self> {
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        if let Some(file) = &config.ca_file {
            let pem =
                fs::read(file).map_err(|error| Error::Config(format!("{}: {error}", file.display())))?;
            tls = tls.root_certs(roots(&pem, &file.display().to_string())?);
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(config.request_timeout()))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("remount/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: agent.into(),
            base: config.url.trim_end_matches('/').to_owned(),
            credentials: config.credentials()?,
            token: Mutex::new(None),
        })
    }

    /// Reads, following a redirect, again and again after lost connections.
    ///
    /// # Errors
    /// [`Error::Unanswered`] after the last attempt; what the answer says.
    pub(crate) fn get(&self, action: &str, path: &str) -> Result<Answer> {
        self.get_from(action, path, None)
    }

    /// As [`Transport::get`], from this byte on.
    pub(crate) fn get_from(&self, action: &str, path: &str, from: Option<u64>) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            match self.authorized(action, |header| self.get_once(action, path, from, header)) {
                Err(error @ Error::Unanswered { .. }) if attempt < READ_ATTEMPTS => {
                    log::warn!(action, attempt, error:%; "the Director gave no usable answer, asking again");
                    attempt += 1;
                    std::thread::sleep(READ_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn get_once(&self, action: &str, path: &str, from: Option<u64>, authorization: &str) -> Result<Answer> {
        let mut request =
            self.agent.get(format!("{}{path}", self.base)).header("Authorization", authorization);
        if let Some(from) = from {
            request = request.header("Range", format!("bytes={from}-"));
        }
        answer(action, request.call())
    }

    /// Asks for a change, once.
    ///
    /// # Errors
    /// [`Error::Unanswered`]: it may have happened.
    pub(crate) fn change(
        &self,
        verb: Verb,
        action: &str,
        path: &str,
        context: Option<&str>,
    ) -> Result<Answer> {
        self.authorized(action, |authorization| {
            let url = format!("{}{path}", self.base);
            let context = context.unwrap_or_default();
            let given = !context.is_empty();
            let sent = match verb {
                Verb::Delete => self.agent.delete(url).header("Authorization", authorization).call(),
                Verb::Post | Verb::Put => {
                    let request = if verb == Verb::Post { self.agent.post(url) } else { self.agent.put(url) };
                    let request =
                        request.header("Authorization", authorization).header("Content-Type", "text/yaml");
                    let request = if given { request.header("X-Bosh-Context-Id", context) } else { request };
                    request.send_empty()
                }
            };
            answer(action, sent)
        })
    }

    /// Calls with the credentials; after a 401 once more with a new token.
    fn authorized(&self, action: &str, call: impl Fn(&str) -> Result<Answer>) -> Result<Answer> {
        let first = call(&self.authorization(action)?)?;
        if first.status != StatusCode::UNAUTHORIZED || matches!(self.credentials, Credentials::User { .. }) {
            return good(action, first);
        }
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        good(action, call(&self.authorization(action)?)?)
    }

    fn authorization(&self, action: &str) -> Result<String> {
        let (id, secret) = match &self.credentials {
            Credentials::User { name, password } => return Ok(basic(name, password.reveal())),
            Credentials::Client { id, secret } => (id, secret),
        };
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Token { header, renew_at }) = &*token
            && Instant::now() < *renew_at
        {
            return Ok(header.clone());
        }
        let fresh = self.fetch_token(action, id, secret.reveal())?;
        let header = fresh.header.clone();
        *token = Some(fresh);
        Ok(header)
    }

    /// UAA client credentials, at the address that the Director names.
    fn fetch_token(&self, action: &str, id: &str, secret: &str) -> Result<Token> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            token_type: String,
            expires_in: u64,
        }
        let uaa = self.uaa(action)?;
        let request =
            self.agent.post(format!("{uaa}/oauth/token")).header("Authorization", basic(id, secret));
        let sent =
            request.header("Accept", "application/json").send_form([("grant_type", "client_credentials")]);
        let granted = answer(action, sent)?;
        if granted.status != StatusCode::OK {
            let detail = format!("the UAA answered {} to client `{id}`", granted.status);
            return Err(Error::Unauthorized { action: action.to_owned(), detail });
        }
        let granted: Granted = serde_json::from_str(&granted.body)
            .map_err(|error| Error::Unanswered { action: action.to_owned(), source: Box::new(error) })?;
        let life = Duration::from_secs(granted.expires_in);
        // A token that lives shorter than the margin is used for half its life.
        let renew_at = Instant::now() + life.checked_sub(TOKEN_MARGIN).unwrap_or(life / 2);
        Ok(Token { header: format!("{} {}", granted.token_type, granted.access_token), renew_at })
    }

    fn uaa(&self, action: &str) -> Result<String> {
        let info = answer(action, self.agent.get(format!("{}/info", self.base)).call())?;
        let info: Value = serde_json::from_str(&info.body).unwrap_or_default();
        let options = &info["user_authentication"]["options"];
        let url = options["url"].as_str().or_else(|| options["urls"][0].as_str());
        url.map(|url| url.trim_end_matches('/').to_owned()).ok_or_else(|| {
            Error::Config(
                "the Director names no UAA: give username and password instead of a UAA client".into(),
            )
        })
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("base", &self.base).finish_non_exhaustive()
    }
}

fn roots(pem: &[u8], file: &str) -> Result<RootCerts> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Error::Config(format!("{file}: {error}"))),
        }
    }
    if certificates.is_empty() {
        return Err(Error::Config(format!("{file} holds no certificate")));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")))
}

/// Reads an answer to its end; what is lost on the way is unanswered.
fn answer(action: &str, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let lost = |error: ureq::Error| Error::Unanswered { action: action.to_owned(), source: Box::new(error) };
    let mut response = sent.map_err(lost)?;
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(path_of);
    let status = response.status();
    let body = response
        .body_mut()
        .with_config()
        .limit(BODY_LIMIT)
        .lossy_utf8(true)
        .read_to_string()
        .map_err(lost)?;
    Ok(Answer { status, location, body })
}

/// The path of a redirect: its host is the Director's view of itself behind its proxy.
fn path_of(location: &str) -> String {
    let after_scheme = location.split_once("://").map_or(location, |(_, rest)| rest);
    if after_scheme.len() == location.len() {
        return location.to_owned();
    }
    after_scheme.find('/').map_or_else(|| "/".to_owned(), |slash| after_scheme[slash..].to_owned())
}

/// Turns what the Director refuses into an error. 416 is the end of an output, not a refusal.
fn good(action: &str, answer: Answer) -> Result<Answer> {
    let action = action.to_owned();
    let (code, detail) = explain(&answer);
    match answer.status.as_u16() {
        200 | 201 | 204 | 206 | 302 | 416 => Ok(answer),
        401 | 403 => Err(Error::Unauthorized { action, detail }),
        404 => Err(Error::NotFound { action, detail }),
        status if status >= 500 => {
            let source = format!("status {status}: {detail}").into();
            Err(Error::Unanswered { action, source })
        }
        _ => Err(Error::Refused { action, code, detail }),
    }
}

/// The Director's code and words; it also answers plain text, and nothing at all.
fn explain(answer: &Answer) -> (i64, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let code = body["code"].as_i64().unwrap_or_default();
    let said = body["description"].as_str().map_or_else(|| answer.body.trim().to_owned(), str::to_owned);
    (code, if said.is_empty() { answer.status.to_string() } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_only_its_path() {
        assert_eq!(path_of("http://10.0.0.6:8080/tasks/7"), "/tasks/7");
        assert_eq!(path_of("/tasks/7"), "/tasks/7");
    }
}
