//! A landscape on one machine: Director, disks, VMs, faults. For tests, the demo and benchmarks.

pub mod contract;
pub mod director;
pub mod iaas;
pub mod namespace;
pub mod vm;
pub mod xfs;
