//! Every document that Remount keeps, as one type each. Whoever writes one or reads one, in the store or on a
//! disk, does it through these types alone. Where each lies: `docs/formats.md`.
//!
//! | document | type |
//! |---|---|
//! | `backups/<id>.json` | [`BackupManifest`] or [`Tombstone`] |
//! | `begun/<id>.json` | [`BackupBegunNote`] |
//! | `restores/<id>/plan.json` | [`RestorePlan`] |
//! | `restores/<id>/journal/<n>.json` | [`JournalEvent`] |
//! | `restores/<id>/fork.json` | [`ForkRecord`] |
//! | `restores/<id>/tail.json` | [`TailRecord`] |
//! | `restores/<id>/abort.json` | [`AbortRequest`] |
//! | `restores/<id>/released.json` | [`ReleaseNote`] |
//! | `restores/current.json` | [`PublishedPlan`] |
//! | `requests/<id>.json`, `.done.json` | [`RestoreRequest`], [`RequestOutcome`] |
//! | `instances/<id>.json` | [`InstanceNote`] |
//! | `instances/<id>.stopped.json` | [`StopNote`] |
//! | `index/backups/<id>.json`, `index/restores/<id>.json` | [`IndexEntry`] |
//! | `lease/<epoch>.json`, `.beat`, `.released` | [`LeaseDocument`], [`LeaseSign`] |
//! | `store.json` | [`StoreDocument`] |
//! | on the disk: `backup.json` | [`BackupMark`] |
//! | on the disk: `applied/<id>.json` | [`AppliedPlan`] |
//! | on the VM: `initialised.json` | [`InitialisedNote`] |
//!
//! Every document begins with its format. Readers pass over fields that a later version added and refuse a
//! larger format.

mod abort;
mod applied;
mod disk;
mod fork;
mod index;
mod instance;
mod journal;
mod lease;
mod manifest;
mod mark;
mod plan;
mod published;
mod release;
mod request;
mod stop_note;
mod store;
mod tombstone;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use abort::AbortRequest;
pub use applied::{AppliedPlan, RecoveryOutcome, newest_plan, open_plan};
pub use disk::{DiskAttributes, DiskCaching, DiskEncryption, DiskRecord, DiskShape, SectorSize};
pub use fork::ForkRecord;
pub use index::IndexEntry;
pub use instance::{InitialisedNote, InstanceNote};
pub use journal::{JournalEvent, Outcome, StepTimes, What};
pub use lease::{LeaseDocument, LeaseSign};
pub use manifest::{BackupManifest, SnapshotRecord};
pub use mark::{BackupMark, DiskOwner};
pub use plan::{PlannedInstance, RecoveryPath, RestorePlan};
pub use published::PublishedPlan;
pub use release::ReleaseNote;
pub use request::{AcceptedLoss, OnFailure, RequestOutcome, RestoreOptions, RestoreRequest, VerifyWal};
pub use stop_note::{StopNote, TailRecord, WalTail};
pub use store::StoreDocument;
pub use tombstone::{BackupBegunNote, BackupRecord, Tombstone, TombstoneKind};

/// The newest document format this program writes and reads.
pub const FORMAT: u32 = 1;

/// A document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A newer version of Remount wrote it.
    #[error("it has format {format}, this version of Remount reads up to {FORMAT}: use a newer one")]
    Format {
        /// What it says.
        format: u32,
    },
    /// It is not JSON, or not the JSON of this document.
    #[error("it cannot be read: {0}")]
    Content(serde_json::Error),
    /// It cannot be put into JSON.
    #[error("it cannot be written: {0}")]
    Unwritable(serde_json::Error),
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// A document as JSON.
///
/// # Errors
/// [`DocumentError::Unwritable`].
pub fn encode<T: Serialize>(document: &T) -> Result<String, DocumentError> {
    serde_json::to_string(document).map_err(DocumentError::Unwritable)
}

/// Reads a document, its format first.
///
/// # Errors
/// [`DocumentError::Format`], [`DocumentError::Content`].
pub fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, DocumentError> {
    let FormatOnly { format } = serde_json::from_slice(content).map_err(DocumentError::Content)?;
    if format > FORMAT {
        return Err(DocumentError::Format { format });
    }
    serde_json::from_slice(content).map_err(DocumentError::Content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        format: u32,
        text: String,
    }

    fn note(format: u32) -> Note {
        Note { format, text: "x".into() }
    }

    #[test]
    fn a_larger_format_is_refused_and_says_so() {
        let content = encode(&note(FORMAT + 1)).unwrap();
        let error = decode::<Note>(content.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let read: Note = decode(br#"{"format":1,"text":"x","later":true}"#).unwrap();
        assert_eq!(read, note(1));
    }
}
