//! The names in `/var/vcap`, which both sides need.

/// Where the persistent disk is mounted.
pub(super) const STORE: &str = "/var/vcap/store";
/// Where the jobs lie.
pub(super) const JOBS: &str = "/var/vcap/jobs";
/// Where the packages of those jobs are found: links into [`INSTALLED`].
pub(super) const PACKAGES: &str = "/var/vcap/packages";
/// Where packages lie.
pub(super) const INSTALLED: &str = "/var/vcap/data/packages";
/// Where they log.
pub(super) const LOGS: &str = "/var/vcap/sys/log";
/// The only environment of scripts.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
