//! What a restore's journal says of its old disks.

use jiff::Timestamp;
use remount_core::{RestoreId, RestorePlan, Role};
use remount_store::{ClusterStore, ReleaseNote};

use crate::restore::{may_have_served, step_names};
use crate::saga::{self, Event, EventKind, Position, StepState};
use crate::wait::retrying;
use crate::{FlowContext, FlowError, Result};

/// Where a restore stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It, or its way back, has not ended.
    Unfinished,
    /// It has ended well, its checks passed.
    Restored,
    /// It failed before it can have served, and was undone: it has put no disk aside for good.
    Undone,
    /// It had ended well, or may have served, and was taken back: its own disks are put aside.
    TakenBack,
}

/// A restore that was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its plan.
    pub plan: RestorePlan,
    /// Where it stands.
    pub standing: Standing,
    /// When its journal was last written, by the store's clock.
    pub written_at: Option<Timestamp>,
    /// Who gave up its old disks.
    pub released: Option<ReleaseNote>,
    events: Vec<Event>,
}

impl Begun {
    /// Reads a restore; none where no step of it ever began.
    pub async fn read(ctx: &FlowContext, store: &ClusterStore, plan: RestorePlan) -> Result<Option<Self>> {
        let id = plan.id.clone();
        let events = saga::read(store, &id, ctx.timeouts.retry).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let standing = standing(&id, &events)?;
        let written_at = retrying(ctx.timeouts.retry, || store.journal_written_at(&id))
            .await
            .map_err(FlowError::store(format!("look when restore {id} ended")))?;
        let released = retrying(ctx.timeouts.retry, || store.release_note(&id))
            .await
            .map_err(FlowError::store(format!("look whether the disks of restore {id} were released")))?;
        Ok(Some(Self { plan, standing, written_at, released, events }))
    }

    /// When the disks of a role were taken out: the old ones, or on the way back the restored ones.
    pub fn swapped_at(&self, role: Role, is_way_back: bool) -> Option<Timestamp> {
        let swapped = if is_way_back { EventKind::Undone } else { EventKind::Done };
        let step = match role {
            Role::Primary => "swap_primary",
            Role::Standby => "swap_standbys",
        };
        let done = |event: &&Event| event.step == step && event.event == swapped;
        self.events.iter().rfind(done).map(|event| event.at)
    }
}

fn standing(id: &RestoreId, events: &[Event]) -> Result<Standing> {
    let names = step_names();
    let position = Position::replay(&names, events)
        .map_err(|detail| FlowError::Journal { restore: id.clone(), detail })?;
    let verified =
        names.iter().zip(&position.states).any(|(name, state)| *name == VERIFY && *state == StepState::Done);
    Ok(match position.finished.as_deref() {
        // The end alone is not believed: without its checks the old disks are the only good ones.
        Some("restored") if verified && !position.unwinding => Standing::Restored,
        Some("undone") if may_have_served(events) => Standing::TakenBack,
        Some("undone") => Standing::Undone,
        _ => Standing::Unfinished,
    })
}

/// The step in which a restored primary proves itself.
const VERIFY: &str = "verify";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(n: u64, step: &str, event: EventKind, outcome: &str) -> Event {
        let detail = json!({ "outcome": outcome });
        Event { format: 1, n, at: Timestamp::UNIX_EPOCH, epoch: 1, step: step.into(), event, detail }
    }

    #[test]
    fn an_end_without_its_checks_is_no_end() {
        let id = RestoreId::at(Timestamp::UNIX_EPOCH, 1);
        let steps = [event(1, VERIFY, EventKind::Intended, ""), event(2, VERIFY, EventKind::Done, "")];
        let end = |n, outcome| event(n, "", EventKind::Finished, outcome);
        assert_eq!(standing(&id, &[end(1, "restored")]).unwrap(), Standing::Unfinished);
        assert_eq!(standing(&id, &[end(1, "undone")]).unwrap(), Standing::Undone);
        let failed = [steps[0].clone(), event(2, VERIFY, EventKind::Failed, ""), end(3, "undone")];
        assert_eq!(standing(&id, &failed).unwrap(), Standing::TakenBack, "users may have written by then");
        let mut events = steps.to_vec();
        assert_eq!(standing(&id, &events).unwrap(), Standing::Unfinished);
        events.push(end(3, "restored"));
        assert_eq!(standing(&id, &events).unwrap(), Standing::Restored);
        events.push(event(4, VERIFY, EventKind::UndoIntended, ""));
        assert_eq!(standing(&id, &events).unwrap(), Standing::Unfinished, "it is on its way back");
        events.extend([event(5, VERIFY, EventKind::Undone, ""), end(6, "undone")]);
        assert_eq!(standing(&id, &events).unwrap(), Standing::TakenBack);
    }

    #[test]
    fn the_steps_that_are_asked_for_exist() {
        for step in ["swap_primary", "swap_standbys", VERIFY] {
            assert!(step_names().contains(&step), "{step}");
        }
    }
}
