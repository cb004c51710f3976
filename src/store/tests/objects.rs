//! The contract on memory, a folder and S3; and what is special to each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bytes::Bytes;
use remount_core::{OperatorError, Retry, SegmentSize, SystemIdentifier};
use remount_sim::contract;
use remount_store::{ArchiveFile, Codec, Created, Denial, Error, Metadata, PushOptions};
use support::{Moto, config, folder, memory, policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    contract::objects::run("memory, in a store", memory().1.objects().clone()).await.assert_holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_every_promise() {
    let root = tempfile::tempdir().unwrap();
    contract::objects::run("a folder", folder(root.path()).objects().clone()).await.assert_holds();
    let left = std::fs::read_dir(root.path().join(".remount-tmp")).unwrap().count();
    assert_eq!(left, 0, "no temporary file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_every_promise() {
    let moto = Moto::start();
    contract::objects::run("S3 (moto)", moto.store().await.objects().clone()).await.assert_holds();
}

#[tokio::test]
async fn a_missing_bucket_is_not_an_absent_object() {
    let moto = Moto::start();
    let store = config(moto.config("nowhere")).open(&policy()).unwrap();
    for error in [
        store.objects().read("a").await.map(drop).unwrap_err(),
        store.objects().stat("a").await.map(drop).unwrap_err(),
        store.objects().list("a/").await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn a_404_that_is_not_the_stores_own_is_not_an_absent_object() {
    // A proxy or a wrong address: 404 without S3's words.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope";
            connection.write_all(answer).await.unwrap();
        }
    });
    let store = config(s3_at(&format!("http://127.0.0.1:{port}"))).open(&policy()).unwrap();
    for error in [
        store.objects().read("a").await.map(drop).unwrap_err(),
        store.objects().stat("a").await.map(drop).unwrap_err(),
        store.objects().list("a/").await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    }
}

fn s3_at(endpoint: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "s3", "bucket": "wal", "endpoint": endpoint, "access_key_id": "id",
        "secret_access_key": "very-secret", "signing": {"private_key": remount_sim::keys::PRIVATE}, "timeout_seconds": 1,
    })
}

/// A server that answers everything with this status and S3's words for it.
async fn s3_that_says(status: &'static str, code: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 65536];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_in_push_and_fetch() {
    let rows = [
        ("403 Forbidden", "AccessDenied", Denial::Permission, "denies permission", "manifests/policies"),
        ("400 Bad Request", "ExpiredToken", Denial::Expired, "have expired", "instance profile"),
        ("403 Forbidden", "InvalidAccessKeyId", Denial::Credentials, "does not accept", "access_key_id"),
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            Denial::Credentials,
            "does not accept",
            "secret_access_key",
        ),
        ("403 Forbidden", "RequestTimeTooSkewed", Denial::Clock, "clock", "chronyc"),
    ];
    let file: ArchiveFile = "00000002.history".parse().unwrap();
    let options = PushOptions { codec: Codec::Lz4, segment_size: SegmentSize::DEFAULT };
    for (status, code, meant, said, next) in rows {
        let store = config(s3_at(&s3_that_says(status, code).await)).open(&policy()).unwrap();
        let archive = support::cluster(&store).wal(SystemIdentifier(7));
        let text = Bytes::from_static(b"1\t0/380000\tx\n");
        for error in [
            archive.push(&file, text, options).await.map(drop).unwrap_err(),
            archive.fetch(&file).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Denied { denial, .. } if denial == meant), "{code}: {error:?}");
            let report = remount_core::report(&error);
            assert!(report.contains(said) && report.contains(next), "{code}: {report}");
        }
    }
}

#[tokio::test]
async fn only_the_pinned_ca_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, generated.cert.pem()).unwrap();
    std::fs::write(&key, generated.signing_key.serialize_pem()).unwrap();
    let moto = Moto::start_with(&["-c", certificate.to_str().unwrap(), "-k", key.to_str().unwrap()]);
    assert!(moto.endpoint.starts_with("https://"), "{}", moto.endpoint);

    let mut json = moto.config("nowhere");
    json["timeout_seconds"] = 5.into();
    let stranger = config(json.clone()).open(&policy()).unwrap();
    let error = stranger.objects().list("a/").await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");

    json["ca"] = generated.cert.pem().into();
    let friend = config(json.clone()).open(&policy()).unwrap();
    let error = friend.objects().list("a/").await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "it answers that the bucket is missing: {error:?}");

    json["ca"] = "no certificate".into();
    let error = config(json).open(&policy()).unwrap_err();
    assert!(error.to_string().contains("store.ca"), "{error}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unanswered() {
    // Bound and never accepted from, then gone: refused at once.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = config(s3_at(&format!("http://127.0.0.1:{port}"))).open(&policy()).unwrap();
    let error = store.objects().read("a").await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Soon);
    let report = remount_core::report(&error);
    assert!(report.contains("read a") && !report.contains("very-secret"), "{report}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("not-mounted");
    let json = serde_json::json!({"type": "fs", "root": missing, "signing": {"private_key": remount_sim::keys::PRIVATE}});
    let error = config(json).open(&policy()).unwrap_err();
    assert!(error.to_string().contains("mounted"), "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn an_object_in_a_folder_is_there_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    // What a killed writer leaves: no name below the folder that anybody lists.
    std::fs::create_dir(root.path().join(".remount-tmp")).unwrap();
    let (half, older) = (root.path().join(".remount-tmp/half"), root.path().join(".remount-tmp/older"));
    std::fs::write(&half, b"half").unwrap();
    let day = std::time::Duration::from_secs(25 * 60 * 60);
    let yesterday = std::fs::metadata(&half).unwrap().modified().unwrap() - day;
    std::fs::File::create(&older).unwrap().set_modified(yesterday).unwrap();
    let created =
        store.objects().create("clusters/a/b", Bytes::from_static(b"whole"), &Metadata::new()).await;
    assert_eq!(created.unwrap(), Created::New);
    assert_eq!(store.objects().list("clusters/").await.unwrap().len(), 1);
    assert!(half.exists() && !older.exists(), "what nobody writes any more is deleted");
    let mode = std::fs::metadata(root.path().join("clusters/a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "objects are their owner's alone");
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_said_at_once_and_no_secret_with_it() {
    let wrong = config(serde_json::json!({
        "type": "s3", "secret_access_key": "very-secret", "signing": {"private_key": remount_sim::keys::PRIVATE},
        "timeout_seconds": 0,
    }));
    let error = wrong.open(&policy()).unwrap_err().to_string();
    for part in ["bucket", "access_key_id", "timeout_seconds"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let opened = config(s3_at("http://127.0.0.1:1")).open(&policy()).unwrap();
    let shown = format!("{wrong:?} {error} {opened:?} {:?}", support::cluster(&opened));
    assert!(!shown.contains("very-secret") && !shown.contains("PRIVATE KEY"), "{shown}");
}

/// The child of the test below: creates the objects 0.. until all are there, and prints which it won.
fn race(root: &str, me: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = folder(std::path::Path::new(root));
        for n in 0..RACES {
            let content = Bytes::from(me.repeat(1000));
            if store.objects().create(&format!("race/{n:03}"), content, &Metadata::new()).await.unwrap()
                == Created::New
            {
                println!("won {n:03}");
            }
        }
    });
}

const RACES: usize = 50;

#[test]
fn of_two_processes_that_create_one_wins() {
    if let (Ok(root), Ok(me)) = (std::env::var("REMOUNT_RACE_ROOT"), std::env::var("REMOUNT_RACE_NAME")) {
        return race(&root, &me);
    }
    let root = tempfile::tempdir().unwrap();
    let spawn = |name: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "of_two_processes_that_create_one_wins", "--nocapture"])
            .env("REMOUNT_RACE_ROOT", root.path())
            .env("REMOUNT_RACE_NAME", name)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (a, b) = (spawn("A"), spawn("B"));
    let won = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("won ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (a, b) = (won(a), won(b));
    assert_eq!(a.len() + b.len(), RACES, "each object has one creator");
    for (winner, names) in [("A", &a), ("B", &b)] {
        for name in names {
            let content = std::fs::read_to_string(root.path().join("race").join(name)).unwrap();
            assert_eq!(content, winner.repeat(1000), "{name} holds its creator's content, whole");
        }
    }
}
