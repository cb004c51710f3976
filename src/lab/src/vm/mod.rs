//! The machine below the lab's Director: VMs as process trees, disks as image files.
//!
//! ```text
//! lab daemon (own mount namespace, own PID namespace)
//!   │  Machine: CPI calls; one Link per VM
//!   └─ unshare --mount --pid --ipc --uts ─ remount-lab vm-init      PID 1 of the VM; the "agent"
//!          /var/vcap  = <lab>/vms/<cid>/vcap                          ├─ scripts, errands (root)
//!          /var/vcap/store = partition 1 of the disk's image          └─ processes of bpm.yml (vcap)
//! ```
//!
//! The daemon and `vm-init` talk over a socket pair, one JSON document per line ([`protocol`]). When
//! the daemon dies the socket closes, `vm-init` ends, and with it every process of its PID namespace;
//! with the last of them goes the mount namespace, and with that the mounts and loop devices.
//!
//! What differs from a real VM: no network namespace (every VM has a loopback address of its own and
//! reaches all others), bpm's containers are plain processes as `vcap` without mount or PID
//! namespaces, and monit looks twice a second rather than every ten.

pub mod init;
mod link;
pub(crate) mod loops;
mod machine;
mod paths;
pub mod protocol;

pub use machine::{Machine, MachineConfig, cloud_zone};
