//! The lab's BOSH Director: the real HTTP API for what Remount uses, and the Director's rules, the
//! unpleasant ones too (`docs/reference/bosh-director.md` section 14).
//!
//! | rule | where |
//! |---|---|
//! | 302 with an absolute `Location`, `text/html`, error bodies, `Endpoint … not found.` | `routes` |
//! | basic auth, UAA tokens that expire, scopes (401 with 600000) | `auth` |
//! | bounded workers, urgent queue, `cancelling`, lazily `timeout`, cut `result`, context ids | `tasks`, `core` |
//! | deployment lock with a bounded wait and code 100 | `locks` |
//! | attach without a lock, size 1, half state after a failure, `disk_cid unique` | `attach_disk` |
//! | soft start is blind to disks; a failed start is `started` nevertheless | `update_instance` |
//! | a deploy migrates data away from a disk whose record differs | `update_disk` |
//! | errands hold the lock, are `done` with any exit code, refuse beside stopped instances | `errands` |
//! | disabled snapshots are `done` with nothing taken | `snapshots` |
//! | a resurrection takes the free lock between two tasks, or fails at once | `scan_and_fix` |
//!
//! CPI and agents are behind [`crate::iaas::Iaas`]. All rows are in memory behind one mutex that is
//! never held across a call to them. What it never does: repair anything by itself.

mod attach_disk;
mod auth;
mod certificates;
mod config;
mod core;
mod delete_deployment;
mod deploy;
mod disk_steps;
mod errands;
mod error;
mod faults;
mod ids;
mod job_spec;
mod lifecycle;
mod links;
mod locks;
mod manifest;
mod orphans;
mod plan;
mod prepare;
mod render;
mod routes;
mod rsa;
mod scan_and_fix;
mod server;
mod snapshots;
mod state;
mod task_context;
mod tasks;
mod update_deployed;
mod update_disk;
mod update_instance;
mod variables;
mod vms;

pub use config::{Account, AddressBlock, LabDirectorConfig, RenderCommand, Secret, Variables};
pub use faults::{Fault, FaultKind, Operation};
pub use server::{DirectorHandle, DirectorServer, Faults, StartError};
pub use variables::{NotYaml, fill_in};
