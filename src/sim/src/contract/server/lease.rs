//! A backup whose driver, server or agent is gone.

use std::time::Duration;

use remount_core::{OperatorError as _, Retry};
use remount_postgres::Error;
use tokio::time::sleep;

use super::Subject;
use super::subject::{LONG, assert_no_backup, new_backup};
use crate::contract::Verdict;

pub(super) async fn a_backup_ends_with_its_lease(subject: Subject) -> Verdict {
    let (place, server, backup) = (subject.fixture.primary(), subject.primary(), new_backup());
    server.begin_backup(&backup, 1).await.expect("backup mode is entered");
    subject.until("the lease has ended", async || subject.status().await.backup.is_none()).await;
    subject.until("the mark is gone", async || subject.mark(&place).await.is_none()).await;
    assert_no_backup("a late renewal", server.renew_backup(&backup).await, &backup);
    assert_no_backup("a late end", server.end_backup(&backup).await, &backup);
    let next = new_backup();
    server.begin_backup(&next, LONG).await.expect("nobody is in the way");
    server.abort_backup(&next).await.expect("it is in progress");
    Verdict::Holds
}

pub(super) async fn a_renewed_lease_holds(subject: Subject) -> Verdict {
    let (server, backup) = (subject.primary(), new_backup());
    server.begin_backup(&backup, 2).await.expect("backup mode is entered");
    // Longer than the lease, by renewals and by begins that are repeated because their answer was lost.
    for round in 0..5 {
        sleep(Duration::from_millis(800)).await;
        if round % 2 == 0 {
            server.renew_backup(&backup).await.expect("it is in progress");
        } else {
            server.begin_backup(&backup, 2).await.expect("it is in progress");
        }
    }
    server.end_backup(&backup).await.expect("it is good");
    Verdict::Holds
}

pub(super) async fn a_lease_has_a_sensible_length(subject: Subject) -> Verdict {
    let (place, server, backup) = (subject.fixture.primary(), subject.primary(), new_backup());
    for seconds in [0, 7 * 24 * 3600] {
        let refused = server.begin_backup(&backup, seconds).await.expect_err("it is refused");
        assert!(matches!(refused, Error::Config(_)), "{seconds} s: {refused:?}");
        assert_eq!(refused.retry(), Retry::Never, "asking again does not help");
        assert_eq!((subject.mark(&place).await, subject.status().await.backup), (None, None));
    }
    Verdict::Holds
}

pub(super) async fn a_backup_ends_with_its_server(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let (place, server, backup) = (subject.fixture.standby(), subject.standby(), new_backup());
    server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    subject.fixture.stop_server(&place).await;
    assert_no_backup("a renewal", server.renew_backup(&backup).await, &backup);
    assert_no_backup("an end", server.end_backup(&backup).await, &backup);
    subject.until("the mark is gone", async || subject.mark(&place).await.is_none()).await;
    subject.fixture.start_server(&place).await;
    subject.until_it_streams().await;
    assert_no_backup("an end of what was void", server.end_backup(&backup).await, &backup);
    let next = new_backup();
    server.begin_backup(&next, LONG).await.expect("nobody is in the way");
    server.end_backup(&next).await.expect("it is good");
    Verdict::Holds
}

pub(super) async fn a_backup_ends_with_its_agent(subject: Subject) -> Verdict {
    subject.until_it_streams().await;
    let (place, server, backup) = (subject.fixture.standby(), subject.standby(), new_backup());
    server.begin_backup(&backup, LONG).await.expect("backup mode is entered");
    subject.fixture.kill_agent(&place).await;
    assert_eq!(subject.mark(&place).await.as_ref(), Some(&backup), "nobody was left to remove it");
    subject.fixture.start_agent(&place).await;
    subject.until("its successor removes the mark", async || subject.mark(&place).await.is_none()).await;
    assert_no_backup("a renewal", server.renew_backup(&backup).await, &backup);
    assert_no_backup("an end", server.end_backup(&backup).await, &backup);
    assert_eq!(server.status().await.expect("the status").backup, None);
    let next = new_backup();
    server.begin_backup(&next, LONG).await.expect("nobody is in the way");
    server.end_backup(&next).await.expect("it is good");
    Verdict::Holds
}
