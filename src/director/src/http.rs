//! One request, one answer: TLS to the pinned authorities, a limit on every call, no redirect followed,
//! no proxy, nothing repeated. What an answer means is decided above.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::http::{Method, Request, Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::{Error, Result};

/// How long a connection may take to stand.
const CONNECT_SECONDS: u64 = 10;
/// Kept connections are dropped before any server or load balancer would: a request written to a connection
/// that the other side is closing is a lost answer.
const IDLE_SECONDS: u64 = 5;
/// No answer of a Director comes near this; more is not read.
const LONGEST_BODY: u64 = 256 << 20;
/// Words of a foreign body that an error message repeats.
const QUOTED_CHARACTERS: usize = 300;

/// The shared agent.
#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    /// A form; none sends no body.
    pub form: Option<String>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub content_range: Option<String>,
    pub body: String,
}

impl Http {
    pub(crate) fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self> {
        let roots = ca_file.map_or(Ok(Vec::new()), authorities)?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            // The environment decides nothing: a proxy would see who we are.
            .proxy(None)
            .user_agent(concat!("remount/", env!("CARGO_PKG_VERSION")))
            .accept("application/json, */*")
            .max_idle_age(Duration::from_secs(IDLE_SECONDS))
            .timeout_connect(Some(timeout.min(Duration::from_secs(CONNECT_SECONDS))))
            .timeout_global(Some(timeout))
            .build();
        Ok(Self { agent: Agent::new_with_config(config) })
    }

    /// Sends once.
    ///
    /// # Errors
    /// [`Error::Unanswered`]: it may have been carried out. [`Error::Config`]: the certificate is not
    /// one of the pinned authorities', so nothing was sent.
    pub(crate) fn send(&self, action: &str, call: &Call, authorization: Option<&str>) -> Result<Answer> {
        let mut request = Request::builder().method(call.method.clone()).uri(&call.url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let broken = |error| Error::Config(format!("{action}: {error}"));
        let answer = match &call.form {
            Some(form) => self.agent.run(request.body(form.as_str()).map_err(broken)?),
            None if call.method == Method::GET => self.agent.run(request.body(()).map_err(broken)?),
            None => self.agent.run(request.body("").map_err(broken)?),
        };
        answer.and_then(Answer::read).map_err(|error| lost(action, &call.url, error))
    }
}

impl Answer {
    fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, content_range) = (text(header::LOCATION), text(header::CONTENT_RANGE));
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(LONGEST_BODY).lossy_utf8(true).read_to_string()?;
        Ok(Self { status, location, content_range, body })
    }

    /// The beginning of the body in one line, for an error message.
    pub(crate) fn quote(&self) -> String {
        let words = self.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(QUOTED_CHARACTERS).collect();
        if short.is_empty() {
            format!("HTTP {}", self.status)
        } else {
            format!("HTTP {}: {short}", self.status)
        }
    }
}

/// Every certificate of a PEM file.
fn authorities(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let wrong = |detail: String| Error::Config(format!("`director.ca_file` {}: {detail}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let der = certificate.map_err(|error| wrong(error.to_string()))?;
        found.push(Certificate::from_der(&der).to_owned());
    }
    if found.is_empty() { Err(wrong("holds no certificate".into())) } else { Ok(found) }
}

/// No answer; or none that could be trusted.
fn lost(action: &str, url: &str, error: ureq::Error) -> Error {
    if let Some(problem) = certificate_problem(&error) {
        let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        return Error::Config(format!(
            "the certificate of {origin} is not trusted ({problem}); `director.ca_file` has to hold its authority"
        ));
    }
    Error::Unanswered { action: action.to_owned(), source: Box::new(error) }
}

fn certificate_problem(error: &ureq::Error) -> Option<String> {
    let tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    match tls {
        Some(rustls::Error::InvalidCertificate(problem)) => Some(problem.to_string()),
        _ => None,
    }
}
