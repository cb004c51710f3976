//! What stands in for the landscape where no process shall run, and what every stand-in and every real part must
//! do alike.
//!
//! | module | holds |
//! |---|---|
//! | [`contract`] | the suite of each trait: every implementation passes it, those in memory too |
//! | [`keys`] | the keys that sign documents in tests |
//! | [`memory`] | the landscape in memory: clouds, Director, servers, object store |
//! | [`proofs`] | every step of a flow, in every way that it can go wrong |
//!
//! For tests alone. Nothing here starts a process or opens a socket.

pub mod contract;
pub mod keys;
pub mod memory;
pub mod proofs;
mod sample_wal;

pub use sample_wal::sample_segment;
