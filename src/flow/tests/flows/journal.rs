//! A restore's journal under its lease.

use std::sync::Arc;
use std::time::Duration;

use remount_core::documents::What;
use remount_core::{OperatorError as _, RestoreId};
use remount_flow::RestoreJournal;
use remount_saga::Journal as _;
use remount_sim::memory::MemoryObjects;
use remount_store::{Purpose, Store};

#[tokio::test]
async fn an_event_that_another_wrote_too_late_stops_the_writer_and_says_what_it_is() {
    let key = remount_sim::keys::control_plane();
    let cluster = Store::new(Arc::new(MemoryObjects::new()), key).cluster(&"pg-0001".parse().unwrap());
    let lease = cluster.take_lease("test", Purpose::Restore, Duration::from_secs(60)).await.unwrap();
    let restore: RestoreId = "20261124T101500Z-aaaa".parse().unwrap();
    let journal = || RestoreJournal::new(cluster.clone(), restore.clone(), lease.clone(), 0);
    journal().append(What::Intended { step: "begin".into() }).await.unwrap();
    let failed = What::Failed { step: "begin".into(), error: String::new() };
    let error = journal().append(failed).await.unwrap_err();
    assert!(error.to_string().contains("of a process that came too late"), "{error}");
    assert!(!error.is_fenced() && error.next_step().is_some());
    assert_eq!(cluster.journal(&restore).await.unwrap().len(), 1, "what is written stays");
}
