//! The in-memory landscape under contract. All proofs of flows rest on it: what it does otherwise than a real cloud,
//! Director, server or store is shown here, or nowhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod director;
mod disk_cloud;
mod liars;
mod objects;
mod server;

use std::sync::Arc;

use remount_sim::memory::{MemoryLandscape, MemoryObjects};
use remount_store::Store;

/// A cluster of a primary and a standby.
fn landscape() -> MemoryLandscape {
    let key = remount_sim::keys::control_plane();
    MemoryLandscape::new(Store::new(Arc::new(MemoryObjects::new()), key), "pg-0001", 1)
}
