//! What must be in the database, told by the ledger alone: neither by Remount nor by what PostgreSQL says of itself.
//!
//! A transaction belongs to the timeline it was acknowledged on. A timeline holds what it began with and what was
//! acknowledged on it since; a restore begins one with what the target held, and a rollback goes back to the one before.

use std::collections::{BTreeMap, BTreeSet};

/// A transaction, by the number that the trial gave it: never used twice.
pub type Id = u64;

/// A transaction whose commit was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub id: Id,
    pub timeline: u32,
}

/// What the database must hold, and what else it may: whose commit was never answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub must: BTreeSet<Id>,
    pub may: BTreeSet<Id>,
}

impl Expected {
    /// What is wrong with what was found; empty where nothing is.
    pub fn judge(&self, found: &BTreeSet<Id>) -> Vec<String> {
        let lost: Vec<Id> = self.must.difference(found).copied().collect();
        let extra = found.iter().filter(|id| !self.must.contains(id) && !self.may.contains(id)).copied();
        let extra: Vec<Id> = extra.collect();
        let mut wrong = Vec::new();
        if !lost.is_empty() {
            wrong.push(format!("{} acknowledged transactions are missing: {}", lost.len(), shown(&lost)));
        }
        if !extra.is_empty() {
            wrong.push(format!("{} transactions must not be there: {}", extra.len(), shown(&extra)));
        }
        wrong
    }
}

fn shown(ids: &[Id]) -> String {
    const MOST: usize = 8;
    let some: Vec<String> = ids.iter().take(MOST).map(ToString::to_string).collect();
    if ids.len() > MOST {
        format!("{}, … up to {}", some.join(", "), ids[ids.len() - 1])
    } else {
        some.join(", ")
    }
}

/// Every timeline that the cluster is known to have lived on.
#[derive(Debug, Default)]
pub struct Model {
    acknowledged: Vec<Acknowledged>,
    unanswered: BTreeSet<Id>,
    began_with: BTreeMap<u32, Beginning>,
}

/// How a timeline began.
#[derive(Clone, Debug, Default)]
struct Beginning {
    content: BTreeSet<Id>,
    /// How many had been acknowledged by then: a number of a timeline that was given up may be used again.
    after: usize,
}

impl Model {
    /// The trial begins, on this timeline, with what is there.
    pub fn begin(&mut self, timeline: u32, content: BTreeSet<Id>) {
        self.began_with.insert(timeline, Beginning { content, after: self.acknowledged.len() });
    }

    pub fn acknowledge(&mut self, transaction: Acknowledged) {
        self.acknowledged.push(transaction);
    }

    /// A commit was sent, and no answer came.
    pub fn unanswered(&mut self, id: Id) {
        self.unanswered.insert(id);
    }

    /// How many were acknowledged so far.
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// The last one that was acknowledged.
    pub fn last(&self) -> Option<Id> {
        self.acknowledged.last().map(|last| last.id)
    }

    /// What must be there while the cluster is on this timeline.
    pub fn on(&self, timeline: u32) -> Expected {
        let beginning = self.began_with.get(&timeline).cloned().unwrap_or_default();
        let since = self.acknowledged.iter().skip(beginning.after).filter(|one| one.timeline == timeline);
        let must = beginning.content.into_iter().chain(since.map(|one| one.id)).collect();
        Expected { must, may: self.unanswered.clone() }
    }

    /// A restore has begun a timeline with this content; it itself began when `since` had been acknowledged.
    pub fn restored(&mut self, timeline: u32, content: BTreeSet<Id>, since: usize) {
        self.began_with.insert(timeline, Beginning { content, after: since });
    }

    /// What was acknowledged after `since` on another timeline than this: by a restored server.
    pub fn elsewhere(&self, timeline: u32, since: usize) -> usize {
        self.acknowledged.iter().skip(since).filter(|one| one.timeline != timeline).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged(model: &mut Model, timeline: u32, ids: impl IntoIterator<Item = Id>) {
        ids.into_iter().for_each(|id| model.acknowledge(Acknowledged { id, timeline }));
    }

    #[test]
    fn a_restore_to_a_point_has_what_was_acknowledged_by_then_and_what_came_after_the_promotion() {
        let mut model = Model::default();
        acknowledged(&mut model, 1, 1..=5);
        let point: BTreeSet<Id> = model.on(1).must;
        acknowledged(&mut model, 1, 6..=9);
        model.unanswered(10);
        let since = model.count();
        acknowledged(&mut model, 2, 11..=12);
        model.restored(2, point, since);
        let expected = model.on(2);
        assert_eq!(expected.must, BTreeSet::from([1, 2, 3, 4, 5, 11, 12]));
        assert!(expected.judge(&expected.must).is_empty());
        let with = |id: Id| expected.must.iter().copied().chain([id]).collect::<BTreeSet<Id>>();
        assert!(expected.judge(&with(10)).is_empty(), "its commit was never answered");
        assert_eq!(expected.judge(&with(6)), ["1 transactions must not be there: 6"]);
        let mut lost = expected.must.clone();
        lost.remove(&12);
        assert_eq!(expected.judge(&lost), ["1 acknowledged transactions are missing: 12"]);
    }

    #[test]
    fn what_is_undone_has_everything_that_was_acknowledged_and_tells_what_a_restored_server_took() {
        let mut model = Model::default();
        acknowledged(&mut model, 1, 1..=5);
        let since = model.count();
        acknowledged(&mut model, 1, 6..=7);
        acknowledged(&mut model, 2, 8..=9);
        assert_eq!(model.on(1).must, (1..=7).collect());
        assert_eq!(model.elsewhere(1, since), 2);
    }

    #[test]
    fn a_number_that_is_used_again_begins_anew() {
        let mut model = Model::default();
        acknowledged(&mut model, 1, 1..=2);
        acknowledged(&mut model, 2, 3..=4);
        let since = model.count();
        acknowledged(&mut model, 2, 5..=6);
        model.restored(2, BTreeSet::from([1]), since);
        assert_eq!(model.on(2).must, BTreeSet::from([1, 5, 6]));
    }
}
