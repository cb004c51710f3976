//! How long the database will not serve, estimated before anything is touched.

use remount_core::documents::RecoveryPath;
use remount_saga::StepOutputs;
use remount_store::ClusterStore;

use super::context::RestoreContext;
use super::downtime::{self, Downtime};
use super::report::PreflightReport;
use super::state::RestoreState;
use super::steps::promote::Promote;
use crate::{FlowError, Result};

/// What the Director and PostgreSQL need where no earlier restore of this cluster has shown it: stop 10 s,
/// attach 15 s, start with its hooks 15 s.
const FIRST_TIME_SECONDS: f64 = 40.0;
/// Replay, with fetching: the slowest of the three runs of `docs/reference/postgres-restore.md` section 7 (24, 25 and
/// 59 MB/s on two busy cores). Too long an estimate does no harm.
const REPLAY_BYTES_PER_SECOND: f64 = 24e6;
/// How many earlier restores are looked at.
const RESTORES_SEARCHED: usize = 5;

/// Fills in the estimate.
pub async fn fill_in(store: &ClusterStore, path: &RecoveryPath, report: &mut PreflightReport) -> Result<()> {
    let replay_bytes = path.segments.1.end(path.segment_size).bytes_since(path.start_lsn);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let replay = replay_bytes as f64 / REPLAY_BYTES_PER_SECOND;
    let (base, basis) = match last_downtime(store).await? {
        Some(seconds) => (seconds, "the last restore of this cluster"),
        None => (FIRST_TIME_SECONDS, "assumed Director times"),
    };
    report.estimate_seconds = base + replay;
    report.estimate_basis = format!("{basis}, and {} MiB of WAL to replay", replay_bytes >> 20);
    Ok(())
}

/// The downtime of the newest restore that was promoted, without the time in which nobody worked on it.
async fn last_downtime(store: &ClusterStore) -> Result<Option<f64>> {
    let restores = store.restores().await.map_err(FlowError::store("list the restores"))?;
    for id in restores.iter().rev().take(RESTORES_SEARCHED) {
        // A journal that this version cannot follow says nothing of its downtime.
        let Ok(state) = RestoreState::read(store, id).await else { continue };
        let outputs = StepOutputs::of_journal(state.events());
        if let Some(promoted) = outputs.get::<RestoreContext<'_>, Promote>().ok().flatten() {
            let Downtime { times, idle_seconds } = downtime::of(Some(promoted), state.events());
            return Ok(Some(times.seconds - idle_seconds));
        }
    }
    Ok(None)
}
