//! The lease of a cluster, as it lies in the store.

use serde::{Deserialize, Serialize};

/// `lease/<epoch>.json`: who holds this epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseDocument {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// Host, program and process.
    pub owner: String,
    /// What for, as text: a later version may know more purposes.
    pub purpose: String,
    /// The lease ends after so long without a sign of life, by the store's clock.
    pub term_seconds: f64,
    /// Tells the creation's winner from a loser that has lost the answer.
    pub nonce: u64,
}

/// `lease/<epoch>.beat` and `.released`. What counts is when the store says it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSign {
    /// [`super::FORMAT`] of the writer.
    pub format: u32,
    /// The epoch it is of.
    pub epoch: u64,
}
