//! `restores/<id>/abort.json`: somebody asked that a restore goes no further and is rolled back.

use serde::{Deserialize, Serialize};

/// The wish for the end of a restore. Who asked first stays on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortRequest {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// Who asked.
    pub by: String,
}
