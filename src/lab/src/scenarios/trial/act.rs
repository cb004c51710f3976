//! What a trial does: each act with what must be true after it.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use super::book::Line;
use super::field::{Field, Looked};
use super::model::Id;
use super::report::TrialEvent;
use super::restoring;
use super::target::{Named, Point, Wanted};
use super::trial_fault::{KILL_POSTMASTER, TrialFault};
use crate::scenarios::cluster::DEPLOYMENT;
use crate::scenarios::ledger;

/// So that every commit before an instant lies before it by any clock, and every later one behind it.
const INSTANT_MARGIN: Duration = Duration::from_millis(250);

/// An act.
#[derive(Clone, Debug)]
pub enum Act {
    /// A backup; `quiet`: while nothing is written, so that it is a target itself.
    Backup { quiet: bool },
    /// An instant is noted.
    Point,
    /// A transaction is prepared and stays open, or those that are open are committed.
    Prepare,
    /// A restore, and what goes wrong meanwhile.
    Restore(Box<Wanted>, TrialFault),
    /// The last restore is rolled back.
    RollBack,
    /// A server's postmaster is killed.
    KillServer(u64),
    /// A VM is gone; the Director makes another one.
    KillVm(u64),
    /// Everything is compared, and nothing may be left over.
    LastLook,
}

impl Field {
    /// The next act.
    pub fn choose(&mut self) -> Act {
        match self.dice.below(20) {
            0 => Act::Backup { quiet: false },
            1 => Act::Backup { quiet: true },
            2..=4 => Act::Point,
            5 | 6 => Act::Prepare,
            7 if self.last_restore.is_some() => Act::RollBack,
            8 => Act::KillServer(self.dice.below(2)),
            9 => Act::KillVm(self.dice.below(2)),
            10..=14 => Act::Restore(Box::new(self.wanted()), TrialFault::None),
            _ => {
                let wanted = Box::new(self.wanted());
                Act::Restore(wanted, TrialFault::thrown(&mut self.dice, DEPLOYMENT))
            }
        }
    }

    fn wanted(&mut self) -> Wanted {
        if self.dice.percent(25) {
            return Wanted::latest();
        }
        match self.dice.choose(&self.points).cloned() {
            Some(point) => Wanted::to(&point, &mut self.dice),
            None => Wanted::latest(),
        }
    }

    /// Everything that was acknowledged is there.
    pub async fn all_is_there(&mut self, event: &mut TrialEvent) -> Result<()> {
        let (timeline, prepared) = (self.timeline, self.prepared.clone());
        let content = |model: &mut super::model::Model, _: u32| model.on(timeline);
        let found = self.look(event, Looked { content: &content, prepared: &prepared }).await?;
        if let Some(found) = found.filter(|found| found.timeline != timeline) {
            event.violations.push(format!("it is on timeline {}, not on {timeline}", found.timeline));
        }
        Ok(())
    }
}

impl Act {
    /// Does it.
    ///
    /// # Errors
    /// The trial itself cannot go on; what Remount did wrong is in the event.
    pub async fn run(self, field: &mut Field, event: &mut TrialEvent) -> Result<()> {
        match self {
            Self::Backup { quiet } => backup(field, event, quiet).await,
            Self::Point => point(field, event).await,
            Self::Prepare => prepare(field, event).await,
            Self::Restore(wanted, fault) => restoring::restore(field, event, &wanted, &fault).await,
            Self::RollBack => restoring::roll_back(field, event).await,
            Self::KillServer(index) => kill_server(field, event, index).await,
            Self::KillVm(index) => kill_vm(field, event, index).await,
            Self::LastLook => last_look(field, event).await,
        }
    }
}

async fn backup(field: &mut Field, event: &mut TrialEvent, quiet: bool) -> Result<()> {
    event.what = if quiet { "a backup while nothing is written" } else { "a backup" }.into();
    if quiet {
        field.all_is_there(event).await?;
    }
    let (content, ran) = {
        let paused = if quiet { Some(field.scribe.pause().await?) } else { None };
        let content = super::observe::primary(&field.primary).await?.ids;
        let ran = field.lab(event, &["run-errand", "backup"]).await?;
        drop(paused);
        (content, ran)
    };
    event.outcome = format!("exit {}", ran.code);
    if ran.code != 0 {
        event.violations.push(format!("the backup failed: {}", ran.text()));
        return Ok(());
    }
    if quiet {
        let id = newest_backup(field).await?;
        let (timeline, prepared) = (field.timeline, field.prepared.clone());
        field.points.push(Point { timeline, content, prepared, named: Named::Backup(id) });
    }
    field.all_is_there(event).await
}

async fn newest_backup(field: &Field) -> Result<String> {
    let ran = field.cluster.lab.remount(&["list", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    let list: serde_json::Value = serde_json::from_str(&ran.stdout).context("read the backups")?;
    let list = list.as_array().or_else(|| list["backups"].as_array()).context("the list is no list")?;
    let ids = list.iter().filter_map(|backup| backup["id"].as_str());
    ids.max().map(str::to_owned).context("the list is empty")
}

/// Between two margins in which nothing is written, all names of one instant.
async fn point(field: &mut Field, event: &mut TrialEvent) -> Result<()> {
    field.all_is_there(event).await?;
    let name = format!("trial-{}", event.n);
    let paused = field.scribe.pause().await?;
    let content = super::observe::primary(&field.primary).await?.ids;
    let client = field.primary[0].connect().await?;
    sleep(INSTANT_MARGIN).await;
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
    let lsn: String = row.get(0);
    let time = ledger::server_now(&client).await?.to_string();
    let make = format!(
        "runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -Atc \
         \"SELECT pg_create_restore_point('{name}')\""
    );
    let made = field.cluster.lab.shell(&format!("{DEPLOYMENT}/postgres/0"), &make).await?;
    made.success().context("make a restore point")?;
    sleep(INSTANT_MARGIN).await;
    let last = last_in(&client, field.book.model(|model| model.last())).await?;
    // Something that begins with another record than a commit lies behind the instant.
    client.execute("INSERT INTO pulse VALUES (clock_timestamp())", &[]).await?;
    drop(paused);
    event.what = format!("instant {name}: {time}, {lsn}, timeline {}", field.timeline);
    event.outcome = format!("{} transactions", content.len());
    let (timeline, prepared) = (field.timeline, field.prepared.clone());
    let named = Named::Instant { time, lsn, last, name };
    field.points.push(Point { timeline, content, prepared, named });
    Ok(())
}

/// The last transaction of all with its xid, where it is one of the first database.
async fn last_in(client: &tokio_postgres::Client, last: Option<Id>) -> Result<Option<(Id, String)>> {
    let Some(id) = last else { return Ok(None) };
    let row = client.query_opt("SELECT xmin::text FROM trial WHERE id = $1", &[&i64::try_from(id)?]).await?;
    Ok(row.map(|row| (id, row.get(0))))
}

async fn prepare(field: &mut Field, event: &mut TrialEvent) -> Result<()> {
    let paused = field.scribe.pause().await?;
    let client = field.primary[0].connect().await?;
    if field.prepared.is_empty() {
        let id = field.book.next();
        let sql = format!("BEGIN; INSERT INTO trial VALUES ({id}); PREPARE TRANSACTION 'trial-{id}'");
        client.batch_execute(&sql).await.context("prepare a transaction")?;
        field.prepared.insert(format!("trial-{id}"));
        event.what = format!("transaction {id} is prepared");
    } else {
        event.what = format!("commit of prepared {:?}", field.prepared);
        for gid in std::mem::take(&mut field.prepared) {
            let id: u64 =
                gid.trim_start_matches("trial-").parse().context("a prepared transaction's name")?;
            client.batch_execute(&format!("COMMIT PREPARED '{gid}'")).await.context("commit it")?;
            let timeline = field.timeline;
            field.book.write(&Line::Acknowledged { id, timeline, lsn: "", xid: "", at: "" })?;
        }
    }
    drop(paused);
    field.all_is_there(event).await
}

async fn kill_server(field: &mut Field, event: &mut TrialEvent, index: u64) -> Result<()> {
    event.what = format!("the postmaster of server {index} is killed");
    let instance = format!("{DEPLOYMENT}/postgres/{index}");
    let killed = field.lab(event, &["exec", &instance, "--", "/bin/bash", "-c", KILL_POSTMASTER]).await?;
    event.outcome = format!("exit {}", killed.code);
    field.all_is_there(event).await
}

async fn kill_vm(field: &mut Field, event: &mut TrialEvent, index: u64) -> Result<()> {
    event.what = format!("the VM of server {index} is gone, and made anew");
    let instance = format!("{DEPLOYMENT}/postgres/{index}");
    field.lab(event, &["break", "vm", &instance]).await?.success()?;
    let made = field.lab(event, &["resurrect", &instance]).await?;
    event.outcome = format!("exit {}", made.code);
    field.all_is_there(event).await
}

async fn last_look(field: &mut Field, event: &mut TrialEvent) -> Result<()> {
    event.what = "last look".into();
    field.all_is_there(event).await?;
    let wrong = [field.cluster.lease_is_free().err(), field.cluster.nothing_leaks().await.err()];
    event.violations.extend(wrong.into_iter().flatten().map(|error| format!("{error:#}")));
    event.outcome = "everything was compared".into();
    Ok(())
}
