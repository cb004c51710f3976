//! WAL in the store: names, checks, codecs, push and fetch.

mod archive;
mod codec;
mod header;
mod name;

pub use archive::{PushOptions, Pushed, WalArchive, WalListing};
pub use codec::Codec;
pub use header::SegmentHeader;
pub use name::{ArchiveFile, ArchiveFileError};
