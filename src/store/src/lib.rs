//! The object store: the source of truth. Manifests, WAL, plans, journals and leases, on S3, Azure
//! Blob, GCS, OSS, Swift or a filesystem.

mod error;
mod objects;

pub use error::Error;
pub use objects::{Created, Metadata, Object, ObjectInfo, Objects, Result};
