//! Who answers, and what it means where nobody does.

use remount_postgres::Error;

use super::subject::{
    LONG, anywhere, assert_down, assert_no_backup, assert_unreachable, new_backup, new_restore,
};
use super::{ServerAddress, Subject};
use crate::contract::Verdict;

pub(super) async fn another_instance_does_not_answer(subject: Subject) -> Verdict {
    let (primary, standby) = (subject.fixture.primary(), subject.fixture.standby());
    let swapped = ServerAddress { address: standby.address, ..primary };
    assert_unreachable("the standby at the primary's address", subject.at(&swapped).status().await);
    Verdict::Holds
}

/// Who asks for another deployment's agent wants nothing of this one, whatever its address is now.
pub(super) async fn another_deployment_does_not_answer(subject: Subject) -> Verdict {
    let (place, backup) = (subject.fixture.primary(), new_backup());
    let deployment = "another".parse().expect("a name");
    let stranger = subject.at(&ServerAddress { deployment, ..place.clone() });
    assert_unreachable("status", stranger.status().await);
    assert_unreachable("begin", stranger.begin_backup(&backup, LONG).await);
    assert_eq!(subject.mark(&place).await, None, "nothing has happened");
    Verdict::Holds
}

pub(super) async fn a_silent_agent_is_unreachable(subject: Subject) -> Verdict {
    let (place, server, backup) = (subject.fixture.standby(), subject.standby(), new_backup());
    subject.fixture.kill_agent(&place).await;
    assert_unreachable("status", server.status().await);
    assert_unreachable("begin", server.begin_backup(&backup, LONG).await);
    assert_unreachable("renew", server.renew_backup(&backup).await);
    assert_unreachable("end", server.end_backup(&backup).await);
    assert_unreachable("abort", server.abort_backup(&backup).await);
    assert_unreachable("switch", server.switch_wal().await);
    assert_unreachable("probe", server.write_probe().await);
    assert_unreachable("promote", server.promote(&new_restore(), &anywhere()).await);
    subject.fixture.start_agent(&place).await;
    server.status().await.expect("it is back");
    assert_eq!(subject.mark(&place).await, None, "nothing of it has happened");
    subject.until_it_streams().await;
    Verdict::Holds
}

pub(super) async fn a_server_that_is_down_is_told_as_such(subject: Subject) -> Verdict {
    let (place, server, backup) = (subject.fixture.standby(), subject.standby(), new_backup());
    subject.fixture.stop_server(&place).await;
    assert_down("status", server.status().await);
    assert_down("begin", server.begin_backup(&backup, LONG).await);
    assert_down("switch", server.switch_wal().await);
    assert_down("probe", server.write_probe().await);
    assert_eq!(subject.mark(&place).await, None, "a backup that did not begin leaves no mark");
    // What the agent knows by itself it answers by itself.
    assert_no_backup("renew", server.renew_backup(&backup).await, &backup);
    assert_no_backup("end", server.end_backup(&backup).await, &backup);
    server.abort_backup(&backup).await.expect("none in progress counts as done");
    subject.fixture.start_server(&place).await;
    subject.until_it_streams().await;
    let refused = server.write_probe().await;
    assert!(matches!(refused, Err(Error::NotPrimary { .. })), "{refused:?}");
    Verdict::Holds
}
