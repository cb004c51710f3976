//! How a segment is compressed.

use serde::{Deserialize, Serialize};

/// How a segment is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// Not at all. `none` in configurations, `raw` in names.
    #[serde(rename = "none")]
    Raw,
    /// LZ4 frames: cheap.
    #[serde(rename = "lz4")]
    Lz4,
    /// Zstandard frames with a checksum: small.
    #[default]
    #[serde(rename = "zst")]
    Zst,
}
