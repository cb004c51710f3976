//! A landscape on one machine: Director, disks, VMs, faults. For tests, the demo and benchmarks.

pub mod bosh;
pub mod commands;
pub mod control;
pub mod daemon;
pub mod director;
pub mod folder;
pub mod iaas;
pub mod namespace;
pub mod scenarios;
pub mod vm;
pub mod xfs;
