//! Backup, restore, rollback and old disks against the landscape in memory. The proofs (`../proofs/`) are apart: they
//! take longer, and `cargo xtask proofs` runs them alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod design;
mod every_step;
mod old_disks;
mod promotion;
mod restore;
mod rollback;
mod support;
mod transcripts;
