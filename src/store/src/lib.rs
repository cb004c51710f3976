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
//! | know which store it is | [`Store::id`], [`Store::ensure_id`] |
//! | find the cluster of an id | [`Store::cluster_of_backup`], [`Store::cluster_of_restore`] |
//!
//! Nothing here decides policy: what to back up, to restore or to delete arrives as an argument.

mod backups;
mod cluster;
mod config;
mod documents;
mod error;
mod folder;
mod identity;
mod index;
mod keyring;
mod lease;
mod objects;
mod opendal_objects;
mod parallel;
mod releases;
mod requests;
mod restores;
mod retrying;
mod stop_notes;
mod store;
mod transport;
mod wal;

pub use backups::BackupSurvey;
pub use cluster::ClusterStore;
pub use config::StoreConfig;
pub use error::{Damage, Denial, Error, SegmentFault};
pub use keyring::{KeyError, Keyring};
pub use lease::{Keeper, Lease, LeaseHolder, Purpose};
pub use objects::{Created, Metadata, Object, ObjectInfo, Objects, Result};
pub use parallel::in_parallel;
pub use requests::{PendingRequests, Requests};
pub use retrying::{DENIALS_TRIED, RetryingObjects};
pub use store::Store;
pub use wal::{
    ArchiveFile, ArchiveFileError, Codec, PartCommits, PushOptions, Pushed, SearchBounds, SearchedFor,
    SegmentHeader, SegmentSummary, WalArchive, WalConfig, WalEnd, WalListing, below,
};
