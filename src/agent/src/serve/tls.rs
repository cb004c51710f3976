//! TLS of the API: both sides show certificates of the configured CA, and no other CA counts.

use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;
use crate::error::{Error, Result};

/// The configuration of the listening side.
pub fn server_config(files: &TlsFiles) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca_file)? {
        roots.add(certificate).map_err(|error| unusable(&files.ca_file, &error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| unusable(&files.ca_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key_file)
        .map_err(|error| unusable(&files.private_key_file, &error))?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.certificate_file, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate_file)?, key)
        .map_err(|error| unusable(&files.certificate_file, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(path, &error))?;
    if found.is_empty() {
        let problems = vec!["there is no certificate in it".into()];
        return Err(Error::Config { path: path.display().to_string(), problems });
    }
    Ok(found)
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Config { path: path.display().to_string(), problems: vec![error.to_string()] }
}
