//! Image files.

use std::fs::File;
use std::io;
use std::path::Path;

/// An id no other object has.
pub(super) fn new_cid<C, E: std::fmt::Debug>(
    kind: &str,
    make: impl Fn(String) -> std::result::Result<C, E>,
) -> C {
    make(format!("{kind}-{:032x}", rand::random::<u128>())).expect("hexadecimal digits are printable")
}

/// Copies an image by sharing its blocks: milliseconds at any size, and the copy is the source at
/// one instant, because the kernel holds its writers off meanwhile.
pub(super) fn clone(source: &Path, target: &Path, bytes: Option<u64>) -> io::Result<()> {
    let from = File::open(source)?;
    let to = File::create_new(target)?;
    rustix::fs::ioctl_ficlone(&to, &from).map_err(|errno| match errno {
        rustix::io::Errno::OPNOTSUPP => io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{} is not on a file system with reflink (XFS, Btrfs)", target.display()),
        ),
        other => other.into(),
    })?;
    if let Some(bytes) = bytes {
        to.set_len(bytes)?;
    }
    to.sync_all()
}
