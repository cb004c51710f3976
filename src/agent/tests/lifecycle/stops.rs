//! Drain and post-stop.

use std::fs;
use std::process::Command;

use crate::instance::*;
use crate::support::{Landscape, errors};

#[tokio::test]
async fn drain_archives_the_last_wal_and_prints_one_integer() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let output = primary.vm.hook(&["drain"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(landscape.path("archive").join(last).exists(), "{}", errors(&output));
    primary.stop();
    assert_eq!(String::from_utf8_lossy(&primary.vm.hook(&["drain"]).stdout), "0\n");
}

#[tokio::test]
async fn the_drain_of_postgres_stops_it_in_good_order() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(!primary.vm.data("postmaster.pid").exists(), "{}", primary.log());
    primary.process.take().unwrap().wait().unwrap();
    assert!(landscape.path("archive").join(last).exists(), "{}", errors(&output));
    landscape.push_archive(primary.vm.system_identifier()).await;
    let said = errors(&primary.vm.hook(&["post-stop"]));
    assert!(said.contains("nothing is left to archive"), "{said}");

    // The number may be another's by now.
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    primary.note_process(stranger.id());
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(stranger.try_wait().unwrap().is_none(), "a stranger was signalled");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn an_archive_that_takes_nothing_is_named_and_holds_up_no_stop() {
    let landscape = Landscape::new();
    let mut primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    primary.start();
    primary.execute("ALTER SYSTEM SET archive_command = 'sleep 600'").await;
    primary.execute("SELECT pg_reload_conf(); CREATE TABLE public.ledger (id int)").await;
    let last = primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let began = std::time::Instant::now();
    let output = primary.postgres_hook("drain");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", errors(&output));
    assert!(began.elapsed().as_secs() < 20, "the limit is 2 s: {}", errors(&output));
    assert!(errors(&output).contains(&format!("{last} was not archived")), "{}", errors(&output));
    primary.end();
    let output = primary.vm.hook(&["post-stop"]);
    assert!(output.status.success() && errors(&output).contains("nothing is left"), "{}", errors(&output));
    let note = stop_note(&primary).await.unwrap();
    assert!(note.is_clean() && note.tail.is_none() && note.state == "shut down", "{note:?}");
    let archive = landscape.store().wal(note.system_identifier);
    assert!(archive.contains(&last.parse().unwrap()).await.unwrap(), "post-stop has archived it");
    // A store that takes no WAL: the note says which is left, and the stop goes on.
    primary.start();
    primary.execute("INSERT INTO public.ledger VALUES (1)").await;
    primary.postgres_hook("drain");
    primary.end();
    let wal = landscape.path(&format!("store/clusters/pg-1/{}/wal", note.system_identifier));
    fs::rename(&wal, landscape.path("wal.away")).unwrap();
    fs::write(&wal, "").unwrap();
    let output = primary.vm.hook(&["post-stop"]);
    assert!(output.status.success() && errors(&output).contains("not archived"), "{}", errors(&output));
    let note = stop_note(&primary).await.unwrap();
    assert!(!note.is_clean() && !note.unarchived.is_empty(), "{note:?}");
}

#[tokio::test]
async fn drain_answers_bosh_whatever_its_configuration_is() {
    let landscape = Landscape::new();
    let primary = Instance::new(&landscape, "i-1", "127.0.0.1", None, free_port());
    fs::write(primary.vm.config_file(), "{").unwrap();
    fs::write(primary.postgres_config(), "{").unwrap();
    for output in [primary.vm.hook(&["drain"]), primary.postgres_hook("drain")] {
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
        assert!(
            errors(&output).contains("error: ") && errors(&output).contains(" next: "),
            "{}",
            errors(&output)
        );
    }
    assert!(primary.vm.hook(&["post-stop"]).status.success(), "a stop has to go on");
}
