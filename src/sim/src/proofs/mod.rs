//! The proof of a flow: every step, in every way that it can go wrong. Each case is a landscape of its
//! own; after it an independent look says whether the work is done and verified, or all is as it was.
//!
//! The harness knows no flow. A flow gets its proofs by naming its steps, where each can be broken ([`Row`]), and
//! what its landscape must look like at the end ([`Subject`]).

mod column;
mod prove;
mod report;
mod site;
mod subject;

pub use column::{Column, Outcome};
pub use prove::prove;
pub use report::{ProofCase, Report};
pub use site::{SLOW, Site};
pub use subject::{Ended, Journalling, Row, Subject};
