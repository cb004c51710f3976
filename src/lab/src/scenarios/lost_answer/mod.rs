//! Answers that get lost: what was asked for has happened, and who asked is not told.
//!
//! | whose          | how it gets lost                                                                          |
//! |----------------|-------------------------------------------------------------------------------------------|
//! | the Director's | the lab's Director carries the request out and closes the connection                      |
//! | an agent's     | the fault proxy stands between process and agents, asks, and closes the connection         |
//! | of files       | the file has its name; the folder's fsync, which tells so, fails once (`strace` does that) |
//!
//! Cloud `local` and store `fs` have no peer that could be silent: they are files. What an NFS server that
//! does not answer leaves is a file that is there and a call that failed, and so does this.

mod agents;
mod files;

use std::path::PathBuf;

use serde_json::Value;

pub use agents::BeforeAgents;
pub use files::Unanswered;

/// Whose answer gets lost, once.
#[derive(Clone, Debug)]
pub enum LostAnswer {
    /// The Director's, as `remount-lab break director` has it.
    Director(Value),
    /// Of what is written to this folder.
    Files(PathBuf),
    /// The primary's agent's, to a request for this path, after so many that it answers.
    Agent(&'static str, u32),
}
