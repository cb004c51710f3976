//! What a disk is, apart from what lies on it: a disk that takes another one's place must be the same.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{CloudText, DiskCid, InstanceSlug};

/// The disk of an instance, as a manifest records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// The instance that had it.
    pub instance: InstanceSlug,
    /// Its id.
    pub cid: DiskCid,
    /// The instance's availability zone, as the Director names it: never a zone of the cloud.
    pub az: Option<String>,
    /// What the cloud says it is.
    #[serde(flatten)]
    pub shape: DiskShape,
}

/// What one disk has in common with the disk that takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskShape {
    /// The zone it lies in, as the cloud names it; none where the cloud has zoneless disks.
    #[serde(default)]
    pub zone: Option<String>,
    /// Its size in MiB.
    pub size_mib: u64,
    /// Its type in the cloud's words; empty takes the cloud's default.
    #[serde(default)]
    pub disk_type: String,
    /// Everything else that has to be asked for when a disk is made.
    #[serde(default, skip_serializing_if = "DiskAttributes::is_default")]
    pub attributes: DiskAttributes,
}

/// What has to be asked for beside zone, size and type. None: the cloud has no such thing, or its default is meant.
///
/// | | AWS | Azure | Google | Alibaba | OpenStack |
/// |---|---|---|---|---|---|
/// | `iops` | `Iops` | `diskIOPSReadWrite` | `provisionedIops` | `ProvisionedIops` | its type's |
/// | `throughput_mib` | `Throughput` | `diskMBpsReadWrite` | `provisionedThroughput` | its level's | its type's |
/// | `performance_level` | – | `tier` | – | `PerformanceLevel` | – |
/// | `caching` | – | in the CID | – | – | – |
/// | `resource_group` | – | in the CID | – | `ResourceGroupId` | – |
/// | `sector_bytes` | – | `logicalSectorSize` | `physicalBlockSizeBytes` | – | – |
/// | `encryption` | `KmsKeyId` | `encryption` | `kmsKeyName` | `KMSKeyId` | its type's |
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskAttributes {
    /// Operations per second that are paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<NonZeroU32>,
    /// MiB per second that are paid for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_mib: Option<NonZeroU32>,
    /// `PL1`, `P30`, …: a class of speed within the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_level: Option<CloudText>,
    /// What the VM's host caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caching: Option<DiskCaching>,
    /// The group it is accounted and found in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<CloudText>,
    /// The logical sector: a file system made on the one cannot be mounted on the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_bytes: Option<SectorSize>,
    /// How it is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<DiskEncryption>,
}

impl DiskAttributes {
    /// Whether nothing has to be asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Those that are set, by the names of the document: for people, and to compare.
    #[must_use]
    pub fn named(&self) -> BTreeMap<&'static str, String> {
        let number = |number: Option<NonZeroU32>| number.map(|number| number.to_string());
        let text = |text: &Option<CloudText>| text.as_ref().map(ToString::to_string);
        let all = [
            ("iops", number(self.iops)),
            ("throughput_mib", number(self.throughput_mib)),
            ("performance_level", text(&self.performance_level)),
            ("caching", self.caching.map(|caching| caching.as_str().to_owned())),
            ("resource_group", text(&self.resource_group)),
            ("sector_bytes", self.sector_bytes.map(|size| u32::from(size).to_string())),
            ("encryption", self.encryption.as_ref().map(DiskEncryption::described)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// What the VM's host caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskCaching {
    /// Nothing.
    None,
    /// Reads.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

impl DiskCaching {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReadOnly => "read_only",
            Self::ReadWrite => "read_write",
        }
    }
}

/// The size of a logical sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum SectorSize {
    /// 512 bytes.
    Bytes512,
    /// 4096 bytes.
    Bytes4096,
}

impl From<SectorSize> for u32 {
    fn from(size: SectorSize) -> Self {
        match size {
            SectorSize::Bytes512 => 512,
            SectorSize::Bytes4096 => 4096,
        }
    }
}

impl TryFrom<u32> for SectorSize {
    type Error = String;

    fn try_from(bytes: u32) -> Result<Self, String> {
        match bytes {
            512 => Ok(Self::Bytes512),
            4096 => Ok(Self::Bytes4096),
            other => Err(format!("{other} is not the size of a sector (512 or 4096)")),
        }
    }
}

/// How a disk is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskEncryption {
    /// The customer's key, in the cloud's form; none where the cloud's own key is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<CloudText>,
    /// The cloud's name of the way, where it has several and none can be changed later (Azure's `encryption.type`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<CloudText>,
}

impl DiskEncryption {
    fn described(&self) -> String {
        let key = self.key.as_ref().map_or_else(|| "the cloud's key".into(), |key| format!("key {key}"));
        self.scheme.as_ref().map_or_else(|| key.clone(), |scheme| format!("{key} ({scheme})"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    fn full() -> Value {
        json!({
            "instance": {"group": "postgres", "id": "a"}, "cid": "caching:None;disk_name:d;resource_group_name:rg",
            "az": "z1", "zone": "westeurope-2", "size_mib": 10_240, "disk_type": "PremiumV2_LRS",
            "attributes": {
                "iops": 5000, "throughput_mib": 250, "performance_level": "P30", "caching": "none",
                "resource_group": "rg", "sector_bytes": 4096,
                "encryption": {"key": "/subscriptions/s/des", "scheme": "EncryptionAtRestWithCustomerKey"},
            },
        })
    }

    #[test]
    fn a_record_keeps_everything_and_the_two_kinds_of_zone_apart() {
        let record: DiskRecord = from_value(full()).unwrap();
        assert_eq!((record.az.as_deref(), record.shape.zone.as_deref()), (Some("z1"), Some("westeurope-2")));
        assert_eq!(to_value(&record).unwrap(), full());
        assert_eq!(record.shape.attributes.named().len(), 7);
    }

    #[test]
    fn what_no_cloud_can_mean_is_refused() {
        for (name, value) in [
            ("iops", json!(0)),
            ("sector_bytes", json!(520)),
            ("caching", json!("sometimes")),
            ("performance_level", json!("")),
            ("resource_group", json!("two words")),
            ("encryption", json!({"key": "a\nb"})),
        ] {
            let mut document = full();
            document["attributes"][name] = value;
            assert!(from_value::<DiskRecord>(document).is_err(), "{name}");
        }
    }
}
