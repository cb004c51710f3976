//! What goes wrong without a script, and what the proxy refuses.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use remount_faultproxy::{Proxy, ProxyConfig, Script, Upstream};
use serde_json::json;

use crate::client::{begin, send};
use crate::peer::Peer;

fn before(url: &str) -> Proxy {
    Proxy::start(ProxyConfig::new(Upstream::new(url, None).unwrap(), Script::default())).unwrap()
}

#[test]
fn an_upstream_that_is_not_there_is_told_as_502() {
    // Bound and closed again: nobody listens there.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let proxy = before(&format!("http://127.0.0.1:{port}"));
    let heard = send(proxy.address(), "GET", "/", b"");
    assert_eq!(heard.status(), 502);
    assert!(heard.text().contains("cannot be reached") && heard.text().contains("--upstream"), "{heard:?}");
    let error = proxy.requests()[0].error.clone().unwrap();
    assert!(error.contains(&port.to_string()), "{error}");
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_passed_on_as_that() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = before(&format!("http://{}", listener.local_addr().unwrap()));
    let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
    assert!(send(proxy.address(), "GET", "/", b"").is_nothing());
    closing.join().unwrap();
    assert!(proxy.requests()[0].error.clone().unwrap().contains("without an answer"));
}

#[test]
fn a_request_too_long_to_be_sent_twice_is_refused_and_has_no_effect() {
    let peer = Peer::start();
    let proxy = peer.behind(json!([{"fault": {"kind": "duplicate"}}]));
    let heard = send(proxy.address(), "PUT", "/a", &vec![0; (64 << 20) + 1]);
    assert_eq!(heard.status(), 413);
    assert!(peer.arrived().is_empty());
}

#[test]
fn a_proxy_that_is_dropped_cuts_its_connections() {
    let peer = Peer::start();
    let proxy = peer.behind(json!([{"fault": {"kind": "delay", "milliseconds": 60_000}}]));
    let address = proxy.address();
    let mut waiting = begin(address, "PUT", "/a", b"");
    waiting.flush().unwrap();
    let heard = std::thread::spawn(move || std::io::read_to_string(waiting).unwrap_or_default());
    drop(proxy);
    assert_eq!(heard.join().unwrap(), "");
}
