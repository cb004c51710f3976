//! The main job, on a real landscape: a database under load is backed up, destroyed, and
//! restored to the instant before, by swapped disks; then once more the old way, for comparison.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use super::copy_back::{CopyBack, await_writable};
use super::fail_at::{FailureReport, fail_at};
use super::fill::{fill, fill_wal};
use super::landscape::Landscape;
use super::ledger::{self, Content, Endpoint, Writer};
use super::output::progress;
use super::pgbench::Pgbench;
use super::report::{CopyReport, DemoReport, LedgerReport, StepTime, SwapReport};
use remount_flow::RestoreStep;

/// The deployment of the demo.
const DEPLOYMENT: &str = "pg-0001";
/// Rows per second that the ledger's writer tries.
const ROWS_PER_SECOND: u32 = 100;
/// WAL from the backup's start to the instant, at least: the same at every size of database, since its replay is
/// what a restore's time depends on.
const WAL_BYTES: i64 = 64 << 20;
/// How long the standby may take to show what the primary has.
const REPLICATION_LIMIT: Duration = Duration::from_secs(60);

/// GiB on disk per GiB of data: primary, standby, copy, and what the files' blocks leave unused.
const ROOM_FACTOR: u64 = 4;
/// GiB on disk beside the data: WAL, logs.
const ROOM_BASE_GIB: u64 = 4;

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Demo {
    /// This program.
    pub program: PathBuf,
    /// The landscape's folder.
    pub dir: PathBuf,
    /// Size of the database, in GiB.
    pub data_gib: u32,
    /// How many times to restore; the one with the median downtime is reported.
    pub restores: NonZeroU8,
    /// Leave the landscape up at the end.
    pub keep: bool,
    /// Compiled packages to run on, instead of this build's programs and Debian's PostgreSQL.
    pub packages: Option<PathBuf>,
}

impl Demo {
    /// Tells it up to the disaster, and lets a step of the restore fail for good.
    ///
    /// # Errors
    /// The first thing that was not as it must be.
    pub async fn run_failing(&self, step: RestoreStep) -> Result<FailureReport> {
        self.check_room()?;
        let lab = self.up().await?;
        let told = match fill_and_settle(&lab, self.data_gib).await {
            Ok(()) => fail_at(Landscape::at(&self.program, &self.dir), step).await,
            Err(error) => Err(error),
        };
        self.end(lab).await?;
        told
    }

    /// Runs the demo. The landscape goes down at its end, a failed one too, unless it is to be kept.
    ///
    /// # Errors
    /// The first thing that was not as it must be.
    pub async fn run(&self) -> Result<DemoReport> {
        self.check_room()?;
        let lab = self.up().await?;
        let told = self.report(&lab).await;
        self.end(lab).await?;
        told
    }

    async fn up(&self) -> Result<Landscape> {
        progress("bringing up a landscape: Director, disks, VMs, a primary with its standby");
        let disk_gib = (self.data_gib * 2 + 4).to_string();
        let mut arguments = vec!["--deployments", "1", "--disk-gib", &disk_gib];
        let packages = self.packages.as_ref().map(|folder| folder.display().to_string());
        if let Some(folder) = &packages {
            progress(&format!("on the compiled packages of {folder}"));
            arguments.extend(["--packages", folder]);
        }
        Landscape::up(&self.program, &self.dir, &arguments).await
    }

    async fn end(&self, lab: Landscape) -> Result<()> {
        if self.keep {
            progress(&format!("the landscape stays up: remount-lab --dir {} status", self.dir.display()));
            return Ok(());
        }
        lab.down().await
    }

    /// A full disk in the middle would look like a failed restore.
    fn check_room(&self) -> Result<()> {
        let parent = self.dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let free_gib = fs2::available_space(parent).context("look for room on the disk")? >> 30;
        let needed_gib = u64::from(self.data_gib) * ROOM_FACTOR + ROOM_BASE_GIB;
        ensure!(
            needed_gib <= free_gib,
            "{} GiB of data need {needed_gib} GiB of disk (primary, standby, the copy, WAL), {} has {free_gib}; \
             use --dir for a folder on a larger disk, or fewer GiB",
            self.data_gib,
            parent.display()
        );
        Ok(())
    }

    async fn report(&self, lab: &Landscape) -> Result<DemoReport> {
        let primary = lab.endpoint(DEPLOYMENT, 0).await?;
        let standby = lab.endpoint(DEPLOYMENT, 1).await?;
        fill_and_settle(lab, self.data_gib).await?;
        let client = primary.connect().await?;
        ledger::create(&client).await?;
        progress("a ledger writer begins; it never stops from here on");
        let writer = Writer::start(primary.clone(), ROWS_PER_SECOND);
        writer.next_row(Duration::from_secs(10)).await?;

        let backup = back_up(lab, &primary, &writer).await?;
        let wal_bytes = fill_wal(&client, &start_lsn(lab, &backup).await?, WAL_BYTES).await?;
        let data_bytes = data_bytes(&client).await?;
        let (instant, expected) = note_instant(&client).await?;
        progress(&format!("the instant to come back to: {instant}, {} rows committed", expected.rows));
        client.batch_execute("DROP TABLE ledger, ballast").await.context("drop the tables")?;
        let dropped_at = ledger::server_now(&client).await?;
        drop(client);
        progress("DISASTER: the tables are dropped");

        let between = (instant, dropped_at);
        let mut swaps = Vec::new();
        let mut ledger = LedgerReport::default();
        for _ in 0..self.restores.get() {
            let swap = restore(lab, instant).await?;
            ledger = verify(lab, (&primary, &standby), &expected, between, swap.new_timeline).await?;
            writer.next_row(Duration::from_secs(30)).await.context("the ledger's writer writes again")?;
            swaps.push(swap);
        }
        let copy = self.old_way(lab, &primary, &backup, instant).await?;
        writer.stop().await;
        Ok(report(ledger, swaps, copy, Sizes { data_bytes, wal_bytes }))
    }

    /// The same again, the old way.
    async fn old_way(
        &self,
        lab: &Landscape,
        primary: &Endpoint,
        backup: &str,
        instant: Timestamp,
    ) -> Result<CopyReport> {
        progress("now the same restore the old way: stop, copy the data directory back, replay");
        let copy = CopyBack {
            primary: format!("{DEPLOYMENT}/postgres/0"),
            standbys: vec![format!("{DEPLOYMENT}/postgres/1")],
            backup: backup.to_owned(),
            to_time: instant.to_string(),
        };
        copy.run(lab, primary).await
    }
}

async fn fill_and_settle(lab: &Landscape, data_gib: u32) -> Result<()> {
    let primary = lab.endpoint(DEPLOYMENT, 0).await?;
    await_writable(&primary).await?;
    progress(&format!("filling the database with {data_gib} GiB"));
    fill(&primary.connect().await?, data_gib, |_| {}).await?;
    settle(lab).await
}

/// What `remount-lab` is called with to restore, and what the restore reported.
struct Swapped {
    downtime_seconds: f64,
    own_seconds: f64,
    estimate_seconds: f64,
    steps: Vec<StepTime>,
    new_timeline: i32,
}

/// What there was to restore.
struct Sizes {
    data_bytes: u64,
    wal_bytes: i64,
}

/// Backs up by the errand while pgbench runs beside the ledger, and looks at what the writer felt.
async fn back_up(lab: &Landscape, primary: &Endpoint, writer: &Writer) -> Result<String> {
    progress("backing up under load (the ledger's writer and pgbench)");
    let mut load = Pgbench::start(primary).await?;
    writer.reset_gap().await;
    lab.lab(&["run-errand", "backup"]).await?.success().context("run the errand backup")?;
    let gap = writer.observed().await.longest_gap;
    load.stop().await?;
    progress(&format!("backed up; the longest pause between two commits was {} ms", gap.as_millis()));
    let list = lab.remount(&["list", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    newest_backup(&list.stdout)
}

/// Where the replay from this backup starts.
async fn start_lsn(lab: &Landscape, backup: &str) -> Result<String> {
    let info = lab.remount(&["info", backup, "--json"]).await?.success()?;
    let manifest: Value = serde_json::from_str(&info.stdout).context("read the backup's manifest")?;
    manifest["start_lsn"].as_str().map(str::to_owned).context("the manifest has no start_lsn")
}

/// The id of the last backup in `remount list --json`.
fn newest_backup(json: &str) -> Result<String> {
    let list: Value = serde_json::from_str(json).context("read the list of backups")?;
    let backups = list.as_array().or_else(|| list["backups"].as_array()).context("the list is no list")?;
    let id = backups.iter().filter_map(|backup| backup["id"].as_str()).max();
    id.map(str::to_owned).context("there is no backup")
}

/// Lets what was filled reach the disk, and empties the page cache and the file system's journal (freezing does
/// that): what is measured afterwards is a restore, not the writing of the data, and a small database is as cold
/// as a large one. The journal's replay at the mount grows with what was written last, up to its size.
async fn settle(lab: &Landscape) -> Result<()> {
    progress("letting the disks come to rest");
    for index in 0..2 {
        let checkpoint = "runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -qc CHECKPOINT
            fsfreeze --freeze /var/vcap/store; fsfreeze --unfreeze /var/vcap/store; sync
            echo 3 > /proc/sys/vm/drop_caches";
        lab.shell(&format!("{DEPLOYMENT}/postgres/{index}"), checkpoint).await?.success()?;
    }
    Ok(())
}

/// The size of all databases.
async fn data_bytes(client: &tokio_postgres::Client) -> Result<u64> {
    let sql = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database";
    let row = client.query_one(sql, &[]).await.context("measure the database")?;
    u64::try_from(row.get::<_, i64>(0)).context("a size below zero")
}

/// The server's clock now, and what the ledger held then, once every commit up to then is visible.
async fn note_instant(client: &tokio_postgres::Client) -> Result<(Timestamp, Content)> {
    sleep(Duration::from_secs(1)).await;
    let instant = ledger::server_now(client).await?;
    sleep(Duration::from_secs(1)).await;
    let expected = ledger::content_at(client, instant).await?;
    ensure!(expected.rows > 0 && expected.rows == expected.last_id, "the ledger has a hole: {expected:?}");
    Ok((instant, expected))
}

/// Requests the restore and runs the errand, whose steps go to the terminal as they come.
async fn restore(lab: &Landscape, instant: Timestamp) -> Result<Swapped> {
    progress("requesting the restore and running the errand");
    let to = instant.to_string();
    let request = ["restore", "request", "--deployment", DEPLOYMENT, "--to-time", &to];
    lab.remount(&request).await?.success().context("request the restore")?;
    let mut errand = lab.command(&["run-errand", "restore"]);
    // Standard output is for the report.
    errand.stdout(std::io::stderr());
    let status = errand.status().await.context("run the errand restore")?;
    ensure!(status.success(), "the errand restore ended with {status}");
    let journal = lab.remount(&["journal", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
    swapped(&serde_json::from_str(&journal.stdout).context("read the restore's journal")?)
}

/// The restore's report, as its journal ends with it.
fn swapped(journal: &Value) -> Result<Swapped> {
    let report = &journal["report"];
    let number = |name: &str| report[name].as_f64().with_context(|| format!("the report has no {name}"));
    let steps = report["steps"].as_array().context("the report has no steps")?;
    let step = |step: &Value| StepTime {
        name: step["name"].as_str().unwrap_or("?").to_owned(),
        seconds: step["seconds"].as_f64().unwrap_or_default(),
        downtime: step["downtime"].as_bool().unwrap_or_default(),
    };
    Ok(Swapped {
        downtime_seconds: number("downtime_seconds")?,
        own_seconds: report["downtime"]["remount_seconds"].as_f64().context("the report has no own share")?,
        estimate_seconds: number("estimate_seconds")?,
        steps: steps.iter().map(step).collect(),
        new_timeline: i32::try_from(
            report["new_timeline"].as_i64().context("the report has no new_timeline")?,
        )?,
    })
}

/// Exactly the rows committed by the instant are there, on both servers, and the standby streams.
async fn verify(
    lab: &Landscape,
    (primary, standby): (&Endpoint, &Endpoint),
    expected: &Content,
    between: (Timestamp, Timestamp),
    timeline: i32,
) -> Result<LedgerReport> {
    let on_primary = restored_rows(&primary.connect().await?, expected, between).await?;
    await_streaming(lab, timeline).await?;
    let on_standby = restored_rows(&standby.connect().await?, expected, between).await?;
    progress(&format!(
        "verified: {on_primary} rows on the primary, {on_standby} on the standby, which streams"
    ));
    Ok(LedgerReport { expected: expected.rows, primary: on_primary, standby: on_standby })
}

/// The number of restored rows, which are exactly the expected ones: none is missing, and none that was
/// committed between the instant and the disaster is left.
async fn restored_rows(
    client: &tokio_postgres::Client,
    expected: &Content,
    (instant, dropped_at): (Timestamp, Timestamp),
) -> Result<i64> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE written_at > $2::text::timestamptz),
             md5(coalesce(string_agg(id::text, ',' ORDER BY id) FILTER (WHERE id <= $1), ''))
        FROM ledger WHERE written_at <= $3::text::timestamptz";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&expected.last_id, &instant.to_string(), &dropped_at.to_string()];
    let row = client.query_one(sql, &parameters).await.context("read the restored ledger")?;
    let (rows, later, digest): (i64, i64, String) = (row.get(0), row.get(1), row.get(2));
    ensure!(later == 0, "{later} rows written after the instant are still there");
    ensure!(digest == expected.digest, "the restored rows are not the expected ones");
    ensure!(rows == expected.rows, "{rows} rows were restored, {} were expected", expected.rows);
    Ok(rows)
}

/// Waits until the standby streams on the timeline. Asked on its VM: the customer may not see the WAL receiver.
async fn await_streaming(lab: &Landscape, timeline: i32) -> Result<()> {
    let sql = "SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'";
    let line = format!("runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d postgres -Atc \"{sql}\"");
    let deadline = Instant::now() + REPLICATION_LIMIT;
    while Instant::now() < deadline {
        let ran = lab.shell(&format!("{DEPLOYMENT}/postgres/1"), &line).await?;
        if ran.code == 0 && ran.stdout.trim() == timeline.to_string() {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the standby does not stream on timeline {timeline}")
}

/// Of several restores the one with the median downtime.
fn report(ledger: LedgerReport, mut swaps: Vec<Swapped>, copy: CopyReport, sizes: Sizes) -> DemoReport {
    swaps.sort_by(|one, other| one.downtime_seconds.total_cmp(&other.downtime_seconds));
    let all_downtimes_seconds = swaps.iter().map(|swap| swap.downtime_seconds).collect();
    let swap = swaps.swap_remove((swaps.len() - 1) / 2);
    let ratio = copy.downtime_seconds / swap.downtime_seconds.max(f64::EPSILON);
    let estimate_seconds = swap.estimate_seconds;
    let Swapped { downtime_seconds, own_seconds, steps, .. } = swap;
    let swap = SwapReport { downtime_seconds, all_downtimes_seconds, own_seconds, steps };
    let Sizes { data_bytes, wal_bytes } = sizes;
    DemoReport { ledger, swap, copy, ratio, estimate_seconds, data_bytes, wal_bytes }
}

/// Writes the report where `--report` says.
///
/// # Errors
/// The file cannot be written.
pub fn write_report(report: &impl serde::Serialize, file: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report).context("write the report as JSON")?;
    std::fs::write(file, json + "\n").with_context(|| format!("write {}", file.display()))
}
