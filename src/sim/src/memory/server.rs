//! `Server` in memory: the agent's API.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use remount_core::{
    BackupId, DeploymentName, InstanceSlug, Lsn, RecoveryTarget, RestoreId, Role, WalSegment,
};
use remount_postgres::{
    BackupBegun, BackupEnded, CollationRefresh, Error, Forwarded, FreeSpace, Promoted, Recovery, Result,
    Server, ServerStatus, Servers, StreamedWal, VerifiedPosition, WalSwitched, WriteProbe,
};
use tokio::time::Instant;

use super::MemoryLandscape;
use super::faults::{Fault, lost};
use super::postgres::{Data, SYSTEM, What, size};
use super::state::{BackupMode, HeldBackup, State};

/// A longer lease is a mistake of the caller, such as milliseconds.
const LEASE_SECONDS_MAX: u64 = 24 * 3600;

/// The settings of every server here.
const SETTINGS: [(&str, &str); 5] = [
    ("archive_mode", "on"),
    ("max_connections", "100"),
    ("max_prepared_transactions", "0"),
    ("max_wal_senders", "10"),
    ("wal_level", "replica"),
];

/// The servers of a [`MemoryLandscape`].
#[derive(Debug)]
pub struct MemoryServers(pub MemoryLandscape);

impl Servers for MemoryServers {
    fn server(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<Arc<dyn Server>> {
        Ok(Arc::new(MemoryServer {
            landscape: self.0.clone(),
            deployment: deployment.clone(),
            instance: instance.clone(),
            address: address.to_owned(),
        }))
    }
}

/// The server at an address, which is taken for that of an instance.
#[derive(Debug)]
struct MemoryServer {
    landscape: MemoryLandscape,
    deployment: DeploymentName,
    instance: InstanceSlug,
    address: String,
}

/// What a call has found at the address.
struct Reached {
    index: usize,
    /// Do it, then lose the answer.
    lose: bool,
}

impl MemoryServer {
    /// Fails as injected, or because nothing answers.
    fn reach(&self, call: &'static str) -> Result<Reached> {
        let fault = self.landscape.fault(call, &self.instance.to_string());
        let mut state = self.landscape.state();
        state.end_expired_backups();
        state.stream();
        let at = |index: &usize| self.address == address_of(*index);
        let index = (0..state.instances.len()).find(at).ok_or_else(|| self.unreachable(call))?;
        let answers = state.vm_mut(index).is_some_and(|vm| vm.answers && vm.serves);
        let answers = answers && self.deployment == *self.landscape.deployment();
        if !answers || fault == Some(Fault::LoseRequest) {
            return Err(self.unreachable(call));
        }
        match fault {
            Some(Fault::LoseAnswer) => Ok(Reached { index, lose: true }),
            Some(_) => Err(Error::Database { action: call.into(), detail: "injected".into() }),
            None => Ok(Reached { index, lose: false }),
        }
    }

    fn unreachable(&self, call: &str) -> Error {
        Error::Unreachable { action: call.into(), address: self.address.clone(), source: lost() }
    }

    fn answer<T>(&self, call: &str, reached: &Reached, value: T) -> Result<T> {
        if reached.lose { Err(self.unreachable(call)) } else { Ok(value) }
    }
}

/// The address of an instance's VM.
pub fn address_of(index: usize) -> String {
    format!("127.0.0.{}", index + 1)
}

fn down(action: &str) -> Error {
    Error::Database { action: action.into(), detail: "the server does not run".into() }
}

/// The data of the server, which has to run.
fn running<'a>(state: &'a State, index: usize, action: &str) -> Result<&'a Data> {
    state.running_data(index).ok_or_else(|| down(action))
}

fn must_be_primary(state: &State, index: usize, action: &str) -> Result<()> {
    if running(state, index, action)?.standby {
        return Err(Error::NotPrimary { action: action.into() });
    }
    Ok(())
}

/// Writes a record, on a primary; answers where it ends.
fn write(state: &mut State, index: usize, action: &str, what: What) -> Result<Lsn> {
    must_be_primary(state, index, action)?;
    state.write(index, what).ok_or_else(|| down(action))
}

#[async_trait]
impl Server for MemoryServer {
    async fn status(&self) -> Result<ServerStatus> {
        const CALL: &str = "server.status";
        let reached = self.reach(CALL)?;
        let status = status(&mut self.landscape.state(), &self.landscape, reached.index)?;
        if status.instance != self.instance {
            return Err(self.unreachable(CALL)); // Another instance answers there.
        }
        self.answer(CALL, &reached, status)
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        const CALL: &str = "server.begin_backup";
        let reached = self.reach(CALL)?;
        let store = self.landscape.store().id().await.unwrap_or_default();
        let begun = {
            let mut state = self.landscape.state();
            let begun = begin_backup(&mut state, reached.index, backup, lease_seconds)?;
            if let Some(content) = state.content_mut(reached.index) {
                content.marked_in = store;
            }
            begun
        };
        self.answer(CALL, &reached, begun)
    }

    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        const CALL: &str = "server.renew_backup";
        let reached = self.reach(CALL)?;
        let mut state = self.landscape.state();
        let held = state.vm_mut(reached.index).and_then(|vm| vm.backup.held_mut(backup));
        held.ok_or_else(|| Error::NoBackup(backup.clone()))?.renew();
        self.answer(CALL, &reached, ())
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        const CALL: &str = "server.end_backup";
        let reached = self.reach(CALL)?;
        let ended = end_backup(&mut self.landscape.state(), reached.index, backup)?;
        self.landscape.archive().await;
        self.answer(CALL, &reached, ended)
    }

    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        const CALL: &str = "server.abort_backup";
        let reached = self.reach(CALL)?;
        let mut state = self.landscape.state();
        if state.vm_mut(reached.index).is_some_and(|vm| vm.backup.held_mut(backup).is_some()) {
            state.void_backup(reached.index);
        }
        self.answer(CALL, &reached, ())
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        const CALL: &str = "server.switch_wal";
        const ACTION: &str = "switch WAL";
        let reached = self.reach(CALL)?;
        let switched = {
            let mut state = self.landscape.state();
            must_be_primary(&state, reached.index, ACTION)?;
            free(&mut state, reached.index).admits(ACTION, size())?;
            // The checkpoint: no commit.
            write(&mut state, reached.index, ACTION, What::Other)?;
            let data = state.running_data_mut(reached.index).ok_or_else(|| down(ACTION))?;
            let last_segment = data.switch();
            let lsn = data.lsn;
            state.stream();
            WalSwitched { lsn, last_segment }
        };
        self.landscape.archive().await;
        self.answer(CALL, &reached, switched)
    }

    async fn archive_streamed(&self) -> Result<StreamedWal> {
        const CALL: &str = "server.archive_streamed";
        let reached = self.reach(CALL)?;
        let streamed = self.landscape.archive_streamed(reached.index).await?;
        self.answer(CALL, &reached, streamed)
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        const CALL: &str = "server.write_probe";
        let reached = self.reach(CALL)?;
        let lsn = write(&mut self.landscape.state(), reached.index, "write", What::Empty)?;
        self.answer(CALL, &reached, WriteProbe { lsn })
    }

    async fn promote(&self, restore: &RestoreId, verified: &VerifiedPosition) -> Result<Promoted> {
        const CALL: &str = "server.promote";
        let reached = self.reach(CALL)?;
        let index = reached.index;
        must_have_applied(&mut self.landscape.state(), index, restore)?;
        let needs_restart = {
            let state = self.landscape.state();
            let data = running(&state, index, CALL)?;
            data.recovering.as_ref().is_some_and(|recovering| recovering.needs_restart)
        };
        let failed = |detail: String| Error::Database { action: CALL.into(), detail };
        if needs_restart {
            return Err(failed("it is still replaying".into()));
        }
        verified.must_be(&stands_at(running(&self.landscape.state(), index, CALL)?, verified))?;
        self.landscape.end_recovery(index).await.map_err(failed)?;
        let promoted = {
            let mut state = self.landscape.state();
            state.content_mut(index).ok_or_else(|| down(CALL))?.backup = None;
            let data = running(&state, index, CALL)?;
            Promoted { timeline: data.timeline, replayed_to: data.replayed_to }
        };
        self.answer(CALL, &reached, promoted)
    }

    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded> {
        const CALL: &str = "server.forward_restore";
        let reached = self.reach(CALL)?;
        must_have_applied(&mut self.landscape.state(), reached.index, restore)?;
        let plan = self.landscape.cluster_store().plan(restore).await;
        let failed = |detail: String| Error::Database { action: CALL.into(), detail };
        let plan =
            plan.map_err(|error| failed(error.to_string()))?.ok_or_else(|| failed("no plan".into()))?;
        let needs_restart = {
            let mut state = self.landscape.state();
            let data = state.running_data_mut(reached.index).ok_or_else(|| down(CALL))?;
            let recovering = data.recovering.as_mut().ok_or_else(|| Error::NoRestore(restore.clone()))?;
            recovering.needs_restart |= recovering.plan.target != plan.target;
            recovering.plan = plan;
            recovering.needs_restart
        };
        self.answer(CALL, &reached, Forwarded { needs_restart })
    }

    async fn finish_restore(&self, _restore: &RestoreId) -> Result<()> {
        const CALL: &str = "server.finish_restore";
        let reached = self.reach(CALL)?;
        running(&self.landscape.state(), reached.index, "finish restore")?; // To be reloaded.
        self.answer(CALL, &reached, ())
    }

    async fn refresh_collations(&self, _restore: &RestoreId) -> Result<CollationRefresh> {
        const CALL: &str = "server.refresh_collations";
        let reached = self.reach(CALL)?;
        {
            let mut state = self.landscape.state();
            must_be_primary(&state, reached.index, "rebuild indexes")?;
            state.rebuilds += 1;
        }
        self.answer(CALL, &reached, CollationRefresh::Done { databases: Vec::new() })
    }
}

/// As a primary: its disk says so.
fn must_have_applied(state: &mut State, index: usize, restore: &RestoreId) -> Result<()> {
    let newest = state.content_mut(index).and_then(|content| content.applied.last().cloned());
    let follows = state.running_data(index).is_some_and(|data| data.standby && data.recovering.is_none());
    if newest.as_ref() != Some(restore) || follows {
        return Err(Error::NoRestore(restore.clone()));
    }
    Ok(())
}

/// Where a restored primary is, or left recovery. What it has followed until then it does not know any more.
fn stands_at(data: &Data, verified: &VerifiedPosition) -> VerifiedPosition {
    match &data.recovering {
        Some(recovering) => {
            VerifiedPosition { timeline: recovering.plan.path.history.timeline, replayed_to: data.lsn }
        }
        None => VerifiedPosition { replayed_to: data.replayed_to.unwrap_or(data.lsn), ..*verified },
    }
}

/// Where a server's recovery is.
fn recovery(data: &Data) -> Recovery {
    let (lsn, last_commit) = (data.lsn, data.last_commit());
    match &data.recovering {
        None if data.standby => Recovery::Replaying { lsn },
        None => Recovery::Ended,
        Some(recovering) if recovering.needs_restart => Recovery::Replaying { lsn },
        Some(recovering) if recovering.plan.target.target == RecoveryTarget::Latest => {
            Recovery::AtEnd { lsn, last_commit }
        }
        Some(_) => Recovery::AtTarget { lsn, last_commit },
    }
}

fn status(state: &mut State, landscape: &MemoryLandscape, index: usize) -> Result<ServerStatus> {
    let is_primary = state.primary() == Some(index);
    let anybody_streams = (0..state.instances.len()).any(|index| state.streams(index));
    let streaming = state.streams(index) || (is_primary && anybody_streams);
    let (now, instance) = (state.now, state.instances[index].slug.clone());
    let backup =
        state.vm_mut(index).and_then(|vm| vm.backup.in_progress()).map(|held| held.begun.backup.clone());
    let applied = state.content_mut(index).and_then(|content| content.applied.last().cloned());
    let mut settings: BTreeMap<_, _> =
        SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    settings.extend(state.instances[index].settings.clone());
    let overrides = state.instances[index].overrides.clone();
    let free = free(state, index);
    let data = running(state, index, "status")?;
    Ok(ServerStatus {
        instance,
        cluster: landscape.cluster().clone(),
        role: if data.standby { Role::Standby } else { Role::Primary },
        system_identifier: SYSTEM,
        postgres_version: 150_018,
        segment_size: size(),
        timeline: data.timeline,
        lsn: data.lsn,
        streaming,
        last_archived: data.last_archived.map(|segment| segment.to_string()),
        now,
        backup,
        applied_restore: applied,
        replayed_to: data.replayed_to,
        recovery: recovery(data),
        settings,
        overrides,
        data_checksums: true,
        collation_versions: BTreeMap::from([("libc/C.UTF-8".to_owned(), "2.36".to_owned())]),
        data_bytes: 1 << 30,
        on_other_disks: Vec::new(),
        data_free: free,
        wal_free: free,
    })
}

/// What the disk of an instance has left.
fn free(state: &mut State, index: usize) -> FreeSpace {
    let is_full = state.content_mut(index).is_some_and(|content| content.is_full);
    FreeSpace { bytes: if is_full { 0 } else { 1 << 30 }, inodes: 1 << 20 }
}

fn begin_backup(
    state: &mut State,
    index: usize,
    backup: &BackupId,
    lease_seconds: u64,
) -> Result<BackupBegun> {
    const ACTION: &str = "begin backup";
    if !(1..=LEASE_SECONDS_MAX).contains(&lease_seconds) {
        return Err(Error::Config(format!("`lease_seconds` has to be between 1 and {LEASE_SECONDS_MAX}")));
    }
    match &mut state.vm_mut(index).ok_or_else(|| down(ACTION))?.backup {
        BackupMode::InProgress(held) if held.begun.backup == *backup => {
            held.renew();
            return Ok(held.begun.clone());
        }
        BackupMode::InProgress(held) => return Err(Error::BackupInProgress(held.begun.backup.clone())),
        BackupMode::Ended(ended) if ended.backup == *backup => return Err(Error::NoBackup(backup.clone())),
        BackupMode::Ended(_) | BackupMode::Idle => {}
    }
    free(state, index).admits(ACTION, size())?;
    let started_at = state.now;
    let data = running(state, index, ACTION)?;
    let (timeline, standby) = (data.timeline, data.standby);
    // A standby's checkpoint is the last one that it has replayed.
    let start_lsn = if standby { data.redo() } else { data.lsn };
    if !standby {
        write(state, index, ACTION, What::Other)?;
    }
    let begun = BackupBegun { backup: backup.clone(), start_lsn, started_at, timeline, lease_seconds };
    let mut held = HeldBackup { begun: begun.clone(), until: Instant::now() };
    held.renew();
    state.vm_mut(index).ok_or_else(|| down(ACTION))?.backup = BackupMode::InProgress(held);
    state.content_mut(index).ok_or_else(|| down(ACTION))?.backup = Some(backup.clone());
    Ok(begun)
}

fn end_backup(state: &mut State, index: usize, backup: &BackupId) -> Result<BackupEnded> {
    let none = || Error::NoBackup(backup.clone());
    let begun = match &state.vm_mut(index).ok_or_else(none)?.backup {
        BackupMode::Ended(ended) if ended.backup == *backup => return Ok(ended.clone()),
        BackupMode::InProgress(held) if held.begun.backup == *backup => held.begun.clone(),
        _ => return Err(none()),
    };
    let standby = state.running_data(index).is_some_and(|data| data.standby);
    if !standby {
        state.write(index, What::Other);
    }
    let stopped_at = state.now;
    let data = state.running_data_mut(index).ok_or_else(none)?;
    let stop_lsn = data.lsn;
    let stop_segment = WalSegment::containing(data.timeline, Lsn(stop_lsn.0.saturating_sub(1)), size());
    if !standby {
        data.switch();
    }
    let start_segment = WalSegment::containing(begun.timeline, begun.start_lsn, size());
    let ended = BackupEnded {
        backup: backup.clone(),
        start_lsn: begun.start_lsn,
        stop_lsn,
        started_at: begun.started_at,
        stopped_at,
        stop_segment,
        backup_label: format!(
            "START WAL LOCATION: {} (file {start_segment})\nBACKUP METHOD: streamed\nLABEL: {backup}\n",
            begun.start_lsn
        ),
        tablespace_map: String::new(),
    };
    state.vm_mut(index).ok_or_else(none)?.backup = BackupMode::Ended(ended.clone());
    state.content_mut(index).ok_or_else(none)?.backup = None;
    state.stream();
    Ok(ended)
}
