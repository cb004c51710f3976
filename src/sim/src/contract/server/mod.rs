//! What every [`Server`](remount_postgres::Server) must do, and the [`Servers`] that lead to it, as far as flows rely on it.
//!
//! | subject | rule | check |
//! |---|---|---|
//! | status | role, position, timeline, streaming, settings, as they are | `a_primary_says_what_it_is`, `a_standby_says_what_it_is` |
//! | reaching | an instance that is not the one that was asked for does not answer for it | `another_instance_does_not_answer` |
//! | reaching | an agent of another deployment answers nothing and does nothing | `another_deployment_does_not_answer` |
//! | | no agent, a server that is down, a state that forbids it: told apart, retried or not | `a_silent_agent_is_unreachable`, `a_server_that_is_down_is_told_as_such` |
//! | WAL | a write is flushed, and a standby replays past it | `a_write_reaches_the_standby` |
//! | | a switch closes the segment, which is archived | `a_switch_closes_a_segment_that_is_archived` |
//! | | a standby writes nothing | `a_standby_writes_nothing` |
//! | | and archives what it has streamed, to the last record | `a_standby_archives_what_it_has_streamed` |
//! | backup | begins once, however often it is asked for, beside no other | `one_backup_is_in_progress` |
//! | | ends once, with one result | `a_backup_ends_once` |
//! | | the last result is remembered, and no other | `only_the_last_result_is_remembered` |
//! | | a primary archives the stop segment by itself | `a_primary_archives_the_stop_segment` |
//! | | a standby's is archived when its primary switches | `a_standbys_stop_segment_is_archived_by_a_switch` |
//! | | given up, it leaves nothing | `an_aborted_backup_leaves_nothing` |
//! | lease | ends the backup of a driver that does not renew it | `a_backup_ends_with_its_lease` |
//! | | a renewal and a repeated begin extend it | `a_renewed_lease_holds` |
//! | | has a sensible length | `a_lease_has_a_sensible_length` |
//! | mishaps | a backup ends with its server, and with its agent | `a_backup_ends_with_its_server`, `a_backup_ends_with_its_agent` |
//! | restore | nothing is promoted that is not being restored | `what_is_not_restored_is_not_promoted` |
//! | | finishing twice, or what was none, is done | `finishing_a_restore_twice_is_done` |
//!
//! What a restore does to a server (recovery, promotion) is a matter of its disk and the agent's hooks, not of this
//! trait: `agent/tests/lifecycle/restores.rs` has it.

mod backup;
mod lease;
mod reaching;
mod status;
mod subject;
mod wal;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{BackupId, DeploymentName, InstanceSlug, WalSegment};
use remount_postgres::Servers;

use super::suite::{self, CHECK_LIMIT, checks};
use super::{Check, Report};

pub use subject::Subject;

/// The checks, in order.
const CHECKS: &[Check<Subject>] = checks![Subject:
    status::a_primary_says_what_it_is,
    status::a_standby_says_what_it_is,
    reaching::another_instance_does_not_answer,
    reaching::another_deployment_does_not_answer,
    reaching::a_silent_agent_is_unreachable,
    reaching::a_server_that_is_down_is_told_as_such,
    wal::a_write_reaches_the_standby,
    wal::a_switch_closes_a_segment_that_is_archived,
    wal::a_standby_writes_nothing,
    wal::a_standby_archives_what_it_has_streamed,
    backup::one_backup_is_in_progress,
    backup::a_backup_ends_once,
    backup::only_the_last_result_is_remembered,
    backup::a_primary_archives_the_stop_segment,
    backup::a_standbys_stop_segment_is_archived_by_a_switch,
    backup::an_aborted_backup_leaves_nothing,
    lease::a_backup_ends_with_its_lease,
    lease::a_renewed_lease_holds,
    lease::a_lease_has_a_sensible_length,
    lease::a_backup_ends_with_its_server,
    lease::a_backup_ends_with_its_agent,
    status::what_is_not_restored_is_not_promoted,
    status::finishing_a_restore_twice_is_done,
];

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Its deployment.
    pub deployment: DeploymentName,
    /// Its instance.
    pub instance: InstanceSlug,
    /// The address of its VM.
    pub address: String,
}

/// What the suite needs beyond the trait: what happens on the VMs of a primary and of the standby that streams from
/// it. Checks leave both running, streaming and out of backup mode.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// The primary.
    fn primary(&self) -> ServerAddress;
    /// Its standby.
    fn standby(&self) -> ServerAddress;
    /// Whether the segment is in the archive.
    async fn is_archived(&self, segment: &WalSegment) -> bool;
    /// The backup that `backup.json` on the instance's disk names.
    async fn mark(&self, of: &ServerAddress) -> Option<BackupId>;
    /// Stops PostgreSQL on a VM, in good order; the agent goes on.
    async fn stop_server(&self, at: &ServerAddress);
    /// Starts it again.
    async fn start_server(&self, at: &ServerAddress);
    /// Kills the agent on a VM; PostgreSQL goes on.
    async fn kill_agent(&self, at: &ServerAddress);
    /// Starts another one.
    async fn start_agent(&self, at: &ServerAddress);
}

/// Runs the suite. `fresh` may answer with the same servers for each check.
pub async fn run(name: &str, fresh: impl AsyncFn() -> (Arc<dyn Servers>, Arc<dyn Fixture>)) -> Report {
    suite::run("Server", name, CHECKS, CHECK_LIMIT, async || {
        let (servers, fixture) = fresh().await;
        Subject { servers, fixture }
    })
    .await
}
