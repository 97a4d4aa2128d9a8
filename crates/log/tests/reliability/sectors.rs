//! R4 and R5: bits and sectors that went wrong on the disk are found.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use counterfoil_log::{
    Log, Lsn, MemStorage, Record, fuzz,
    sim::{SectorFault, SimDisk, SimFiles, SimRandom, SimStorage},
    verify,
};

use crate::{
    history::{History, record},
    oracle::{Violation, options},
    size::{in_parallel, sized},
    truncation::Book,
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

/// Flips bits of a byte, those that are due, and looks for the damage. Returns how many were found
/// by opening and by verifying.
fn flip(
    files: &mut SimFiles,
    (name, byte): (&str, usize),
    every: usize,
    records: &[Arc<Record>],
) -> Result<[u64; 2], Violation> {
    let mut found = [0; 2];
    for bit in (0..8).filter(|bit| (byte * 8 + bit) % every == 0) {
        files.get_mut(name).unwrap()[byte] ^= 1 << bit;
        match find(files, records) {
            Ok(FoundBy::Open) => found[0] += 1,
            Ok(FoundBy::Verify) => found[1] += 1,
            Err(violation) => {
                let what = format!("bit {bit} of byte {byte} of {name}: {violation}");
                return Err(Violation::Undetected(what));
            }
        }
        files.get_mut(name).unwrap()[byte] ^= 1 << bit;
    }
    Ok(found)
}

/// Flips every so manieth bit of a closed book.
pub fn sweep_bits(seed: u64, bytes: u64, every: usize) -> Result<(), Violation> {
    let (files, records) = closed_book(seed, bytes);
    for (name, bytes) in &files {
        for byte in 0..bytes.len() {
            flip(&mut files.clone(), (name, byte), every, &records)?;
        }
    }
    Ok(())
}

/// Flips every so manieth bit before the last batch of a book that was not closed: what follows
/// proves that it was on disk, so none of it is a torn tail.
pub fn sweep_bits_open(seed: u64, bytes: usize, every: usize) -> Result<u64, Violation> {
    let Book { files, records, batches } = Book::new(seed, bytes);
    let [.., before_last, _] = &batches[..] else { panic!("one batch is not enough") };
    let mut flips = 0;
    for name in files.keys().filter(|name| name.ends_with(".seg") && **name <= before_last.segment)
    {
        let last = *name == before_last.segment;
        let end = if last { before_last.end } else { files[name].len() };
        for byte in 0..end {
            flips += flip(&mut files.clone(), (name, byte), every, &records)?.iter().sum::<u64>();
        }
    }
    Ok(flips)
}

/// Changes bytes of a closed book and makes every checksum right again, as somebody does who knows
/// the format: the hash tree must find it.
pub fn sweep_forged(seed: u64, forgeries: usize) -> Result<u64, Violation> {
    let (files, _) = closed_book(seed, 12 << 10);
    let mut random = SimRandom::new(seed);
    let mut found = 0;
    for _ in 0..forgeries {
        let mut forged = files.clone();
        let segments: Vec<String> =
            files.keys().filter(|name| name.ends_with(".seg")).cloned().collect();
        let bytes = forged.get_mut(random.pick(&segments).unwrap()).unwrap();
        let at = random.index(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        let forged = fuzz::files(&packed(&forged));
        if forged != files {
            // In a sealed segment, which opening does not read, only verifying computes the tree
            // again: what has every checksum right is read until then.
            let storage = MemStorage::from_files(forged);
            let sound = verify(&storage).is_ok_and(|found| found.damage.is_empty());
            if sound && Log::open(storage, options()).is_ok() {
                return Err(Violation::Undetected(format!("forged at {at}")));
            }
            found += 1;
        }
    }
    Ok(found)
}

/// A torn batch whose record carries batches of another place, with marks that would cover it: they
/// say nothing, and the batch is a torn tail.
pub fn carried_batches() -> Result<(), Violation> {
    let written = |records: u64, carried: &[u8]| {
        let storage = MemStorage::new();
        let (log, _) = Log::open(storage.clone(), options()).unwrap();
        for seed in 0..records {
            let lsn = log.append(record(seed, 100)).unwrap();
            log.wait(lsn).unwrap();
        }
        let end = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
        if !carried.is_empty() {
            let mut carrier = record(7, 16);
            carrier.events[0].body = carried.to_vec();
            log.append(carrier).unwrap();
            log.commit().unwrap();
        }
        (storage.files(), end)
    };
    let name = "0000000001.seg";
    let (other, end) = written(12, &[]);
    let (mut files, at) = written(2, &other[name][4096..end.min(4096 + 3072)]);
    files.get_mut(name).unwrap()[at] = 0;
    match Log::open(MemStorage::from_files(files), options()) {
        Ok((_, report)) if report.tail_cut.is_some() && report.last == Lsn(2) => Ok(()),
        Ok((_, report)) => Err(Violation::Undetected(format!("{report:?}"))),
        Err(error) => Err(Violation::Refused(error)),
    }
}

#[test]
fn batches_that_a_torn_record_carries_say_nothing() {
    carried_batches().unwrap_or_else(|violation| panic!("{violation}"));
}

/// Files in the form of the fuzz target, which makes the checksums right.
fn packed(files: &SimFiles) -> Vec<u8> {
    let mut bytes = vec![2];
    for (name, content) in files {
        let number = name.strip_suffix(".seg").map_or(0, |digits| digits.parse().unwrap());
        bytes.push(number);
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

#[test]
fn r04_every_flipped_bit_before_the_last_batch_of_an_open_book_is_found() {
    let flips = sweep_bits_open(5, 16 << 10, sized(41, 1, 1))
        .unwrap_or_else(|violation| panic!("{violation}"));
    println!(
        "R4: {flips} single-bit flips before the last batch of a book that was not closed: 0 undetected"
    );
    assert!(flips > sized(1_000, 100_000, 100_000), "{flips}");
}

#[test]
fn r17_no_forgery_with_right_checksums_is_taken_for_the_book() {
    let (books, each) = sized((2, 60), (40, 250), (1_000, 1_000));
    let found: u64 = (0..books)
        .map(|seed| {
            sweep_forged(seed, each).unwrap_or_else(|violation| panic!("{seed}: {violation}"))
        })
        .sum();
    println!("R17: {found} changed bytes under right checksums: 0 undetected; seeds 0..{books}");
    assert!(found > books * each as u64 / 2, "{found}");
}

#[test]
fn r04_every_flipped_bit_of_a_closed_book_is_found() {
    let (files, records) = closed_book(4, sized(64 << 10, 64 << 10, 4 << 20));
    assert_eq!(find(&files, &records).unwrap_err().to_string(), "undetected: a sound book");
    let every = sized(37, 1, 1);
    let [opened, verified] = [const { AtomicU64::new(0) }; 2];
    for (name, bytes) in &files {
        in_parallel(bytes.len().div_ceil(64) as u64, |piece| {
            let first = usize::try_from(piece).unwrap() * 64;
            let mut files = files.clone();
            for byte in first..(first + 64).min(bytes.len()) {
                match flip(&mut files, (name, byte), every, &records) {
                    Ok(found) => {
                        opened.fetch_add(found[0], Ordering::Relaxed);
                        verified.fetch_add(found[1], Ordering::Relaxed);
                    }
                    Err(violation) => panic!("{violation}"),
                }
            }
        });
    }
    let (opened, verified) = (opened.into_inner(), verified.into_inner());
    let flips = opened + verified;
    println!(
        "R4: {flips} single-bit flips of a closed book: 0 undetected, 0 panics, 0 silent cuts; \
         {opened} by opening, {verified} by verifying"
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
