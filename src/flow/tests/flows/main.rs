//! Backup, restore, rollback and old disks against the landscape in memory. The proofs (`../proofs/`) are apart: they
//! take longer, and `cargo xtask proofs` runs them alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abort;
mod backup;
mod design;
mod every_step;
mod journal;
mod old_disks;
mod restore;
mod retention;
mod rollback;
mod state;
mod support;
mod transcripts;
