//! Instants that the trial can come back to: what the ledger held then, and how an operator may name them.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::model::Id;

/// An instant at which no transaction was on its way.
#[derive(Clone, Debug)]
pub struct Point {
    pub timeline: u32,
    pub content: BTreeSet<Id>,
    /// Prepared transactions that were open.
    pub prepared: BTreeSet<String>,
    pub named: Named,
}

/// What an operator may call it.
#[derive(Clone, Debug)]
pub enum Named {
    /// By what the server said of itself then.
    Instant {
        time: String,
        lsn: String,
        /// The last transaction of the first database, and its id there.
        last: Option<(Id, String)>,
        name: String,
    },
    /// The end of a backup that was taken while nothing was written.
    Backup(String),
}

/// A restore that is about to be asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `--to-…` and what belongs to it.
    pub target: Vec<String>,
    /// What must be there afterwards; none: everything that was acknowledged.
    pub point: Option<Point>,
}

impl Wanted {
    pub fn latest() -> Self {
        Self { target: vec!["--to-latest".into()], point: None }
    }

    /// One of the ways to name this point.
    pub fn to(point: &Point, dice: &mut Dice) -> Self {
        let mut point = point.clone();
        let mut target = match &point.named {
            Named::Backup(id) => {
                return Self { target: vec!["--to-backup".into(), id.clone()], point: Some(point) };
            }
            Named::Instant { time, lsn, last, name } => match (dice.below(4), last) {
                (0, _) => vec!["--to-lsn".into(), lsn.clone()],
                (1, _) => vec!["--to-name".into(), name.clone()],
                (2, Some((id, xid))) => {
                    let mut target = vec!["--to-xid".to_owned(), xid.clone()];
                    if dice.percent(50) {
                        target.push("--exclusive".into());
                        let id = *id;
                        point.content.remove(&id);
                    }
                    target
                }
                _ => vec!["--to-time".into(), time.clone()],
            },
        };
        target.extend(["--timeline".to_owned(), point.timeline.to_string()]);
        Self { target, point: Some(point) }
    }
}
