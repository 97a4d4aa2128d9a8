//! R4 and R5: bits and sectors that went wrong on the disk are found.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use counterfoil_log::{
    Log, Lsn, MemStorage, Record,
    sim::{SectorFault, SimDisk, SimFiles, SimRandom, SimStorage},
    verify,
};

use crate::{
    history::{History, record},
    oracle::{Violation, options},
    size::{in_parallel, sized},
    workload::{Ended, Workload},
};

/// How damage was found.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// Opening refused the book.
    Open,
    /// It opened, nothing of it was lost or changed, and verifying says that it is damaged.
    Verify,
}

/// Looks at a damaged book that had been closed with these records. Whatever is read of it is what
/// was written.
pub fn find(files: &SimFiles, records: &[Arc<Record>]) -> Result<FoundBy, Violation> {
    let storage = MemStorage::from_files(files.clone());
    let verified = verify(&storage).map_or(true, |found| !found.damage.is_empty());
    let Ok((log, report)) = Log::open(storage, options()) else {
        return Ok(FoundBy::Open);
    };
    let last = usize::try_from(report.last.0).unwrap();
    if last != records.len() || report.tail_cut.is_some() {
        let what = format!("{} records were closed, then {report:?}", records.len());
        return Err(Violation::Undetected(what));
    }
    for found in log.read(Lsn(1)) {
        let Ok(found) = found else { break };
        let index = usize::try_from(found.lsn.0).unwrap() - 1;
        if found != *records[index] {
            return Err(Violation::Record { lsn: found.lsn, what: "another record".into() });
        }
    }
    if verified { Ok(FoundBy::Verify) } else { Err(Violation::Undetected("a sound book".into())) }
}

/// A closed book of at least so many bytes, in several segments.
pub fn closed_book(seed: u64, bytes: u64) -> (SimFiles, Vec<Arc<Record>>) {
    let storage = SimStorage::new(seed);
    let (log, _) = Log::open(storage.clone(), options()).unwrap();
    let mut history = History::new();
    let mut random = SimRandom::new(seed);
    while verify(&storage).unwrap().bytes < bytes {
        let (seed, size) = (random.next_u64(), random.index(900));
        history.append(record(seed, size));
        log.append(record(seed, size)).unwrap();
        if random.one_in(2) {
            log.commit().unwrap();
        }
    }
    log.close().unwrap();
    (storage.disk().files(), history.latest().0.to_vec())
}

#[test]
fn r04_every_flipped_bit_of_a_closed_book_is_found() {
    let (files, records) = closed_book(4, sized(64 << 10, 64 << 10, 4 << 20));
    assert_eq!(find(&files, &records).unwrap_err().to_string(), "undetected: a sound book");
    let every = sized(37, 1, 1);
    let [flips, refused] = [const { AtomicU64::new(0) }; 2];
    for (name, bytes) in &files {
        in_parallel(bytes.len() as u64, |byte| {
            let byte = usize::try_from(byte).unwrap();
            let mut files = files.clone();
            for bit in (0..8).filter(|bit| (byte * 8 + bit) % every == 0) {
                files.get_mut(name).unwrap()[byte] ^= 1 << bit;
                match find(&files, &records) {
                    Ok(found) => {
                        refused.fetch_add(u64::from(found == FoundBy::Open), Ordering::Relaxed);
                    }
                    Err(violation) => panic!("bit {bit} of byte {byte} of {name}: {violation}"),
                }
                files.get_mut(name).unwrap()[byte] ^= 1 << bit;
                flips.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (flips, refused) = (flips.into_inner(), refused.into_inner());
    println!(
        "R4: {flips} single-bit flips of a closed book: 0 undetected, 0 panics, 0 silent cuts; \
         {refused} by opening, {} by verifying",
        flips - refused
    );
    assert!(flips >= sized(10_000, 524_288, 4 << 23), "{flips}");
}

/// Breaks sectors of books that workloads closed, and looks for the damage.
pub fn sweep(seed: u64, faults: u64) -> Result<[u64; 2], Violation> {
    let storage = SimStorage::new(seed);
    let mut history = History::new();
    match Workload::new(seed, 60).run(&storage, &mut history) {
        Ended::Well => {}
        Ended::Violated(violation) => return Err(violation),
        other => return Err(Violation::Failed(other.to_string())),
    }
    let (records, _) = history.latest();
    let disk = storage.disk();
    let mut random = SimRandom::new(seed);
    let [mut opened, mut refused] = [0; 2];
    for number in 0..faults {
        let kinds = SectorFault::ALL;
        let fault = kinds[usize::try_from(number).unwrap() % kinds.len()];
        let mut broken: SimDisk = disk.clone();
        let Some(what) = broken.break_sector(fault, &mut random, |name| name != "LOCK") else {
            continue;
        };
        match find(&broken.files(), records) {
            Ok(FoundBy::Open) => refused += 1,
            Ok(FoundBy::Verify) => opened += 1,
            Err(violation) => return Err(Violation::Undetected(format!("{what}: {violation}"))),
        }
    }
    Ok([refused, opened])
}

#[test]
fn r05_every_broken_sector_of_a_closed_book_is_found() {
    let (books, faults) = sized((5, 60), (100, 150), (1_000, 1_300));
    let [refused, opened] = [const { AtomicU64::new(0) }; 2];
    in_parallel(books, |seed| match sweep(seed, faults) {
        Ok(found) => {
            refused.fetch_add(found[0], Ordering::Relaxed);
            opened.fetch_add(found[1], Ordering::Relaxed);
        }
        Err(violation) => panic!("seed {seed}: {violation}"),
    });
    let (refused, opened) = (refused.into_inner(), opened.into_inner());
    println!(
        "R5: {} sectors with a flipped bit, zeroed, stale, swapped or misdirected: 0 undetected; \
         {refused} by opening, {opened} by verifying; seeds 0..{books}",
        refused + opened
    );
    assert!(refused + opened >= sized(200, 10_000, 1_000_000), "{}", refused + opened);
}
