//! The log from outside: what is appended is read, and what is damaged is refused.

mod archive;
mod backup;
mod concurrency;
mod damage;
mod faults;
mod history;
mod hostile;
mod hostile_record;
mod inspect;
mod locking;
mod reading;
mod refusals;
mod reserve;
mod round_trip;
mod salvage;
mod sealed;
mod snapshots;
mod tamper;
mod torn_tail;
mod vault;

use std::collections::BTreeMap;

use counterfoil_log::{
    Log, LogOptions, Lsn, MemStorage, NewEvent, NewRecord, OpenError, OpenReport, Record,
    RecordKind, RecordedEvent, Storage,
};

/// The files of a book by name.
type Files = BTreeMap<String, Vec<u8>>;

const FIRST_SEGMENT: &str = "0000000001.seg";
const SECOND_SEGMENT: &str = "0000000002.seg";
const MANIFEST: &str = "MANIFEST";
/// Where the batches of a segment begin.
const BATCHES_AT: usize = 4096;
/// Bytes of the header of a batch.
const HEADER: usize = 64;

fn event(stream: &str, version: u64, body: &[u8], personal: &[u8]) -> NewEvent {
    NewEvent {
        stream: stream.into(),
        stream_version: version,
        type_id: 3,
        schema: 2,
        body: body.to_vec(),
        personal: personal.to_vec(),
    }
}

/// A record that says which one it is; its size varies with the number. A small segment holds
/// four of them.
fn numbered(n: u64) -> NewRecord {
    let body = vec![u8::try_from(n % 251).unwrap() + 1; usize::try_from(600 + n * 7 % 90).unwrap()];
    let events =
        vec![event("customer/1", n, &body, b"Ada"), event("book", n, &n.to_le_bytes(), b"")];
    NewRecord {
        at: i64::try_from(n).unwrap() - 5,
        kind: RecordKind::Events,
        meta: b"m".to_vec(),
        events,
    }
}

/// What is read after `record` was appended as `lsn`.
fn recorded(lsn: u64, record: NewRecord) -> Record {
    let NewRecord { at, kind, meta, events } = record;
    let events = events.into_iter().map(|event| RecordedEvent {
        stream: event.stream,
        stream_version: event.stream_version,
        type_id: event.type_id,
        schema: event.schema,
        body: event.body,
        personal: event.personal,
    });
    Record { lsn: Lsn(lsn), at, kind, meta, events: events.collect() }
}

fn small_segments() -> LogOptions {
    LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() }
}

fn open(storage: impl Storage) -> (Log, OpenReport) {
    try_open(storage).unwrap()
}

fn try_open(storage: impl Storage) -> Result<(Log, OpenReport), OpenError> {
    Log::open(storage, small_segments())
}

/// Appends `numbered` records from `first` to `last` in batches of `batch`, all committed.
fn append(log: &Log, first: u64, last: u64, batch: u64) {
    for n in first..=last {
        assert_eq!(log.append(numbered(n)), Ok(Lsn(n)));
        if n % batch == 0 || n == last {
            log.wait(Lsn(n)).unwrap();
        }
    }
}

/// Asserts that the log holds the `numbered` records up to `last` and no others.
#[track_caller]
fn assert_holds(log: &Log, last: u64) {
    let found: Vec<Record> = log.read(Lsn(1)).map(Result::unwrap).collect();
    let expected: Vec<Record> = (1..=last).map(|n| recorded(n, numbered(n))).collect();
    assert_eq!(found, expected);
    assert_eq!(log.last(), Lsn(last));
    assert_eq!(log.durable(), Lsn(last));
}

/// The files of a closed book of `numbered` records in batches of two, over several segments.
fn closed_book(last: u64) -> Files {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, last, 2);
    log.close().unwrap();
    storage.files()
}

/// The same book, not closed.
fn open_book(last: u64) -> Files {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, last, 2);
    storage.files()
}
