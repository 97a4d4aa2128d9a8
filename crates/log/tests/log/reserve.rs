//! Space written ahead changes where zeros are, and nothing else.

use counterfoil_log::{FileStorage, Log, LogOptions, Lsn, MemStorage, Storage, verify};

use super::{FIRST_SEGMENT, Files, append, assert_holds, numbered};

const SEGMENT_BYTES: u64 = 16 << 10;

fn open(storage: MemStorage) -> Log {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::default() };
    Log::open(storage, options).unwrap().0
}

fn len(files: &Files, name: &str) -> u64 {
    files.get(name).map_or(0, |bytes| u64::try_from(bytes.len()).unwrap())
}

#[test]
fn a_book_with_a_reserve_is_the_same_book() {
    let closed = |reserve: Option<u64>| {
        let storage = MemStorage::new();
        let log = open(storage.clone());
        for first in [1, 101, 201] {
            if let Some(bytes) = reserve {
                log.reserve(bytes).unwrap();
            }
            append(&log, first, first + 99, 3);
        }
        log.close().unwrap();
        storage.files()
    };
    let plain = closed(None);
    assert!(plain.len() > 3, "several segments");
    for bytes in [0, 1, 5_000, SEGMENT_BYTES, 3 * SEGMENT_BYTES + 1, 10 * SEGMENT_BYTES] {
        assert!(closed(Some(bytes)) == plain, "a reserve of {bytes}");
    }
}

#[test]
fn a_reserve_is_there_and_is_not_made_twice() {
    let storage = MemStorage::new();
    let log = open(storage.clone());
    append(&log, 1, 2, 1);
    log.reserve(3 * SEGMENT_BYTES).unwrap();
    let files = storage.files();
    assert_eq!(len(&files, FIRST_SEGMENT), SEGMENT_BYTES);
    let zeros: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(".seg.new")).collect();
    assert_eq!(zeros.len(), 3);
    assert!(zeros.iter().all(|(_, bytes)| bytes.iter().all(|byte| *byte == 0)));
    log.reserve(2 * SEGMENT_BYTES).unwrap();
    assert!(storage.files() == files);
    append(&log, 3, 400, 3);
    let after = storage.files();
    assert!(after.keys().filter(|name| name.ends_with(".seg")).count() > 4);
    assert!(after.keys().all(|name| !name.ends_with(".seg.new")), "all used: {:?}", after.keys());
    assert_holds(&log, 400);
}

#[test]
fn what_a_crash_left_of_a_reserve_is_removed() {
    let storage = MemStorage::new();
    let log = open(storage.clone());
    append(&log, 1, 5, 1);
    log.reserve(2 * SEGMENT_BYTES).unwrap();
    drop(log);
    assert!(storage.files().keys().any(|name| name.ends_with(".seg.new")));
    assert!(verify(&storage).unwrap().damage.is_empty());
    let log = open(storage.clone());
    assert!(storage.files().keys().all(|name| !name.ends_with(".seg.new")));
    assert_holds(&log, 5);
    log.reserve(2 * SEGMENT_BYTES).unwrap();
    append(&log, 6, 200, 2);
    assert_holds(&log, 200);
}

#[test]
fn a_book_on_disk_is_written_past_the_cache_and_read_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::default() };
    let (log, _) = Log::open(storage.clone(), options.clone()).unwrap();
    for n in 1..=150 {
        log.append(numbered(n)).unwrap();
        log.wait(Lsn(n)).unwrap();
        assert_eq!(log.read_one(Lsn(n)).unwrap(), super::recorded(n, numbered(n)));
        if n == 40 {
            log.reserve(2 * SEGMENT_BYTES).unwrap();
        }
    }
    assert_holds(&log, 150);
    drop(log);
    assert!(storage.list().unwrap().len() > 3);
    assert_holds(&Log::open(storage, options).unwrap().0, 150);
}
