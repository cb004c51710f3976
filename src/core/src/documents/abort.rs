//! `restores/<id>/abort.json`: a restore was asked to go no further and to be rolled back.

use serde::{Deserialize, Serialize};

/// The request to abort a restore. Who asked first stays on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortRequest {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// Who asked.
    pub by: String,
}
