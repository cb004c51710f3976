//! WAL in the store: the table of bad input (`docs/reference/wal-archive.md` section 1), row by row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use remount_core::{
    Lsn, OperatorError, Retry, SegmentSize, SystemIdentifier, TimelineId, TimelinePart, WalSegment,
};
use remount_sim::sample_segment;
use remount_store::{
    ArchiveFile, Codec, Damage, Error, Metadata, Objects, PartCommits, PushOptions, Pushed, SegmentFault,
    Store, WalArchive,
};
use support::{Moto, cluster, folder, memory};

const OWNER: SystemIdentifier = SystemIdentifier(7_300_000_000_000_000_001);
const SIZE: u32 = 1 << 20;
const CODECS: [Codec; 3] = Codec::ALL;

fn size() -> SegmentSize {
    SegmentSize::new(SIZE).unwrap()
}

fn options(codec: Codec) -> PushOptions {
    PushOptions { codec, segment_size: size() }
}

fn segment(text: &str) -> WalSegment {
    text.parse().unwrap()
}

fn third() -> WalSegment {
    segment("000000010000000000000003")
}

/// A segment with something in it.
fn content(name: WalSegment, fill: u8) -> Bytes {
    let mut content = sample_segment(name, size(), OWNER).to_vec();
    for (at, byte) in content.iter_mut().enumerate().skip(8192) {
        *byte = fill ^ (at / 97) as u8;
    }
    content.into()
}

fn archive(store: &Store) -> WalArchive {
    cluster(store).wal(OWNER)
}

async fn push(archive: &WalArchive, content: Bytes) -> Result<Pushed, Error> {
    archive.push(&ArchiveFile::Segment(third()), content, options(Codec::Zst)).await
}

async fn what_is_pushed_is_fetched(store: &Store) {
    for (n, codec) in CODECS.into_iter().enumerate() {
        let name = segment(&format!("00000001000000000000001{n}"));
        let file = ArchiveFile::Segment(name);
        let content = content(name, n as u8);
        let pushed = archive(store).push(&file, content.clone(), options(codec)).await.unwrap();
        assert!(matches!(pushed, Pushed::New { .. }), "{pushed:?}");
        let again = archive(store).push(&file, content.clone(), options(codec)).await.unwrap();
        assert_eq!(again, Pushed::AlreadyThere);
        assert_eq!(archive(store).fetch(&file).await.unwrap().unwrap(), content, "{codec:?}");
        assert!(archive(store).contains(&name).await.unwrap());
        assert_eq!(archive(store).last_commit(&name).await.unwrap(), None);
    }
    assert!(archive(store).fetch(&ArchiveFile::Segment(third())).await.unwrap().is_none());
    assert!(!archive(store).contains(&third()).await.unwrap());
}

#[tokio::test]
async fn in_memory_what_is_pushed_is_fetched() {
    what_is_pushed_is_fetched(&memory().1).await;
}

#[tokio::test]
async fn in_a_folder_what_is_pushed_is_fetched() {
    let root = tempfile::tempdir().unwrap();
    what_is_pushed_is_fetched(&folder(root.path())).await;
}

#[tokio::test]
async fn on_s3_what_is_pushed_is_fetched() {
    let moto = Moto::start();
    what_is_pushed_is_fetched(&moto.store().await).await;
}

#[tokio::test]
async fn other_content_under_the_same_name_is_refused_under_every_codec() {
    let (_, store) = memory();
    push(&archive(&store), content(third(), 1)).await.unwrap();
    for codec in CODECS {
        let file = ArchiveFile::Segment(third());
        let again = archive(&store).push(&file, content(third(), 1), options(codec)).await.unwrap();
        assert_eq!(again, Pushed::AlreadyThere, "{codec:?}");
        let error = archive(&store).push(&file, content(third(), 2), options(codec)).await.unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{codec:?}: {error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
    let kept = archive(&store).fetch(&ArchiveFile::Segment(third())).await.unwrap().unwrap();
    assert_eq!(kept, content(third(), 1), "the first content stays");
}

/// A database VM that was taken over writes what it likes: what the control plane reads of it stays within bounds.
#[tokio::test]
async fn an_object_is_not_read_beyond_what_its_name_can_be() {
    let (objects, store) = memory();
    push(&archive(&store), content(third(), 1)).await.unwrap();
    let segments = format!("clusters/pg-0001/{OWNER}/wal/00000001/{}", third());
    let packed = Objects::read(&*objects, &segments).await.unwrap().unwrap().content;
    let history = format!("clusters/pg-0001/{OWNER}/wal/00000002/00000002.history");
    let timeline = TimelineId::new(2).unwrap();
    // A history that would be a MiB once it is decompressed: a GiB fits into as few bytes.
    objects.replace(&history, packed).await.unwrap();
    let error = archive(&store).history(timeline).await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { damage: Damage::Codec { .. }, .. }), "{error:?}");
    objects.replace(&history, vec![0; (1 << 20) + (1 << 17)].into()).await.unwrap();
    for error in [
        archive(&store).history(timeline).await.map(drop).unwrap_err(),
        archive(&store).listing().await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Damaged { damage: Damage::TooLong { .. }, .. }), "{error:?}");
    }
    let small = SegmentSize::new(SIZE).unwrap();
    assert!(archive(&store).with_segments_of(small).verify_content(&third()).await.unwrap());
    objects.replace(&segments, vec![0; 2 << 20].into()).await.unwrap();
    let error = archive(&store).with_segments_of(small).verify_content(&third()).await.unwrap_err();
    let long = Damage::TooLong { most_bytes: SIZE.into() };
    assert!(matches!(&error, Error::Damaged { damage, .. } if *damage == long), "{error:?}");
}

#[tokio::test]
async fn a_note_that_no_vm_of_ours_has_written_is_not_read_whole() {
    let (objects, store) = memory();
    let id = "0f1e".parse().unwrap();
    let path = "clusters/pg-0001/instances/0f1e.stopped.json";
    objects.replace(path, vec![b' '; (1 << 20) + 1].into()).await.unwrap();
    let error = cluster(&store).stop_note(&id).await.unwrap_err();
    assert!(matches!(&error, Error::Document { path: named, .. } if named == path), "{error:?}");
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}

async fn fault_of(content: Bytes) -> SegmentFault {
    let (objects, store) = memory();
    let error = push(&archive(&store), content).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    let Error::Unfit { fault, .. } = error else { panic!("{error:?}") };
    let written = remount_store::Objects::list(&*objects, "clusters/").await.unwrap();
    assert!(written.is_empty(), "nothing was written: {written:?}");
    fault
}

#[tokio::test]
async fn what_is_not_the_segment_its_name_says_is_refused_with_its_own_error() {
    let good = content(third(), 1);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(changed)
    };
    let rows = [
        (with(24, &9_u64.to_le_bytes()), "system identifier 9"),
        (Bytes::from(vec![0; SIZE as usize]), "nothing but zeros"),
        (good.slice(..300 << 10), "307200 bytes"),
        (Bytes::new(), "0 bytes"),
        ([&good[..], &[0]].concat().into(), "1048577 bytes"),
        (with(0, &0xD101_u16.to_le_bytes()), "magic 0xD101"),
        (with(2, &0_u16.to_le_bytes()), "first page"),
        (with(4, &2_u32.to_le_bytes()), "timeline 2"),
        (with(8, &(4_u64 << 20).to_le_bytes()), "begins at 0/400000"),
        (with(32, &(16_u32 << 20).to_le_bytes()), "segments of 16777216 bytes"),
        (with(36, &0_u32.to_le_bytes()), "page size"),
    ];
    for (content, part) in rows {
        let fault = fault_of(content).await.to_string();
        assert!(fault.contains(part), "`{part}` is not in: {fault}");
    }
}

#[tokio::test]
async fn a_partial_segment_is_checked_too_and_is_no_segment() {
    let (_, store) = memory();
    let file = ArchiveFile::Partial(third());
    let error = archive(&store).push(&file, vec![0; 9].into(), options(Codec::Lz4)).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error:?}");
    archive(&store).push(&file, content(third(), 1), options(Codec::Lz4)).await.unwrap();
    assert_eq!(archive(&store).fetch(&file).await.unwrap().unwrap(), content(third(), 1));
    assert!(!archive(&store).contains(&third()).await.unwrap());
    assert!(archive(&store).listing().await.unwrap().segments.is_empty());
}

#[tokio::test]
async fn histories_are_checked_listed_and_stay_readable() {
    let (objects, store) = memory();
    let archive = archive(&store);
    let second = TimelineId::new(2).unwrap();
    let file = ArchiveFile::History(second);
    for wrong in ["", "1 x", "2\t0/1\tx"] {
        let error = archive.push(&file, wrong.into(), options(Codec::Zst)).await.unwrap_err();
        assert!(matches!(error, Error::Unfit { fault: SegmentFault::History(_), .. }), "{error:?}");
    }
    let text = "1\t0/380000\tno recovery target specified\n";
    archive.push(&file, text.into(), options(Codec::Zst)).await.unwrap();
    let path = format!("clusters/pg-0001/{OWNER}/wal/00000002/00000002.history");
    let stored = remount_store::Objects::read(&*objects, &path);
    assert!(stored.await.unwrap().unwrap().content.ends_with(text.as_bytes()), "people can read it");

    // The first segment of timeline 2 is a copy of its parent's: its first page says 1.
    let fork = third().on(second);
    let pushed = archive.push(&ArchiveFile::Segment(fork), content(third(), 1), options(Codec::Zst)).await;
    assert!(matches!(pushed, Ok(Pushed::New { .. })), "{pushed:?}");
    // The fourth is not.
    let fourth = segment("000000010000000000000004");
    let file = ArchiveFile::Segment(fourth.on(second));
    let error = archive.push(&file, content(fourth, 1), options(Codec::Zst)).await.unwrap_err();
    assert!(
        matches!(error, Error::Unfit { fault: SegmentFault::Timeline { actual: 1, expected: 2 }, .. }),
        "{error:?}"
    );

    let listing = archive.listing().await.unwrap();
    assert_eq!(listing.segments.into_iter().collect::<Vec<_>>(), [fork]);
    assert_eq!(listing.histories[&second].left(TimelineId::FIRST).unwrap().to_string(), "0/380000");
    assert!(archive.history(TimelineId::FIRST).await.unwrap().unwrap().forks.is_empty());
    assert!(archive.history(TimelineId::new(9).unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_backup_history_is_kept() {
    let (_, store) = memory();
    let file = ArchiveFile::Backup { segment: third(), offset: 0x28 };
    let text = "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n";
    let error = archive(&store).push(&file, "x".into(), options(Codec::Zst)).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { fault: SegmentFault::BackupHistory, .. }), "{error:?}");
    archive(&store).push(&file, text.into(), options(Codec::Zst)).await.unwrap();
    assert_eq!(archive(&store).fetch(&file).await.unwrap().unwrap(), text);
}

/// A folder's archive with one segment, and its file.
async fn stored(codec: Codec) -> (tempfile::TempDir, Store, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    let file = ArchiveFile::Segment(third());
    archive(&store).push(&file, content(third(), 1), options(codec)).await.unwrap();
    let path = format!("clusters/pg-0001/{OWNER}/wal/00000001/{}", third());
    let path = root.path().join(path);
    (root, store, path)
}

async fn damage_of(store: &Store) -> Damage {
    let error = archive(store).fetch(&ArchiveFile::Segment(third())).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    let Error::Damaged { damage, .. } = error else { panic!("{error:?}") };
    damage
}

/// Changes a file in place.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = std::fs::read(path).unwrap();
    change(&mut content);
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn one_flipped_bit_anywhere_is_detected_under_every_codec() {
    for codec in CODECS {
        let (_root, store, path) = stored(codec).await;
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        for n in 0..64 {
            let at = length * n / 64;
            change(&path, |content| content[at] ^= 1 << (n % 8));
            let damage = damage_of(&store).await;
            assert!(
                matches!(
                    damage,
                    Damage::Checksum | Damage::Codec { .. } | Damage::Length { .. } | Damage::Header(_)
                ),
                "{codec:?} at {at}: {damage:?}"
            );
            change(&path, |content| content[at] ^= 1 << (n % 8));
        }
        assert!(archive(&store).fetch(&ArchiveFile::Segment(third())).await.unwrap().is_some(), "mended");
    }
}

#[tokio::test]
async fn an_object_that_was_cut_or_grew_is_detected() {
    for codec in CODECS {
        let (_root, store, path) = stored(codec).await;
        change(&path, |content| content.truncate(content.len() * 9 / 16));
        let damage = damage_of(&store).await;
        assert!(matches!(damage, Damage::Length { .. } | Damage::Codec { .. }), "{codec:?}: {damage:?}");
    }
    let (_root, store, path) = stored(Codec::Raw).await;
    change(&path, |content| content.push(0));
    assert!(matches!(damage_of(&store).await, Damage::Length { .. }));
}

#[tokio::test]
async fn a_segment_that_lies_under_anothers_name_is_detected() {
    let (objects, store) = memory();
    push(&archive(&store), content(third(), 1)).await.unwrap();
    let folder = format!("clusters/pg-0001/{OWNER}/wal/00000001");
    let object =
        remount_store::Objects::read(&*objects, &format!("{folder}/{}", third())).await.unwrap().unwrap();
    let other = segment("000000010000000000000004");
    let copy = format!("{folder}/{other}");
    remount_store::Objects::create(&*objects, &copy, object.content, &object.metadata).await.unwrap();
    let error = archive(&store).fetch(&ArchiveFile::Segment(other)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Damaged { damage: Damage::Content(SegmentFault::Address { .. }), .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_object_without_its_header_is_refused() {
    let (objects, store) = memory();
    let path = format!("clusters/pg-0001/{OWNER}/wal/00000001/{}", third());
    remount_store::Objects::create(&*objects, &path, content(third(), 1), &Metadata::new()).await.unwrap();
    assert!(matches!(damage_of(&store).await, Damage::Header(_)));
}

#[tokio::test]
async fn a_store_that_does_not_answer_never_says_absent() {
    let moto = Moto::start();
    let store = moto.store().await;
    drop(moto);
    let error = archive(&store).fetch(&ArchiveFile::Segment(third())).await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    let error = push(&archive(&store), content(third(), 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
}

/// What `cp -r` and `tar` without options make of a folder: content and names alone.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copied(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_copy_of_the_folder_is_an_archive() {
    for codec in CODECS {
        let (root, store, _) = stored(codec).await;
        let second = TimelineId::new(2).unwrap();
        let history = ArchiveFile::History(second);
        let text = "1\t0/380000\tno recovery target specified\n";
        archive(&store).push(&history, text.into(), options(codec)).await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        copied(root.path(), copy.path());
        let copy = folder(copy.path());
        let file = ArchiveFile::Segment(third());
        assert_eq!(archive(&copy).fetch(&file).await.unwrap().unwrap(), content(third(), 1), "{codec:?}");
        assert_eq!(archive(&copy).fetch(&history).await.unwrap().unwrap(), text);
        let again = archive(&copy).push(&file, content(third(), 1), options(codec)).await.unwrap();
        assert_eq!(again, Pushed::AlreadyThere, "and archiving goes on there");
    }
}

#[tokio::test]
async fn of_two_codecs_at_once_one_object_comes() {
    let (objects, store) = memory();
    let file = ArchiveFile::Segment(third());
    let pushes = CODECS.map(|codec| {
        let (archive, file) = (archive(&store), file.clone());
        tokio::spawn(async move { archive.push(&file, content(third(), 1), options(codec)).await.unwrap() })
    });
    for push in pushes {
        push.await.unwrap();
    }
    let listed = remount_store::Objects::list(&*objects, "clusters/").await.unwrap();
    let segments: Vec<_> = listed.iter().filter(|info| !info.path.ends_with(".summary")).collect();
    assert_eq!(segments.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_by_product_that_differs_gets_a_name_of_its_own_and_blocks_nothing() {
    let (objects, store) = memory();
    let archive = archive(&store);
    let backup = |rest: &str| Bytes::from(format!("START WAL LOCATION: 0/3000028{rest}\n"));
    let rows = [
        (ArchiveFile::Partial(third()), content(third(), 1), content(third(), 2)),
        (ArchiveFile::Backup { segment: third(), offset: 0x28 }, backup(" x"), backup(" y")),
    ];
    for (n, (file, first, other)) in rows.into_iter().enumerate() {
        archive.push(&file, first.clone(), options(Codec::Lz4)).await.unwrap();
        let pushed = archive.push(&file, other.clone(), options(Codec::Lz4)).await.unwrap();
        assert!(matches!(pushed, Pushed::New { .. }), "{file}: {pushed:?}");
        let again = archive.push(&file, other, options(Codec::Zst)).await.unwrap();
        assert_eq!(again, Pushed::AlreadyThere, "{file}: PostgreSQL may ask twice");
        assert_eq!(archive.fetch(&file).await.unwrap().unwrap(), first, "{file}: the first one stays");
        let listed = remount_store::Objects::list(&*objects, "clusters/").await.unwrap();
        assert_eq!(listed.len(), 2 * (n + 1), "{listed:?}");
    }
    let listing = archive.listing().await.unwrap();
    assert!(listing.segments.is_empty() && listing.histories.is_empty(), "{listing:?}");
    let second = archive.second_by_products().await.unwrap();
    assert_eq!(second.len(), 2, "{second:?}");
    let partial = format!("{}.partial.", third());
    assert!(second.iter().any(|name| name.starts_with(&partial)), "{second:?}");
}

/// It is the first that a second owner of a timeline archives: its segments come later.
#[tokio::test]
async fn a_history_that_differs_is_refused_as_a_segment_is() {
    let (objects, store) = memory();
    let archive = archive(&store);
    let file = ArchiveFile::History(TimelineId::new(2).unwrap());
    let history = |why: &str| Bytes::from(format!("1\t0/380000\t{why}\n"));
    archive.push(&file, history("a"), options(Codec::Zst)).await.unwrap();
    let error = archive.push(&file, history("b"), options(Codec::Zst)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    assert_eq!(archive.push(&file, history("a"), options(Codec::Zst)).await.unwrap(), Pushed::AlreadyThere);
    assert_eq!(remount_store::Objects::list(&*objects, "clusters/").await.unwrap().len(), 1);
}

/// The record of a commit at this second of PostgreSQL's time, as the first one of a segment.
fn with_commit(name: WalSegment, seconds: i64) -> Bytes {
    let mut content = sample_segment(name, size(), OWNER).to_vec();
    let mut record = vec![0; 24];
    record[..4].copy_from_slice(&37_u32.to_le_bytes());
    record[17] = 1; // A transaction's; its operation 0 is a commit.
    record.push(254);
    record.extend(8_u32.to_le_bytes());
    record.extend((seconds * 1_000_000).to_le_bytes());
    content[40..40 + record.len()].copy_from_slice(&record);
    content.into()
}

#[tokio::test]
async fn when_a_cluster_lived_on_a_part_is_found_out_past_a_long_transaction_or_is_unknown() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    let archive = archive(&store);
    let numbered = |number| WalSegment::numbered(TimelineId::FIRST, number, size());
    // A batch of one transaction, longer than eight segments; then commits; then another batch.
    for number in 1..=30 {
        let content = match number {
            12 | 15 => with_commit(numbered(number), i64::try_from(number).unwrap()),
            _ => sample_segment(numbered(number), size(), OWNER),
        };
        archive.push(&ArchiveFile::Segment(numbered(number)), content, options(Codec::Zst)).await.unwrap();
    }
    let segments = archive.listing().await.unwrap().segments;
    let look = async |from: u64, to: Option<u64>, seconds: u64| {
        let part = TimelinePart {
            timeline: TimelineId::FIRST,
            from: Lsn(numbered(from).start(size()).0 + 0x100),
            to: to.map(|to| numbered(to).start(size())),
        };
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
        archive.commits_of(&part, &segments, size(), until).await.unwrap()
    };
    let second = |n: i64| jiff::Timestamp::new(946_684_800 + n, 0).unwrap();
    let PartCommits::Span(span) = look(1, None, 60).await else { panic!("it has commits") };
    assert_eq!((span.first, span.last), (second(12), second(15)));
    assert_eq!(look(1, None, 0).await, PartCommits::Unknown, "there was no time to come to a commit");
    assert_eq!(look(16, None, 60).await, PartCommits::None, "all were looked at");
    assert_eq!(look(40, None, 60).await, PartCommits::None, "there are no segments");
    let path = root.path().join(format!("clusters/pg-0001/{OWNER}/wal/00000001/{}", numbered(1)));
    change(&path, |content| content.truncate(100));
    assert_eq!(look(1, None, 60).await, PartCommits::Unknown, "its first segment is damaged");
}

/// The end of a segment is the beginning of the next: what is cut there is nothing, not all.
#[tokio::test]
async fn a_tail_up_to_the_very_end_of_its_segment_is_the_whole_segment() {
    let archive = archive(&memory().1);
    let whole = content(third(), 7);
    let (end, inside) = (third().end(size()), Lsn(third().start(size()).0 + 8192));
    let tail = archive.push_tail(third(), whole.to_vec(), (end, end), options(Codec::Raw)).await.unwrap();
    assert_eq!(archive.fetch_tail(&tail).await.unwrap().unwrap(), whole);
    let cut =
        archive.push_tail(third(), whole.to_vec(), (inside, inside), options(Codec::Raw)).await.unwrap();
    let cut = archive.fetch_tail(&cut).await.unwrap().unwrap();
    assert!(cut[..8192] == whole[..8192] && cut[8192..].iter().all(|byte| *byte == 0));
}
