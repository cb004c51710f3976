//! `Server` in memory: the agent's API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use remount_core::{BackupId, InstanceSlug, Lsn, RestoreId, Role, WalSegment};
use remount_postgres::{
    BackupBegun, BackupEnded, Error, Result, Server, ServerStatus, Servers, WalSwitched, WriteProbe,
};
use tokio::time::Instant;

use super::World;
use super::faults::{Fault, lost};
use super::postgres::{SYSTEM, What, size};
use super::state::{HeldBackup, State};

/// The servers of a [`World`].
#[derive(Debug)]
pub struct MemoryServers(pub World);

impl Servers for MemoryServers {
    fn server(&self, instance: &InstanceSlug, address: &str) -> Result<Arc<dyn Server>> {
        let known = self.0.state().position(instance);
        let index = known.ok_or_else(|| Error::Config(format!("{instance} does not exist")))?;
        assert_eq!(address, format!("127.0.0.{}", index + 1), "the address is that of the instance");
        Ok(Arc::new(MemoryServer { world: self.0.clone(), index }))
    }
}

/// One server.
#[derive(Debug)]
struct MemoryServer {
    world: World,
    index: usize,
}

impl MemoryServer {
    /// Fails as injected, or because nothing answers; `true` means: do it, then lose the answer.
    fn begin(&self, call: &'static str) -> Result<bool> {
        let slug = self.world.slug(self.index).to_string();
        let fault = self.world.fault(call, &slug);
        let mut state = self.world.state();
        state.end_expired_backups();
        state.stream();
        let answers = state.vm_mut(self.index).is_some_and(|vm| vm.answers);
        if !answers || fault == Some(Fault::LoseRequest) {
            return Err(unreachable(call));
        }
        match fault {
            Some(Fault::LoseAnswer) => Ok(true),
            Some(_) => Err(Error::Database { action: call.into(), detail: "injected".into() }),
            None => Ok(false),
        }
    }

    /// Does something on the server, which has to run.
    fn on<T>(&self, action: &str, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.world.state();
        if state.running_data(self.index).is_none() {
            return Err(Error::Database { action: action.into(), detail: "the server does not run".into() });
        }
        work(&mut state)
    }

    fn write(&self, state: &mut State, action: &str) -> Result<Lsn> {
        if state.running_data(self.index).is_some_and(|data| data.standby) {
            return Err(Error::NotPrimary { action: action.into() });
        }
        let none = || Error::Database { action: action.into(), detail: "the server does not run".into() };
        state.write(self.index, What::Empty).ok_or_else(none)
    }
}

fn unreachable(call: &str) -> Error {
    Error::Unreachable { action: call.into(), address: "memory".into(), source: lost() }
}

fn answer<T>(call: &str, lose: bool, value: T) -> Result<T> {
    if lose { Err(unreachable(call)) } else { Ok(value) }
}

#[async_trait]
impl Server for MemoryServer {
    async fn status(&self) -> Result<ServerStatus> {
        let lose = self.begin("server.status")?;
        let cluster = self.world.cluster().clone();
        let status = self.on("status", |state| {
            let streaming = state.streams(self.index)
                || (state.primary() == Some(self.index)
                    && (0..state.instances.len()).any(|index| state.streams(index)));
            let (now, instance) = (state.now, state.instances[self.index].slug.clone());
            let backup = state.vm_mut(self.index).and_then(|vm| vm.backup.clone());
            let applied = state.content_mut(self.index).and_then(|content| content.applied.last().cloned());
            let gone = || Error::Database { action: "status".into(), detail: "gone".into() };
            let data = state.running_data(self.index).ok_or_else(gone)?;
            Ok(ServerStatus {
                instance,
                cluster,
                role: if data.standby { Role::Standby } else { Role::Primary },
                system_identifier: SYSTEM,
                postgres_version: 150_018,
                segment_size: size(),
                timeline: data.timeline,
                lsn: data.lsn,
                streaming,
                last_archived: None,
                now,
                backup: backup.map(|held| held.begun.backup),
                applied_restore: applied,
                replayed_to: data.replayed_to,
                settings: BTreeMap::new(),
                data_checksums: true,
                collation_versions: BTreeMap::new(),
                data_bytes: 1 << 30,
            })
        })?;
        answer("server.status", lose, status)
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        let lose = self.begin("server.begin_backup")?;
        let begun = self.on("begin backup", |state| {
            if let Some(held) = state.vm_mut(self.index).and_then(|vm| vm.backup.clone()) {
                let same = held.begun.backup == *backup;
                return if same { Ok(held.begun) } else { Err(Error::BackupInProgress(held.begun.backup)) };
            }
            let now = state.now;
            let gone = || Error::Database { action: "begin backup".into(), detail: "gone".into() };
            let data = state.running_data(self.index).ok_or_else(gone)?;
            let (start_lsn, timeline) = (data.lsn, data.timeline);
            if !data.standby {
                state.write(self.index, What::Other);
            }
            let begun =
                BackupBegun { backup: backup.clone(), start_lsn, started_at: now, timeline, lease_seconds };
            let lease = Duration::from_secs(lease_seconds);
            let held = HeldBackup { begun: begun.clone(), lease, until: Instant::now() + lease };
            state.vm_mut(self.index).ok_or_else(gone)?.backup = Some(held);
            state.content_mut(self.index).ok_or_else(gone)?.backup = Some(backup.clone());
            Ok(begun)
        })?;
        answer("server.begin_backup", lose, begun)
    }

    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        let lose = self.begin("server.renew_backup")?;
        self.on("renew backup", |state| {
            let held = state.vm_mut(self.index).and_then(|vm| vm.backup.as_mut());
            let held = held.filter(|held| held.begun.backup == *backup);
            let held = held.ok_or_else(|| Error::NoBackup(backup.clone()))?;
            held.until = Instant::now() + held.lease;
            Ok(())
        })?;
        answer("server.renew_backup", lose, ())
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        let lose = self.begin("server.end_backup")?;
        let ended = self.on("end backup", |state| end_backup(state, self.index, backup))?;
        self.world.archive().await;
        answer("server.end_backup", lose, ended)
    }

    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        let lose = self.begin("server.abort_backup")?;
        let mut state = self.world.state();
        if let Some(vm) = state.vm_mut(self.index)
            && vm.backup.as_ref().is_some_and(|held| held.begun.backup == *backup)
        {
            vm.backup = None;
            if let Some(content) = state.content_mut(self.index) {
                content.backup = None;
            }
        }
        answer("server.abort_backup", lose, ())
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        let lose = self.begin("server.switch_wal")?;
        let switched = self.on("switch WAL", |state| {
            self.write(state, "switch WAL")?;
            let gone = || Error::Database { action: "switch WAL".into(), detail: "gone".into() };
            let data = state.running_data_mut(self.index).ok_or_else(gone)?;
            let last_segment = data.switch();
            let lsn = data.lsn;
            state.stream();
            Ok(WalSwitched { lsn, last_segment })
        })?;
        self.world.archive().await;
        answer("server.switch_wal", lose, switched)
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        let lose = self.begin("server.write_probe")?;
        let lsn = self.on("write", |state| self.write(state, "write"))?;
        answer("server.write_probe", lose, WriteProbe { lsn })
    }

    async fn finish_restore(&self, restore: &RestoreId) -> Result<()> {
        let lose = self.begin("server.finish_restore")?;
        self.on("finish restore", |state| {
            if let Some(content) = state.content_mut(self.index)
                && content.applied.contains(restore)
            {
                content.backup = None;
            }
            Ok(())
        })?;
        answer("server.finish_restore", lose, ())
    }
}

fn end_backup(state: &mut State, index: usize, backup: &BackupId) -> Result<BackupEnded> {
    let gone = || Error::NoBackup(backup.clone());
    let vm = state.vm_mut(index).ok_or_else(gone)?;
    if let Some(ended) = vm.ended.clone().filter(|ended| ended.backup == *backup) {
        return Ok(ended);
    }
    let held = vm.backup.take().filter(|held| held.begun.backup == *backup).ok_or_else(gone)?;
    let now = state.now;
    let standby = state.running_data(index).is_some_and(|data| data.standby);
    if !standby {
        state.write(index, What::Other);
    }
    let data = state.running_data_mut(index).ok_or_else(gone)?;
    let stop_lsn = data.lsn;
    let stop_segment = WalSegment::containing(data.timeline, Lsn(stop_lsn.0.saturating_sub(1)), size());
    if !standby {
        data.switch();
    }
    let ended = BackupEnded {
        backup: backup.clone(),
        start_lsn: held.begun.start_lsn,
        stop_lsn,
        started_at: held.begun.started_at,
        stopped_at: now,
        stop_segment,
        backup_label: format!("START WAL LOCATION: {}\n", held.begun.start_lsn),
        tablespace_map: String::new(),
    };
    state.vm_mut(index).ok_or_else(gone)?.ended = Some(ended.clone());
    state.content_mut(index).ok_or_else(gone)?.backup = None;
    state.stream();
    Ok(ended)
}
