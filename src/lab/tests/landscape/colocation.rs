//! `remount-agent` beside another release's PostgreSQL: a stand-in for cloudfoundry/postgres-release
//! (`tests/standin`), deployed by what `docs/colocation.md` tells an operator to write.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use remount_lab::scenarios::Landscape;
use remount_lab::scenarios::await_writable;
use remount_lab::scenarios::ledger::Endpoint;

use crate::test_landscape::{DEPLOYMENT, PRIMARY, eventually, marks, value};

/// Where the stand-in's manifest has its server.
const PORT: u16 = 5524;
const DATA: &str = "/var/vcap/store/postgres/postgres-15.18";

/// A release with the stand-in in the place of our own job `postgres`.
fn release(dir: &Path) -> Result<PathBuf> {
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the release is above src/lab")?;
    let standin = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin");
    let release = dir.join("release");
    for folder in ["jobs", "manifests"] {
        fs::create_dir_all(release.join(folder))?;
    }
    for job in fs::read_dir(ours.join("jobs"))? {
        let job = job?;
        let path = if job.file_name() == "postgres" { standin.join("postgres") } else { job.path() };
        symlink(path, release.join("jobs").join(job.file_name()))?;
    }
    symlink(ours.join("spec"), release.join("spec"))?;
    symlink(ours.join("manifests/remount.yml"), release.join("manifests/remount.yml"))?;
    symlink(standin.join("manifest.yml"), release.join("manifests/postgres.yml"))?;
    Ok(release)
}

/// Adds a row.
async fn mark(endpoint: &Endpoint, label: &str) -> Result<()> {
    let client = endpoint.connect().await?;
    client.execute("INSERT INTO marks (label) VALUES ($1)", &[&label]).await.context("add a row").map(drop)
}

/// One value, as the agent would ask for it.
async fn superuser(lab: &Landscape, sql: &str) -> Result<String> {
    let line =
        format!("runuser -u vcap -- psql -p {PORT} -h /var/vcap/sys/run/postgres -d postgres -Atc '{sql}'");
    Ok(lab.shell(PRIMARY, &line).await?.success()?.stdout.trim().to_owned())
}

#[tokio::test]
async fn beside_another_releases_postgresql_backups_restores_and_the_fence_work() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("remount-landscape-").tempdir()?;
    let release = release(dir.path())?;
    let program = Path::new(env!("CARGO_BIN_EXE_remount-lab"));
    let arguments = ["--deployments", "1", "--release", release.to_str().context("a path in UTF-8")?];
    let lab = Landscape::up(program, &dir.path().join("lab"), &arguments).await?;
    let told = works(&lab).await;
    lab.down().await?;
    told
}

async fn works(lab: &Landscape) -> Result<()> {
    let server = Endpoint { port: PORT, ..lab.endpoint(DEPLOYMENT, 0).await? };
    await_writable(&server).await?;
    server.connect().await?.batch_execute("CREATE TABLE marks (id serial PRIMARY KEY, label text)").await?;
    mark(&server, "a").await?;
    lab.lab(&["run-errand", "backup"]).await?.success()?;
    mark(&server, "b").await?;
    let then = value(
        &server,
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    )
    .await?;
    mark(&server, "c").await?;

    let old = lab.instance(DEPLOYMENT, 0).await?.disk.context("the instance has a disk")?;
    let restore = ["restore", "--now", "--deployment", DEPLOYMENT];
    lab.remount(&[&restore[..], &["--to-time", &then]].concat()).await?.success()?;
    await_writable(&server).await?;
    ensure!(marks(&server).await? == "a=1 b=1", "the restored rows are {}", marks(&server).await?);
    ensure!(superuser(lab, "SHOW data_directory").await? == DATA, "the data directory is another one");
    ensure!(lab.instance(DEPLOYMENT, 0).await?.disk.as_ref() != Some(&old), "the disk is the old one");

    // Its ordinary life goes on, archive and all: a VM recreated, another restore, now to the end.
    lab.lab(&["recreate", PRIMARY]).await?.success()?;
    await_writable(&server).await?;
    mark(&server, "d").await?;
    lab.remount(&[&restore[..], &["--to-latest"]].concat()).await?.success()?;
    await_writable(&server).await?;
    ensure!(marks(&server).await? == "a=1 b=1 d=1", "the restored rows are {}", marks(&server).await?);
    let failed = superuser(lab, "SELECT failed_count FROM pg_stat_archiver").await?;
    ensure!(failed == "0", "the archiver failed {failed} times");

    is_fenced(lab, &server).await
}

/// A copy that nobody planned for is not started, whosever job would start it.
async fn is_fenced(lab: &Landscape, server: &Endpoint) -> Result<()> {
    let own = lab.instance(DEPLOYMENT, 0).await?.disk.context("the instance has a disk")?;
    let copy = lab.lab(&["clone-snapshot", PRIMARY]).await?.success()?.stdout.trim().to_owned();
    lab.lab(&["stop", PRIMARY]).await?.success()?;
    lab.lab(&["attach-disk", PRIMARY, &copy]).await?.success()?;
    let started = lab.lab(&["start", PRIMARY]).await?;
    ensure!(started.code != 0 && started.text().contains("pre-start"), "it was started:\n{}", started.text());
    ensure!(lab.shell(PRIMARY, "pgrep -x postgres").await?.code != 0, "PostgreSQL runs on a copy");
    lab.lab(&["stop", PRIMARY]).await?.success()?;
    lab.lab(&["attach-disk", PRIMARY, &own]).await?.success()?;
    lab.lab(&["start", PRIMARY]).await?.success()?;
    await_writable(server).await?;
    eventually("the rows are there", || async { Ok(marks(server).await? == "a=1 b=1 d=1") }).await
}
