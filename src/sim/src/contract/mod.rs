//! Contract suites: what every implementation of a trait must do, written once and run on each.

pub mod disk_cloud;
pub mod objects;
