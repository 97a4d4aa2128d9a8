//! R19: books of every format that was ever released open, and hold what they held.
//!
//! A book lies in `tests/fixtures/v2/…` from the day its format was declared done; it is made once,
//! by this test under `COUNTERFOIL_BLESS=1` where it is missing, and never written again.

use std::{env, fs, path::PathBuf};

use counterfoil_log::{
    Log, LogOptions, MemStorage, Record, SnapshotStamp,
    limits::SEGMENT_BYTES_MIN,
    sim::{SimFiles, SimRandom, SimStorage},
    verify,
};

use crate::history::{lsn, record, recorded};

const SEED: u64 = 19;
const RECORDS: usize = 40;
/// The receipt of both books.
const RECEIPT: &str = "counterfoil-receipt-1 lsn=40 bytes=28000 \
     head=9eb5505e7875edcfbe1abe3a961dac4b06ed11f0139675c5379accb85c6bdd91 sum=4c2e108f";

fn records() -> Vec<Record> {
    let mut random = SimRandom::new(SEED);
    let record = |number| {
        let seed = random.next_u64();
        recorded(lsn(number), record(seed, random.index(1_200)))
    };
    (1..=RECORDS).map(record).collect()
}

/// Writes the records in batches of three into several segments, with a snapshot beside them.
fn make(close: bool) -> SimFiles {
    let mut random = SimRandom::new(SEED);
    let storage = SimStorage::new(SEED);
    let options = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    let (log, _) = Log::open(storage.clone(), options).unwrap();
    for number in 1..=RECORDS {
        let seed = random.next_u64();
        log.append(record(seed, random.index(1_200))).unwrap();
        if number % 3 == 0 || number == RECORDS {
            log.commit().unwrap();
        }
    }
    let stamp = SnapshotStamp { lsn: lsn(RECORDS), at: 1, fingerprint: 19 };
    let written = log.write_snapshot(stamp, |writer| {
        writer.begin(1)?;
        writer.write(b"a snapshot")
    });
    written.unwrap();
    if close {
        log.close().unwrap();
        return storage.disk().files();
    }
    // A batch of which only the first part came to the disk.
    let before = storage.disk().files();
    log.append(record(1, 900)).unwrap();
    log.commit().unwrap();
    let mut after = storage.disk().files();
    let (name, segment) = after.iter_mut().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
    let old = before
        .get(name)
        .map_or(4096, |old| old.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    segment[old + 512..].fill(0);
    after
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The files of a book that is kept; makes it where it is missing and that is asked for.
fn kept(name: &str, close: bool) -> SimFiles {
    let folder = folder(name);
    if !folder.exists() && env::var_os("COUNTERFOIL_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in make(close) {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

#[test]
fn r19_books_of_every_released_format_open() {
    for (name, close) in [("v2/closed", true), ("v2/torn", false)] {
        let storage = MemStorage::from_files(kept(name, close));
        assert_eq!(verify(&storage).unwrap().damage, [], "{name}");
        let (log, report) = Log::open(storage, LogOptions::default()).unwrap();
        assert_eq!((report.clean, report.last), (close, lsn(RECORDS)), "{name}");
        assert_eq!(report.tail_cut.is_some(), !close, "{name}");
        assert!(report.segments > 2, "{name}");
        assert_eq!(log.head().unwrap().to_string(), RECEIPT, "{name}");
        let read: Vec<Record> = log.read(lsn(1)).map(Result::unwrap).collect();
        assert_eq!(read, records(), "{name}");
        let snapshot = log.open_snapshot(lsn(RECORDS), 19).unwrap();
        assert_eq!(snapshot.section(1).unwrap(), b"a snapshot");
        let next = log.append(record(2, 100)).unwrap();
        log.wait(next).unwrap();
        log.close().unwrap();
    }
    println!(
        "R19: a closed book and one with a torn tail of format 2 open and hold what they held"
    );
}
