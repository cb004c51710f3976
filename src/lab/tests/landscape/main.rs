//! What the issue promises, on a real landscape: real PostgreSQL, disks, Director rules, processes. Each test
//! brings up a landscape of its own and drives it by the commands an operator types. Run as root.

mod backup;
mod colocation;
mod deployed;
mod fence;
mod late;
mod lifecycle;
mod meanwhile;
mod promotion;
mod proofs;
mod refusals;
mod rollbacks;
mod states;
mod stop;
mod targets;
mod test_landscape;
mod twice;
mod under_load;
