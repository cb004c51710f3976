//! Servers under test, and the words the checks speak in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remount_core::{BackupId, Lsn, OperatorError as _, RestoreId, Retry, TimelineId};
use remount_postgres::{Error, Result, Server, ServerStatus, Servers, VerifiedPosition};

use super::{Fixture, ServerAddress};
use crate::contract::wait;

/// How long a fact may take to become true: a segment is archived, a standby streams.
const FACT_LIMIT: Duration = Duration::from_secs(60);
/// A lease that ends in no check.
pub(super) const LONG: u64 = 600;

/// Servers and what is around them.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) servers: Arc<dyn Servers>,
    pub(super) fixture: Arc<dyn Fixture>,
}

impl Subject {
    pub(super) fn at(&self, place: &ServerAddress) -> Arc<dyn Server> {
        self.servers.server(&place.deployment, &place.instance, &place.address).expect("a client")
    }

    pub(super) fn primary(&self) -> Arc<dyn Server> {
        self.at(&self.fixture.primary())
    }

    pub(super) fn standby(&self) -> Arc<dyn Server> {
        self.at(&self.fixture.standby())
    }

    /// The primary's status.
    pub(super) async fn status(&self) -> ServerStatus {
        self.primary().status().await.expect("the primary's status")
    }

    pub(super) async fn mark(&self, place: &ServerAddress) -> Option<BackupId> {
        self.fixture.mark(place).await
    }

    pub(super) async fn until(&self, what: &str, fact: impl AsyncFn() -> bool) {
        wait::until(what, FACT_LIMIT, fact).await;
    }

    /// Waits until the standby streams.
    pub(super) async fn until_it_streams(&self) {
        let streams = async || self.standby().status().await.is_ok_and(|status| status.streaming);
        self.until("the standby streams", streams).await;
    }
}

/// A backup that nobody has heard of.
pub(super) fn new_backup() -> BackupId {
    BackupId::at(Timestamp::now(), rand::random())
}

/// A restore that nobody has heard of.
pub(super) fn new_restore() -> RestoreId {
    RestoreId::at(Timestamp::now(), rand::random())
}

/// A position that no server here stands at.
pub(super) const fn anywhere() -> VerifiedPosition {
    VerifiedPosition { timeline: TimelineId::FIRST, replayed_to: Lsn(1) }
}

/// The agent answers, PostgreSQL does not: it may come back.
pub(super) fn assert_down<T: std::fmt::Debug>(what: &str, answer: Result<T>) {
    let error = answer.expect_err(what);
    assert!(matches!(error, Error::Database { .. }), "{what}: {error:?}");
    assert_eq!(error.retry(), Retry::Soon, "{what}");
}

/// Nothing answers there: it may come back, and may have happened.
pub(super) fn assert_unreachable<T: std::fmt::Debug>(what: &str, answer: Result<T>) {
    let error = answer.expect_err(what);
    assert!(matches!(error, Error::Unreachable { .. }), "{what}: {error:?}");
    assert_eq!(error.retry(), Retry::Soon, "{what}");
}

/// This backup is not in progress, and waiting does not change that.
pub(super) fn assert_no_backup<T: std::fmt::Debug>(what: &str, answer: Result<T>, backup: &BackupId) {
    let error = answer.expect_err(what);
    assert!(matches!(&error, Error::NoBackup(id) if id == backup), "{what}: {error:?}");
    assert_eq!(error.retry(), Retry::Never, "{what}");
}
