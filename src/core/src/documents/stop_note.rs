//! `instances/<instance-id>.stopped.json`: what an instance left unarchived when it was stopped last. A restore to
//! `latest` swaps the primary's disk only where this note says that nothing is left, or an operator has accepted the loss.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{InstanceId, Lsn, RestoreId, SystemIdentifier, TimelineId, WalSegment};

/// Written by `post-stop`. The next start deletes it, but does not wait for the store: a note may be of an earlier stop,
/// and the Director's tasks tell (`flow`, `restore/stop_note.rs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopNote {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The instance.
    pub instance: InstanceId,
    /// When it was stopped, by the VM's clock; for reading.
    pub at: Timestamp,
    /// Whose data it is.
    pub system_identifier: SystemIdentifier,
    /// What the control file says that the server was doing, as `shut down`.
    pub state: String,
    /// Whether it followed a primary: the note says nothing then of what that one wrote.
    #[serde(default)]
    pub follows: bool,
    /// The timeline of the last WAL.
    pub timeline: TimelineId,
    /// Where the last checkpoint's record begins.
    pub checkpoint: Lsn,
    /// Where replay from it would begin.
    pub redo: Lsn,
    /// Where the last whole record ends; none where that was not found out.
    pub end: Option<Lsn>,
    /// Files of WAL on its disk that hold commits and are not in the archive.
    #[serde(default)]
    pub unarchived: Vec<String>,
    /// Why it is not certain that this is all.
    #[serde(default)]
    pub undetermined: Option<String>,
    /// The records of the segment that was not full yet, where it has any.
    #[serde(default)]
    pub tail: Option<WalTail>,
    /// The restore whose plan this disk applied last.
    #[serde(default)]
    pub restore: Option<RestoreId>,
}

impl StopNote {
    /// Whether it was a primary, and every commit on its disk is in the store.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.follows && self.unarchived.is_empty() && self.undetermined.is_none()
    }

    /// What is missing in the store, as one sentence; none where nothing is.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let reason = self.undetermined.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        match (self.unarchived.first(), self.unarchived.last()) {
            (Some(first), Some(last)) if first == last => Some(format!("{first} is not archived{reason}")),
            (Some(first), Some(last)) => {
                let count = self.unarchived.len();
                Some(format!("{count} files of WAL are not archived, {first} to {last}{reason}"))
            }
            _ if self.follows => Some("it was a standby: what its primary wrote last is not known".into()),
            _ => self
                .undetermined
                .as_ref()
                .map(|why| format!("it is not known whether all WAL is archived: {why}")),
        }
    }
}

/// The records at the beginning of a segment that was not full when its server ended, in the archive under a name of
/// its own. Never under the segment's: the server may be started again and fill the segment with other records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalTail {
    /// The segment.
    pub segment: WalSegment,
    /// Where the last whole record in it ends: a replay of it gets so far at least.
    pub end: Lsn,
    /// SHA-256 of its content, hexadecimal: part of its name, so that two servers' never meet.
    pub sha256: String,
}

/// `restores/<id>/tail.json`: the tail that ends this restore's WAL. Who starts on a disk of the restore puts it
/// where PostgreSQL finds it after the archive's last segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailRecord {
    /// [`super::FORMAT`] of the writer; readers refuse a larger one.
    pub format: u32,
    /// The restore it belongs to.
    pub restore: RestoreId,
    /// What is put there.
    pub tail: WalTail,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> StopNote {
        serde_json::from_value(serde_json::json!({
            "format": 1, "instance": "0a1b", "at": "2026-11-23T10:00:00Z", "system_identifier": "7",
            "state": "in production", "timeline": 1, "checkpoint": "0/2000028", "redo": "0/2000028",
            "end": null,
        }))
        .unwrap()
    }

    #[test]
    fn a_note_says_what_is_missing() {
        assert!(note().is_clean() && note().missing().is_none());
        let left = |names: &[&str]| StopNote {
            unarchived: names.iter().map(ToString::to_string).collect(),
            ..note()
        };
        let some = left(&["000000010000000000000003", "000000010000000000000004"]);
        assert!(!some.is_clean() && some.missing().unwrap().starts_with("2 files of WAL"));
        let unknown = StopNote { undetermined: Some("the control file is damaged".into()), ..note() };
        assert!(!unknown.is_clean() && unknown.missing().unwrap().contains("damaged"));
    }
}
