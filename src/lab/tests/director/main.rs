//! The lab's Director over real HTTPS: every rule of `docs/reference/bosh-director.md`, section 14, has a test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod api;
mod attach;
mod client;
mod deploy;
mod errands;
mod faults;
mod instances;
mod landscape;
mod memory_iaas;
mod own_client;
mod proxy;
mod release;
mod resurrect;
mod tasks;
