//! A block of loopback addresses for each landscape, so that several run side by side.

use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use fs2::FileExt as _;

use crate::director::AddressBlock;

/// Where the landscapes of this machine lock their blocks.
const LOCKS: &str = "/run/remount-lab";

/// A block: all of 127.N.0.0/16. It is free again when this is dropped, or its process ends.
#[derive(Debug)]
pub struct Block {
    /// The VMs' addresses.
    pub addresses: AddressBlock,
    _lock: File,
}

impl Block {
    /// Takes the first free one.
    ///
    /// # Errors
    /// All are taken.
    pub fn take() -> Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("make {LOCKS}"))?;
        for second in 20..=250 {
            let path = format!("{LOCKS}/127.{second}");
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let lock = file.with_context(|| format!("open {path}"))?;
            if lock.try_lock_exclusive().is_ok() {
                let addresses = AddressBlock {
                    first: Ipv4Addr::new(127, second, 0, 2),
                    last: Ipv4Addr::new(127, second, 255, 254),
                };
                return Ok(Self { addresses, _lock: lock });
            }
        }
        bail!("every block of loopback addresses is taken: too many landscapes run on this machine")
    }
}
