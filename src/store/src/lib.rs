//! The object store: the source of truth. Manifests, WAL, plans, journals and leases, on S3 or a
//! filesystem.
//!
//! | to | ask |
//! |---|---|
//! | open a store from a program's configuration | [`StoreConfig::open`] |
//! | reach one cluster's documents | [`Store::cluster`], [`ClusterStore`] |
//! | act on a cluster, alone | [`ClusterStore::take_lease`], [`Lease`] |
//! | push, fetch and list WAL | [`ClusterStore::wal`], [`WalArchive`] |
//! | ask for a restore | [`Store::requests`], [`Requests`] |
//!
//! Nothing here decides policy: what to back up, to restore or to delete arrives as an argument.

mod cluster;
mod config;
#[cfg(feature = "contract")]
pub mod contract;
mod documents;
mod error;
mod folder;
mod key;
mod lease;
mod lease_keeper;
mod lease_table;
mod memory;
mod objects;
mod opendal_objects;
mod releases;
mod requests;
mod restores;
mod store;
mod transport;
mod wal;

pub use cluster::{BackupSurvey, ClusterStore};
pub use config::StoreConfig;
pub use error::{Damage, Error, SegmentFault};
pub use key::{KeyError, SigningKey};
pub use lease::{Keeper, Lease, LeaseHolder, Purpose};
pub use memory::MemoryObjects;
pub use objects::{Created, Metadata, Object, ObjectInfo, Objects, Result};
pub use releases::ReleaseNote;
pub use requests::{OnFailure, RequestOutcome, Requests, RestoreRequest};
pub use store::Store;
pub use wal::{
    ArchiveFile, ArchiveFileError, Codec, PushOptions, Pushed, SegmentHeader, WalArchive, WalListing,
};
