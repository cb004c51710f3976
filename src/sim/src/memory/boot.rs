//! Starting and stopping a server: the agent's fence, recovery, promotion.

use bytes::Bytes;
use remount_core::documents::RestorePlan;
use remount_core::{Fork, Lsn, RecoveryTarget, RestoreTarget, Role, TimelineHistory, TimelineId, WalSegment};
use remount_store::{ArchiveFile, Codec, PushOptions};

use super::MemoryLandscape;
use super::postgres::{Data, Record, Recovering, SYSTEM, What, size};
use super::unarchived::Archiving;

/// Where replay ended.
struct Replayed {
    records: Vec<Record>,
    lsn: Lsn,
}

impl MemoryLandscape {
    /// Starts the server of an instance that has a VM: what pre-start, PostgreSQL and post-start do.
    pub(crate) async fn boot(&self, index: usize) -> Result<(), String> {
        let (mark, applied, data) = {
            let mut state = self.state();
            if state.vm_mut(index).is_none_or(|vm| !vm.answers) {
                return Err("the agent does not answer".into());
            }
            if state.running_data(index).is_some() {
                return Ok(());
            }
            let content =
                state.content_mut(index).ok_or("pre-start: /var/vcap/store is not a mount point")?;
            let data = content.data.clone().ok_or("pre-start: no data on the disk")?;
            (content.backup.clone(), content.applied.clone(), data)
        };
        // What the agent does: the note of the last stop is not true any more.
        let id = self.slug(index).id;
        let archiving = self.state().instances[index].archiving;
        if archiving != Archiving::NoStore {
            self.cluster_store().forget_stop_note(&id).await.unwrap_or_default();
        }
        if let Some(mark) = mark {
            let plan =
                self.cluster_store().published().await.map_err(|error| format!("pre-start: {error}"))?;
            match plan {
                Some(plan) if plan.path.backup != mark => {
                    return Err(format!(
                        "pre-start: backup {mark} is on the disk, the plan wants {}",
                        plan.path.backup
                    ));
                }
                Some(plan) if !applied.contains(&plan.id) => self.apply(index, &plan, data).await?,
                // Applied before, or the VM crashed during a backup.
                Some(_) | None => {}
            }
        }
        self.go_forward(index).await?;
        let promotes_itself = {
            let mut state = self.state();
            state.vm_mut(index).ok_or("the VM is gone")?.running = true;
            let promotes_itself = state.promotes_itself;
            let content = state.content_mut(index).ok_or("the disk is gone")?;
            let recovers = content.data.as_ref().is_some_and(|data| data.recovering.is_some());
            if !recovers {
                content.backup = None; // What post-start does: the disk is no copy any more.
            }
            state.stream();
            promotes_itself && recovers
        };
        if promotes_itself {
            self.end_recovery(index).await?;
        }
        Ok(())
    }

    /// Replays to the later target that a recovery was told of before this start.
    async fn go_forward(&self, index: usize) -> Result<(), String> {
        let data = self.state().content_mut(index).and_then(|content| content.data.clone());
        let Some(data) = data else { return Ok(()) };
        let Some(recovering) = data.recovering.clone().filter(|recovering| recovering.needs_restart) else {
            return Ok(());
        };
        let moved = self.recover_primary(&recovering.plan, data).await?;
        let mut state = self.state();
        state.content_mut(index).ok_or("the disk is gone")?.data = Some(moved);
        Ok(())
    }

    /// A restored primary leaves recovery, on a timeline of its own.
    pub(crate) async fn end_recovery(&self, index: usize) -> Result<(), String> {
        let data = self.state().running_data(index).cloned().ok_or("the server does not run")?;
        let Some(recovering) = &data.recovering else { return Ok(()) };
        let before = &recovering.plan.path.history;
        let timeline = self.free_timeline(before.timeline).await?;
        let mut forks = before.forks.clone();
        forks.push(Fork { parent: before.timeline, lsn: data.lsn, reason: "restored".into() });
        self.push_history(&TimelineHistory { timeline, forks }).await?;
        let mut state = self.state();
        let data = state.running_data_mut(index).ok_or("the server does not run")?;
        (data.timeline, data.standby, data.recovering) = (timeline, false, None);
        data.archived = WalSegment::containing(timeline, data.lsn, size()).start(size());
        data.replayed_to = Some(data.lsn);
        Ok(())
    }

    /// Applies a plan to the disk, for the instance's role.
    async fn apply(&self, index: usize, plan: &RestorePlan, data: Data) -> Result<(), String> {
        let slug = self.slug(index);
        let planned = plan.instances.iter().find(|planned| planned.instance == slug);
        let role = planned.ok_or("pre-start: the plan does not name this instance")?.role;
        let restored = match role {
            Role::Primary => self.recover_primary(plan, data).await?,
            Role::Standby => self.recover_standby(plan, data).await?,
        };
        let mut state = self.state();
        let content = state.content_mut(index).ok_or("the disk is gone")?;
        content.data = Some(restored);
        content.applied.push(plan.id.clone());
        Ok(())
    }

    async fn recover_primary(&self, plan: &RestorePlan, data: Data) -> Result<Data, String> {
        let history = plan.path.history.clone();
        let replayed = self.replay(plan, &data, &history, &plan.target).await?;
        Ok(Data {
            timeline: history.timeline,
            records: replayed.records,
            lsn: replayed.lsn,
            archived: replayed.lsn,
            last_archived: None,
            standby: true,
            recovering: Some(Recovering { plan: plan.clone(), needs_restart: false }),
            replayed_to: None,
        })
    }

    async fn recover_standby(&self, plan: &RestorePlan, data: Data) -> Result<Data, String> {
        let fork = self.cluster_store().fork(&plan.id).await.map_err(|error| error.to_string())?;
        let fork = fork.ok_or("pre-start: the fork is not archived yet")?;
        let wal = self.cluster_store().wal(SYSTEM);
        let history = wal.history(fork.timeline).await.map_err(|error| error.to_string())?;
        let history = history.ok_or("the history of the new timeline is not archived")?;
        let latest = RestoreTarget::of(RecoveryTarget::Latest);
        let replayed = self.replay(plan, &data, &history, &latest).await?;
        Ok(Data {
            timeline: fork.timeline,
            records: replayed.records,
            lsn: replayed.lsn,
            archived: replayed.lsn,
            last_archived: None,
            standby: true,
            recovering: None,
            replayed_to: None,
        })
    }

    /// Replays from the backup's start along a line of timelines to a target.
    async fn replay(
        &self,
        plan: &RestorePlan,
        data: &Data,
        history: &TimelineHistory,
        target: &RestoreTarget,
    ) -> Result<Replayed, String> {
        let start = plan.path.start_lsn;
        let mut records: Vec<Record> =
            data.records.iter().filter(|record| record.lsn < start).cloned().collect();
        let mut lsn = start;
        let mut number = start.0 / u64::from(size().bytes());
        loop {
            let segment = history.expected(number, size());
            let (content, is_tail) = match self.fetch(segment).await? {
                Some(content) => (content, false),
                None => match self.tail_of(plan, segment).await? {
                    Some(content) => (content, true),
                    None => break,
                },
            };
            for record in content.into_iter().filter(|record| record.lsn >= start) {
                let stop = stops(target, &record, plan.path.consistent_lsn);
                if stop != Stop::Before {
                    lsn = record.end();
                    records.push(record);
                }
                if stop != Stop::No {
                    return finish(Replayed { records, lsn }, plan);
                }
            }
            if is_tail {
                break; // It ends with its last record.
            }
            lsn = segment.end(size());
            number += 1;
        }
        match target.target {
            RecoveryTarget::Latest => finish(Replayed { records, lsn }, plan),
            // The stop position of an immediate target can be the very end of its segment.
            RecoveryTarget::Backup(_) if lsn >= plan.path.consistent_lsn => {
                finish(Replayed { records, lsn }, plan)
            }
            _ => Err("FATAL: recovery ended before configured recovery target was reached".into()),
        }
    }

    /// What the plan's tail has, where it is of this segment.
    async fn tail_of(&self, plan: &RestorePlan, segment: WalSegment) -> Result<Option<Vec<Record>>, String> {
        let record = self.cluster_store().tail(&plan.id).await.map_err(|error| error.to_string())?;
        match record.filter(|record| record.tail.segment == segment) {
            Some(record) => self.fetch_tail(&record.tail).await,
            None => Ok(None),
        }
    }

    async fn free_timeline(&self, after: TimelineId) -> Result<TimelineId, String> {
        let wal = self.cluster_store().wal(SYSTEM);
        let mut next = after.next().ok_or("no timeline is left")?;
        while wal.history(next).await.map_err(|error| error.to_string())?.is_some() {
            next = next.next().ok_or("no timeline is left")?;
        }
        Ok(next)
    }

    async fn push_history(&self, history: &TimelineHistory) -> Result<(), String> {
        let line = |fork: &Fork| format!("{}\t{}\t{}\n", fork.parent, fork.lsn, fork.reason);
        let text: String = history.forks.iter().map(line).collect();
        let options = PushOptions { codec: Codec::Raw, segment_size: size() };
        let file = ArchiveFile::History(history.timeline);
        let wal = self.cluster_store().wal(SYSTEM);
        wal.push(&file, Bytes::from(text), options).await.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A fast stop: the last segment is closed and archived. It ends backup mode.
    pub(crate) async fn shut_down(&self, index: usize) {
        let primary = self.state().primary() == Some(index);
        if primary {
            if let Some(data) = self.state().running_data_mut(index) {
                data.switch();
            }
            self.archive_of(index).await;
            self.state().stream();
        }
        let mut state = self.state();
        state.void_backup(index);
        if let Some(vm) = state.vm_mut(index) {
            vm.running = false;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Before,
    After,
}

/// Whether replay stops at a record.
fn stops(target: &RestoreTarget, record: &Record, consistent: Lsn) -> Stop {
    let reached = if target.exclusive { Stop::Before } else { Stop::After };
    let commit = record.what != What::Other;
    match &target.target {
        RecoveryTarget::Time(time) if commit && record.at > *time => Stop::Before,
        RecoveryTarget::Lsn(lsn) if record.lsn >= *lsn => reached,
        RecoveryTarget::Xid(xid) if record.what == What::Row(*xid) => reached,
        RecoveryTarget::Backup(_) if record.lsn >= consistent => Stop::Before,
        _ => Stop::No,
    }
}

fn finish(replayed: Replayed, plan: &RestorePlan) -> Result<Replayed, String> {
    if replayed.lsn < plan.path.consistent_lsn {
        return Err("FATAL: requested recovery stop point is before consistent recovery point".into());
    }
    Ok(replayed)
}
