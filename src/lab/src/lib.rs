//! A landscape on one machine: Director, disks, VMs, faults. For tests, the demo and benchmarks.

pub mod iaas;
pub mod memory;
