//! What is appended is read back, in order, before and after closing.

use counterfoil_log::{
    FileStorage, Log, LogOptions, Lsn, MemStorage, NewEvent, NewRecord, ReadError, RecordKind,
    verify,
};
use proptest::{collection::vec, prelude::*};

use super::{append, assert_holds, numbered, open, recorded, small_segments};

fn any_event(stream: &'static str) -> impl Strategy<Value = NewEvent> {
    let bytes = || vec(any::<u8>(), 0..40);
    (stream, any::<u64>(), any::<u16>(), any::<u16>(), bytes(), bytes()).prop_map(
        |(stream, stream_version, type_id, schema, body, personal)| NewEvent {
            stream: stream.into(),
            stream_version,
            type_id,
            schema,
            body,
            personal,
        },
    )
}

/// A record that is allowed.
fn any_record() -> impl Strategy<Value = NewRecord> {
    let entries = prop_oneof![
        vec(any_event("\\PC{1,12}"), 1..5).prop_map(|events| (RecordKind::Events, events)),
        (any_event("\\PC{0,12}"), vec(any_event("[a-z]{1,5}"), 0..3))
            .prop_map(|(first, rest)| { (RecordKind::Block, [vec![first], rest].concat()) }),
        vec(any_event(""), 0..3).prop_map(|events| (RecordKind::Note, events)),
    ];
    (any::<i64>(), vec(any::<u8>(), 0..40), entries)
        .prop_map(|(at, meta, (kind, events))| NewRecord { at, kind, meta, events })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_are_read_as_they_were_appended(
        records in vec((any_record(), any::<bool>()), 0..30),
        from in 0_u64..32,
    ) {
        let storage = MemStorage::new();
        let (log, _) = open(storage.clone());
        let mut expected = Vec::new();
        for (n, (record, commit)) in (1..).zip(records) {
            expected.push(recorded(n, record.clone()));
            prop_assert_eq!(log.append(record), Ok(Lsn(n)));
            if commit {
                log.wait(Lsn(n)).unwrap();
            }
        }
        log.close().unwrap();
        let (log, report) = open(storage.clone());
        prop_assert!(report.clean);
        let tail: Vec<_> = log.read(Lsn(from)).map(Result::unwrap).collect();
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap().min(expected.len());
        prop_assert_eq!(&tail[..], &expected[skipped..]);
        for record in &expected {
            prop_assert_eq!(&log.read_one(record.lsn).unwrap(), record);
        }
        let found = verify(&storage).unwrap();
        prop_assert_eq!(found.records, u64::try_from(expected.len()).unwrap());
        let events: usize = expected.iter().map(|record| record.events.len()).sum();
        prop_assert_eq!(found.events, u64::try_from(events).unwrap());
        prop_assert_eq!(found.damage, vec![]);
    }
}

#[test]
fn a_directory_holds_a_book_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("above").join("book");
    let (log, report) = open(FileStorage::open(&path).unwrap());
    assert!(report.created);
    append(&log, 1, 60, 3);
    log.close().unwrap();
    let (log, report) = open(FileStorage::open_existing(&path).unwrap());
    assert!(!report.created && report.clean && report.segments > 5, "{report:?}");
    assert_holds(&log, 60);
    append(&log, 61, 90, 4);
    drop(log);
    let storage = FileStorage::open(&path).unwrap();
    let (log, report) = open(storage.clone());
    assert!(!report.clean && report.tail_cut.is_none(), "{report:?}");
    assert_holds(&log, 90);
    let found = verify(&storage).unwrap();
    assert_eq!((found.last, found.segments), (Lsn(90), report.segments));
    assert_eq!(found.damage, []);
}

#[test]
fn the_same_records_committed_alike_give_the_same_bytes() {
    assert_eq!(super::closed_book(20), super::closed_book(20));
}

#[test]
fn a_reopened_book_goes_on_where_it_ended() {
    let storage = MemStorage::new();
    for round in 0..5 {
        let (log, report) = open(storage.clone());
        assert_eq!(report.last, Lsn(round * 10));
        assert_holds(&log, round * 10);
        append(&log, round * 10 + 1, round * 10 + 10, 1 + round);
        assert_holds(&log, round * 10 + 10);
        if round % 2 == 0 {
            log.close().unwrap();
        }
    }
}

#[test]
fn what_nobody_waited_for_is_not_written_when_the_log_is_dropped() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 3, 1);
    log.append(numbered(4)).unwrap();
    assert_eq!((log.last(), log.durable()), (Lsn(4), Lsn(3)));
    assert_eq!(log.read(Lsn(1)).count(), 3);
    assert!(matches!(
        log.read_one(Lsn(4)),
        Err(ReadError::NotDurable { lsn: Lsn(4), durable: Lsn(3) })
    ));
    drop(log);
    let (log, report) = open(storage);
    assert_eq!((report.clean, report.tail_cut), (false, None));
    assert_holds(&log, 3);
}

#[test]
fn a_small_book_stays_small_and_a_batch_may_be_larger_than_a_segment() {
    let storage = MemStorage::new();
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    log.append(numbered(1)).unwrap();
    log.commit().unwrap();
    assert!(storage.files()[super::FIRST_SEGMENT].len() <= 128 << 10);
    log.close().unwrap();
    assert!(storage.files()[super::FIRST_SEGMENT].len() < super::BATCHES_AT + 1024);
    let (log, _) = Log::open(storage.clone(), small_segments()).unwrap();
    let mut large = numbered(2);
    large.meta = vec![7; 10_000];
    log.append(large.clone()).unwrap();
    log.append(numbered(3)).unwrap();
    log.commit().unwrap();
    drop(log);
    let (log, report) = open(storage);
    assert_eq!(report.segments, 2);
    assert_eq!(log.read_one(Lsn(2)).unwrap(), recorded(2, large));
    assert_eq!(log.read_one(Lsn(3)).unwrap(), recorded(3, numbered(3)));
}

#[test]
fn a_lookup_reads_one_record_of_many() {
    let storage = MemStorage::new();
    let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
    let (log, _) = Log::open(storage.clone(), options.clone()).unwrap();
    append(&log, 1, 10_000, 7);
    let lookups = [1, 2, 7, 8, 9_999, 10_000].into_iter().chain((1..10_000).step_by(997));
    for n in lookups.clone() {
        assert_eq!(log.read_one(Lsn(n)).unwrap(), recorded(n, numbered(n)), "{n}");
    }
    log.close().unwrap();
    let (log, _) = Log::open(storage, options).unwrap();
    for n in lookups {
        assert_eq!(log.read_one(Lsn(n)).unwrap(), recorded(n, numbered(n)), "{n} reopened");
    }
    for n in [0, 10_001, u64::MAX] {
        let missing = log.read_one(Lsn(n)).unwrap_err();
        assert!(matches!(missing, ReadError::NotDurable { lsn, .. } if lsn == Lsn(n)));
    }
}

#[test]
fn large_records_stand_wherever_a_batch_begins() {
    let large = |n: u64, bytes: usize| {
        let byte = u8::try_from(n).unwrap();
        let events = vec![super::event("meter", n, &vec![byte; bytes], &[byte; 9])];
        NewRecord { at: 0, kind: RecordKind::Block, meta: vec![byte; 5], events }
    };
    let storage = MemStorage::new();
    let options = LogOptions { segment_bytes: 500_000, ..LogOptions::default() };
    let (log, _) = Log::open(storage.clone(), options.clone()).unwrap();
    let sizes = [40_000, 10, 32_768, 100_000, 5, 64_000, 31_000, 300_000, 40_001, 33_333];
    let mut n = 0;
    // One record a batch, then several, a large one first, last, and behind what is pending.
    for batch in [1, 1, 1, 2, 3, 5] {
        for size in sizes {
            n += 1;
            log.append(large(n, size)).unwrap();
            if n % batch == 0 {
                log.commit().unwrap();
            }
        }
    }
    log.commit().unwrap();
    let expected = |n: u64| {
        let index = usize::try_from((n - 1) % 10).unwrap();
        recorded(n, large(n, sizes[index]))
    };
    for record in log.read(Lsn(1)) {
        let record = record.unwrap();
        assert!(record == expected(record.lsn.0), "record {}", record.lsn);
    }
    drop(log);
    let (log, report) = Log::open(storage, options).unwrap();
    assert_eq!((report.last, report.tail_cut), (Lsn(n), None));
    assert!((1..=n).all(|n| log.read_one(Lsn(n)).unwrap() == expected(n)));
}
