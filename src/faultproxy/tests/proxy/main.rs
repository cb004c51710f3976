//! The fault proxy before a server of the test's own, with TLS, and as a program. Before S3 it stands in
//! `store/tests/lossy_s3.rs`, before the lab's Director in `lab/tests/director/proxy.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod faults;
mod limits;
mod peer;
mod program;
mod tls;
