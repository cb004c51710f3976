//! The lifecycle scripts of the job `remount-agent`, a file each. When BOSH runs which: `docs/lifecycle.md`.

mod drain;
mod post_deploy;
mod post_start;
mod post_stop;
mod pre_start;

use crate::error::{Result, system};

pub use drain::{answer, archive_rest, drain, log_to};
pub use post_deploy::post_deploy;
pub use post_start::post_start;
pub use post_stop::post_stop;
pub use pre_start::{guard, lock, pre_start};

/// A runtime on this thread alone: hooks wait much and compute little.
///
/// # Errors
/// The kernel gives no event loop.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("start the runtime"))
}
