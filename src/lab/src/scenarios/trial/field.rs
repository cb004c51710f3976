//! A landscape under trial, and what the trial knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::act::Act;
use super::book::{Book, Line};
use super::dice::Dice;
use super::model::Expected;
use super::observe::{self, Found};
use super::report::{TrialEvent, TrialReport, line};
use super::scribe::{Scribe, TABLES};
use super::target::Point;
use super::{Trial, disk_shapes};
use crate::scenarios::cluster::{Cluster, DEPLOYMENT};
use crate::scenarios::landscape::{Landscape, Ran};
use crate::scenarios::ledger::Endpoint;
use crate::scenarios::output::progress;

/// After an act and its mending the cluster serves within this time.
const SERVES_LIMIT: Duration = Duration::from_secs(120);
/// The second database.
const SECOND: &str = "trial";
/// Makes it, as the superuser on the primary's VM.
const MAKE_SECOND: &str = "runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -v ON_ERROR_STOP=1 \
    -Atc 'CREATE DATABASE trial OWNER app'";

/// The landscape, the ledger, and what was seen.
pub struct Field {
    pub cluster: Cluster,
    pub primary: [Endpoint; 2],
    pub standby: [Endpoint; 2],
    pub book: Arc<Book>,
    pub scribe: Scribe,
    pub dice: Dice,
    /// Instants to come back to.
    pub points: Vec<Point>,
    /// Prepared transactions that are open.
    pub prepared: BTreeSet<String>,
    /// The timeline that the cluster is on.
    pub timeline: u32,
    /// The last restore that ended well: its id, the timeline it left, and what was prepared there.
    pub last_restore: Option<(String, u32, BTreeSet<String>)>,
    pub restored: usize,
    pub as_before: usize,
    shapes: BTreeMap<u32, Value>,
    events: Vec<TrialEvent>,
    began: Instant,
}

impl Field {
    pub async fn open(trial: &Trial) -> Result<Self> {
        let lab = Landscape::up(&trial.program, &trial.dir, &["--deployments", "1"]).await?;
        let cluster = Cluster::open(lab).await?;
        let made = cluster.lab.shell(&format!("{DEPLOYMENT}/postgres/0"), MAKE_SECOND).await?;
        made.success().context("make the second database")?;
        let both = |endpoint: &Endpoint| {
            [endpoint.clone(), Endpoint { database: SECOND.into(), ..endpoint.clone() }]
        };
        let (primary, standby) = (both(&cluster.primary), both(&cluster.standby));
        for database in &primary {
            database.connect().await?.batch_execute(TABLES).await.context("make the trial's tables")?;
        }
        let book = Arc::new(Book::create(&trial.dir.join("trial-ledger.jsonl"))?);
        let found = observe::primary(&primary).await?;
        book.model(|model| model.begin(found.timeline, found.ids));
        let scribe = Scribe::start(Arc::clone(&book), primary.clone());
        let shapes = disk_shapes::read(&cluster).await?;
        Ok(Self {
            cluster,
            primary,
            standby,
            book,
            scribe,
            dice: Dice::new(trial.seed),
            points: Vec::new(),
            prepared: BTreeSet::new(),
            timeline: found.timeline,
            last_restore: None,
            restored: 0,
            as_before: 0,
            shapes,
            events: Vec::new(),
            began: Instant::now(),
        })
    }

    pub async fn close(self) -> Landscape {
        self.scribe.stop().await;
        self.cluster.lab
    }

    pub fn is_violated(&self) -> bool {
        self.events.iter().any(|event| !event.violations.is_empty())
    }

    pub fn report(&self, seed: u64, lasted: Duration) -> TrialReport {
        TrialReport {
            seed,
            seconds: lasted.as_secs_f64(),
            acknowledged: self.book.model(|model| model.count()),
            restored: self.restored,
            as_before: self.as_before,
            events: self.events.clone(),
        }
    }

    /// Does something, and tells it.
    pub async fn act(&mut self, act: Act) -> Result<()> {
        let n = self.events.len() + 1;
        self.book.write(&Line::Act { n, what: &format!("{act:?}") })?;
        let mut event = TrialEvent {
            n,
            at_seconds: self.began.elapsed().as_secs_f64(),
            what: String::new(),
            commands: Vec::new(),
            outcome: String::new(),
            violations: Vec::new(),
        };
        let done = act.run(self, &mut event).await;
        if let Err(error) = &done {
            event.outcome = format!("the trial cannot go on: {error:#}");
        }
        progress(&line(&event));
        self.events.push(event);
        done
    }

    /// A `remount-lab` command that is part of an act.
    pub async fn lab(&self, event: &mut TrialEvent, arguments: &[&str]) -> Result<Ran> {
        event.commands.push(typed(arguments));
        self.cluster.lab.lab(arguments).await
    }

    /// A `remount` command on the control VM.
    pub async fn remount(&self, event: &mut TrialEvent, arguments: &[&str]) -> Result<Ran> {
        let all: Vec<&str> = ["remount", "--"].iter().chain(arguments).copied().collect();
        self.lab(event, &all).await
    }

    /// The newest restore that has a journal.
    pub async fn newest_restore(&self) -> Result<Option<String>> {
        let ran = self.cluster.lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?;
        if ran.code != 0 {
            return Ok(None);
        }
        let journal: Value = serde_json::from_str(&ran.stdout).context("read the journal")?;
        Ok(journal["restore"].as_str().map(str::to_owned))
    }

    /// Compares the cluster with what the ledger says, on both servers, while nothing is written. `prepared` are the
    /// prepared transactions that must be open.
    pub async fn look(&mut self, event: &mut TrialEvent, expected: Looked<'_>) -> Result<Option<Found>> {
        if let Err(error) = self.serves().await {
            event.violations.push(format!("the cluster does not serve: {error:#}"));
            return Ok(None);
        }
        let paused = self.scribe.pause().await?;
        let found = observe::primary(&self.primary).await.context("look at the primary")?;
        let must: Expected = self.book.model(|model| (expected.content)(model, found.timeline));
        let mut wrong = must.judge(&found.ids);
        wrong.extend(found.wrong.iter().cloned());
        let prepared = observe::prepared(&self.primary[0]).await?;
        if prepared != *expected.prepared {
            wrong.push(format!("prepared transactions: {prepared:?}, expected {:?}", expected.prepared));
        }
        wrong.extend(observe::standby(&self.standby, &found.ids).await);
        if disk_shapes::read(&self.cluster).await? != self.shapes {
            wrong.push(format!("the disks are not what they were: {:?}", self.shapes));
        }
        drop(paused);
        event.violations.extend(wrong);
        self.timeline = found.timeline;
        self.prepared = prepared;
        Ok(Some(found))
    }

    async fn serves(&self) -> Result<()> {
        let deadline = Instant::now() + SERVES_LIMIT;
        loop {
            let asked = timeout(Duration::from_secs(5), is_writable(&self.primary[0])).await;
            if matches!(asked, Ok(Ok(true))) {
                return self.scribe.writes_again(SERVES_LIMIT).await;
            }
            ensure!(Instant::now() < deadline, "the primary takes no writes after {SERVES_LIMIT:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// What is expected of a look.
pub struct Looked<'a> {
    /// By the timeline that the primary is found on.
    pub content: &'a (dyn Fn(&mut super::model::Model, u32) -> Expected + Sync),
    /// Open prepared transactions.
    pub prepared: &'a BTreeSet<String>,
}

async fn is_writable(endpoint: &Endpoint) -> Result<bool> {
    let client = endpoint.connect().await?;
    let row = client.query_one("SELECT NOT pg_is_in_recovery()", &[]).await?;
    Ok(row.get(0))
}

/// As somebody would type it.
pub fn typed(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|word| {
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=,@".contains(&b));
        if plain { (*word).to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    format!("remount-lab {}", quoted.collect::<Vec<_>>().join(" "))
}
