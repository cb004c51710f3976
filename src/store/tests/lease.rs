//! The lease: one holder at a time, take-over after silence, late writes refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;
use std::time::Duration;

use remount_core::documents::{JournalEvent, What};
use remount_core::{OperatorError, RestoreId, Retry};
use remount_sim::keys;
use remount_store::{ClusterStore, Error, Keyring, Lease, Metadata, Objects, Purpose, Store};
use support::{Moto, cluster, folder, memory};

const TERM: Duration = Duration::from_secs(60);

async fn take(cluster: &ClusterStore, owner: &str) -> Result<Lease, Error> {
    cluster.take_lease(owner, Purpose::Restore, TERM).await
}

fn restore() -> RestoreId {
    "20261123T004500Z-k3f9".parse().unwrap()
}

async fn one_holds_it_and_the_next_gets_it_after_the_release(cluster: &ClusterStore) {
    assert_eq!(cluster.lease_holder().await.unwrap(), None);
    let first = take(cluster, "first").await.unwrap();
    assert_eq!(first.epoch(), 1);
    let error = take(cluster, "second").await.unwrap_err();
    let Error::Leased { owner, purpose, epoch, since, .. } = &error else { panic!("{error:?}") };
    assert_eq!((owner.as_str(), &**purpose, *epoch), ("first", "restore", 1));
    assert_eq!(error.retry(), Retry::Later);
    let holder = cluster.lease_holder().await.unwrap().unwrap();
    assert_eq!((holder.owner.as_str(), holder.since, holder.expired), ("first", *since, false));

    first.beat().await.unwrap();
    first.release().await.unwrap();
    first.release().await.expect("releasing twice is success");
    assert_eq!(cluster.lease_holder().await.unwrap(), None);
    assert_eq!(take(cluster, "second").await.unwrap().epoch(), 2);
    let error = first.check().await.unwrap_err();
    assert!(matches!(error, Error::Fenced { epoch: 1, taken_by: 2, .. }), "{error:?}");
}

fn event(n: u64, step: &str) -> JournalEvent {
    let what = What::Intended { step: step.into() };
    JournalEvent { format: 1, n, at: jiff::Timestamp::UNIX_EPOCH, epoch: 1, what }
}

#[tokio::test]
async fn in_memory_one_holds_it_and_the_next_gets_it_after_the_release() {
    one_holds_it_and_the_next_gets_it_after_the_release(&cluster(&memory().1)).await;
}

#[tokio::test]
async fn in_a_folder_one_holds_it_and_the_next_gets_it_after_the_release() {
    let root = tempfile::tempdir().unwrap();
    one_holds_it_and_the_next_gets_it_after_the_release(&cluster(&folder(root.path()))).await;
}

#[tokio::test]
async fn on_s3_one_holds_it_and_the_next_gets_it_after_the_release() {
    let moto = Moto::start();
    one_holds_it_and_the_next_gets_it_after_the_release(&cluster(&moto.store().await)).await;
}

#[tokio::test]
async fn a_silent_owner_is_taken_over_by_the_stores_clock_alone() {
    // The store's clock stands 26 years behind the machine's: by the machine's every lease is long dead.
    let (objects, store) = memory();
    let cluster = cluster(&store);
    let first = take(&cluster, "first").await.unwrap();
    objects.advance(TERM);
    assert!(matches!(take(&cluster, "second").await, Err(Error::Leased { .. })), "the term has not passed");
    first.beat().await.unwrap();
    objects.advance(TERM);
    assert!(matches!(take(&cluster, "second").await, Err(Error::Leased { .. })), "it beat in between");

    objects.advance(Duration::from_secs(2));
    assert!(cluster.lease_holder().await.unwrap().unwrap().expired);
    let second = take(&cluster, "second").await.unwrap();
    assert_eq!(second.epoch(), 2);
    for late in [first.check().await, first.beat().await] {
        assert!(matches!(late, Err(Error::Fenced { taken_by: 2, .. })), "{late:?}");
    }
    second.check().await.unwrap();
}

#[tokio::test]
async fn late_writes_of_a_fenced_owner_are_refused() {
    let (objects, store) = memory();
    let cluster = cluster(&store);
    let first = take(&cluster, "first").await.unwrap();
    cluster.append_journal(&restore(), &event(1, "plan"), &first).await.unwrap();
    objects.advance(TERM * 2);
    let second = take(&cluster, "second").await.unwrap();

    let late = [
        cluster.append_journal(&restore(), &event(2, "late"), &first).await,
        cluster.publish(&restore(), &first).await,
        cluster.withdraw(&first).await,
        cluster
            .prune_backup(
                &"20261123T004500Z-k3f9".parse().unwrap(),
                jiff::Timestamp::UNIX_EPOCH,
                "old",
                &first,
            )
            .await,
    ];
    for late in late {
        assert!(matches!(late, Err(Error::Fenced { epoch: 1, taken_by: 2, .. })), "{late:?}");
    }
    cluster.append_journal(&restore(), &event(2, "next"), &second).await.unwrap();
    let journal = cluster.journal(&restore()).await.unwrap();
    assert_eq!(journal, [event(1, "plan"), event(2, "next")]);
}

/// A VM that was suspended while the keys were replaced: it cannot verify who has the lease now.
#[tokio::test]
async fn a_process_that_slept_is_fenced_by_an_owner_whose_key_it_does_not_know() {
    let (objects, store) = memory();
    let slept = take(&cluster(&store), "slept").await.unwrap();
    objects.advance(TERM * 2);
    let keys = Keyring::new(Some(keys::OTHER_PRIVATE), &[keys::PUBLIC.to_owned()]).unwrap();
    let awake = cluster(&Store::new(objects.clone(), keys));
    for owner in ["second", "third"] {
        take(&awake, owner).await.unwrap().release().await.unwrap();
    }
    // Its very successor was tidied away.
    objects.delete("clusters/pg-0001/lease/0000000002.json").await.unwrap();
    let error = slept.check().await.unwrap_err();
    assert!(matches!(error, Error::Fenced { epoch: 1, taken_by: 3, .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_signed_document_fences_nobody() {
    let (objects, store) = memory();
    let lease = take(&cluster(&store), "first").await.unwrap();
    objects.replace("clusters/pg-0001/lease/0000000009.json", "{}".into()).await.unwrap();
    lease.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_takers_one_wins() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    for round in 1..=5 {
        let takers: Vec<_> = (0..16)
            .map(|taker| {
                let cluster = cluster(&store);
                tokio::spawn(async move { take(&cluster, &format!("taker {taker}")).await })
            })
            .collect();
        let mut won = Vec::new();
        for taker in takers {
            match taker.await.unwrap() {
                Ok(lease) => won.push(lease),
                Err(Error::Leased { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(won[0].epoch(), round);
        won[0].release().await.unwrap();
    }
}

#[test]
fn of_two_processes_one_takes_the_lease() {
    if let Ok(root) = std::env::var("REMOUNT_LEASE_ROOT") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(async {
            let cluster = cluster(&folder(std::path::Path::new(&root)));
            if let Ok(lease) = take(&cluster, "child").await {
                println!("epoch {}", lease.epoch());
            }
        });
    }
    let root = tempfile::tempdir().unwrap();
    let spawn = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "of_two_processes_one_takes_the_lease", "--nocapture"])
            .env("REMOUNT_LEASE_ROOT", root.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| spawn()).collect();
    let epochs: Vec<_> = children
        .into_iter()
        .flat_map(|child| {
            let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            text.lines().filter_map(|line| line.strip_prefix("epoch ")).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(epochs, ["1"], "one process holds the lease, which is not released");
}

#[tokio::test]
async fn a_keeper_beats_and_tells_when_the_lease_is_taken_over() {
    let (objects, store) = memory();
    let cluster = cluster(&store);
    let first = cluster.take_lease("first", Purpose::Backup, Duration::from_millis(90)).await.unwrap();
    let taken = cluster.lease_holder().await.unwrap().unwrap().last_beat;
    let mut keeper = first.keep();
    while cluster.lease_holder().await.unwrap().unwrap().last_beat == taken {
        tokio::task::yield_now().await;
    }
    assert!(!keeper.is_lost());
    objects.advance(TERM);
    let second = take(&cluster, "second").await;
    if second.is_err() {
        // It beat between the jump of the clock and the take: a live owner keeps its lease.
        assert!(!keeper.is_lost());
        return;
    }
    let loss = keeper.lost().await;
    assert!(matches!(loss, Error::Fenced { epoch: 1, taken_by: 2, .. }), "{loss:?}");
    assert!(keeper.is_lost());
}

#[tokio::test]
async fn a_keeper_that_reaches_no_store_for_a_term_calls_the_lease_lost() {
    let moto = Moto::start();
    let cluster = cluster(&moto.store().await);
    let lease = cluster.take_lease("first", Purpose::Backup, Duration::from_secs(1)).await.unwrap();
    let mut keeper = lease.keep();
    drop(moto);
    let loss = keeper.lost().await;
    assert!(matches!(loss, Error::Unanswered { .. }), "{loss:?}");
    lease.release().await.expect("it has ended by itself: nobody is asked, so nobody can fail to answer");
}

#[tokio::test]
async fn old_epochs_are_forgotten_and_the_highest_stays() {
    let (_, store) = memory();
    let cluster = cluster(&store);
    for expected in 1..=30 {
        let lease = take(&cluster, "me").await.unwrap();
        assert_eq!(lease.epoch(), expected);
        lease.beat().await.unwrap();
        lease.release().await.unwrap();
    }
    let files = store.objects().list("clusters/pg-0001/lease/").await.unwrap();
    assert!(files.len() <= 30, "{} files", files.len());
    assert!(files.iter().all(|info| !info.path.contains("probe")), "{files:?}");
}

#[tokio::test]
async fn no_epoch_that_somebody_else_writes_wraps_or_holds_the_lease() {
    let (objects, store) = memory();
    let ours = cluster(&store);
    let first = take(&ours, "first").await.unwrap();
    let forged = bytes::Bytes::from_static(
        br#"{"format":1,"owner":"x","purpose":"backup","term_seconds":1e9,"nonce":1}"#,
    );
    for name in ["18446744073709551615", "9999999999", "99999999999999999999999", "7"] {
        let path = format!("clusters/pg-0001/lease/{name}.json");
        objects.create(&path, forged.clone(), &Metadata::new()).await.unwrap();
    }
    first.check().await.expect("nobody of us has signed those");
    first.beat().await.unwrap();
    assert_eq!(ours.lease_holder().await.unwrap().unwrap().owner, "first");
    first.release().await.unwrap();
    let second = take(&ours, "second").await.unwrap();
    assert_eq!(second.epoch(), 2, "the successor of the one that counts");
    assert!(matches!(first.check().await, Err(Error::Fenced { taken_by: 2, .. })));

    // A signed one of another cluster does not count here either.
    let other = store.cluster(&"pg-0002".parse().unwrap());
    for _ in 0..4 {
        take(&other, "other").await.unwrap().release().await.unwrap();
    }
    let theirs = objects.read("clusters/pg-0002/lease/0000000004.json").await.unwrap().unwrap();
    let path = "clusters/pg-0001/lease/0000000004.json";
    objects.create(path, theirs.content.clone(), &Metadata::new()).await.unwrap();
    second.check().await.unwrap();

    // The very successor: its owner stops, and the next taker is told which object has to go.
    let path = "clusters/pg-0001/lease/0000000003.json";
    objects.create(path, theirs.content, &Metadata::new()).await.unwrap();
    assert!(matches!(second.check().await, Err(Error::Fenced { taken_by: 3, .. })));
    second.release().await.unwrap();
    let refused = take(&ours, "third").await.unwrap_err();
    assert!(matches!(&refused, Error::Document { path: told, .. } if told == path), "{refused:?}");
    objects.delete(path).await.unwrap();
    let refused = take(&ours, "third").await.unwrap_err();
    let next = "clusters/pg-0001/lease/0000000004.json";
    assert!(matches!(&refused, Error::Document { path: told, .. } if told == next), "{refused:?}");
    objects.delete(next).await.unwrap();
    assert_eq!(take(&ours, "third").await.unwrap().epoch(), 4, "nothing was left held");
}
