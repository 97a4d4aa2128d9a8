//! Models of group commit: loom runs them in every order in which threads may take turns, up to a
//! number of preemptions. `just loom` builds them; without `--cfg loom` there is nothing here.
//!
//! What holds in each: no thread sleeps for ever (loom calls that a deadlock), whoever is told that
//! a record is on disk is told so after the sync, and the log holds what the numbers say.
#![cfg(loom)]

mod disk;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use counterfoil_log::{
    Durability, Log, LogError, LogOptions, Lsn, NewEvent, NewRecord, RecordKind,
    limits::SEGMENT_BYTES_MIN, verify, verify_against,
};
use disk::Disk;
use loom::thread;

/// Runs a model on a log over a disk that knows what was synced.
fn check(options: LogOptions, failing_sync: Option<u64>, model: fn(Arc<Log>, Disk)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(4));
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let disk = Disk::new();
        let (log, _) = Log::open(disk.clone(), options.clone()).unwrap();
        disk.begin(failing_sync);
        model(Arc::new(log), disk);
    });
    println!("{} orders", runs.load(Ordering::Relaxed));
}

fn record(tag: u8) -> NewRecord {
    let event = NewEvent {
        stream: "s".into(),
        stream_version: 1,
        type_id: 1,
        schema: 1,
        body: vec![tag],
        personal: vec![],
    };
    NewRecord { at: 0, kind: RecordKind::Events, meta: vec![], events: vec![event] }
}

/// Appends a record, waits for it, and looks whether the disk knows it by then.
fn append_and_wait(log: &Log, disk: &Disk, tag: u8) -> Lsn {
    let lsn = log.append(record(tag)).unwrap();
    let synced = log.wait(lsn).unwrap();
    assert!(synced.lsn() == lsn && disk.synced() >= lsn, "{lsn} was told before its sync");
    lsn
}

/// Asserts that the log holds these records at these numbers, and no others.
fn assert_holds(log: &Log, mut records: Vec<(Lsn, u8)>) {
    records.sort_unstable();
    let found = log.read(Lsn(1)).map(|record| {
        let record = record.unwrap();
        (record.lsn, record.events[0].body[0])
    });
    assert_eq!(found.collect::<Vec<_>>(), records);
}

#[test]
fn each_of_three_threads_is_told_after_the_sync_of_its_record() {
    check(LogOptions::default(), None, |log, disk| {
        let threads: Vec<_> = [1, 2]
            .map(|tag| {
                let (log, disk) = (Arc::clone(&log), disk.clone());
                thread::spawn(move || (append_and_wait(&log, &disk, tag), tag))
            })
            .into();
        let mut records = vec![(append_and_wait(&log, &disk, 3), 3)];
        records.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        assert_holds(&log, records);
    });
}

#[test]
fn nobody_sleeps_for_ever_where_there_is_room_for_one_record() {
    let options = LogOptions { pending_bytes_max: 1, ..LogOptions::default() };
    check(options, None, |log, disk| {
        let (other, others) = (Arc::clone(&log), disk.clone());
        let appender = thread::spawn(move || {
            let first = other.append(record(1)).unwrap();
            [(first, 1), (append_and_wait(&other, &others, 2), 2)]
        });
        let first = log.append(record(3)).unwrap();
        let mut records = vec![(first, 3), (append_and_wait(&log, &disk, 4), 4)];
        records.extend(appender.join().unwrap());
        assert_holds(&log, records);
    });
}

#[test]
fn after_a_failed_sync_nobody_is_told_anything_but_that() {
    check(LogOptions::default(), Some(0), |log, disk| {
        let threads = [1, 2].map(|tag| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let told = log.append(record(tag)).and_then(|lsn| log.wait(lsn));
                told.unwrap_err()
            })
        });
        let follower = log.wait_durable_beyond(Lsn::ZERO, Duration::MAX).unwrap_err();
        let errors = threads.map(|thread| thread.join().unwrap());
        assert!(matches!(follower, LogError::Poisoned { .. }), "{follower}");
        assert!(errors.iter().all(|error| *error == follower), "{errors:?}");
        assert_eq!(log.commit(), Err(follower.clone()));
        assert_eq!(log.close(), Err(follower));
        assert_eq!((log.durable(), disk.synced()), (Lsn::ZERO, Lsn::ZERO));
    });
}

#[test]
fn closing_takes_a_record_or_refuses_it() {
    check(LogOptions::default(), None, |log, disk| {
        let (other, others) = (Arc::clone(&log), disk.clone());
        let appender = thread::spawn(move || match other.append(record(1)) {
            Ok(lsn) => {
                assert_eq!(other.wait(lsn).unwrap().lsn(), lsn);
                assert!(others.synced() >= lsn);
                vec![(lsn, 1)]
            }
            Err(error) => {
                assert_eq!(error, LogError::Closed);
                vec![]
            }
        });
        let closer = thread::spawn({
            let log = Arc::clone(&log);
            move || log.close().unwrap()
        });
        log.close().unwrap();
        closer.join().unwrap();
        let records = appender.join().unwrap();
        assert_eq!(log.append(record(2)), Err(LogError::Closed));
        assert_holds(&log, records);
        assert!(verify(&disk).unwrap().damage.is_empty());
    });
}

#[test]
fn who_follows_is_woken_by_each_record_and_by_the_end() {
    check(LogOptions::default(), None, |log, disk| {
        let (other, others) = (Arc::clone(&log), disk.clone());
        let follower = thread::spawn(move || {
            let mut seen = Lsn::ZERO;
            loop {
                match other.wait_durable_beyond(seen, Duration::MAX) {
                    Ok(durable) => {
                        assert!(durable > seen && others.synced() >= durable);
                        seen = durable;
                    }
                    Err(error) => {
                        assert_eq!(error, LogError::Closed);
                        return seen;
                    }
                }
            }
        });
        append_and_wait(&log, &disk, 1);
        let last = log.append(record(2)).unwrap();
        log.close().unwrap();
        assert_eq!(follower.join().unwrap(), last);
    });
}

#[test]
fn a_relaxed_acknowledgement_does_not_stand_for_a_sync() {
    check(LogOptions::default(), None, |log, disk| {
        let other = Arc::clone(&log);
        let relaxed = thread::spawn(move || {
            let lsn = other.append(record(1)).unwrap();
            assert_eq!(other.wait_buffered(lsn).unwrap().lsn(), lsn);
            assert!(other.durability(lsn).unwrap() >= Some(Durability::Buffered));
            (lsn, 1)
        });
        let strict = append_and_wait(&log, &disk, 2);
        let relaxed = relaxed.join().unwrap();
        assert!(disk.written() >= relaxed.0);
        let last = log.commit().unwrap();
        assert!(disk.synced() >= last && last == relaxed.0.max(strict));
        assert_holds(&log, vec![(strict, 2), relaxed]);
    });
}

#[test]
fn space_is_reserved_while_others_append() {
    check(LogOptions::default(), None, |log, disk| {
        let (other, others) = (Arc::clone(&log), disk.clone());
        let appender = thread::spawn(move || append_and_wait(&other, &others, 1));
        log.reserve(10_000).unwrap();
        let second = append_and_wait(&log, &disk, 2);
        assert_holds(&log, vec![(appender.join().unwrap(), 1), (second, 2)]);
    });
}

/// A record of which two do not fit into the smallest segment.
fn large(tag: u8) -> NewRecord {
    let mut record = record(tag);
    record.events[0].body.resize(2_500, tag);
    record
}

#[test]
fn a_segment_is_sealed_while_others_hash() {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    check(options, None, |log, disk| {
        let (other, others) = (Arc::clone(&log), disk.clone());
        let appender = thread::spawn(move || {
            let lsn = other.append(large(1)).unwrap();
            assert_eq!(other.wait(lsn).unwrap().lsn(), lsn);
            assert!(others.synced() >= lsn);
            (lsn, 1)
        });
        let records = [2, 3].map(|tag| {
            let lsn = log.append(large(tag)).unwrap();
            log.wait(lsn).unwrap();
            (lsn, tag)
        });
        let head = log.head().unwrap();
        assert!(head.lsn >= records[1].0);
        let records = [vec![appender.join().unwrap()], records.to_vec()].concat();
        log.close().unwrap();
        // Footers, header blocks and the manifest say what the hash of the records says.
        let found = verify_against(&disk, &head).unwrap();
        assert!(found.is_sound(), "{found:?}");
        assert_eq!(found.head, Some(log.head().unwrap()));
        assert_holds(&log, records);
    });
}

#[test]
fn a_thread_that_is_lent_hashes_what_is_written_and_goes_home() {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    check(options, None, |log, disk| {
        let hasher = log.hasher();
        let lent = thread::spawn(move || hasher.run());
        let records = [1, 2, 3].map(|tag| {
            let lsn = log.append(large(tag)).unwrap();
            assert_eq!(log.wait(lsn).unwrap().lsn(), lsn);
            assert!(disk.synced() >= lsn);
            (lsn, tag)
        });
        let head = log.head().unwrap();
        log.close().unwrap();
        assert_eq!(lent.join().unwrap(), Ok(()));
        let found = verify_against(&disk, &head).unwrap();
        assert!(found.is_sound(), "{found:?}");
        assert_holds(&log, records.to_vec());
    });
}

#[test]
fn a_thread_that_is_lent_goes_home_when_the_log_fails() {
    check(LogOptions::default(), Some(1), |log, disk| {
        let hasher = log.hasher();
        let lent = thread::spawn(move || hasher.run());
        let first = append_and_wait(&log, &disk, 1);
        let second = log.append(record(2)).unwrap();
        let error = log.wait(second).unwrap_err();
        assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
        assert_eq!(lent.join().unwrap(), Err(error));
        assert_eq!(disk.synced(), first);
    });
}
