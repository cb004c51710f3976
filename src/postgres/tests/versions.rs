//! Everything that touches a server, on PostgreSQL 15, 16, 17 and 18.

#![allow(clippy::unwrap_used)] // Helpers of tests are outside of what clippy takes for tests.

mod support;

use std::path::Path;

use jiff::Timestamp;
use remount_core::documents::{ForkRecord, RecoveryPath, RestorePlan};
use remount_core::{
    BackupId, InstanceSlug, Lsn, RecoveryTarget, RestoreId, RestoreTarget, Role, SegmentSize, SnapshotCid,
    TimelineHistory, TimelineId, WalSegment,
};
use remount_postgres::{
    BackupEnded, BackupSession, ControlData, DataState, DatabaseState, Error, Identity, Preparation,
    Recovery, RecoveryGoal, RecoverySettings, Severity, Signal, VerifiedPosition,
};
use support::Postgres;
use tokio_postgres::error::SqlState;

fn backup() -> BackupId {
    BackupId::new("20261123T004500Z-k3f9").unwrap()
}

fn identity() -> Identity {
    let instance = InstanceSlug { group: "postgres".parse().unwrap(), id: "i-1".parse().unwrap() };
    Identity { instance, deployment: "pg-1".parse().unwrap(), cluster: "pg-1".parse().unwrap() }
}

/// A plan as the flows make it, as far as this crate looks at it.
fn plan(ended: &BackupEnded, target: RestoreTarget, timeline: TimelineHistory) -> RestorePlan {
    let segment = WalSegment::containing(TimelineId::FIRST, ended.start_lsn, SegmentSize::DEFAULT);
    RestorePlan {
        format: 1,
        id: RestoreId::new("20261123T010000Z-aaaa").unwrap(),
        cluster: "pg-1".parse().unwrap(),
        deployment: "pg-1".parse().unwrap(),
        group: None,
        created_at: Timestamp::UNIX_EPOCH,
        requested_by: String::new(),
        target,
        path: RecoveryPath {
            backup: ended.backup.clone(),
            snapshot: SnapshotCid::new("snap-1").unwrap(),
            system_identifier: "1".parse().unwrap(),
            segment_size: SegmentSize::DEFAULT,
            new_timeline: timeline.timeline.next().unwrap(),
            history: timeline,
            start_lsn: ended.start_lsn,
            consistent_lsn: ended.stop_lsn,
            minimum_lsn: ended.stop_lsn,
            segments: (segment, ended.stop_segment),
        },
        backup_label: ended.backup_label.clone(),
        tablespace_map: ended.tablespace_map.clone(),
        instances: Vec::new(),
        pause: false,
        revision: 1,
        estimate_seconds: 0.0,
        keep_old_disks_hours: 24,
        options: Default::default(),
        segments_verified: 0,
        accept_loss: Vec::new(),
        tool_version: "test".into(),
    }
}

fn prepare(server: &Postgres, home: &Path, plan: &RestorePlan, goal: RecoveryGoal<'_>) {
    let command = format!("cp {}/%f %p", home.join("archive").display());
    let role = if goal == RecoveryGoal::Reach { Role::Primary } else { Role::Standby };
    let settings = RecoverySettings::of(plan, goal, &command);
    let preparation = Preparation {
        restore: &plan.id,
        signal: Signal::of(role, &plan.target),
        backup_label: &plan.backup_label,
        tablespace_map: &plan.tablespace_map,
        settings: &settings,
    };
    server.server().data_directory().prepare(&preparation).unwrap();
}

/// A server with a backup and, after it, five transactions with a target at the third.
struct Past {
    home: tempfile::TempDir,
    major: u32,
    ended: BackupEnded,
    targets: Vec<(RestoreTarget, &'static str)>,
}

async fn past(major: u32) -> Past {
    let home = support::folder();
    let mut server = Postgres::init(major, home.path(), "a");
    server.start().await;
    server.execute("CREATE TABLE ledger (id int, at timestamptz DEFAULT clock_timestamp())").await;
    server.execute("SELECT pg_create_physical_replication_slot('left_over', true)").await;
    server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    server.execute("ALTER SYSTEM SET work_mem = '5MB'").await;
    let session = BackupSession::start(&server.server(), &backup()).await.unwrap();
    server.copy_to(&home.path().join("copy"));
    let ended = session.stop().await.unwrap();
    server.execute("INSERT INTO ledger VALUES (1); INSERT INTO ledger VALUES (2)").await;
    let insert = "INSERT INTO ledger VALUES (3) RETURNING pg_current_xact_id()::text";
    let xid = server.value(insert).await.parse().unwrap();
    let lsn: Lsn = server.value("SELECT pg_current_wal_insert_lsn()::text").await.parse().unwrap();
    let at: i64 = server
        .value("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text")
        .await
        .parse()
        .unwrap();
    server.execute("SELECT pg_create_restore_point('it''s here')").await;
    server.execute("INSERT INTO ledger VALUES (4)").await;
    server.execute("INSERT INTO ledger VALUES (5)").await;
    server.stop();
    let exclusive = |target| RestoreTarget { exclusive: true, ..RestoreTarget::of(target) };
    let targets = vec![
        (RestoreTarget::of(RecoveryTarget::Latest), "5"),
        (RestoreTarget::of(RecoveryTarget::Time(Timestamp::from_microsecond(at).unwrap())), "3"),
        (RestoreTarget::of(RecoveryTarget::Name("it's here".into())), "3"),
        (RestoreTarget::of(RecoveryTarget::Xid(xid)), "3"),
        (exclusive(RecoveryTarget::Xid(xid)), "2"),
        (exclusive(RecoveryTarget::Lsn(lsn)), "3"),
        (RestoreTarget::of(RecoveryTarget::Backup(backup())), "0"),
    ];
    Past { home, major, ended, targets }
}

impl Past {
    /// The disk that a cloud would make of the snapshot.
    fn disk(&self, name: &str) -> Postgres {
        let server = Postgres::at(self.major, self.home.path(), name);
        support::run(
            std::process::Command::new("cp").arg("-a").arg(self.home.path().join("copy")).arg(&server.data),
        );
        server
    }
}

const fn verified(replayed_to: Lsn) -> VerifiedPosition {
    VerifiedPosition { timeline: TimelineId::FIRST, replayed_to }
}

async fn every_target_is_reached(major: u32) {
    let past = past(major).await;
    for (n, (target, rows)) in past.targets.iter().enumerate() {
        // One archive for all: each promotion would want the same new timeline.
        let history = past.home.path().join("archive/00000002.history");
        std::fs::remove_file(history).ok();
        let mut server = past.disk(&format!("t{n}"));
        let plan = plan(&past.ended, target.clone(), TimelineHistory::first());
        prepare(&server, past.home.path(), &plan, RecoveryGoal::Reach);
        server.spawn_with(&["-c", "archive_mode=off"]);
        let at = server.wait_until_arrived(target).await;
        let count = server.value("SELECT count(*)::text FROM ledger").await;
        assert_eq!(&count, rows, "{target} on {major}");
        let written = server.try_execute("INSERT INTO ledger VALUES (99)").await.unwrap_err();
        assert_eq!(written.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION), "{target}: nobody may write");
        for other in [Lsn(at.0 - 8), Lsn(at.0 + 8)] {
            let refused = server.server().promote(target, &verified(other)).await.unwrap_err();
            assert!(matches!(refused, Error::NotVerified(_)), "{target}: {refused}");
        }
        let arrived = server.server().recovery(Some(target)).await.unwrap().arrived();
        assert_eq!(arrived, Some(at), "{target}: it stands where it stood");
        let promoted = server.server().promote(target, &verified(at)).await.unwrap();
        let again = server.server().promote(target, &verified(at)).await.unwrap();
        assert_eq!(again, promoted, "asked again it says the same");
        let other = server.server().promote(target, &verified(Lsn(at.0 + 8))).await.unwrap_err();
        assert!(matches!(other, Error::NotVerified(_)), "{target}: it was not promoted there: {other}");
        assert_eq!(promoted.replayed_to, Some(at), "{target}: it stood where its timeline begins");
        server.execute("INSERT INTO ledger VALUES (99)").await;
        let status = server.server().status(&identity(), None).await.unwrap();
        assert_eq!((status.timeline, status.recovery), (promoted.timeline, Recovery::Ended), "{target}");
        assert_eq!(status.timeline.get(), 2, "{target}");
        assert!(status.replayed_to.unwrap() >= plan.path.consistent_lsn, "{target}");
        assert_eq!(server.value("SHOW synchronous_standby_names").await, "", "a commit would wait for ever");
        assert_eq!(server.value("SELECT count(*)::text FROM pg_replication_slots").await, "0");
        assert_eq!(server.value("SHOW work_mem").await, "5MB", "the operator's own setting is kept");
        assert!(server.server().data_directory().remove_restore_settings().unwrap());
        assert!(!server.server().data_directory().remove_restore_settings().unwrap());
        server.server().reload().await.unwrap();
        let auto = std::fs::read_to_string(server.data.join("postgresql.auto.conf")).unwrap();
        assert!(!auto.contains("recovery_target") && !auto.contains("remount"), "{auto}");
        assert!(auto.contains("synchronous_standby_names = '*'") && auto.contains("work_mem"), "{auto}");
    }
}

async fn a_directory_prepared_by_half_does_not_start(major: u32) {
    let past = past(major).await;
    let mut server = past.disk("half");
    let plan = plan(&past.ended, RestoreTarget::of(RecoveryTarget::Latest), TimelineHistory::first());
    prepare(&server, past.home.path(), &plan, RecoveryGoal::Reach);
    std::fs::remove_file(server.data.join("standby.signal")).unwrap();
    server.spawn();
    server.wait_until_ended();
    assert!(server.log_text().contains("FATAL"), "{}", server.log_text());
    // The same again, whole: what the failed start left does no harm.
    prepare(&server, past.home.path(), &plan, RecoveryGoal::Reach);
    server.spawn_with(&["-c", "archive_mode=off"]);
    server.wait_until_arrived(&plan.target).await;
    assert_eq!(server.value("SELECT count(*)::text FROM ledger").await, "5");
}

/// A recovery that stands at its target: a restart brings it there again, its target moves on by a restart, and nothing
/// but its promotion ends it.
async fn a_recovery_stays_at_its_target(major: u32) {
    let past = past(major).await;
    let mut server = past.disk("stays");
    let xid = past.targets[3].0.clone();
    let plan_to = |target: &RestoreTarget| plan(&past.ended, target.clone(), TimelineHistory::first());
    prepare(&server, past.home.path(), &plan_to(&xid), RecoveryGoal::Reach);
    server.spawn_with(&["-c", "archive_mode=off"]);
    let at = server.wait_until_arrived(&xid).await;
    for _ in 0..2 {
        server.stop();
        server.spawn_with(&["-c", "archive_mode=off"]);
        assert_eq!(server.wait_until_arrived(&xid).await, at, "a restart ends where it was verified");
    }
    let latest = RestoreTarget::of(RecoveryTarget::Latest);
    let command = format!("cp {}/%f %p", past.home.path().join("archive").display());
    let settings = RecoverySettings::of(&plan_to(&latest), RecoveryGoal::Reach, &command);
    let directory = server.server().data_directory();
    let signal = Signal::of(Role::Primary, &latest);
    assert!(directory.move_target(&plan_to(&latest).id, &settings, signal).unwrap());
    assert!(!directory.move_target(&plan_to(&latest).id, &settings, signal).unwrap());
    // Until it is started again it is where it was told to be before, and must not be promoted there.
    assert!(!server.server().runs_to(&latest).await.unwrap());
    assert!(server.server().recovery(Some(&latest)).await.unwrap().arrived().is_none());
    assert!(server.server().promote(&latest, &verified(at)).await.is_err());
    server.stop();
    server.spawn_with(&["-c", "archive_mode=off"]);
    let end = server.wait_until_arrived(&latest).await;
    assert_eq!(server.value("SELECT count(*)::text FROM ledger").await, "5");
    let followed = VerifiedPosition { timeline: TimelineId::new(7).unwrap(), replayed_to: end };
    for other in [verified(at), followed] {
        let refused = server.server().promote(&latest, &other).await.unwrap_err();
        assert!(matches!(refused, Error::NotVerified(_)), "{refused}");
    }
    assert_eq!(server.server().promote(&latest, &verified(end)).await.unwrap().timeline.get(), 2);
    assert!(!directory.is_standby() && !directory.awaits_recovery(), "it starts as a primary from now on");
}

/// PostgreSQL pauses, too, where it replays that the primary raised a setting above its own: that is no target.
async fn a_pause_on_low_settings_is_told_from_a_target(major: u32) {
    let past = past(major).await;
    let mut primary = Postgres::at(major, past.home.path(), "a");
    primary.spawn_with(&["-c", "max_connections=150", "-c", "synchronous_standby_names="]);
    primary.wait_until_reachable().await;
    primary.execute("INSERT INTO ledger VALUES (6)").await;
    primary.execute("SELECT pg_create_restore_point('raised')").await;
    primary.stop();
    let mut server = past.disk("low");
    let target = RestoreTarget::of(RecoveryTarget::Name("raised".into()));
    let plan = plan(&past.ended, target.clone(), TimelineHistory::first());
    prepare(&server, past.home.path(), &plan, RecoveryGoal::Reach);
    server.spawn_with(&["-c", "archive_mode=off"]);
    server.wait_until_reachable().await;
    let until = std::time::Instant::now() + support::WAIT_LIMIT;
    let why = loop {
        match server.server().recovery(Some(&target)).await {
            Ok(Recovery::Blocked { why, .. }) => break why,
            Ok(other) => assert!(other.arrived().is_none(), "{other}"),
            Err(error) => assert!(matches!(error, Error::Database { .. }), "{error}"),
        }
        assert!(std::time::Instant::now() < until, "{}", server.log_text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(why, "max_connections is 100 and has to be at least 150");
    let at = server.server().recovery(Some(&target)).await.unwrap().lsn().unwrap();
    assert!(server.server().promote(&target, &verified(at)).await.is_err(), "it is not where it is to be");
}

async fn a_standby_is_pinned_to_its_number(major: u32) {
    let past = past(major).await;
    let mut server = past.disk("s");
    let target = RestoreTarget::of(RecoveryTarget::Backup(backup()));
    let plan = plan(&past.ended, target, TimelineHistory::first());
    let timeline = TimelineId::new(7).unwrap();
    let fork = ForkRecord {
        format: 1,
        restore: plan.id.clone(),
        timeline,
        fork_lsn: past.ended.stop_lsn,
        fork_segment: past.ended.stop_segment.on(timeline),
    };
    prepare(&server, past.home.path(), &plan, RecoveryGoal::Follow(&fork));
    let directory = server.server().data_directory();
    assert!(directory.is_standby() && !directory.awaits_recovery());
    let auto = std::fs::read_to_string(server.data.join("postgresql.auto.conf")).unwrap();
    assert!(auto.contains("recovery_target_timeline = '7'") && !auto.contains("immediate"), "{auto}");
    server.spawn();
    server.wait_until_ended();
    let text = server.log_text();
    assert!(text.contains("recovery target timeline 7 does not exist"), "{text}");
}

async fn backup_mode_begins_and_ends_with_its_session(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    postgres.start().await;
    let server = postgres.server();
    let session = BackupSession::start(&server, &backup()).await.unwrap();
    assert_eq!(session.timeline(), TimelineId::FIRST);
    let (start_lsn, backup) = (session.start_lsn(), session.backup().clone());
    let ended = session.stop().await.unwrap();
    assert!(ended.backup_label.contains(backup.as_str()), "{}", ended.backup_label);
    assert!(ended.backup_label.contains(&start_lsn.to_string()), "{}", ended.backup_label);
    assert!(ended.stop_lsn > start_lsn && ended.stopped_at >= ended.started_at);
    let name = format!("SELECT pg_walfile_name('{}')", ended.stop_lsn);
    assert_eq!(postgres.value(&name).await, ended.stop_segment.to_string());

    let lost = BackupSession::start(&server, &backup).await.unwrap();
    // The newest: the session before may not have ended yet.
    let kill = "SELECT count(pg_terminate_backend(pid, 5000))::text FROM (
                  SELECT pid FROM pg_stat_activity
                   WHERE application_name = 'remount-agent' AND pid <> pg_backend_pid()
                   ORDER BY backend_start DESC LIMIT 1) AS newest";
    assert_eq!(postgres.value(kill).await, "1");
    assert!(matches!(lost.stop().await, Err(Error::NoBackup(_) | Error::Database { .. })));
}

async fn a_server_tells_what_it_is(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    let stopped = ControlData::read(&postgres.data).unwrap();
    assert_eq!(stopped.state, DatabaseState::ShutDown);
    postgres.start().await;
    let server = postgres.server();
    let status = server.status(&identity(), None).await.unwrap();
    assert_eq!(status.role, Role::Primary);
    assert_eq!(status.postgres_version / 10000, major);
    assert_eq!(status.system_identifier, stopped.system_identifier);
    assert_eq!(status.segment_size, SegmentSize::DEFAULT);
    assert_eq!(status.settings["archive_mode"], "on");
    assert!(status.data_checksums && !status.streaming && status.data_bytes > 0);
    assert!(status.replayed_to.is_none());

    let switched = server.switch_wal().await.unwrap();
    let archived = home.path().join("archive").join(switched.last_segment.to_string());
    let until = std::time::Instant::now() + support::WAIT_LIMIT;
    while !archived.exists() {
        assert!(std::time::Instant::now() < until, "{} is not archived", archived.display());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let probe = server.write_probe().await.unwrap();
    assert!(probe.lsn > switched.lsn);
    let DataState::Cluster(running) = server.data_directory().state().unwrap() else { panic!("no data") };
    assert_eq!(running.state, DatabaseState::InProduction);
}

/// Whoever may alter roles or the system must not be able to break the agent by a default.
async fn hostile_defaults_do_not_reach_our_sessions(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    postgres.start().await;
    let mut hostile = vec![
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "role = nobody",
        "search_path = trap",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_session_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "client_encoding = LATIN1",
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Tokyo'",
        "bytea_output = escape",
        "session_replication_role = replica",
        "session_preload_libraries = 'missing'",
    ];
    if major >= 17 {
        hostile.push("transaction_timeout = 1");
    }
    postgres.execute("CREATE ROLE nobody").await;
    let server = postgres.server();
    for setting in &hostile {
        postgres.execute(&format!("ALTER ROLE vcap SET {setting}")).await;
    }
    for setting in
        ["default_transaction_read_only = on", "statement_timeout = 1", "standard_conforming_strings = off"]
    {
        postgres.execute(&format!("ALTER DATABASE postgres SET {setting}")).await;
    }
    let status = server.status(&identity(), None).await.unwrap();
    assert_eq!(status.role, Role::Primary);
    assert!(server.write_probe().await.unwrap().lsn >= status.lsn);
    server.switch_wal().await.unwrap();
    let session = BackupSession::start(&server, &backup()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    session.stop().await.unwrap();
    let shown = "SELECT current_user || ' ' || current_setting('TimeZone') || ' ' || current_setting('client_encoding')";
    assert_eq!(postgres.value(shown).await, "vcap UTC UTF8");
}

async fn databases_of_every_encoding_are_served(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    postgres.start().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        postgres
            .execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LOCALE 'C'"))
            .await;
        let mut config = postgres.config();
        config.database = name;
        let server = remount_postgres::LocalServer::new(config);
        server.status(&identity(), None).await.unwrap();
        let session = BackupSession::start(&server, &backup()).await.unwrap();
        assert!(session.stop().await.unwrap().backup_label.contains(backup().as_str()));
    }
}

async fn what_beats_the_jobs_settings_is_told(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    postgres.start().await;
    let server = postgres.server();
    assert_eq!(server.overrides().await.unwrap(), []);
    postgres.execute("ALTER SYSTEM SET archive_command = '/bin/true'").await;
    postgres.execute("ALTER SYSTEM SET max_wal_senders = 4").await; // As the job says.
    postgres.execute("ALTER SYSTEM SET work_mem = '8MB'").await; // Nothing rests on it.
    postgres.execute("ALTER SYSTEM SET archive_timeout = 60").await;
    postgres.execute("ALTER SYSTEM SET archive_library = ''").await; // As where nobody says anything.
    postgres.execute("ALTER SYSTEM SET fsync = 'f'").await; // PostgreSQL takes the beginning of a word.
    server.reload().await.unwrap();
    let found = server.status(&identity(), None).await.unwrap().overrides;
    let told: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.severity)).collect();
    let (breaks, differs) = (Severity::Breaks, Severity::Differs);
    assert_eq!(told, [("archive_command", breaks), ("archive_timeout", differs), ("fsync", breaks)]);
    assert!(
        found[0]
            .to_string()
            .starts_with("archive_command is `/bin/true` by postgresql.auto.conf, the job says `test")
    );
}

async fn the_control_file_says_what_recovery_demands(major: u32) {
    let home = support::folder();
    let mut postgres = Postgres::init(major, home.path(), "a");
    let settings = "max_connections = 123\nmax_worker_processes = 9\nmax_prepared_transactions = 7\n\
                    max_locks_per_transaction = 65\n";
    let conf = postgres.data.join("postgresql.conf");
    let before = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, before + settings).unwrap();
    postgres.start().await;
    postgres.stop();
    let demands: Vec<_> =
        ControlData::read(&postgres.data).unwrap().demands.each().map(|(_, value)| value).collect();
    assert_eq!(demands, [123, 9, 4, 7, 65]);
}

macro_rules! on_every_version {
    ($($name:ident),+) => {$(
        mod $name {
            #[tokio::test]
            async fn on_15() { super::$name(15).await; }
            #[tokio::test]
            async fn on_16() { super::$name(16).await; }
            #[tokio::test]
            async fn on_17() { super::$name(17).await; }
            #[tokio::test]
            async fn on_18() { super::$name(18).await; }
        }
    )+};
}

on_every_version!(
    every_target_is_reached,
    a_directory_prepared_by_half_does_not_start,
    a_recovery_stays_at_its_target,
    a_pause_on_low_settings_is_told_from_a_target,
    a_standby_is_pinned_to_its_number,
    backup_mode_begins_and_ends_with_its_session,
    a_server_tells_what_it_is,
    hostile_defaults_do_not_reach_our_sessions,
    databases_of_every_encoding_are_served,
    what_beats_the_jobs_settings_is_told,
    the_control_file_says_what_recovery_demands
);
