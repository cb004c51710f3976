//! Every kind of fault, and what it leaves behind.

use std::time::{Duration, Instant};

use remount_faultproxy::Proxy;
use serde_json::{Value, json};

use crate::client::{Heard, send};
use crate::peer::{LONG, Peer};

fn put(proxy: &Proxy) -> Heard {
    send(proxy.address(), "PUT", "/disk/1", b"content")
}

/// The peer, and the proxy with one rule for all requests, which acts once.
fn with(fault: Value) -> (Peer, Proxy) {
    let peer = Peer::start();
    let proxy = peer.behind(json!([{ "fault": fault }]));
    (peer, proxy)
}

#[test]
fn without_a_fault_everything_passes_as_it_is() {
    let peer = Peer::start();
    let proxy = peer.behind(json!([{"path": "/other", "fault": {"kind": "drop_before"}}]));
    let heard = send(proxy.address(), "PUT", "/disk/1?token=secret&b=%2F", b"content");
    assert_eq!((heard.status(), heard.text()), (201, "answer 1"));
    assert_eq!((heard.header("x-peer"), heard.header("content-length")), (Some("own"), Some("8")));
    let arrived = &peer.arrived()[0];
    assert_eq!((arrived.method.as_str(), arrived.uri.as_str()), ("PUT", "/disk/1?token=secret&b=%2F"));
    assert_eq!(arrived.host, "signed.example:99", "S3 signs the Host header");
    assert_eq!(arrived.body.as_ref(), b"content");
    let served = &proxy.requests()[0];
    assert_eq!(
        (served.number, served.path.as_str(), served.rule),
        (1, "/disk/1", None),
        "no query: it is secret"
    );
    assert_eq!(served.upstream_status, Some(201));
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_body() {
    let peer = Peer::start();
    let proxy = peer.behind(json!([]));
    let heard = send(proxy.address(), "HEAD", "/long", b"");
    assert_eq!((heard.header("content-length"), heard.body.len()), (Some("100000"), 0));
}

#[test]
fn drop_before_has_no_effect_at_all() {
    let (peer, proxy) = with(json!({"kind": "drop_before"}));
    assert!(put(&proxy).is_nothing());
    assert!(peer.arrived().is_empty());
    assert_eq!(put(&proxy).text(), "answer 1", "the rule is used up");
    let served = proxy.requests();
    assert_eq!(
        (served[0].rule, served[0].fault, served[0].upstream_status),
        (Some(1), Some("drop_before"), None)
    );
}

#[test]
fn drop_after_has_its_effect_exactly_once() {
    let (peer, proxy) = with(json!({"kind": "drop_after"}));
    assert!(put(&proxy).is_nothing());
    assert_eq!(peer.arrived().len(), 1);
    assert_eq!(proxy.requests()[0].upstream_status, Some(201), "it is noted before the connection closes");
}

#[test]
fn a_duplicate_has_its_effect_twice_and_the_second_answer_counts() {
    let (peer, proxy) = with(json!({"kind": "duplicate"}));
    assert_eq!(put(&proxy).text(), "answer 2");
    let arrived = peer.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0], arrived[1]);
    assert_eq!(arrived[1].body.as_ref(), b"content");
}

#[test]
fn a_throttle_sends_away_and_says_for_how_long() {
    let (peer, proxy) = with(json!({"kind": "throttle", "status": 429, "retry_after_seconds": 7}));
    let heard = put(&proxy);
    assert_eq!((heard.status(), heard.header("retry-after")), (429, Some("7")));
    assert!(peer.arrived().is_empty());
}

#[test]
fn a_throttle_slows_a_body_down_and_loses_none_of_it() {
    let (_peer, proxy) = with(json!({"kind": "throttle", "bytes_per_second": LONG * 2}));
    let before = Instant::now();
    let heard = send(proxy.address(), "GET", "/long", b"");
    assert_eq!(heard.body, vec![b'x'; LONG]);
    // Half a second, less the pause after the last piece.
    assert!(before.elapsed() >= Duration::from_millis(400), "{:?}", before.elapsed());
}

#[test]
fn a_cut_lets_the_first_bytes_through_and_promises_more() {
    for bytes in [0, 10, 70_000, LONG] {
        let (peer, proxy) = with(json!({"kind": "cut", "bytes": bytes}));
        let heard = send(proxy.address(), "GET", "/long", b"");
        assert_eq!(heard.header("content-length"), Some("100000"));
        assert_eq!(heard.body, vec![b'x'; bytes], "cut at {bytes}");
        assert_eq!(peer.arrived().len(), 1);
    }
}

#[test]
fn a_status_stands_in_for_the_upstream_before_or_after_the_effect() {
    let fault =
        json!({"kind": "status", "status": 500, "body": "<Error/>", "content_type": "application/xml"});
    let (peer, proxy) = with(fault.clone());
    let heard = put(&proxy);
    assert_eq!((heard.status(), heard.text()), (500, "<Error/>"));
    assert_eq!(heard.header("content-type"), Some("application/xml"));
    assert!(peer.arrived().is_empty());

    let mut fault = fault;
    fault["upstream"] = "first".into();
    let (peer, proxy) = with(fault);
    assert_eq!(put(&proxy).status(), 500);
    assert_eq!(peer.arrived().len(), 1);
    assert_eq!(proxy.requests()[0].upstream_status, Some(201));
}

#[test]
fn a_delay_passes_the_request_on_later() {
    let (peer, proxy) = with(json!({"kind": "delay", "milliseconds": 200, "jitter_milliseconds": 50}));
    let before = Instant::now();
    assert_eq!(put(&proxy).text(), "answer 1");
    assert!(before.elapsed() >= Duration::from_millis(200), "{:?}", before.elapsed());
    assert_eq!(peer.arrived().len(), 1);
}

#[test]
fn a_client_that_goes_away_does_not_take_its_request_back() {
    let (peer, proxy) = with(json!({"kind": "delay", "milliseconds": 200}));
    drop(crate::client::begin(proxy.address(), "PUT", "/disk/1", b"content"));
    peer.wait_for(1);
}

#[test]
fn the_same_seed_and_the_same_requests_meet_the_same_faults() {
    let peer = Peer::start();
    let script = json!([{"times": 100, "probability": 0.5, "fault": {"kind": "drop_before"}}]);
    let run = |seed: Option<u64>| {
        let proxy = peer.behind_with(script.clone(), |config| config.seed = seed);
        let lost: Vec<bool> = (0..40).map(|_| put(&proxy).is_nothing()).collect();
        let told: Vec<bool> = proxy.requests().iter().map(|served| served.rule.is_some()).collect();
        assert_eq!(lost, told);
        (proxy.seed(), lost)
    };
    let (seed, first) = run(None);
    assert_eq!(run(Some(seed)), (seed, first), "the seed that a proxy made is told");
    assert_ne!(run(Some(1)).1, run(Some(2)).1);
}
