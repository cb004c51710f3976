//! `Objects` in memory, and the store through which processes die in the proofs.

use std::sync::Arc;

use remount_sim::contract::objects;
use remount_sim::memory::{CrashingObjects, MemoryObjects};

#[tokio::test]
async fn memory_keeps_the_contract() {
    objects::run("memory", Arc::new(MemoryObjects::new())).await.assert_holds();
}

#[tokio::test]
async fn a_store_that_may_crash_and_does_not_keeps_the_contract() {
    let crashing = CrashingObjects::over(Arc::new(MemoryObjects::new()));
    objects::run("crashing", Arc::new(crashing)).await.assert_holds();
}
