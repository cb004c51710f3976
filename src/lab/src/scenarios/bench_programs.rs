//! `cargo xtask bench programs`: what the programs on a database VM cost. PostgreSQL starts `remount-wal` once per
//! segment, and `remount-agent` is in memory for ever.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::landscape::Landscape;

/// `remount-wal` is to have asked the store within this time.
const FETCH_LIMIT_MS: f64 = 5.0;
/// What `remount-agent` may have resident.
const AGENT_LIMIT_KIB: u64 = 20 << 10;
/// The VM that is looked at.
const INSTANCE: &str = "pg-0001/postgres/0";

/// What to measure.
#[derive(Clone, Debug)]
pub struct ProgramsBench {
    /// This program.
    pub program: PathBuf,
    /// Where the landscape goes.
    pub dir: PathBuf,
}

/// What was measured, and whether the limits hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramsReport {
    /// From the fork of `remount-wal fetch` to its end with the store's answer that there is no such file: the
    /// median of many, in milliseconds. Its first I/O comes before.
    pub absent_fetch_ms: f64,
    /// What `remount-agent` has resident after a backup, in KiB.
    pub agent_resident_kib: u64,
    /// Limits that do not hold; empty is good.
    pub violations: Vec<String>,
}

/// Runs as PostgreSQL's user, as PostgreSQL does; prints the median in microseconds.
const FETCH: &str = r#"
cd /var/vcap/store/postgres/data
runuser -u vcap -- bash -c '
  for run in $(seq 101); do
    before=${EPOCHREALTIME/./}
    /var/vcap/packages/remount-agent/bin/remount-wal fetch --config /var/vcap/jobs/remount-agent/config/agent.json \
      000000FE.history /tmp/absent
    [ $? = 1 ] || exit 2
    echo $((${EPOCHREALTIME/./} - before))
  done' | sort -n | sed -n 51p
"#;

/// The agent's resident set in KiB.
const RESIDENT: &str =
    "ps -C remount-agent -o rss=,args= | grep ' serve ' | awk '{ sum += $1 } END { print sum + 0 }'";

impl ProgramsBench {
    /// Measures.
    ///
    /// # Errors
    /// The landscape does not come up, or a program does not do what it is to.
    pub async fn run(&self) -> Result<ProgramsReport> {
        let lab = Landscape::up(&self.program, &self.dir, &["--deployments", "1"]).await?;
        let measured = measure(&lab).await;
        lab.down().await?;
        measured
    }
}

async fn measure(lab: &Landscape) -> Result<ProgramsReport> {
    lab.lab(&["run-errand", "backup"]).await?.success().context("run the errand backup")?;
    let absent_fetch_ms = number(lab, FETCH).await? / 1e3;
    let resident = lab.shell(INSTANCE, RESIDENT).await?.success()?.stdout;
    let agent_resident_kib = resident.trim().parse().context("read the agent's resident set")?;
    ensure!(agent_resident_kib > 0, "no remount-agent runs on {INSTANCE}");
    let mut violations = Vec::new();
    if absent_fetch_ms > FETCH_LIMIT_MS {
        violations.push(format!("remount-wal takes {absent_fetch_ms:.1} ms (limit {FETCH_LIMIT_MS})"));
    }
    if agent_resident_kib > AGENT_LIMIT_KIB {
        violations.push(format!("remount-agent has {agent_resident_kib} KiB (limit {AGENT_LIMIT_KIB})"));
    }
    Ok(ProgramsReport { absent_fetch_ms, agent_resident_kib, violations })
}

async fn number(lab: &Landscape, script: &str) -> Result<f64> {
    let ran = lab.shell(INSTANCE, script).await?.success()?;
    ran.stdout.trim().parse().with_context(|| format!("read a number from `{}`", ran.stdout.trim()))
}

impl ProgramsReport {
    /// Lines for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![
            format!("remount-wal fetch, absent file, whole run: {:.2} ms", self.absent_fetch_ms),
            format!("remount-agent resident: {:.1} MB", self.agent_resident_kib as f64 / 1024.0),
        ];
        lines.extend(self.violations.iter().map(|violation| format!("VIOLATION: {violation}")));
        lines.join("\n")
    }
}
