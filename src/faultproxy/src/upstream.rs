//! The peer behind the proxy: one connection per request, nothing repeated, a limit on every wait.
//!
//! A connection of its own for each request costs a handshake and buys certainty: no request is ever
//! lost because the peer closed an idle connection, so every loss is one of the script.

use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::UpstreamTls;
use crate::error::ProxyError;
use crate::tls;

/// How long a connection, TLS included, may take to stand.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long the peer may take, the request's body included, until its answer begins.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Headers that are about one connection and not about the request (RFC 9110, 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 4] =
    [CONNECTION, UPGRADE, HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];

/// The peer behind the proxy.
#[derive(Clone)]
pub struct Upstream {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// It was not reached: it knows nothing of the request.
    #[error("the upstream {0} cannot be reached ({1}); check that it runs and `--upstream`")]
    Unreached(String, String),
    /// It was reached, and may have acted.
    #[error("the upstream {0} closed the connection without an answer ({1})")]
    Unanswered(String, String),
    /// It was reached, and may have acted or act yet.
    #[error("the upstream {0} did not answer within {seconds} s", seconds = ANSWER_LIMIT.as_secs())]
    Silent(String),
}

impl Upstream {
    /// The peer at `url`, `http(s)://host:port`. For `https` the authority to trust is demanded: no
    /// other is.
    ///
    /// # Errors
    /// An URL that is not of this form, a file that cannot be used.
    pub fn new(url: &str, tls: Option<&UpstreamTls>) -> Result<Self, ProxyError> {
        let wrong = |problem: &str| ProxyError::Upstream { url: url.to_owned(), problem: problem.to_owned() };
        let form = "give it as http://host:port or https://host:port, without a path";
        let uri: Uri = url.parse().map_err(|_| wrong(form))?;
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let host = host.filter(|host| !host.is_empty()).ok_or_else(|| wrong(form))?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('@');
        let (default_port, tls) = match (uri.scheme_str(), tls) {
            (Some("http"), _) if plain => (80, None),
            (Some("https"), None) if plain => {
                return Err(wrong("give the authority to trust with `--upstream-ca`; no other is trusted"));
            }
            (Some("https"), Some(with)) if plain => {
                let name = with.name.clone().unwrap_or_else(|| host.clone());
                let name = ServerName::try_from(name).map_err(|_| wrong("TLS cannot check this name"))?;
                (443, Some((tls::connector(with)?, name)))
            }
            _ => return Err(wrong(form)),
        };
        Ok(Self { host, port: uri.port_u16().unwrap_or(default_port), tls })
    }

    /// Sends a request once. The answer's body is still to come.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        if let Some(path) = request.uri().path_and_query() {
            // A client that takes us for its proxy writes the whole URL; a server wants the path.
            *request.uri_mut() = Uri::from(path.clone());
        }
        *request.version_mut() = Version::HTTP_11;
        forget_connection(request.headers_mut());
        let unreached = |why: String| UpstreamError::Unreached(self.to_string(), why);
        let stream = match timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(connected) => connected.map_err(|error| unreached(error.to_string()))?,
            Err(_) => return Err(unreached(format!("no connection within {} s", CONNECT_LIMIT.as_secs()))),
        };
        let mut response = match timeout(ANSWER_LIMIT, exchange(stream, request)).await {
            Ok(answered) => {
                answered.map_err(|error| UpstreamError::Unanswered(self.to_string(), chain(&error)))?
            }
            Err(_) => return Err(UpstreamError::Silent(self.to_string())),
        };
        // As our own connection frames it: a body that ended with the peer's connection could not be cut.
        *response.version_mut() = Version::HTTP_11;
        forget_connection(response.headers_mut());
        Ok(response)
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({self})")
    }
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn exchange(stream: Box<dyn Stream>, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's last byte, or when the client has gone.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!(error:%; "a connection to the upstream ended early");
        }
    });
    sender.send_request(request).await
}

/// hyper's own words say only on which side it broke; why stands in its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Takes away what is about one connection, and what the `Connection` header says is.
fn forget_connection(headers: &mut HeaderMap) {
    let told: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in told.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_scheme_a_host_and_a_port() {
        let shown = |url: &str| Upstream::new(url, None).map(|upstream| upstream.to_string()).ok();
        assert_eq!(shown("http://127.0.0.1:5000").as_deref(), Some("http://127.0.0.1:5000"));
        assert_eq!(shown("http://peer/").as_deref(), Some("http://peer:80"));
        for wrong in ["", "peer", "peer:80", "ftp://peer", "http://peer/a", "http://u:p@peer", "https://peer"]
        {
            assert!(shown(wrong).is_none(), "{wrong}");
        }
        let error = Upstream::new("https://peer", None).map(drop).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("--upstream-ca")));
    }
}
