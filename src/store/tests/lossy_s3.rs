//! The store's S3 through the fault proxy: what a lossy network makes of its promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use remount_core::ClusterName;
use remount_faultproxy::{Proxy, ProxyConfig, Script, Upstream};
use remount_store::{Created, Error, Metadata, Purpose, Store};
use serde_json::{Value, json};
use support::{Moto, config, policy};

const SIZE: usize = 300_000;

/// moto with a bucket, and a store that asks it directly.
struct LossyS3 {
    moto: Moto,
    store: Store,
}

impl LossyS3 {
    async fn start() -> Self {
        let moto = Moto::start();
        let store = moto.store().await;
        Self { moto, store }
    }

    /// A store that asks through a proxy with this script.
    fn behind(&self, script: Value) -> (Proxy, Store) {
        let upstream = Upstream::new(&self.moto.endpoint, None).unwrap();
        let proxy = Proxy::start(ProxyConfig::new(upstream, Script::from_json(script).unwrap())).unwrap();
        let mut lossy = self.moto.config("wal");
        lossy["endpoint"] = proxy.url().into();
        (proxy, config(lossy).open(&policy()).unwrap())
    }
}

/// Which rule acted on each request for an object below `clusters/`, by method.
fn acted(proxy: &Proxy, method: &str) -> Vec<(Option<&'static str>, Option<u16>)> {
    let requests = proxy.requests();
    let meant = requests.iter().filter(|served| served.method == method);
    meant.map(|served| (served.fault, served.upstream_status)).collect()
}

fn content() -> Bytes {
    (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_tried_again_and_its_object_is_there_once_and_whole() {
    let moto = LossyS3::start().await;
    let (proxy, store) = moto.behind(json!([{"method": "PUT", "fault": {"kind": "drop_after"}}]));
    let created = store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    // The second try finds the object of the first: a create cannot know whose it is, its caller compares.
    assert_eq!(created, Created::Existed);
    assert_eq!(acted(&proxy, "PUT"), [(Some("drop_after"), Some(200)), (None, Some(412))]);
    assert_eq!(moto.store.objects().read("clusters/a").await.unwrap().unwrap().content, content());

    let other = Bytes::from_static(b"other");
    assert_eq!(
        store.objects().create("clusters/a", other, &Metadata::new()).await.unwrap(),
        Created::Existed,
        "it is never replaced"
    );
    assert_eq!(moto.store.objects().read("clusters/a").await.unwrap().unwrap().content, content());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_never_arrived_is_tried_again_and_is_new() {
    let moto = LossyS3::start().await;
    let (proxy, store) = moto.behind(json!([{"method": "PUT", "fault": {"kind": "drop_before"}}]));
    let created = store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    assert_eq!(created, Created::New);
    assert_eq!(acted(&proxy, "PUT"), [(Some("drop_before"), None), (None, Some(200))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_arrived_twice_does_not_replace_itself() {
    let moto = LossyS3::start().await;
    let (_proxy, store) = moto.behind(json!([{"method": "PUT", "fault": {"kind": "duplicate"}}]));
    let created = store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    assert_eq!(created, Created::Existed);
    assert_eq!(moto.store.objects().read("clusters/a").await.unwrap().unwrap().content, content());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answer_is_lost_is_held_by_its_taker_and_nobody_else() {
    let moto = LossyS3::start().await;
    let (proxy, store) = moto.behind(json!([
        {"method": "PUT", "path": "*/lease/0000000001.json", "fault": {"kind": "drop_after"}},
    ]));
    let name = ClusterName::new("pg-0001").unwrap();
    let term = Duration::from_secs(60);
    let lease = store.cluster(&name).take_lease("me", Purpose::Backup, term).await.unwrap();
    assert_eq!(lease.epoch(), 1);
    assert!(proxy.requests().iter().any(|served| served.fault == Some("drop_after")));
    let refused = moto.store.cluster(&name).take_lease("other", Purpose::Backup, term).await.unwrap_err();
    assert!(matches!(refused, Error::Leased { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_noticed_and_read_again() {
    let moto = LossyS3::start().await;
    moto.store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    for bytes in [0, 1, SIZE - 1] {
        let (proxy, store) = moto.behind(json!([
            {"method": "GET", "path": "*/clusters/a", "fault": {"kind": "cut", "bytes": bytes}},
        ]));
        let read = store.objects().read("clusters/a").await.unwrap().unwrap();
        assert!(read.content == content(), "cut at {bytes}: {} bytes were taken for all", read.content.len());
        assert_eq!(acted(&proxy, "GET")[0], (Some("cut"), Some(200)));
        assert!(acted(&proxy, "GET").len() > 1, "it was read again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_always_cut_is_no_answer_and_not_an_absent_object() {
    let moto = LossyS3::start().await;
    moto.store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    let (proxy, store) = moto.behind(json!([
        {"method": "GET", "times": 1000, "fault": {"kind": "cut", "bytes": 0}},
    ]));
    // With some bytes each time it would go on where it was cut, for as long as there is progress.
    let error = store.objects().read("clusters/a").await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    let tries = acted(&proxy, "GET").len();
    assert!((2..=20).contains(&tries), "{tries} tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_says_slow_down_is_asked_again() {
    let moto = LossyS3::start().await;
    for status in [503, 429] {
        let (proxy, store) = moto.behind(json!([
            {"times": 2, "fault": {"kind": "throttle", "status": status, "retry_after_seconds": 1}},
        ]));
        let path = format!("clusters/{status}");
        let created = store.objects().create(&path, content(), &Metadata::new()).await.unwrap();
        assert_eq!(created, Created::New, "{status}");
        assert_eq!(acted(&proxy, "PUT").len(), 3, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_effect_is_tried_again() {
    let moto = LossyS3::start().await;
    let (proxy, store) = moto.behind(json!([
        {"method": "PUT", "fault": {"kind": "status", "status": 500, "upstream": "first"}},
    ]));
    let created = store.objects().create("clusters/a", content(), &Metadata::new()).await.unwrap();
    assert_eq!(created, Created::Existed);
    assert_eq!(acted(&proxy, "PUT"), [(Some("status"), Some(200)), (None, Some(412))]);
}
