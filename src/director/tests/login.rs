//! UAA tokens and pinned authorities.

#![allow(clippy::unwrap_used)]

mod support;

use remount_core::OperatorError;
use remount_director::{Director, DirectorConfig, Error};
use support::{Authority, ID, Peer, Step, answer, to_task};

fn info(uaa: &str) -> Step {
    answer(
        200,
        &format!(
            r#"{{"user_authentication":{{"type":"uaa","options":{{"url":"{uaa}","urls":["{uaa}"]}}}}}}"#
        ),
    )
}

fn token(name: &str, life: u64) -> Step {
    answer(
        200,
        &format!(r#"{{"access_token":"{name}","token_type":"bearer","expires_in":{life},"jti":"x"}}"#),
    )
}

fn sent(peer: &Peer) -> Vec<String> {
    let told = |request: &support::Received| {
        format!("{} {}", request.target, request.header("authorization").unwrap_or("nobody"))
    };
    peer.received().iter().map(told).collect()
}

#[tokio::test]
async fn one_token_serves_until_it_ends() {
    let uaa = Peer::plain([token("one", 3600)]);
    let peer = Peer::plain([info(&uaa.url()), answer(200, "[]"), answer(200, "[]")]);
    let director = peer.director_of_client();
    director.locks().await.unwrap();
    director.locks().await.unwrap();
    assert_eq!(sent(&peer), ["/info nobody", "/locks bearer one", "/locks bearer one"]);
    let asked = &uaa.received()[0];
    assert_eq!(
        (asked.line().as_str(), asked.body.as_str()),
        ("POST /oauth/token", "grant_type=client_credentials")
    );
    assert_eq!(asked.header("authorization"), Some("Basic cmVtb3VudDpzMw=="));
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let uaa = Peer::plain([token("one", 0), token("two", 3600)]);
    let peer = Peer::plain([info(&uaa.url()), answer(200, "[]"), answer(200, "[]")]);
    let director = peer.director_of_client();
    director.locks().await.unwrap();
    director.locks().await.unwrap();
    assert_eq!(sent(&peer)[1..], ["/locks bearer one", "/locks bearer two"]);
}

#[tokio::test]
async fn a_token_that_is_no_longer_accepted_is_renewed_once() {
    let uaa = Peer::plain([token("one", 3600), token("two", 3600)]);
    let refused = answer(401, "Not authorized: '/x'\n");
    let peer = Peer::plain([info(&uaa.url()), refused.clone(), info(&uaa.url()), to_task(4)]);
    let slug = remount_core::InstanceSlug { group: "pg".parse().unwrap(), id: ID.parse().unwrap() };
    // A change too: what was refused at the door was not carried out.
    peer.director_of_client().start(&"pg".parse().unwrap(), &slug, "c").await.unwrap();
    assert!(sent(&peer)[3].ends_with("bearer two"), "{:?}", sent(&peer));

    let uaa = Peer::plain([token("one", 3600), token("two", 3600)]);
    let peer = Peer::plain([info(&uaa.url()), refused.clone(), info(&uaa.url()), refused]);
    let refused = peer.director_of_client().locks().await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized { .. }), "{refused:?}");
    assert!(peer.is_done() && uaa.is_done());
}

#[tokio::test]
async fn a_uaa_that_does_not_know_us_is_told_without_the_secret() {
    let uaa = Peer::plain([answer(401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#)]);
    let peer = Peer::plain([info(&uaa.url())]);
    let refused = peer.director_of_client().locks().await.unwrap_err();
    assert!(matches!(&refused, Error::Unauthorized { detail, .. } if detail.contains("Bad credentials")));
    assert!(!remount_core::report(&refused).contains("s3"), "{refused}");
    assert_eq!(uaa.received().len(), 1);
}

#[tokio::test]
async fn a_change_is_not_sent_where_the_login_is_not_answered() {
    let uaa = Peer::plain([Step::CutAfter, answer(200, "<html>"), token("one", 3600)]);
    let peer = Peer::plain([info(&uaa.url()), to_task(4)]);
    let slug = remount_core::InstanceSlug { group: "pg".parse().unwrap(), id: ID.parse().unwrap() };
    let (director, deployment) = (peer.director_of_client(), "pg".parse().unwrap());
    for _ in 0..2 {
        let error = director.start(&deployment, &slug, "c").await.unwrap_err();
        assert!(matches!(error, Error::NotSent { .. }), "{error:?}");
    }
    // The caller sends again, when it has looked whether it still may.
    director.start(&deployment, &slug, "c").await.unwrap();
    assert!(peer.is_done() && uaa.is_done());
}

#[tokio::test]
async fn client_credentials_are_a_user_where_there_is_no_uaa() {
    let basic = answer(200, r#"{"user_authentication":{"type":"basic","options":{}}}"#);
    let peer = Peer::plain([basic, answer(401, "Not authorized: '/locks'\n")]);
    let refused = peer.director_of_client().locks().await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized { .. }), "{refused:?}");
    assert!(refused.next_step().unwrap().contains("password"), "{:?}", refused.next_step());
    assert_eq!(sent(&peer), ["/info nobody", "/locks Basic cmVtb3VudDpzMw=="]);
}

#[tokio::test]
async fn a_uaa_over_the_open_network_is_refused() {
    let peer = Peer::plain([info("http://10.0.0.9:8080")]);
    let refused = peer.director_of_client().locks().await.unwrap_err();
    assert!(matches!(refused, Error::Config(_)), "{refused:?}");
}

fn pinned(
    peer: &Peer,
    pem: &str,
) -> (tempfile::NamedTempFile, Result<remount_director::RetryingDirector, Error>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let json = format!(
        r#"{{"url":"{}","ca_file":"{}","username":"a","password":"b"}}"#,
        peer.url(),
        file.path().display()
    );
    let opened = serde_json::from_str::<DirectorConfig>(&json)
        .unwrap()
        .open(&remount_host::RetryPolicy::within(support::RETRY));
    (file, opened)
}

#[tokio::test]
async fn any_of_several_pinned_authorities_is_trusted() {
    let (own, other) = (Authority::new(), Authority::new());
    let peer = Peer::tls([answer(200, "[]")], &own);
    let (_file, director) = pinned(&peer, &format!("{}\n# ours\n{}", other.pem, own.pem));
    director.unwrap().locks().await.unwrap();
}

#[tokio::test]
async fn another_authoritys_director_hears_no_word_from_us() {
    let peer = Peer::tls([answer(200, "[]")], &Authority::new());
    let (_file, director) = pinned(&peer, &Authority::new().pem);
    let refused = director.unwrap().locks().await.unwrap_err();
    assert!(matches!(&refused, Error::Config(text) if text.contains("ca_file")), "{refused:?}");
    assert!(peer.received().is_empty());
}

#[tokio::test]
async fn a_pem_file_without_certificates_is_told_at_once() {
    let peer = Peer::tls([], &Authority::new());
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(pinned(&peer, pem).1, Err(Error::Config(_))), "{pem}");
    }
}
