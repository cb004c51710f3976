//! The fault proxy before real peers: a server of the test's own, TLS, S3 (moto), and as a program.
//! Before the lab's Director it stands in `tests/director/proxy.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod faults;
mod limits;
mod moto;
mod peer;
mod program;
mod s3;
mod tls;
