//! Stores that lie.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use remount_sim::contract::objects;
use remount_sim::memory::MemoryObjects;
use remount_store::{Created, Error, Metadata, Object, ObjectInfo, Objects, Result};

use super::assert_caught;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// A create writes over what is there.
    Overwrites,
    /// A create says that it made what was there before.
    ClaimsAll,
    /// Metadata is dropped.
    DropsMetadata,
    /// However long an object is, it is read.
    ReadsAll,
    /// Absence is a failure.
    FailsWhereAbsent,
    /// A replace leaves what is there.
    ReplacesNothing,
    /// A listing comes in any order.
    Shuffles,
    /// The start of an object lacks its last byte.
    StartsShort,
}

const LIARS: [(Lie, &str); 8] = [
    (Lie::Overwrites, "a_second_create_touches_nothing"),
    (Lie::ClaimsAll, "of_many_creates_one_wins"),
    (Lie::DropsMetadata, "an_object_is_read_back_whole"),
    (Lie::ReadsAll, "what_is_too_long_is_not_read"),
    (Lie::FailsWhereAbsent, "what_is_absent_is_absent"),
    (Lie::ReplacesNothing, "a_replaced_object_is_the_new_one"),
    (Lie::StartsShort, "an_object_is_read_back_whole"),
    (Lie::Shuffles, "a_listing_is_sorted_and_stays_below_its_prefix"),
];

#[derive(Debug)]
struct Liar {
    inner: MemoryObjects,
    lie: Lie,
}

impl Liar {
    fn absent<T>(&self, path: &str, found: Option<T>) -> Result<Option<T>> {
        if found.is_none() && self.lie == Lie::FailsWhereAbsent {
            return Err(Error::Unanswered { action: format!("read {path}"), source: "404".into() });
        }
        Ok(found)
    }
}

#[async_trait]
impl Objects for Liar {
    async fn create(&self, path: &str, content: Bytes, metadata: &Metadata) -> Result<Created> {
        let none = Metadata::new();
        let metadata = if self.lie == Lie::DropsMetadata { &none } else { metadata };
        let created = self.inner.create(path, content.clone(), metadata).await?;
        if self.lie == Lie::Overwrites {
            self.inner.replace(path, content).await?;
        }
        Ok(if self.lie == Lie::ClaimsAll { Created::New } else { created })
    }

    async fn replace(&self, path: &str, content: Bytes) -> Result<()> {
        if self.lie == Lie::ReplacesNothing && self.inner.stat(path).await?.is_some() {
            return Ok(());
        }
        self.inner.replace(path, content).await
    }

    async fn read_within(&self, path: &str, most: u64) -> Result<Option<Object>> {
        let most = if self.lie == Lie::ReadsAll { u64::MAX } else { most };
        self.absent(path, self.inner.read_within(path, most).await?)
    }

    async fn read_start(&self, path: &str, bytes: u64) -> Result<Option<Bytes>> {
        let bytes = if self.lie == Lie::StartsShort { bytes.saturating_sub(1) } else { bytes };
        self.absent(path, self.inner.read_start(path, bytes).await?)
    }

    async fn stat(&self, path: &str) -> Result<Option<(ObjectInfo, Metadata)>> {
        self.absent(path, self.inner.stat(path).await?)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let mut listed = self.inner.list(prefix).await?;
        if self.lie == Lie::Shuffles {
            listed.reverse();
        }
        Ok(listed)
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.folders(prefix).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path).await
    }
}

#[tokio::test]
async fn every_check_catches_a_liar() {
    assert_caught(&LIARS, async |lie| {
        let liar = Liar { inner: MemoryObjects::new(), lie };
        objects::run(&format!("{lie:?}"), Arc::new(liar)).await
    })
    .await;
}
