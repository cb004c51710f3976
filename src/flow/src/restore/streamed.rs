//! What the standbys have streamed and the archive lacks.

use remount_core::Role;
use remount_core::documents::{PlannedInstance, WalTail};
use remount_postgres::StreamedWal;

use super::context::RestoreContext;
use super::unarchived::{beside_the_plan, on_another_timeline, wants_all};
use crate::{FlowError, Problem, Result, instances};

/// Calls to a standby: each archives for some seconds.
const CALLS: u32 = 1000;

/// Has the standbys archive what they have streamed and the archive lacks. Answers the records that go furthest beyond
/// its last segment.
pub async fn from_standbys(restore: &RestoreContext<'_>) -> Result<Option<WalTail>> {
    let timeline = restore.plan.path.history.timeline;
    let mut furthest: Option<WalTail> = None;
    for planned in restore.plan.standbys() {
        match from_standby(restore, planned).await {
            Ok(Some(streamed)) => {
                let of = planned.instance.to_string();
                if let Some(what) = beside_the_plan(restore, &of, streamed.timeline, Some(streamed.end)) {
                    if wants_all(restore) {
                        return Err(on_another_timeline(restore, what, streamed.timeline));
                    }
                    restore.reporter.note(what);
                }
                restore.reporter.note(format!(
                    "{}: archived what it had streamed, up to {}",
                    planned.instance, streamed.end
                ));
                let tail = streamed.tail.filter(|tail| tail.segment.timeline == timeline);
                furthest = furthest.into_iter().chain(tail).max_by_key(|tail| tail.end);
            }
            Ok(None) => {}
            Err(error) if error.is_fenced() => return Err(error),
            Err(error) => restore.reporter.note(Problem::of(&error).what),
        }
    }
    Ok(furthest)
}

/// None where the instance does not run, or is no standby.
async fn from_standby(
    restore: &RestoreContext<'_>,
    planned: &PlannedInstance,
) -> Result<Option<StreamedWal>> {
    let instance = restore.instance(&planned.instance).await?;
    if instance.vm.is_none() || instance.desired != "started" {
        return Ok(None);
    }
    if instances::status_with_retry(restore.ctx, &instance).await?.role != Role::Standby {
        return Ok(None);
    }
    let server = instances::server(restore.ctx, &instance)?;
    for _ in 0..CALLS {
        let streamed = server.archive_streamed().await;
        let streamed = streamed.map_err(FlowError::server("archive what was streamed", &planned.instance))?;
        if streamed.left == 0 {
            return Ok(Some(streamed));
        }
    }
    let what = format!("{} has more WAL to archive than can be waited for", planned.instance);
    Err(FlowError::check(what, "look why its archive is so slow: the agent's log on that instance"))
}
