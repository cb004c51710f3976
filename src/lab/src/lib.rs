//! A landscape on one machine: Director, disks, VMs, faults. For tests, the demo and benchmarks.

pub mod bosh;
pub mod commands;
pub mod contract;
pub mod control;
pub mod daemon;
pub mod director;
pub mod folder;
pub mod iaas;
pub mod memory;
pub mod namespace;
pub mod proxy;
pub mod story;
pub mod vm;
pub mod xfs;
