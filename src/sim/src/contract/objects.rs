//! What every [`Objects`] must do.
//!
//! | guarantee | check |
//! |---|---|
//! | content and metadata are read back whole, whatever the size | `an_object_is_read_back_whole` |
//! | what is longer than the reader bears is not read | `what_is_too_long_is_not_read` |
//! | a create where an object is changes nothing of it | `a_second_create_touches_nothing` |
//! | absent is an answer; delete of what is gone succeeds | `what_is_absent_is_absent` |
//! | the last writer wins, and the store's clock goes on | `a_replaced_object_is_the_new_one` |
//! | a listing is sorted, whole and below its prefix alone | `a_listing_is_sorted_and_stays_below_its_prefix` |
//! | of many creates side by side one wins, and its content stays | `of_many_creates_one_wins` |

#![allow(clippy::unwrap_used, reason = "it is a test: a store that fails here fails it")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use remount_store::{Created, Error, Metadata, Objects};

use super::suite::{self, CHECK_LIMIT, checks};
use super::{Check, Report, Verdict};

/// The checks, in order.
const CHECKS: &[Check<Subject>] = checks![Subject:
    self::an_object_is_read_back_whole,
    self::what_is_too_long_is_not_read,
    self::a_second_create_touches_nothing,
    self::what_is_absent_is_absent,
    self::a_replaced_object_is_the_new_one,
    self::a_listing_is_sorted_and_stays_below_its_prefix,
    self::of_many_creates_one_wins,
];

/// Runs the suite on a store, each check below a prefix of its own. What it writes stays there.
pub async fn run(name: &str, objects: Arc<dyn Objects>) -> Report {
    let fresh = async || Subject {
        objects: objects.clone(),
        prefix: format!("contract/{:016x}/", rand::random::<u64>()),
    };
    suite::run("Objects", name, CHECKS, CHECK_LIMIT, fresh).await
}

/// A store and where to work in it.
#[derive(Clone, Debug)]
pub struct Subject {
    objects: Arc<dyn Objects>,
    prefix: String,
}

async fn an_object_is_read_back_whole(Subject { objects, prefix }: Subject) -> Verdict {
    let metadata = Metadata::from([("raw-bytes".into(), "5".into()), ("b".into(), "x y".into())]);
    let large: Bytes = (0u32..1 << 20).flat_map(u32::to_le_bytes).collect::<Vec<_>>().into();
    for (name, content) in
        [("small", Bytes::from_static(b"small")), ("large", large), ("empty", Bytes::new())]
    {
        let path = format!("{prefix}whole/{name}");
        let created = objects.create(&path, content.clone(), &metadata).await.unwrap();
        assert_eq!(created, Created::New, "{name}");
        let object = objects.read(&path).await.unwrap().expect("a created object is there");
        assert!(object.content == content, "the content of {name} is whole");
        assert_eq!(object.metadata, metadata, "the metadata of {name} is whole");
        let start = objects.read_start(&path, 5).await.unwrap().expect("a created object is there");
        assert!(start == content.slice(..content.len().min(5)), "the start of {name} is its first bytes");
        let (info, stat) = objects.stat(&path).await.unwrap().expect("a created object is there");
        assert_eq!((info.path, info.size_bytes, stat), (path, content.len() as u64, metadata.clone()));
    }
    Verdict::Holds
}

async fn what_is_too_long_is_not_read(Subject { objects, prefix }: Subject) -> Verdict {
    let path = format!("{prefix}long");
    let content = Bytes::from(vec![7; 100_000]);
    objects.create(&path, content.clone(), &Metadata::new()).await.unwrap();
    let whole = objects.read_within(&path, 100_000).await.unwrap().expect("it is there");
    assert!(whole.content == content);
    for most in [99_999, 0] {
        let refused = objects.read_within(&path, most).await.map(drop);
        let Err(error @ Error::Document { .. }) = refused else { panic!("{most}: {refused:?}") };
        assert!(error.to_string().contains(&path) && error.to_string().contains("bytes"), "{error}");
    }
    assert!(objects.read_within(&format!("{prefix}none"), 0).await.unwrap().is_none());
    Verdict::Holds
}

async fn a_second_create_touches_nothing(Subject { objects, prefix }: Subject) -> Verdict {
    let path = format!("{prefix}second");
    let metadata = Metadata::from([("who".into(), "first".into())]);
    objects.create(&path, Bytes::from_static(b"first"), &metadata).await.unwrap();
    let before = objects.stat(&path).await.unwrap();
    let created = objects.create(&path, Bytes::from_static(b"second"), &Metadata::new()).await.unwrap();
    assert_eq!(created, Created::Existed);
    assert_eq!(objects.stat(&path).await.unwrap(), before, "the first object is untouched");
    assert_eq!(objects.read(&path).await.unwrap().unwrap().content, "first");
    Verdict::Holds
}

async fn what_is_absent_is_absent(Subject { objects, prefix }: Subject) -> Verdict {
    let path = format!("{prefix}absent/deep/down");
    assert!(objects.read(&path).await.unwrap().is_none(), "nothing is read");
    assert!(objects.read_start(&path, 8).await.unwrap().is_none(), "nothing begins");
    assert!(objects.stat(&path).await.unwrap().is_none(), "nothing is seen");
    assert!(objects.list(&format!("{prefix}absent/")).await.unwrap().is_empty(), "nothing is listed");
    assert!(objects.folders(&format!("{prefix}absent/")).await.unwrap().is_empty(), "no folder is listed");
    objects.delete(&path).await.expect("what is gone counts as deleted");

    objects.create(&path, Bytes::from_static(b"x"), &Metadata::new()).await.unwrap();
    objects.delete(&path).await.unwrap();
    objects.delete(&path).await.expect("what is gone counts as deleted");
    assert!(objects.read(&path).await.unwrap().is_none(), "a deleted object is gone");
    let again = objects.create(&path, Bytes::from_static(b"y"), &Metadata::new()).await.unwrap();
    assert_eq!(again, Created::New, "a deleted object can be created again");
    Verdict::Holds
}

async fn a_replaced_object_is_the_new_one(Subject { objects, prefix }: Subject) -> Verdict {
    let path = format!("{prefix}replaced");
    let mut last = None;
    for content in ["one", "two, longer", ""] {
        objects.replace(&path, Bytes::from_static(content.as_bytes())).await.unwrap();
        assert_eq!(objects.read(&path).await.unwrap().unwrap().content, content);
        let modified = objects.stat(&path).await.unwrap().map(|(info, _)| info.modified);
        assert!(modified >= last, "the store's clock goes on");
        last = modified;
    }
    Verdict::Holds
}

async fn a_listing_is_sorted_and_stays_below_its_prefix(Subject { objects, prefix }: Subject) -> Verdict {
    let names = ["b/2", "a/x/1", "b/10", "a.json", "ab/1"];
    for name in names {
        let path = format!("{prefix}list/{name}");
        objects.create(&path, Bytes::from_static(b"x"), &Metadata::new()).await.unwrap();
    }
    let below = async |folder: &str| {
        let listed = objects.list(&format!("{prefix}list/{folder}")).await.unwrap();
        let skip = prefix.len() + "list/".len();
        listed.into_iter().map(|info| info.path[skip..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(below("").await, ["a.json", "a/x/1", "ab/1", "b/10", "b/2"]);
    assert_eq!(below("a/").await, ["a/x/1"]);
    assert_eq!(objects.folders(&format!("{prefix}list/")).await.unwrap(), ["a", "ab", "b"]);
    let listed = objects.list(&format!("{prefix}list/a/")).await.unwrap();
    let stat = objects.stat(&listed[0].path).await.unwrap().map(|(info, _)| info).unwrap();
    assert_eq!(listed[0].size_bytes, stat.size_bytes);
    let seconds = listed[0].modified.duration_since(stat.modified).abs().as_secs();
    assert_eq!(seconds, 0, "listing and stat tell the same time, but for fractions");
    Verdict::Holds
}

async fn of_many_creates_one_wins(Subject { objects, prefix }: Subject) -> Verdict {
    let path = format!("{prefix}race");
    let racers: Vec<_> = (0..16)
        .map(|racer| {
            let (objects, path) = (objects.clone(), path.clone());
            let content = Bytes::from(format!("racer {racer}").repeat(10_000));
            tokio::spawn(async move {
                let created = objects.create(&path, content.clone(), &Metadata::new()).await.unwrap();
                (created, content)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        let (created, content) = racer.await.expect("no racer panics");
        if created == Created::New {
            winners.push(content);
        }
    }
    assert_eq!(winners.len(), 1, "exactly one create wins");
    assert!(objects.read(&path).await.unwrap().unwrap().content == winners[0], "and its content stays");
    let listed: BTreeSet<_> =
        objects.list(&prefix).await.unwrap().into_iter().map(|info| info.path).collect();
    assert_eq!(listed.iter().filter(|listed| **listed == path).count(), 1);
    Verdict::Holds
}
