//! Two VMs from empty disks through a restore, by the hooks alone, in the order BOSH runs them.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod instance;
mod restores;
mod starts;
mod stops;
#[path = "../support/mod.rs"]
mod support;
