//! One landscape with one cluster, and what the tests ask of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::ledger::Endpoint;
use remount_lab::scenarios::{InstanceStatus, Landscape, Ran, await_writable};
use tokio::time::sleep;

/// The cluster of every test.
pub const DEPLOYMENT: &str = "pg-0001";
/// Its primary.
pub const PRIMARY: &str = "pg-0001/postgres/0";
/// Its standby.
pub const STANDBY: &str = "pg-0001/postgres/1";

/// A landscape that goes down with the test, a failed one too.
pub struct TestLandscape {
    /// The landscape.
    pub lab: Landscape,
    /// Where the primary answers.
    pub primary: Endpoint,
    /// Where the standby answers.
    pub standby: Endpoint,
    is_down: bool,
    _dir: tempfile::TempDir,
}

impl Drop for TestLandscape {
    /// A failed test has not taken its landscape down.
    fn drop(&mut self) {
        if !self.is_down {
            let mut down = self.lab.command(&["down"]);
            if let Err(error) = down.as_std_mut().status() {
                eprintln!("the landscape stays up: {error}");
            }
        }
    }
}

impl TestLandscape {
    /// Brings up a landscape with one cluster and the table `marks`.
    pub async fn up() -> Result<Self> {
        let landscape = Self::empty().await?;
        landscape.sql("CREATE TABLE marks (id bigint PRIMARY KEY, label text NOT NULL)").await?;
        Ok(landscape)
    }

    /// Brings up a landscape with one cluster.
    pub async fn empty() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("remount-landscape-").tempdir()?;
        let program = Path::new(env!("CARGO_BIN_EXE_remount-lab"));
        let lab = Landscape::up(program, &dir.path().join("lab"), &["--deployments", "1"]).await?;
        let primary = lab.endpoint(DEPLOYMENT, 0).await?;
        let standby = lab.endpoint(DEPLOYMENT, 1).await?;
        await_writable(&primary).await?;
        Ok(Self { lab, primary, standby, is_down: false, _dir: dir })
    }

    /// Ends the test in good order.
    pub async fn down(mut self) -> Result<()> {
        self.is_down = true;
        self.lab.lab(&["down"]).await?.success().context("take the landscape down").map(drop)
    }

    /// Runs statements on the primary.
    pub async fn sql(&self, text: &str) -> Result<()> {
        self.primary.connect().await?.batch_execute(text).await.with_context(|| format!("run `{text}`"))
    }

    /// One value, as text, from the primary.
    pub async fn value(&self, sql: &str) -> Result<String> {
        value(&self.primary, sql).await
    }

    /// One value, as text, from the primary, asked as superuser on its VM.
    pub async fn superuser(&self, sql: &str) -> Result<String> {
        let line = format!("runuser -u vcap -- psql -h /var/vcap/sys/run/postgres -d app -Atc \"{sql}\"");
        let ran = self.lab.shell(PRIMARY, &line).await?.success().with_context(|| format!("run `{sql}`"))?;
        Ok(ran.stdout.trim().to_owned())
    }

    /// The time of the primary, as `--to-time` takes it.
    pub async fn now(&self) -> Result<String> {
        let format = "YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"";
        self.value(&format!("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '{format}')")).await
    }

    /// Adds `rows` rows with this label in one transaction and answers with its transaction id.
    pub async fn mark(&self, label: &str, rows: u32) -> Result<String> {
        let mut client = self.primary.connect().await?;
        let transaction = client.transaction().await?;
        let insert = "INSERT INTO marks SELECT coalesce((SELECT max(id) FROM marks), 0) + g, $1 FROM generate_series(1, $2::int) g";
        transaction.execute(insert, &[&label, &i32::try_from(rows)?]).await?;
        let row = transaction.query_one("SELECT pg_current_xact_id()::text", &[]).await?;
        transaction.commit().await?;
        Ok(row.get(0))
    }

    /// The labels and rows of `marks`, as `a=3 b=2`, from the primary.
    pub async fn marks(&self) -> Result<String> {
        marks(&self.primary).await
    }

    /// Takes a backup by the errand and answers with its id.
    pub async fn back_up(&self) -> Result<String> {
        self.lab.lab(&["run-errand", "backup"]).await?.success()?;
        let backups = self.backups().await?;
        backups.last().cloned().context("the errand left no backup")
    }

    /// The ids of all backups, oldest first.
    pub async fn backups(&self) -> Result<Vec<String>> {
        let ran = self.lab.remount(&["list", "--deployment", DEPLOYMENT, "--json"]).await?.success()?;
        let list: serde_json::Value = serde_json::from_str(&ran.stdout)?;
        let list = list.as_array().or_else(|| list["backups"].as_array()).context("the list is no list")?;
        let mut ids: Vec<String> = list.iter().filter_map(|b| b["id"].as_str()).map(str::to_owned).collect();
        ids.sort();
        Ok(ids)
    }

    /// Requests a restore and runs the errand.
    pub async fn restore(&self, target: &[&str]) -> Result<Ran> {
        let request: Vec<&str> =
            ["restore", "request", "--deployment", DEPLOYMENT].iter().chain(target).copied().collect();
        let requested = self.lab.remount(&request).await?;
        if requested.code != 0 {
            return Ok(requested);
        }
        self.lab.lab(&["run-errand", "restore"]).await
    }

    /// Restores and insists on success and on a healthy cluster with these marks on both servers.
    pub async fn restore_to(&self, target: &[&str], expected: &str) -> Result<()> {
        self.restore(target).await?.success().with_context(|| format!("restore {target:?}"))?;
        self.holds(expected).await.with_context(|| format!("after restore {target:?}"))
    }

    /// Primary and standby both hold exactly these marks, and the standby follows a fresh write.
    pub async fn holds(&self, expected: &str) -> Result<()> {
        await_writable(&self.primary).await?;
        let found = self.marks().await?;
        ensure!(found == expected, "the primary holds `{found}`, expected `{expected}`");
        await_marks(&self.standby, expected).await?;
        self.sql(
            "CREATE TABLE IF NOT EXISTS pulse (at timestamptz); INSERT INTO pulse VALUES (clock_timestamp())",
        )
        .await?;
        let wrote = self.value("SELECT max(at)::text FROM pulse").await?;
        eventually("the standby follows", || async {
            Ok(value(&self.standby, "SELECT max(at)::text FROM pulse").await.is_ok_and(|at| at == wrote))
        })
        .await
    }

    /// The primary as the landscape sees it.
    pub async fn instance(&self, index: u32) -> Result<InstanceStatus> {
        self.lab.instance(DEPLOYMENT, index).await
    }

    /// When each server was started, and which disks they have: equal before and after what must touch nothing.
    pub async fn fingerprint(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for (index, endpoint) in [&self.primary, &self.standby].into_iter().enumerate() {
            let instance = self.instance(u32::try_from(index)?).await?;
            let started = value(endpoint, "SELECT pg_postmaster_start_time()::text").await?;
            lines.push(format!(
                "{} vm {:?} disk {:?} since {started}",
                instance.id, instance.vm, instance.disk
            ));
        }
        Ok(lines)
    }
}

/// The labels and rows of `marks`, as `a=3 b=2`.
pub async fn marks(endpoint: &Endpoint) -> Result<String> {
    let sql = "SELECT coalesce(string_agg(label || '=' || n, ' ' ORDER BY label), '')
        FROM (SELECT label, count(*) AS n FROM marks GROUP BY label) m";
    value(endpoint, sql).await
}

/// One value, as text.
pub async fn value(endpoint: &Endpoint, sql: &str) -> Result<String> {
    let row = endpoint.connect().await?.query_one(sql, &[]).await.with_context(|| format!("run `{sql}`"))?;
    Ok(row.get(0))
}

/// Waits until the server shows these marks.
async fn await_marks(endpoint: &Endpoint, expected: &str) -> Result<()> {
    let what = format!("{} holds `{expected}`", endpoint.address);
    eventually(&what, || async { Ok(marks(endpoint).await.is_ok_and(|found| found == expected)) }).await
}

/// Waits for a fact, a minute at the most.
pub async fn eventually<F: Future<Output = Result<bool>>>(
    what: &str,
    mut fact: impl FnMut() -> F,
) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fact().await? {
        ensure!(Instant::now() < deadline, "not within a minute: {what}");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
