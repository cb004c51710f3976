//! The forms of CIDs. A CPI may make them of several parts, in any order; the cloud itself knows only a name.

use remount_cloud::CloudVm;
use remount_core::{DiskCid, VmCid};

/// How CIDs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CidForm {
    /// The name alone.
    #[default]
    Plain,
    /// Several parts, as Azure's CPI makes them. What a deploy made years ago has another order than what is made now.
    Composite,
}

impl CidForm {
    /// As the cloud names a disk itself.
    pub fn disk(self, name: &str) -> DiskCid {
        let cid = match self {
            Self::Plain => name.to_owned(),
            Self::Composite => format!("caching:None;disk_name:{name};resource_group_name:memory"),
        };
        DiskCid::new(cid).expect("a CID")
    }

    /// As a Director names a disk that its CPI made long ago.
    pub fn old_disk(self, name: &str) -> DiskCid {
        match self {
            Self::Plain => self.disk(name),
            Self::Composite => other_form(name),
        }
    }

    /// As a Director names a VM.
    pub fn vm(self, name: &str) -> VmCid {
        let cid = match self {
            Self::Plain => name.to_owned(),
            Self::Composite => format!("agent_id:{name};resource_group_name:memory"),
        };
        VmCid::new(cid).expect("a CID")
    }
}

/// A disk's name, as a CID of other parts than the cloud's own.
pub fn other_form(name: &str) -> DiskCid {
    DiskCid::new(format!("resource_group_name:memory;disk_name:{name}")).expect("a CID")
}

/// The name in a CID, whatever its form: what the cloud finds a disk by.
pub fn name_of(cid: &DiskCid) -> DiskCid {
    let name = cid.as_str().split(';').find_map(|part| part.strip_prefix("disk_name:"));
    name.map_or_else(|| cid.clone(), |name| DiskCid::new(name).expect("part of a CID"))
}

/// A VM in the cloud's words.
pub fn cloud_vm(cid: &VmCid) -> CloudVm {
    let name = cid.as_str().split(';').find_map(|part| part.strip_prefix("agent_id:"));
    CloudVm(name.unwrap_or(cid.as_str()).to_owned())
}
