//! Servers that lie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use remount_core::{BackupId, DeploymentName, InstanceSlug, RestoreId};
use remount_postgres::{
    BackupBegun, BackupEnded, CollationRefresh, Error, Forwarded, Promoted, Result, Server, ServerStatus,
    Servers, StreamedWal, VerifiedPosition, WalSwitched, WriteProbe,
};
use remount_sim::contract::server;

use super::assert_caught;
use crate::server::fresh;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Settings are not told.
    HidesSettings,
    /// Whoever answers is who was asked for.
    AnswersForAnybody,
    /// Whatever deployment is asked for, this one's agent answers.
    AnswersForAnyDeployment,
    /// A silent agent is a server that is down.
    CallsSilenceDown,
    /// A server that is down is a silent agent.
    CallsDownSilence,
    /// A probe writes nothing.
    ProbesNothing,
    /// WAL is switched once.
    SwitchesOnce,
    /// What a standby has of the segment that is not full is kept back.
    KeepsTheTail,
    /// A standby's refusal is a passing trouble.
    CallsStandbysDown,
    /// The end of another backup ends the one in progress.
    EndsAnother,
    /// A result is told once.
    TellsResultsOnce,
    /// Every result is remembered.
    RemembersAll,
    /// The stop segment is the one behind it.
    NamesTheNextSegment,
    /// An abort is forgotten.
    AbortsNothing,
    /// What is not in progress is renewed.
    RenewsTheDead,
    /// A renewal is forgotten.
    RenewsNothing,
    /// A lease is made as long as it may be.
    ClampsLeases,
    /// What is not being restored is promoted.
    PromotesAnything,
    /// A restore is finished once.
    FinishesOnce,
}

const LIARS: [(Lie, &str); 20] = [
    (Lie::HidesSettings, "a_primary_says_what_it_is"),
    (Lie::HidesSettings, "a_standby_says_what_it_is"),
    (Lie::AnswersForAnybody, "another_instance_does_not_answer"),
    (Lie::AnswersForAnyDeployment, "another_deployment_does_not_answer"),
    (Lie::CallsSilenceDown, "a_silent_agent_is_unreachable"),
    (Lie::CallsDownSilence, "a_server_that_is_down_is_told_as_such"),
    (Lie::ProbesNothing, "a_write_reaches_the_standby"),
    (Lie::SwitchesOnce, "a_switch_closes_a_segment_that_is_archived"),
    (Lie::CallsStandbysDown, "a_standby_writes_nothing"),
    (Lie::KeepsTheTail, "a_standby_archives_what_it_has_streamed"),
    (Lie::EndsAnother, "one_backup_is_in_progress"),
    (Lie::TellsResultsOnce, "a_backup_ends_once"),
    (Lie::RemembersAll, "only_the_last_result_is_remembered"),
    (Lie::NamesTheNextSegment, "a_primary_archives_the_stop_segment"),
    (Lie::AbortsNothing, "an_aborted_backup_leaves_nothing"),
    (Lie::RenewsTheDead, "a_backup_ends_with_its_agent"),
    (Lie::RenewsNothing, "a_renewed_lease_holds"),
    (Lie::ClampsLeases, "a_lease_has_a_sensible_length"),
    (Lie::PromotesAnything, "what_is_not_restored_is_not_promoted"),
    (Lie::FinishesOnce, "finishing_a_restore_twice_is_done"),
];

#[derive(Debug)]
struct LyingServers {
    inner: Arc<dyn Servers>,
    lie: Lie,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    begun: Mutex<BTreeMap<BackupId, BackupBegun>>,
    ended: Mutex<BTreeMap<BackupId, BackupEnded>>,
    switched: Mutex<Option<WalSwitched>>,
    finished: Mutex<Option<RestoreId>>,
}

impl Servers for LyingServers {
    fn server(
        &self,
        deployment: &DeploymentName,
        instance: &InstanceSlug,
        address: &str,
    ) -> Result<Arc<dyn Server>> {
        let inner = match self.lie {
            Lie::AnswersForAnyDeployment => {
                self.inner.server(&"pg-0001".parse().unwrap(), instance, address)?
            }
            _ => self.inner.server(deployment, instance, address)?,
        };
        // Who sits at an address is found out by asking for each.
        let (deployment, instance) = (deployment.clone(), instance.clone());
        let servers = self.inner.clone();
        let address = address.to_owned();
        Ok(Arc::new(Liar {
            inner,
            servers,
            deployment,
            instance,
            address,
            lie: self.lie,
            memory: self.memory.clone(),
        }))
    }
}

#[derive(Debug)]
struct Liar {
    inner: Arc<dyn Server>,
    servers: Arc<dyn Servers>,
    deployment: DeploymentName,
    instance: InstanceSlug,
    address: String,
    lie: Lie,
    memory: Arc<Memory>,
}

impl Liar {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    /// Calls one trouble by another's name.
    fn told<T>(&self, answer: Result<T>) -> Result<T> {
        answer.map_err(|error| match error {
            Error::Unreachable { action, address, .. } if self.tells(Lie::CallsSilenceDown) => {
                Error::Database { action, detail: format!("{address} is down") }
            }
            Error::Database { action, detail } if self.tells(Lie::CallsDownSilence) => {
                Error::Unreachable { action, address: self.address.clone(), source: detail.into() }
            }
            Error::NotPrimary { action } if self.tells(Lie::CallsStandbysDown) => {
                Error::Database { action, detail: "it is read-only".into() }
            }
            error => error,
        })
    }

    /// The status of whoever is at the address.
    async fn anybody(&self) -> Result<ServerStatus> {
        for digit in ['0', '1'] {
            let id = format!("0000000{digit}-0000-4000-8000-000000000000").parse().unwrap();
            let other = InstanceSlug { group: self.instance.group.clone(), id };
            if let Ok(status) = self.servers.server(&self.deployment, &other, &self.address)?.status().await {
                return Ok(ServerStatus { instance: self.instance.clone(), ..status });
            }
        }
        self.inner.status().await
    }
}

#[async_trait]
impl Server for Liar {
    async fn status(&self) -> Result<ServerStatus> {
        let status = match self.lie {
            Lie::AnswersForAnybody => self.anybody().await,
            _ => self.inner.status().await,
        };
        let mut status = self.told(status)?;
        if self.tells(Lie::HidesSettings) {
            status.settings.clear();
        }
        Ok(status)
    }

    async fn begin_backup(&self, backup: &BackupId, lease_seconds: u64) -> Result<BackupBegun> {
        let known = self.memory.begun.lock().unwrap().get(backup).cloned();
        if let Some(begun) = known.filter(|_| self.tells(Lie::RenewsNothing)) {
            return Ok(begun);
        }
        let lease_seconds =
            if self.tells(Lie::ClampsLeases) { lease_seconds.clamp(1, 86_400) } else { lease_seconds };
        let begun = self.told(self.inner.begin_backup(backup, lease_seconds).await)?;
        self.memory.begun.lock().unwrap().insert(backup.clone(), begun.clone());
        Ok(begun)
    }

    async fn renew_backup(&self, backup: &BackupId) -> Result<()> {
        match self.lie {
            Lie::RenewsNothing => Ok(()),
            Lie::RenewsTheDead => self.inner.renew_backup(backup).await.or(Ok(())),
            _ => self.told(self.inner.renew_backup(backup).await),
        }
    }

    async fn end_backup(&self, backup: &BackupId) -> Result<BackupEnded> {
        let known = self.memory.ended.lock().unwrap().get(backup).cloned();
        match (self.lie, known) {
            (Lie::RemembersAll, Some(ended)) => return Ok(ended),
            (Lie::TellsResultsOnce, Some(_)) => return Err(Error::NoBackup(backup.clone())),
            _ => {}
        }
        let ended = self.inner.end_backup(backup).await;
        if self.tells(Lie::EndsAnother)
            && ended.is_err()
            && let Some(other) = self.inner.status().await.ok().and_then(|status| status.backup)
        {
            self.inner.abort_backup(&other).await?;
        }
        let mut ended = self.told(ended)?;
        self.memory.ended.lock().unwrap().insert(backup.clone(), ended.clone());
        if self.tells(Lie::NamesTheNextSegment) {
            ended.stop_segment = ended.stop_segment.next(remount_core::SegmentSize::new(1 << 20).unwrap());
        }
        Ok(ended)
    }

    async fn abort_backup(&self, backup: &BackupId) -> Result<()> {
        if self.tells(Lie::AbortsNothing) { Ok(()) } else { self.told(self.inner.abort_backup(backup).await) }
    }

    async fn switch_wal(&self) -> Result<WalSwitched> {
        let known = self.memory.switched.lock().unwrap().clone();
        if let Some(switched) = known.filter(|_| self.tells(Lie::SwitchesOnce)) {
            return Ok(switched);
        }
        let switched = self.told(self.inner.switch_wal().await)?;
        *self.memory.switched.lock().unwrap() = Some(switched.clone());
        Ok(switched)
    }

    async fn archive_streamed(&self) -> Result<StreamedWal> {
        let streamed = self.told(self.inner.archive_streamed().await)?;
        let tail = streamed.tail.clone().filter(|_| !self.tells(Lie::KeepsTheTail));
        Ok(StreamedWal { tail, ..streamed })
    }

    async fn write_probe(&self) -> Result<WriteProbe> {
        if self.tells(Lie::ProbesNothing) {
            return Ok(WriteProbe { lsn: self.inner.status().await?.lsn });
        }
        self.told(self.inner.write_probe().await)
    }

    async fn promote(&self, restore: &RestoreId, verified: &VerifiedPosition) -> Result<Promoted> {
        match self.told(self.inner.promote(restore, verified).await) {
            Err(Error::NoRestore(_)) if self.tells(Lie::PromotesAnything) => {
                let timeline = self.inner.status().await?.timeline;
                Ok(Promoted { timeline, replayed_to: None })
            }
            answer => answer,
        }
    }

    async fn forward_restore(&self, restore: &RestoreId) -> Result<Forwarded> {
        self.told(self.inner.forward_restore(restore).await)
    }

    async fn refresh_collations(&self, restore: &RestoreId) -> Result<CollationRefresh> {
        self.told(self.inner.refresh_collations(restore).await)
    }

    async fn finish_restore(&self, restore: &RestoreId) -> Result<()> {
        let known = self.memory.finished.lock().unwrap().replace(restore.clone());
        if self.tells(Lie::FinishesOnce) && known.as_ref() == Some(restore) {
            return Err(Error::Database {
                action: "finish".into(),
                detail: "nothing is left to remove".into(),
            });
        }
        self.told(self.inner.finish_restore(restore).await)
    }
}

#[tokio::test]
async fn every_check_catches_a_liar() {
    assert_caught(&LIARS, async |lie| {
        server::run(&format!("{lie:?}"), async || {
            let (inner, fixture) = fresh().await;
            let liar: Arc<dyn Servers> = Arc::new(LyingServers { inner, lie, memory: Arc::default() });
            (liar, fixture)
        })
        .await
    })
    .await;
}
