//! One request, one answer. What an answer means is decided in `answer.rs`.

use std::path::Path;
use std::time::Duration;

use remount_host::http::{self, Peer};
use ureq::Agent;
use ureq::http::{Method, Request, header};

use crate::answer::Answer;
use crate::{Error, Result};

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

impl Http {
    pub(crate) fn new(ca_file: Option<&Path>, timeout: Duration) -> Result<Self> {
        let peer = Peer { ca_file, identity: None };
        let agent = http::agent(peer, timeout)
            .map_err(|error| Error::Config(format!("`director.ca_file`: {error}")))?;
        Ok(Self { agent })
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
