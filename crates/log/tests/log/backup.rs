//! Backups: a copy of a book in use is the book up to some record, and never less than before.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use counterfoil_log::{
    Access, BackupError, BackupOptions, Log, LogOptions, Lsn, MemStorage, Storage,
    sim::{SimRandom, SimStorage},
    verify,
};

use super::{Files, MANIFEST, append, assert_holds, numbered, open, small_segments, try_open};

/// A book of `last` records with key slots and snapshots beside it.
fn book(last: u64) -> (MemStorage, Log) {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, last, 3);
    put(&storage, "0000000001.keys", b"keys");
    put(&storage, "00000000000000000007.snap", b"old snapshot");
    (storage, log)
}

fn put(storage: &MemStorage, name: &str, bytes: &[u8]) {
    let file = storage.create(name).or_else(|_| storage.open(name, Access::Write)).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

fn with_snapshot() -> BackupOptions {
    let mut options = BackupOptions::default();
    options.snapshot = true;
    options
}

/// Asserts that a backup is whole, says it was closed, and holds the records up to `last`.
#[track_caller]
fn assert_is_backup(files: Files, last: u64) {
    let report = verify(&MemStorage::from_files(files.clone())).unwrap();
    assert_eq!((report.damage, report.tail, report.clean), (vec![], None, true));
    let (log, report) = open(MemStorage::from_files(files));
    assert!(report.clean);
    assert_holds(&log, last);
}

#[test]
fn a_copy_of_an_open_book_is_a_closed_book() {
    let (_, log) = book(50);
    log.append(numbered(51)).unwrap();
    let target = MemStorage::new();
    let report = log.backup(&target, BackupOptions::default()).unwrap();
    assert_eq!(report.receipt, log.head_at(Lsn(50)).unwrap());
    assert!(report.segments_copied > 4 && report.segments_kept == 0, "{report:?}");
    assert_eq!(report.snapshot, None);
    assert_is_backup(target.files(), 50);
    assert_eq!(target.files()["0000000001.keys"], b"keys");
    assert!(!target.files().keys().any(|name| name.ends_with(".snap")));
    // The book goes on.
    append(&log, 51 + 1, 60, 1);
    log.close().unwrap();
    assert_eq!(log.durable(), Lsn(60));
}

#[test]
fn the_next_copy_writes_only_what_is_missing() {
    let (storage, log) = book(50);
    let target = MemStorage::new();
    let first = log.backup(&target, with_snapshot()).unwrap();
    assert_eq!(first.snapshot, Some(Lsn(7)));
    let again = log.backup(&target, with_snapshot()).unwrap();
    assert_eq!((again.segments_copied, again.bytes_written), (0, 0));
    assert_eq!(again.segments_kept, first.segments_copied);
    assert_is_backup(target.files(), 50);

    append(&log, 51, 90, 3);
    put(&storage, "00000000000000000080.snap", b"new snapshot");
    put(&storage, "00000000000000000091.snap", b"one that is ahead");
    put(&storage, "0000000002.keys", b"more keys");
    storage.remove("0000000001.keys").unwrap();
    let third = log.backup(&target, with_snapshot()).unwrap();
    // All but the one that was the last then, unless that was just full.
    assert!(third.segments_kept >= first.segments_copied - 1, "{third:?}");
    assert!(third.segments_copied > 0, "{third:?}");
    assert_eq!(third.snapshot, Some(Lsn(80)));
    let files = target.files();
    let beside: Vec<&str> =
        files.keys().map(String::as_str).filter(|n| !n.ends_with("seg")).collect();
    assert_eq!(beside, ["00000000000000000080.snap", "0000000002.keys", MANIFEST]);
    assert_is_backup(files, 90);
}

#[test]
fn a_segment_that_differs_is_copied_again() {
    let (_, log) = book(60);
    let target = MemStorage::new();
    log.backup(&target, BackupOptions::default()).unwrap();
    let sound = target.files();
    let sealed = "0000000002.seg";
    let active = sound.keys().rfind(|name| name.ends_with("seg")).unwrap().clone();
    let len = sound[sealed].len();
    for (name, at) in
        [(sealed, 0), (sealed, 70), (sealed, len - 1), (sealed, len - 100), (&active, 5000)]
    {
        let mut files = sound.clone();
        files.get_mut(name).unwrap()[at] ^= 4;
        let target = MemStorage::from_files(files);
        let report = log.backup(&target, BackupOptions::default()).unwrap();
        assert_eq!(report.segments_copied, 1, "byte {at} of {name}");
        assert_eq!(target.files(), sound);
    }
}

#[test]
fn a_target_that_is_something_else_is_left_alone() {
    let (_, log) = book(30);
    let other_id = LogOptions { book_id: [7; 16], ..small_segments() };
    let foreign = MemStorage::new();
    Log::open(foreign.clone(), other_id).unwrap().0.close().unwrap();
    let stray = MemStorage::from_files([("notes.txt".to_owned(), b"mine".to_vec())].into());
    let broken = MemStorage::from_files([(MANIFEST.to_owned(), b"CFLBOOK1".to_vec())].into());
    let diverged = MemStorage::new();
    let (other, _) = open(diverged.clone());
    (2..=21).for_each(|n| assert!(other.append(numbered(n)).is_ok()));
    other.close().unwrap();
    let ahead_closed = MemStorage::new();
    let (log_ahead, _) = open(ahead_closed.clone());
    append(&log_ahead, 1, 31, 1);
    log_ahead.close().unwrap();
    for (target, expected) in [
        (foreign, "not a backup of this book: it holds another book"),
        (stray, "not a backup of this book: it holds notes.txt"),
        (broken, "not a backup of this book: MANIFEST is damaged"),
        (diverged, "has records that this book has not: its last one is 20"),
        (ahead_closed, "has records that this book has not: its last one is 31"),
    ] {
        let before = target.files();
        let error = log.backup(&target, BackupOptions::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(target.files(), before);
    }
    let used = MemStorage::new();
    let _open = open(used.clone());
    let error = log.backup(&used, BackupOptions::default()).unwrap_err();
    assert!(matches!(error, BackupError::TargetLocked), "{error}");
}

#[test]
fn copies_are_whole_while_others_append() {
    let (log, _) = open(MemStorage::new());
    append(&log, 1, 20, 2);
    let copies = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Until some copies were made meanwhile.
            for n in 21..=4_000 {
                log.append(numbered(n)).unwrap();
                if n % 3 == 0 {
                    log.commit().unwrap();
                }
                if n >= 300 && copies.load(Ordering::Acquire) > 2 {
                    break;
                }
            }
            log.commit().unwrap();
            done.store(true, Ordering::Release);
        });
        let target = MemStorage::new();
        let (mut last, mut at_end) = (0, false);
        while !at_end {
            at_end = done.load(Ordering::Acquire);
            let report = log.backup(&target, BackupOptions::default()).unwrap();
            assert!(report.receipt.lsn.0 >= last);
            last = report.receipt.lsn.0;
            assert_is_backup(target.files(), last);
            assert_eq!(log.head_at(Lsn(last)).unwrap(), report.receipt);
            copies.fetch_add(1, Ordering::Release);
        }
        assert!(last >= 300 && Lsn(last) == log.durable());
    });
}

/// What is left of a target when the power goes is no book yet, or one that goes at least as far
/// as the former copy; and the next copy completes it.
#[test]
fn an_interrupted_copy_leaves_at_least_the_former_one() {
    let (storage, log) = book(24);
    let target = SimStorage::new(1);
    target.keep_points();
    log.backup(&target, with_snapshot()).unwrap();
    target.mark(24);
    append(&log, 25, 45, 3);
    put(&storage, "00000000000000000040.snap", b"new snapshot");
    let report = log.backup(&target, with_snapshot()).unwrap();
    assert_eq!(report.receipt.lsn, Lsn(45));
    target.mark(45);
    let points = target.take_points();
    assert!(points.len() > 40, "{} points", points.len());
    for (seed, point) in (0..).zip(&points) {
        for round in 0..3 {
            let left = point.disk.after_power_loss(&mut SimRandom::new(seed * 3 + round));
            let files = left.files();
            if point.mark > 0 {
                let (opened, report) = open(SimStorage::of(left.clone(), 1));
                assert!(report.last.0 >= point.mark, "{:?}", point.site);
                assert_eq!(report.tail_cut, None);
                assert_holds(&opened, report.last.0);
            } else if files.contains_key(MANIFEST) {
                assert_holds(&open(SimStorage::of(left.clone(), 1)).0, 24);
            } else {
                assert!(try_open(SimStorage::of(left.clone(), 1)).is_err() || files.is_empty());
            }
            let target = SimStorage::of(left, 1);
            log.backup(&target, with_snapshot()).unwrap();
            assert_is_backup(target.disk().files(), 45);
        }
    }
}
