//! TLS on either side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use remount_faultproxy::{Identity, Proxy, ProxyConfig, Script, Upstream, UpstreamTls};
use serde_json::json;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::peer::Peer;

/// A certificate for 127.0.0.1 that vouches for itself.
fn identity(folder: &Path, name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = |kind: &str| folder.join(format!("{name}-{kind}.pem"));
    let identity = Identity { certificate_file: file("cert"), private_key_file: file("key") };
    std::fs::write(&identity.certificate_file, made.cert.pem()).unwrap();
    std::fs::write(&identity.private_key_file, made.signing_key.serialize_pem()).unwrap();
    identity
}

fn agent(ca_file: &Path) -> Agent {
    let ca = Certificate::from_pem(&std::fs::read(ca_file).unwrap()).unwrap();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into()
}

/// A proxy with TLS to its clients, before `url`.
fn before(url: &str, ca_file: Option<&Path>, own: &Identity) -> Proxy {
    let tls = ca_file.map(UpstreamTls::trusting);
    let mut config = ProxyConfig::new(Upstream::new(url, tls.as_ref()).unwrap(), Script::default());
    config.identity = Some(own.clone());
    Proxy::start(config).unwrap()
}

#[test]
fn tls_is_spoken_on_both_sides_and_only_the_given_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (identity(folder.path(), "near"), identity(folder.path(), "far"));
    let peer = Peer::start();
    // The far proxy is the TLS upstream of the near one.
    let far_proxy = before(&peer.url(), None, &far);
    let near_proxy = before(&far_proxy.url(), Some(&far.certificate_file), &near);
    assert!(near_proxy.url().starts_with("https://127.0.0.1:"));
    let mut answer =
        agent(&near.certificate_file).put(format!("{}/a", near_proxy.url())).send("content").unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "answer 1");
    assert_eq!(peer.arrived()[0].host, near_proxy.address().to_string());

    let stranger = before(&far_proxy.url(), Some(&near.certificate_file), &near);
    let answer = agent(&near.certificate_file).get(format!("{}/a", stranger.url())).call().unwrap();
    assert_eq!(answer.status(), 502);
    let error = stranger.requests()[0].error.clone().unwrap();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(peer.arrived().len(), 1);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = identity(folder.path(), "own");
    let missing: PathBuf = folder.path().join("missing.pem");
    let error =
        Upstream::new("https://127.0.0.1:1", Some(&UpstreamTls::trusting(&missing))).map(drop).unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error = Upstream::new("https://127.0.0.1:1", Some(&UpstreamTls::trusting(&own.private_key_file)))
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("no certificate"), "{error}");

    let other = identity(folder.path(), "other");
    let mixed = Identity { certificate_file: own.certificate_file, private_key_file: other.private_key_file };
    let peer = Peer::start();
    let mut config =
        ProxyConfig::new(Upstream::new(&peer.url(), None).unwrap(), Script::from_json(json!([])).unwrap());
    config.identity = Some(mixed);
    let error = Proxy::start(config).map(drop).unwrap_err();
    assert!(error.to_string().contains("belong together"), "{error}");
}
