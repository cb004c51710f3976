//! How a segment is compressed.

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use lz4_flex::frame::{FrameDecoder, FrameEncoder, FrameInfo};
use serde::{Deserialize, Serialize};

/// How a segment is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// Not at all.
    #[serde(rename = "none")]
    Raw,
    /// LZ4 frames with a checksum: cheap.
    #[serde(rename = "lz4")]
    Lz4,
    /// Zstandard frames with a checksum: small.
    #[default]
    #[serde(rename = "zst")]
    Zst,
}

/// Zstandard's own default: beyond it WAL gets little smaller and much slower.
const ZSTD_LEVEL: i32 = 3;

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Zst, Self::Lz4, Self::Raw];

    /// What it is in the header of an object.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Lz4 => 1,
            Self::Zst => 2,
        }
    }

    /// The codec with this number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.number() == number)
    }

    pub(crate) fn compress(self, content: &Bytes) -> io::Result<Bytes> {
        match self {
            Self::Raw => Ok(content.clone()),
            Self::Lz4 => {
                let frame = FrameInfo::new().content_checksum(true).content_size(Some(content.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
                encoder.write_all(content)?;
                Ok(encoder.finish().map_err(io::Error::other)?.into())
            }
            Self::Zst => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(Some(content.len() as u64))?;
                encoder.write_all(content)?;
                Ok(encoder.finish()?.into())
            }
        }
    }

    /// Reads the raw content out of what is stored.
    pub(crate) fn reader(self, stored: &[u8]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Raw => Box::new(stored),
            Self::Lz4 => Box::new(FrameDecoder::new(stored)),
            Self::Zst => Box::new(zstd::Decoder::with_buffer(stored)?),
        })
    }
}

impl fmt::Display for Codec {
    /// As in configurations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "none",
            Self::Lz4 => "lz4",
            Self::Zst => "zst",
        })
    }
}
