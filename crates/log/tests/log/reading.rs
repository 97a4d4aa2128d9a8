//! Reading in any order, by stream and by time, beside a plain list of the records.

use counterfoil_log::{
    Log, LogOptions, Lsn, MemStorage, NewRecord, ReadError, Record, RecordKind, StreamRecords,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{FIRST_SEGMENT, append, event, numbered, open, recorded};

const STREAMS: [&str; 5] = ["book", "customer/1", "customer/2", "customer/20", "none"];

/// What is done to a book: a record that is appended, and what follows.
#[derive(Clone, Debug)]
struct Step {
    streams: Vec<usize>,
    note: bool,
    later_by: i64,
    bytes: usize,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Buffered,
    Commit,
    Reopen,
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![6 => 0_usize..700, 1 => 5_000_usize..40_000];
    let then = prop_oneof![
        6 => Just(Then::Nothing),
        2 => Just(Then::Buffered),
        4 => Just(Then::Commit),
        1 => Just(Then::Reopen),
        1 => Just(Then::Crash),
    ];
    let later_by = prop_oneof![Just(0), 1_i64..4];
    (vec(0_usize..4, 1..4), prop::bool::weighted(0.1), later_by, bytes, then).prop_map(
        |(streams, note, later_by, bytes, then)| Step { streams, note, later_by, bytes, then },
    )
}

fn record(step: &Step, n: u64, at: i64) -> NewRecord {
    let body = vec![7; step.bytes];
    let streams = step.streams.iter().map(|stream| STREAMS[*stream]);
    let events = streams.map(|stream| event(stream, n, &body, b"")).collect();
    let (kind, events) = match step.note {
        true => (RecordKind::Note, vec![]),
        false => (RecordKind::Events, events),
    };
    NewRecord { at, kind, meta: vec![], events }
}

fn is_in(record: &Record, stream: &str) -> bool {
    record.events.iter().any(|event| &*event.stream == stream)
}

/// Compares every way of reading with the list of the durable records.
fn check(log: &Log, durable: &[Record], from: Lsn) {
    let all = |records: &mut dyn Iterator<Item = Result<Record, ReadError>>| -> Vec<Record> {
        records.map(Result::unwrap).collect()
    };
    let on: Vec<Record> = durable.iter().filter(|record| record.lsn >= from).cloned().collect();
    let back = durable.iter().rev().filter(|record| record.lsn <= from).cloned();
    let back: Vec<Record> = back.collect();
    assert_eq!(all(&mut log.read(from)), on);
    assert_eq!(all(&mut log.read_back(from)), back);
    for stream in STREAMS.iter().chain(&[""]) {
        let of = |records: &[Record]| -> Vec<Record> {
            records.iter().filter(|record| is_in(record, stream)).cloned().collect()
        };
        assert_eq!(all(&mut log.read_stream(stream, from)), of(&on), "{stream} from {from}");
        let found = all(&mut log.read_stream_back(stream, from));
        assert_eq!(found, of(&back), "{stream} back from {from}");
    }
    let times = durable.iter().flat_map(|record| [record.at - 1, record.at]);
    for at in times.chain([i64::MIN, i64::MAX]) {
        let last = durable.iter().rfind(|record| record.at <= at);
        let expected = last.map_or(Lsn::ZERO, |record| record.lsn);
        assert_eq!(log.find_time(at).unwrap(), expected, "time {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_way_of_reading_agrees_with_a_list(
        steps in vec(any_step(), 1..90),
        large in any::<bool>(),
        from in any::<Index>(),
        start in -3_i64..3,
    ) {
        let segment_bytes = if large { 256 << 10 } else { 8 << 10 };
        let options = LogOptions { segment_bytes, ..LogOptions::default() };
        let storage = MemStorage::new();
        let (mut log, _) = Log::open(storage.clone(), options.clone()).unwrap();
        let (mut expected, mut durable, mut at) = (Vec::new(), 0, start);
        let (mut live, mut seen) = (log.read_stream(STREAMS[1], Lsn(1)), Vec::new());
        for (n, step) in (1..).zip(&steps) {
            at += step.later_by;
            let record = record(step, n, at);
            log.append(&record).unwrap();
            expected.push(recorded(n, record));
            match step.then {
                Then::Nothing => continue,
                Then::Buffered => {
                    log.wait_buffered(Lsn(n)).unwrap();
                }
                Then::Commit => {
                    log.wait(Lsn(n)).unwrap();
                }
                Then::Reopen => {
                    log.close().unwrap();
                    log = Log::open(storage.clone(), options.clone()).unwrap().0;
                }
                Then::Crash => {
                    log.wait(Lsn(n)).unwrap();
                    drop(log);
                    log = Log::open(storage.clone(), options.clone()).unwrap().0;
                }
            }
            durable = usize::try_from(log.durable().0).unwrap();
            seen.extend(live.by_ref().map(Result::unwrap));
            if matches!(step.then, Then::Reopen | Then::Crash) {
                // A reader goes on with the handle that it came from.
                let next = seen.last().map_or(Lsn(1), |record: &Record| record.lsn.next());
                live = log.read_stream(STREAMS[1], next);
            }
            let of_stream = expected[..durable].iter().filter(|record| is_in(record, STREAMS[1]));
            seen.extend(live.by_ref().map(Result::unwrap));
            prop_assert!(of_stream.eq(&seen));
        }
        check(&log, &expected[..durable], Lsn(0));
        check(&log, &expected[..durable], Lsn(u64::MAX));
        check(&log, &expected[..durable], Lsn(1 + u64::try_from(from.index(steps.len())).unwrap()));
    }
}

#[test]
fn a_stream_is_found_without_reading_what_is_not_of_it() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 40, 1);
    let rare = NewRecord { events: vec![event("rare", 1, b"x", b"")], ..numbered(41) };
    log.append(rare).unwrap();
    append_after(&log, 42, 80);
    log.close().unwrap();
    // Damage in a record of another stream: reading everything finds it, reading `rare` does not.
    let mut files = storage.files();
    files.get_mut(FIRST_SEGMENT).unwrap()[5000] ^= 1;
    let (log, _) = open(MemStorage::from_files(files));
    assert!(log.read(Lsn(1)).any(|record| record.is_err()));
    assert!(log.read_back(Lsn(80)).any(|record| record.is_err()));
    let numbers = |records: StreamRecords| -> Vec<u64> {
        records.map(|record| record.unwrap().lsn.0).collect()
    };
    assert_eq!(numbers(log.read_stream("rare", Lsn(1))), [41]);
    assert_eq!(numbers(log.read_stream_back("rare", Lsn(80))), [41]);
}

fn append_after(log: &Log, first: u64, last: u64) {
    for n in first..=last {
        assert_eq!(log.append(numbered(n)), Ok(Lsn(n)));
    }
    log.commit().unwrap();
}

#[test]
fn a_damaged_index_is_an_error_and_never_a_missing_record() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 20, 1);
    log.close().unwrap();
    let files = storage.files();
    let len = files[FIRST_SEGMENT].len();
    // The stream index stands before the chaining values and the trailer.
    for back in 64..240 {
        let mut files = files.clone();
        files.get_mut(FIRST_SEGMENT).unwrap()[len - back] ^= 1;
        let (log, _) = open(MemStorage::from_files(files));
        let read: Result<Vec<Record>, ReadError> = log.read_stream("book", Lsn(1)).collect();
        match read {
            Ok(records) => assert_eq!(records.len(), 20, "{back} bytes before the end"),
            Err(ReadError::Damaged(damage)) => assert_eq!(damage.file, FIRST_SEGMENT),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_archived_is_named_when_a_stream_comes_to_it() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 60, 1);
    let archive = MemStorage::new();
    log.attach_archive(archive.clone());
    log.archive(Lsn(20)).unwrap();
    let all =
        |log: &Log| -> Result<Vec<Record>, ReadError> { log.read_stream("book", Lsn(1)).collect() };
    assert_eq!(all(&log).unwrap().len(), 60);
    assert_eq!(log.read_stream_back("book", Lsn(60)).filter(Result::is_ok).count(), 60);
    log.close().unwrap();
    let (log, _) = open(storage);
    assert!(matches!(all(&log), Err(ReadError::Archived { segment: 1 })));
    let back: Vec<_> = log.read_stream_back("book", Lsn(60)).collect();
    assert!(matches!(back.last(), Some(Err(ReadError::Archived { .. }))));
    assert!(matches!(log.read_back(Lsn(3)).next(), Some(Err(ReadError::Archived { segment: 1 }))));
    assert!(matches!(log.find_time(0), Err(ReadError::Archived { .. })));
    // What no archived record is needed for is answered.
    assert_eq!(log.find_time(50).unwrap(), Lsn(55));
}
