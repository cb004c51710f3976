//! The HTTP client of S3: rustls with ring, a pinned CA where one is configured, a limit on connecting.
//!
//! OpenDAL's default client is one per process and bound to the runtime that used it first.

use std::time::Duration;

use opendal::HttpTransporter;
use opendal_http_transport_reqwest::ReqwestTransport;

use crate::{Error, Result};

/// A connection that is not there by then is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn open(ca: Option<&str>, timeout: Duration) -> Result<HttpTransporter> {
    remount_host::tls::install_provider();
    let mut client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT.min(timeout));
    if let Some(pem) = ca {
        client = client.tls_certs_only(certificates(pem)?);
    }
    let client = client.build().map_err(|error| Error::Config(format!("HTTP client: {error}")))?;
    Ok(HttpTransporter::new(ReqwestTransport::new(client)))
}

fn certificates(pem: &str) -> Result<Vec<reqwest::Certificate>> {
    let wrong = |problem: String| Error::Config(format!("`store.ca`: {problem}"));
    let certificates =
        reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".into())) } else { Ok(certificates) }
}
