//! Input that is refused, at its limits; nothing is changed by it.

use counterfoil_log::{
    FileStorage, Log, LogError, LogOptions, Lsn, MemStorage, NewEvent, NewRecord, OpenError,
    RecordKind, ShapeError, Synced, limits,
};

use super::{append, assert_holds, event, numbered, open};

fn record(kind: RecordKind, events: Vec<NewEvent>) -> NewRecord {
    NewRecord { at: 0, kind, meta: vec![], events }
}

#[test]
fn records_are_refused_over_their_limits_and_taken_at_them() {
    use RecordKind::{Block, Events, Note};
    let key = |len| event(&"k".repeat(len), 1, b"", b"");
    let events = |count| vec![event("s", 1, b"", b""); count];
    let sized = |body: usize, personal: usize| {
        record(Events, vec![event("0123456", 1, &vec![1; body], &vec![2; personal])])
    };
    let room = limits::RECORD_BYTES_MAX - 64;
    let max = u64::try_from(limits::RECORD_BYTES_MAX).unwrap();
    let shape = |error| Some(LogError::Shape(error));
    let cases = [
        (record(Events, vec![key(limits::STREAM_KEY_BYTES_MAX)]), None),
        (
            record(Events, vec![key(limits::STREAM_KEY_BYTES_MAX + 1)]),
            Some(LogError::StreamKeyTooLong { bytes: 513, max: 512 }),
        ),
        (record(Events, events(limits::RECORD_EVENTS_MAX)), None),
        (
            record(Events, events(limits::RECORD_EVENTS_MAX + 1)),
            Some(LogError::TooManyEvents { events: 65_536, max: 65_535 }),
        ),
        (sized(room, 0), None),
        (sized(1, room - 1), None),
        (sized(room + 1, 0), Some(LogError::RecordTooLarge { bytes: max + 1, max })),
        (sized(0, room + 1), Some(LogError::RecordTooLarge { bytes: max + 1, max })),
        (record(Events, vec![]), shape(ShapeError::Empty)),
        (record(Events, vec![key(1), key(0)]), shape(ShapeError::StreamMissing)),
        (record(Block, vec![]), shape(ShapeError::Empty)),
        (record(Block, vec![key(0), key(1)]), None),
        (record(Block, vec![key(1), key(0)]), shape(ShapeError::StreamMissing)),
        (record(Note, vec![]), None),
        (record(Note, vec![key(0)]), None),
        (record(Note, vec![key(1)]), shape(ShapeError::StreamInNote)),
    ];
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    let mut appended = Vec::new();
    for (index, (record, refusal)) in cases.into_iter().enumerate() {
        let before = log.last();
        match (log.append(record.clone()), refusal) {
            (Ok(lsn), None) => appended.push(super::recorded(lsn.0, record)),
            (Err(error), Some(refusal)) => {
                assert_eq!(error, refusal, "case {index}");
                assert_eq!(log.last(), before, "case {index}");
            }
            (result, _) => panic!("case {index}: {result:?}"),
        }
    }
    log.close().unwrap();
    let (log, _) = open(storage);
    let found = log.read(Lsn(1)).map(Result::unwrap);
    assert!(found.eq(appended), "what was taken is read");
}

#[test]
fn options_are_refused_out_of_their_bounds() {
    let good = LogOptions::default();
    for (options, refused) in [
        (LogOptions { segment_bytes: 8191, ..good.clone() }, Some("segment_bytes")),
        (LogOptions { segment_bytes: 8192, ..good.clone() }, None),
        (LogOptions { segment_bytes: (16 << 30) + 1, ..good.clone() }, Some("segment_bytes")),
        (LogOptions { pending_bytes_max: 0, ..good.clone() }, Some("pending_bytes_max")),
        (LogOptions { pending_bytes_max: 1, ..good.clone() }, None),
        (LogOptions { pending_bytes_max: (256 << 20) + 1, ..good }, Some("pending_bytes_max")),
    ] {
        let storage = MemStorage::new();
        let found = match Log::open(storage.clone(), options.clone()) {
            Ok(_) => None,
            Err(OpenError::Option { option, .. }) => {
                assert!(storage.files().is_empty(), "{options:?}");
                Some(option)
            }
            Err(error) => panic!("{options:?}: {error}"),
        };
        assert_eq!(found, refused, "{options:?}");
    }
}

#[test]
fn a_record_that_was_not_appended_is_not_waited_for() {
    let (log, _) = open(MemStorage::new());
    append(&log, 1, 2, 1);
    let refusal = LogError::NotAppended { lsn: Lsn(3), last: Lsn(2) };
    assert_eq!(log.wait(Lsn(3)), Err(refusal.clone()));
    assert_eq!(log.poll(Lsn(3)), Err(refusal));
    assert_eq!(log.wait(Lsn::ZERO).map(Synced::lsn), Ok(Lsn::ZERO));
    assert_eq!(log.poll(Lsn(2)), Ok(true));
}

#[test]
fn a_closed_log_takes_nothing_and_still_reads() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 4, 1);
    log.append(numbered(5)).unwrap();
    log.close().unwrap();
    assert_eq!(log.append(numbered(6)), Err(LogError::Closed));
    assert_eq!(log.wait(Lsn(5)).map(Synced::lsn), Ok(Lsn(5)));
    assert_eq!(log.commit(), Ok(Lsn(5)));
    assert_eq!(log.wait_durable_beyond(Lsn(5), std::time::Duration::MAX), Err(LogError::Closed));
    assert_eq!(log.close(), Ok(()), "a second time");
    assert_holds(&log, 5);
    assert_holds(&open(storage).0, 5);
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    for (path, create) in [(&file, true), (&file, false), (&dir.path().join("none"), false)] {
        let opened =
            if create { FileStorage::open(path) } else { FileStorage::open_existing(path) };
        assert!(matches!(opened, Err(OpenError::NotABook { .. })), "{path:?} {create}");
    }
}
