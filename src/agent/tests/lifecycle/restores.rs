//! Restores, from the plan on to what follows the promotion.

use std::fs;
use std::process::Command;

use remount_core::documents::{RecoveryPath, RestorePlan, TailRecord};
use remount_core::{RecoveryTarget, RestoreTarget, SegmentSize, TimelineHistory, TimelineId};
use remount_postgres::{Server, VerifiedPosition};
use remount_store::Purpose;

use crate::instance::*;
use crate::support::postgres::run;
use crate::support::{Landscape, errors, restore, until};

#[tokio::test]
async fn from_empty_disks_through_a_restore() {
    let landscape = Landscape::new();
    let port = free_port();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    let mut standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    primary.start();
    standby.start();
    until("the standby to stream", async || standby.server.streams_on().await.unwrap().is_some()).await;
    assert!(standby.vm.home.join("data/initialised.json").exists());
    assert!(landscape.store().is_registered(&standby.vm.instance.id).await.unwrap());
    assert!(logs_in("127.0.0.1", port, "app", "app-pass'word").await);
    assert!(!primary.log().contains("app-pass"), "a password reached the log");

    primary.execute("CREATE TABLE public.ledger (id int)").await;
    primary.execute("ALTER ROLE app PASSWORD 'of the past'").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger VALUES (1), (2)").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("DROP TABLE public.ledger").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    standby.stop();
    landscape.push_archive(system).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;

    for instance in [&primary, &standby] {
        instance.swap_disk(&landscape.path("snapshot"));
    }
    let early = standby.vm.hook(&["pre-start"]);
    assert!(!early.status.success() && errors(&early).contains("fork.json"), "{}", errors(&early));
    // A repeated start brings it to its target again, and nobody can write there.
    for _ in 0..2 {
        primary.start();
        primary.stands_at_its_target("2").await;
        primary.stop();
    }
    primary.start();
    primary.promote(&landscape).await;
    assert!(logs_in("127.0.0.1", port, "app", "app-pass'word").await, "the snapshot's password is back");
    assert_eq!(primary.vm.applied()["outcome"], "recovered");
    assert!(!primary.vm.mark_file().exists(), "the disk is no copy any more");

    publish_fork(&landscape, &primary).await;
    standby.start();
    assert_eq!(standby.vm.applied()["outcome"], "streaming");
    assert_eq!(standby.server.streams_on().await.unwrap().map(|timeline| timeline.get()), Some(2));
    assert_eq!(standby.value("SELECT count(*)::text FROM public.ledger").await, "2");

    let agent = primary.vm.serve();
    let client = agent.client(&landscape.ca, &primary.vm.instance);
    let status = client.status().await.unwrap();
    assert_eq!(status.applied_restore, Some(restore()));
    assert!(status.replayed_to.unwrap() >= ended.stop_lsn && status.streaming);
    client.finish_restore(&restore()).await.unwrap();
    // An ordinary restart of both, with the store away: nobody is asked.
    drop(agent);
    primary.stop();
    standby.stop();
    fs::rename(landscape.path("store"), landscape.path("store.away")).unwrap();
    primary.start();
    standby.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "2");
}

/// Without a target there is nothing to stop at: the server replays the archive as a standby of nobody, and its target
/// can be moved there while it stands elsewhere.
#[tokio::test]
async fn a_restore_moves_on_to_the_end_of_the_archive_and_waits_there() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger VALUES (1), (2)").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("INSERT INTO public.ledger VALUES (3)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    landscape.push_archive(system).await;
    let plan = publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.stands_at_its_target("2").await;

    let agent = primary.vm.serve();
    let client = agent.client(&landscape.ca, &primary.vm.instance);
    assert!(!client.forward_restore(&restore()).await.unwrap().needs_restart, "it has the plan's target");
    let latest = RestoreTarget::of(RecoveryTarget::Latest);
    let next = RestorePlan { target: latest, revision: 2, ..plan };
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    store.write_plan_revision(&next, &lease).await.unwrap();
    landscape.give_store_away();
    assert!(client.forward_restore(&restore()).await.unwrap().needs_restart);
    let stands = client.status().await.unwrap().recovery.lsn().unwrap();
    let verified = VerifiedPosition { timeline: TimelineId::FIRST, replayed_to: stands };
    assert!(client.promote(&restore(), &verified).await.is_err(), "it is not where it is to be");
    assert!(client.status().await.unwrap().recovery.arrived().is_none());
    primary.stop();
    for _ in 0..2 {
        primary.start();
        primary.stands_at_its_target("3").await;
        assert!(primary.vm.data("standby.signal").exists(), "it is a standby of nobody");
        primary.stop();
    }
    primary.start();
    assert!(!client.forward_restore(&restore()).await.unwrap().needs_restart);
    primary.stands_at_its_target("3").await;
    drop(agent);
    primary.promote(&landscape).await;
    let after = primary.vm.serve().client(&landscape.ca, &primary.vm.instance);
    assert!(after.forward_restore(&restore()).await.is_err());
    primary.stop();
    primary.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "3");
    primary.execute("INSERT INTO public.ledger VALUES (4)").await;
}

/// Its last segment is never full under the old server, or it is full of something else: it must not have been archived
/// under its name.
#[tokio::test]
async fn a_crashed_servers_last_records_are_restored_and_its_segment_stays_its_own() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("INSERT INTO public.ledger SELECT generate_series(1, 5000)").await;
    let written = primary.value("SELECT pg_current_wal_flush_lsn()::text").await;
    primary.end();
    landscape.push_archive(primary.vm.system_identifier()).await; // What the server had archived until then.
    let output = primary.vm.hook(&["post-stop"]);
    let note = stop_note(&primary).await.unwrap_or_else(|| panic!("no note: {}", errors(&output)));
    assert!(note.is_clean() && note.state == "in production", "{note:?}");
    let tail = note.tail.clone().expect("the rows are in a segment that is not full");
    assert!(
        tail.end >= written.parse::<remount_core::Lsn>().unwrap(),
        "{tail:?} holds what was flushed at {written}"
    );
    let archive = landscape.store().wal(note.system_identifier);
    assert!(!archive.contains(&tail.segment).await.unwrap(), "not under its own name");

    landscape.push_archive(note.system_identifier).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Latest).await;
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    let record = TailRecord { format: 1, restore: restore(), tail: tail.clone() };
    store.write_tail(&record, &lease).await.unwrap();
    landscape.give_store_away();
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    assert_eq!(primary.value("SELECT count(*)::text FROM public.ledger").await, "5000");
    primary.stop();

    // Rolled back: the old disk goes on in the same segment, fills it, and archives it.
    fs::rename(primary.vm.home.join("store"), primary.vm.home.join("store.new")).unwrap();
    fs::rename(primary.vm.home.join("store.old"), primary.vm.home.join("store")).unwrap();
    primary.start();
    primary.execute("INSERT INTO public.ledger VALUES (0)").await;
    primary.stop();
    landscape.push_archive(note.system_identifier).await; // The stop may have archived it already.
    let output = primary.vm.hook(&["post-stop"]);
    assert!(stop_note(&primary).await.unwrap().is_clean(), "{}", errors(&output));
    assert!(archive.contains(&tail.segment).await.unwrap(), "{}", errors(&output));

    // A disk of the restore that starts now gets the whole segment from the archive.
    fs::rename(primary.vm.home.join("store"), primary.vm.home.join("store.full")).unwrap();
    run(Command::new("cp").arg("-a").arg(landscape.path("snapshot")).arg(primary.vm.home.join("store")));
    let output = primary.vm.hook(&["pre-start"]);
    let text = errors(&output);
    assert!(output.status.success() && text.contains("its tail is not needed"), "{text}");
}

/// PostgreSQL reads the state of a prepared transaction once more, by its timeline's name and from `pg_wal` alone.
#[tokio::test]
async fn a_standby_joins_although_a_transaction_was_prepared_in_the_forks_segment() {
    let landscape = Landscape::new();
    let port = free_port();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, port);
    let mut standby = Instance::new(&landscape, "i-2", "127.0.0.2", Some("127.0.0.1"), port);
    primary.start();
    standby.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("BEGIN; INSERT INTO public.ledger VALUES (1); PREPARE TRANSACTION 'open'").await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("COMMIT PREPARED 'open'").await;
    primary.execute("INSERT INTO public.ledger VALUES (2)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    standby.stop();
    landscape.push_archive(system).await;
    publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    for instance in [&primary, &standby] {
        instance.swap_disk(&landscape.path("snapshot"));
    }
    primary.start();
    primary.promote(&landscape).await;
    assert_eq!(primary.value("SELECT count(*)::text FROM pg_prepared_xacts").await, "1");
    publish_fork(&landscape, &primary).await;
    let fork = landscape.store().fork(&restore()).await.unwrap().unwrap();
    standby.start();
    assert_eq!(standby.server.streams_on().await.unwrap().map(|timeline| timeline.get()), Some(2));
    // Below the fork it is the parent's segment, and nothing is behind it.
    let placed =
        fs::read(standby.vm.data("pg_wal").join(fork.fork_segment.on(TimelineId::FIRST).to_string()));
    let offset = usize::try_from(fork.fork_lsn.0 % u64::from(SegmentSize::DEFAULT.bytes())).unwrap();
    assert!(placed.unwrap()[offset..].iter().all(|byte| *byte == 0), "records past the fork");
    primary.execute("COMMIT PREPARED 'open'").await;
    until("the standby has it", async || {
        standby.value("SELECT count(*)::text FROM public.ledger").await == "1"
    })
    .await;
}

/// Only what comes through `restore_command` is marked as archived by PostgreSQL: what the fence puts into `pg_wal` has to
/// be marked by the fence, or archiving stops at it for good.
#[tokio::test]
async fn archiving_goes_on_after_a_restore_across_a_fork() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let ended = back_up(&landscape, &primary).await;
    primary.execute("SELECT pg_create_restore_point('good')").await;
    primary.execute("INSERT INTO public.ledger VALUES (1)").await;
    let system = primary.vm.system_identifier();
    primary.stop();
    landscape.push_archive(system).await;
    let plan = publish(&landscape, &primary.vm, &ended, RecoveryTarget::Name("good".into())).await;
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.promote(&landscape).await;
    primary.execute("INSERT INTO public.ledger VALUES (2), (3)").await;
    let fork_segment = primary.server.switch_wal().await.unwrap().last_segment;
    primary.stop();
    landscape.push_archive(system).await;

    // From the same backup along both timelines.
    let text = fs::read_to_string(landscape.path("archive/00000002.history")).unwrap();
    let history = TimelineHistory::parse(TimelineId::new(2).unwrap(), &text).unwrap();
    let path = RecoveryPath { history, new_timeline: TimelineId::new(3).unwrap(), ..plan.path.clone() };
    let latest = RestoreTarget::of(RecoveryTarget::Latest);
    let next = RestorePlan { target: latest, path, revision: 2, ..plan };
    let store = landscape.store();
    let lease = store.take_lease("test", Purpose::Restore, std::time::Duration::from_secs(60)).await.unwrap();
    store.write_plan_revision(&next, &lease).await.unwrap();
    landscape.give_store_away();
    fs::remove_dir_all(primary.vm.home.join("store.old")).unwrap();
    primary.swap_disk(&landscape.path("snapshot"));
    primary.start();
    primary.stands_at_its_target("2").await;
    let parents = fork_segment.on(TimelineId::FIRST).to_string();
    assert!(primary.vm.data("pg_wal").join(&parents).exists(), "the fence has put it there");
    let stands = primary.server.recovery(Some(&next.target)).await.unwrap().arrived().unwrap();
    let verified = VerifiedPosition { timeline: TimelineId::new(2).unwrap(), replayed_to: stands };
    assert_eq!(primary.server.promote(&next.target, &verified).await.unwrap().timeline.get(), 3);
    for _ in 0..3 {
        primary.execute("INSERT INTO public.ledger VALUES (4)").await;
        let closed = primary.server.switch_wal().await.unwrap().last_segment;
        let archived = landscape.path("archive").join(closed.to_string());
        until("the segment in the archive", async || archived.exists()).await;
        primary.execute("CHECKPOINT").await;
    }
    assert!(!primary.vm.data("pg_wal").join(&parents).exists(), "a checkpoint has removed it");
    assert_eq!(primary.value("SELECT failed_count::text FROM pg_stat_archiver").await, "0");
}
