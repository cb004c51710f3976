//! Backup, restore, rollback and old disks against the landscape in memory. The proofs (`../proofs/`) are apart: they
//! take longer, and `cargo xtask proofs` runs them alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abort;
mod attacker;
mod backup;
mod design;
mod disks;
mod every_step;
mod journal;
mod old_disks;
mod ownership;
mod promotion;
mod restore;
mod retention;
mod rollback;
mod state;
mod support;
mod targets;
mod transcripts;
mod unarchived;
