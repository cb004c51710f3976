//! What the archive is still going to get, and on which timeline the cluster was last: who can tell, and what each is
//! worth.
//!
//! | who | what it says |
//! |---|---|
//! | a running primary | where it is; all that it has written is archived before the restore takes its disk |
//! | one that cannot archive, where that loss is accepted | its timeline: what is archived is all there will be |
//! | the note of a stopped primary | its timeline |
//! | standbys, where the primary is silent | the newest timeline among them; one may have stayed behind |

use remount_core::documents::{AcceptedLoss, RestoreRequest};
use remount_core::{LastWritten, MoreWal, RecoveryTarget, Role, RunningPrimary, Witness};
use remount_store::ClusterStore;

use super::stop_note::is_of_this_disk;
use super::survey::Survey;
use crate::{FlowError, Result};

/// Asks them.
///
/// # Errors
/// The store does not answer.
pub async fn more_to_come(
    survey: &Survey,
    store: &ClusterStore,
    request: &RestoreRequest,
) -> Result<MoreWal> {
    if let Some(status) = survey.primary_status() {
        let latest = request.target.target == RecoveryTarget::Latest;
        if latest && request.accept_loss.contains(&AcceptedLoss::UnarchivedWal) {
            let (timeline, end) = (status.timeline, Some(status.lsn));
            return Ok(MoreWal::Ended(LastWritten { timeline, end, witness: Witness::Primary }));
        }
        let running = RunningPrimary { now: status.now, timeline: status.timeline, lsn: status.lsn };
        return Ok(MoreWal::ClusterRuns(running));
    }
    let last = match by_note(survey, store).await? {
        Some(last) => Some(last),
        None => by_standbys(survey),
    };
    Ok(last.map_or(MoreWal::Nothing, MoreWal::Ended))
}

/// A server that is to run has outlived the note of its last stop.
async fn by_note(survey: &Survey, store: &ClusterStore) -> Result<Option<LastWritten>> {
    let primary = survey.instances.iter().find(|instance| instance.slug == survey.primary);
    let Some(primary) = primary.filter(|primary| primary.desired != "started") else { return Ok(None) };
    let note = store.stop_note(&primary.slug.id).await;
    let note = note.map_err(FlowError::store(format!("read the note of the stop of {}", primary.slug)))?;
    let ours = note.filter(|note| {
        !note.follows && survey.system_identifier().is_none_or(|system| system == note.system_identifier)
    });
    let Some(note) = ours else { return Ok(None) };
    let (timeline, end) = (note.timeline, note.end);
    let last = LastWritten { timeline, end, witness: Witness::Primary };
    Ok(is_of_this_disk(store, &note).await?.then_some(last))
}

fn by_standbys(survey: &Survey) -> Option<LastWritten> {
    let statuses = survey.statuses.iter().filter_map(|(_, status)| status.as_ref().ok());
    let standbys = statuses.filter(|status| status.role == Role::Standby);
    let newest = standbys.max_by_key(|status| (status.timeline, status.lsn))?;
    Some(LastWritten { timeline: newest.timeline, end: Some(newest.lsn), witness: Witness::Standby })
}
