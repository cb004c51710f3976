//! WAL in the store: names, checks, codecs, push and fetch.

mod archive;
mod codec;
mod commits;
mod config;
mod end;
mod header;
mod name;
mod object;
mod records;
mod search;
mod summary;
mod tail;
mod verify;

pub use archive::{PushOptions, Pushed, WalArchive, WalListing};
pub use codec::Codec;
pub use config::WalConfig;
pub use end::{WalEnd, below};
pub use header::SegmentHeader;
pub use name::{ArchiveFile, ArchiveFileError};
pub use search::{PartCommits, SearchBounds};
pub use summary::{SearchedFor, SegmentSummary};
