//! Backup, restore, rollback and old disks against the landscape in memory. One binary: each would link all that is below
//! once more. `cargo xtask proofs` runs the proofs alone.

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
mod proofs;
mod restore;
mod retention;
mod rollback;
mod state;
mod support;
mod targets;
mod transcripts;
mod unarchived;
