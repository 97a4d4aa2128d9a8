//! Many threads, one log.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use counterfoil_log::{
    Buffered, Durability, FileStorage, Log, LogOptions, Lsn, MemStorage, Storage, Synced, verify,
};

use super::{numbered, open, small_segments};

const THREADS: u64 = 8;
const RECORDS: u64 = 100;

/// Appends from many threads, each waiting for every record.
fn hammer(storage: impl Storage, options: LogOptions) -> Log {
    let (log, _) = Log::open(storage, options).unwrap();
    let given: BTreeSet<Lsn> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    let records = (0..RECORDS).map(|n| thread * RECORDS + n);
                    let wait = |n| {
                        let lsn = log.append(numbered(n)).unwrap();
                        log.wait(lsn).unwrap();
                        assert!(log.poll(lsn).unwrap() && log.durable() >= lsn);
                        lsn
                    };
                    records.map(wait).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(given.into_iter().eq((1..=THREADS * RECORDS).map(Lsn)), "dense and given once");
    log
}

#[test]
fn every_record_of_many_threads_is_durable_and_numbered_once() {
    let small = LogOptions { pending_bytes_max: 300, ..small_segments() };
    for options in [LogOptions::default(), small_segments(), small] {
        let storage = MemStorage::new();
        let log = hammer(storage.clone(), options);
        drop(log);
        let (log, report) = open(storage);
        assert_eq!((report.last, report.tail_cut), (Lsn(THREADS * RECORDS), None));
        let versions: BTreeSet<u64> =
            log.read(Lsn(1)).map(|record| record.unwrap().events[0].stream_version).collect();
        assert!(versions.into_iter().eq(0..THREADS * RECORDS), "each record once");
    }
}

#[test]
fn one_sync_serves_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    let log = hammer(storage.clone(), LogOptions::default());
    let found = verify(&storage).unwrap();
    assert_eq!(found.records, THREADS * RECORDS);
    assert!(found.batches < found.records, "{} batches", found.batches);
    drop(log);
}

#[test]
fn pending_records_are_bounded() {
    let storage = MemStorage::new();
    let options = LogOptions { pending_bytes_max: 2_000, ..LogOptions::default() };
    let (log, _) = Log::open(storage, options).unwrap();
    for n in 1..=100 {
        log.append(numbered(n)).unwrap();
        assert!(log.last().0 - log.durable().0 < 20, "{log:?}");
    }
    assert!(log.durable() > Lsn::ZERO);
}

#[test]
fn a_reader_follows_the_log_while_others_append() {
    let storage = MemStorage::new();
    let (log, _) = open(storage);
    let total = 600;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for start in [1, 300] {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let mut records = log.read(Lsn(start));
                let mut next = start;
                while next <= total {
                    let durable =
                        log.wait_durable_beyond(Lsn(next - 1), Duration::from_secs(20)).unwrap();
                    assert!(durable >= Lsn(next), "the appender is alive");
                    for record in records.by_ref() {
                        let record = record.unwrap();
                        assert_eq!(record, super::recorded(next, numbered(next)));
                        assert!(record.lsn <= log.durable());
                        next += 1;
                    }
                }
                assert!(done.load(Ordering::Acquire) || log.durable() == Lsn(total));
            });
        }
        super::append(&log, 1, total, 3);
        done.store(true, Ordering::Release);
    });
}

#[test]
fn waiting_for_more_ends_when_the_time_is_over() {
    let (log, _) = open(MemStorage::new());
    super::append(&log, 1, 2, 1);
    let soon = Duration::from_millis(5);
    assert_eq!(log.wait_durable_beyond(Lsn(1), soon), Ok(Lsn(2)));
    log.append(numbered(3)).unwrap();
    assert_eq!(log.wait_durable_beyond(Lsn(2), soon), Ok(Lsn(2)), "nobody writes it");
    assert_eq!(log.poll(Lsn(3)), Ok(false));
    assert_eq!(log.commit(), Ok(Lsn(3)));
    assert_eq!(log.wait_durable_beyond(Lsn(2), Duration::ZERO), Ok(Lsn(3)));
}

#[test]
fn closing_wakes_who_follows_and_writes_what_is_pending() {
    let (log, _) = open(MemStorage::new());
    thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut seen = Lsn::ZERO;
            while let Ok(durable) = log.wait_durable_beyond(seen, Duration::from_secs(20)) {
                assert!(durable > seen, "woken");
                seen = durable;
            }
            seen
        });
        log.append(numbered(1)).unwrap();
        log.append(numbered(2)).unwrap();
        log.close().unwrap();
        assert_eq!(follower.join().unwrap(), Lsn(2));
    });
}

#[test]
fn a_log_is_shared_and_a_reader_is_sent() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Log>();
    sent::<counterfoil_log::Records>();
}

#[test]
fn a_relaxed_wait_writes_and_does_not_sync() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    super::append(&log, 1, 2, 1);
    for n in 3..=5 {
        let lsn = log.append(numbered(n)).unwrap();
        assert_eq!(log.durability(lsn), Ok(None));
        assert_eq!(log.wait_buffered(lsn).map(Buffered::lsn), Ok(lsn));
        assert_eq!(log.durability(lsn), Ok(Some(Durability::Buffered)));
        assert_eq!((log.durable(), log.poll(lsn)), (Lsn(2), Ok(false)));
        assert_eq!(log.read(Lsn(3)).count(), 0, "readers see what is on disk");
    }
    assert_eq!(log.wait(Lsn(4)).map(Synced::lsn), Ok(Lsn(4)), "a sync of what was written");
    assert_eq!(log.durability(Lsn(5)), Ok(Some(Durability::Synced)));
    super::assert_holds(&log, 5);
    log.append(numbered(6)).unwrap();
    log.wait_buffered(Lsn(6)).unwrap();
    drop(log);
    super::assert_holds(&open(storage).0, 6);
}

#[test]
fn a_thread_that_is_lent_for_hashing_changes_nothing_but_the_time_it_takes() {
    let write = |lent: usize| {
        let storage = MemStorage::new();
        let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
        let threads: Vec<_> =
            (0..lent).map(|_| log.hasher()).map(|one| thread::spawn(move || one.run())).collect();
        for n in 0..500 {
            let lsn = log.append(numbered(n)).unwrap();
            log.wait(lsn).unwrap();
        }
        log.close().unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
        storage.files()
    };
    let alone = write(0);
    assert!(alone.len() > 3, "several segments");
    for lent in [1, 2] {
        assert!(write(lent) == alone, "{lent}");
    }
}

#[test]
fn a_thread_that_is_lent_goes_home_when_the_log_is_dropped_or_has_failed() {
    let (log, _) = open(MemStorage::new());
    let hasher = log.hasher();
    let lent = thread::spawn(move || hasher.run());
    drop(log);
    assert_eq!(lent.join().unwrap(), Ok(()));
    let (log, _) = open(MemStorage::new());
    let hasher = log.hasher();
    let lent = thread::spawn(move || hasher.run());
    let error = log.poison("given up");
    assert_eq!(lent.join().unwrap(), Err(error.clone()));
    assert_eq!(log.hasher().run(), Err(error));
}
