//! The restore the old way, as runbooks have it: stop, copy the data directory back from the backup, write
//! label and recovery settings, start, replay. The peer in the demo and the benchmark: same backup, same target,
//! same archive, same machine.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::sleep;

use super::landscape::Landscape;
use super::ledger::Endpoint;
use super::report::{CopyReport, StepTime};

/// How long the replay may take.
const REPLAY_LIMIT: Duration = Duration::from_secs(900);

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct CopyBack {
    /// `deployment/group/index` of the primary.
    pub primary: String,
    /// `deployment/group/index` of its standbys: stopped, and left so.
    pub standbys: Vec<String>,
    /// The backup.
    pub backup: String,
    /// `recovery_target_time`.
    pub to_time: String,
}

impl CopyBack {
    /// Does it and measures each step.
    ///
    /// # Errors
    /// Any step's own; the landscape is then of no further use.
    pub async fn run(&self, lab: &Landscape, endpoint: &Endpoint) -> Result<CopyReport> {
        let info = lab.remount(&["info", &self.backup, "--json"]).await?.success()?;
        let manifest: Value = serde_json::from_str(&info.stdout).context("read the backup's manifest")?;
        for standby in &self.standbys {
            lab.lab(&["stop", standby]).await?.success()?;
        }
        let began = Instant::now();
        let mut steps = Vec::new();
        lab.lab(&["stop", &self.primary]).await?.success()?;
        lap(&mut steps, "stop primary", began);
        lab.shell(&self.primary, &copy_script(lab, &manifest)?).await?.success()?;
        lap(&mut steps, "copy data directory", began);
        lab.shell(&self.primary, &self.prepare_script(&manifest)?).await?.success()?;
        lap(&mut steps, "write recovery settings", began);
        lab.lab(&["start", &self.primary]).await?.success()?;
        lap(&mut steps, "start primary", began);
        await_writable(endpoint).await?;
        lap(&mut steps, "replay, promote", began);
        Ok(CopyReport { downtime_seconds: began.elapsed().as_secs_f64(), steps })
    }

    /// Label first, signal last: what a careful runbook says.
    fn prepare_script(&self, manifest: &Value) -> Result<String> {
        let label = manifest["backup_label"].as_str().context("the manifest has no label")?;
        let timeline = manifest["timeline"].as_u64().context("the manifest has no timeline")?;
        let settings = format!(
            "restore_command = '/var/vcap/packages/remount-agent/bin/remount-wal fetch --config \
             /var/vcap/jobs/remount-agent/config/agent.json %f %p'\n\
             recovery_target_time = '{}'\nrecovery_target_timeline = '{timeline}'\n\
             recovery_target_action = 'promote'\n",
            // Written without `Z`: PostgreSQL knows no abbreviations while it reads its settings.
            self.to_time.trim_end_matches('Z').to_owned() + "+00"
        );
        Ok(format!(
            "set -e; cd /var/vcap/store/postgres/data\n\
             rm -rf postmaster.pid postmaster.opts standby.signal pg_replslot/* pg_wal/archive_status/*.ready\n\
             rm -f /var/vcap/store/remount/backup.json\n\
             cat > backup_label <<'LABEL'\n{label}LABEL\n\
             cat >> postgresql.auto.conf <<'CONF'\n{settings}CONF\n\
             touch recovery.signal; chown vcap:vcap backup_label postgresql.auto.conf recovery.signal; sync"
        ))
    }
}

/// Mounts a disk made from the snapshot beside the live one and copies the files over it.
fn copy_script(lab: &Landscape, manifest: &Value) -> Result<String> {
    let snapshot = manifest["snapshot"]["cid"].as_str().context("the manifest has no snapshot")?;
    let cloud = lab.dir().join("cloud");
    let cloud = cloud.to_str().context("the landscape's folder has a strange name")?;
    Ok(format!(
        "set -e; image={cloud}/copy-back.img; aside=/var/vcap/data/copy-back\n\
         cp --reflink=always {cloud}/snapshots/{snapshot}.img $image; mkdir -p $aside\n\
         start=$(partx -g -o START -n 1 $image | tr -d ' ')\n\
         mount -o loop,offset=$((start * 512)) $image $aside\n\
         rm -rf /var/vcap/store/postgres/data; cp -a $aside/postgres/data /var/vcap/store/postgres/; sync\n\
         umount $aside; rm $image"
    ))
}

/// Adds the time since the steps so far.
fn lap(steps: &mut Vec<StepTime>, name: &str, began: Instant) {
    let before: f64 = steps.iter().map(|step| step.seconds).sum();
    let seconds = began.elapsed().as_secs_f64() - before;
    steps.push(StepTime { name: name.to_owned(), seconds, downtime: true });
}

/// Waits until the server takes writes.
///
/// # Errors
/// It does not within a quarter of an hour.
pub async fn await_writable(endpoint: &Endpoint) -> Result<()> {
    let deadline = Instant::now() + REPLAY_LIMIT;
    while Instant::now() < deadline {
        if let Ok(client) = endpoint.connect().await {
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
            if row.is_ok_and(|row| !row.get::<_, bool>(0)) {
                return Ok(());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{} takes no writes after {REPLAY_LIMIT:?}", endpoint.address)
}
