//! Which timeline a standby follows: the one that its primary says it is on. By default PostgreSQL follows the newest
//! that the archive knows, and that may be one that a restore began and a rollback left again.
//!
//! # Source
//! PostgreSQL documentation, "Streaming Replication Protocol", `IDENTIFY_SYSTEM`.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use remount_core::TimelineId;

use super::config::PostgresConfig;

/// How long the primary is waited for. A standby whose primary is down still has to serve.
const PRIMARY_LIMIT: Duration = Duration::from_secs(10);
/// One attempt to connect, in seconds.
const CONNECT_SECONDS: u32 = 3;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// The primary's timeline; none where it does not answer in time.
pub fn primary_timeline(config: &PostgresConfig, conninfo: &str) -> Option<TimelineId> {
    let until = Instant::now() + PRIMARY_LIMIT;
    loop {
        match ask(config, conninfo) {
            Ok(timeline) => return Some(timeline),
            Err(error) if Instant::now() >= until => {
                log::warn!(
                    "the primary did not tell its timeline; following the newest in the archive: {error}"
                );
                return None;
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn ask(config: &PostgresConfig, conninfo: &str) -> Result<TimelineId, String> {
    let mut psql = Command::new(config.bin_directory.join("psql"));
    psql.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--field-separator=|"]);
    psql.args(["--command", "IDENTIFY_SYSTEM", "--dbname"]);
    psql.arg(format!("{conninfo} replication=true connect_timeout={CONNECT_SECONDS}"));
    let output = psql.stdin(Stdio::null()).output().map_err(|error| format!("run psql: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
    }
    timeline_in(&said).ok_or_else(|| format!("psql answered `{}`", said.trim()))
}

/// `system identifier|timeline|position|database`.
fn timeline_in(answer: &str) -> Option<TimelineId> {
    TimelineId::new(answer.trim().split('|').nth(1)?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_column_is_the_timeline() {
        assert_eq!(timeline_in("7711237033749295148|3|0/4020708|\n"), TimelineId::new(3).ok());
        for other in ["", "7711237033749295148", "x|y|z", "7711237033749295148|0|0/0|"] {
            assert_eq!(timeline_in(other), None, "{other}");
        }
    }
}
