//! What servers say of themselves.

use remount_core::{Lsn, OperatorError as _, Retry, Role};
use remount_postgres::{Error, Recovery, ServerStatus};

use super::Subject;
use super::subject::{anywhere, new_restore};
use crate::contract::Verdict;

/// What a manifest keeps, and what recovery compares.
const SETTINGS: [&str; 5] =
    ["archive_mode", "max_connections", "max_prepared_transactions", "max_wal_senders", "wal_level"];

pub(super) async fn a_primary_says_what_it_is(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let status = subject.status().await;
    assert_eq!(status.instance, subject.fixture.primary().instance);
    assert_eq!(status.role, Role::Primary);
    assert!(status.streaming, "a standby streams from it");
    assert!(status.lsn > Lsn(0) && status.postgres_version >= 150_000, "{status:?}");
    assert_eq!((&status.backup, &status.applied_restore, status.replayed_to), (&None, &None, None));
    assert!(status.data_bytes > 0, "{status:?}");
    assert_settings(&status);
    let later = subject.status().await;
    assert!(later.now >= status.now && later.lsn >= status.lsn, "neither clock nor log go back");
    Verdict::Holds
}

pub(super) async fn a_standby_says_what_it_is(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let status = subject.standby().status().await.expect("the standby's status");
    let primary = subject.status().await;
    assert_eq!(status.instance, subject.fixture.standby().instance);
    assert_eq!(status.role, Role::Standby);
    let of = |status: &ServerStatus| {
        (status.cluster.clone(), status.system_identifier, status.timeline, status.segment_size)
    };
    assert_eq!(of(&status), of(&primary), "it is the same cluster, on the same timeline");
    assert!(status.lsn > Lsn(0) && status.lsn <= primary.lsn, "{} of {}", status.lsn, primary.lsn);
    assert_eq!((&status.backup, &status.applied_restore, status.replayed_to), (&None, &None, None));
    assert_settings(&status);
    Verdict::Holds
}

fn assert_settings(status: &ServerStatus) {
    for name in SETTINGS {
        assert!(status.settings.get(name).is_some_and(|value| !value.is_empty()), "{name}: {status:?}");
    }
    assert!(!status.collation_versions.is_empty(), "{status:?}");
}

pub(super) async fn what_is_not_restored_is_not_promoted(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let restore = new_restore();
    for server in [subject.primary(), subject.standby()] {
        let errors = [
            server.promote(&restore, &anywhere()).await.expect_err("its disk has applied nothing"),
            server.forward_restore(&restore).await.expect_err("its disk has applied nothing"),
        ];
        for error in errors {
            assert!(matches!(&error, Error::NoRestore(id) if *id == restore), "{error:?}");
            assert_eq!(error.retry(), Retry::Never);
        }
    }
    let status = subject.standby().status().await.expect("the standby's status");
    assert!(status.role == Role::Standby && status.recovery.arrived().is_none(), "{status:?}");
    assert_eq!(subject.status().await.recovery, Recovery::Ended);
    Verdict::Holds
}

pub(super) async fn finishing_a_restore_twice_is_done(subject: Subject) -> Verdict {
    let restore = new_restore();
    let before = subject.status().await;
    for _ in 0..2 {
        subject.primary().finish_restore(&restore).await.expect("nothing has to be removed");
    }
    let after = subject.status().await;
    assert_eq!((after.role, after.applied_restore, after.settings), (before.role, None, before.settings));
    Verdict::Holds
}
