//! What lies beside the log: a snapshot is whole and of this history or not used at all, and a
//! destroyed key stays destroyed.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_log::{
    Log, Lsn, SECRET_BYTES, Secret, Slot, SnapshotError, SnapshotStamp, Vault,
    sim::{SectorFault, SimCall, SimDisk, SimFault, SimFiles, SimRandom, SimStorage},
};

use crate::{
    history::record,
    oracle::{Violation, options},
    size::sized,
};

const FINGERPRINT: u64 = 7;

/// What a snapshot of a book holds.
fn content(seed: u64, lsn: Lsn) -> Vec<u8> {
    let mut random = SimRandom::new(seed ^ lsn.0);
    let len = random.index(9_000);
    (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

fn write_snapshot(log: &Log, seed: u64, lsn: Lsn) -> Result<(), SnapshotError> {
    let stamp = SnapshotStamp { lsn, at: 1, fingerprint: FINGERPRINT };
    let written = log.write_snapshot(stamp, |writer| {
        writer.begin(1)?;
        writer.write(&content(seed, lsn))
    });
    written.map(drop)
}

/// Writes snapshots into a book, one after every few records, and keeps two. The marks on the disk
/// say which one is surely there.
fn book_with_snapshots(seed: u64) -> Result<SimStorage, Violation> {
    let failed = |error: SnapshotError| Violation::Failed(error.to_string());
    let storage = SimStorage::new(seed);
    storage.keep_points();
    let (log, _) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    let mut random = SimRandom::new(seed);
    for _ in 0..4 {
        for _ in 0..=random.below(3) {
            log.append(record(random.next_u64(), random.index(500))).unwrap();
        }
        let last = log.last();
        write_snapshot(&log, seed, last).map_err(failed)?;
        storage.mark(last.0);
        log.retain_snapshots(2).map_err(failed)?;
    }
    log.close().unwrap();
    Ok(storage)
}

/// Every snapshot that can be used is the one that was written. Returns which these are.
fn check_snapshots(disk: SimDisk, seed: u64) -> Result<BTreeSet<u64>, Violation> {
    let (log, _) = Log::open(SimStorage::of(disk, 1), options()).map_err(Violation::Refused)?;
    let mut usable = BTreeSet::new();
    for lsn in log.snapshots().map_err(|error| Violation::Failed(error.to_string()))? {
        let read = log.open_snapshot(lsn, FINGERPRINT).and_then(|found| found.section(1));
        match read {
            Ok(read) if read == content(seed, lsn) => drop(usable.insert(lsn.0)),
            Ok(_) => {
                return Err(Violation::Undetected(format!("the snapshot at {lsn} is another")));
            }
            Err(_) => {}
        }
    }
    Ok(usable)
}

/// Snapshots after power losses, on broken sectors, and in another book.
pub fn sweep_snapshots(seed: u64) -> Result<u64, Violation> {
    let storage = book_with_snapshots(seed)?;
    let mut random = SimRandom::new(seed);
    let mut books = 0;
    for point in storage.take_points() {
        for _ in 0..2 {
            let usable = check_snapshots(point.disk.after_power_loss(&mut random), seed)?;
            if point.mark > 0 && !usable.iter().any(|lsn| *lsn >= point.mark) {
                return Err(Violation::Failed(format!("the snapshot at {} is lost", point.mark)));
            }
            books += 1;
        }
    }
    for fault in SectorFault::ALL.repeat(8) {
        let mut disk = storage.disk();
        disk.break_sector(fault, &mut random, |name| name.ends_with(".snap"));
        check_snapshots(disk, seed)?;
        books += 1;
    }
    // Another book that has records of the same numbers.
    let snapshots = |files: SimFiles| files.into_iter().filter(|(name, _)| name.ends_with(".snap"));
    let mut other = book_with_snapshots(seed ^ 1 << 40)?.disk().files();
    other.retain(|name, _| !name.ends_with(".snap"));
    other.extend(snapshots(storage.disk().files()));
    check_snapshots(SimDisk::holding(other), seed ^ 1 << 40)?;
    Ok(books + 1)
}

/// The secret that a slot is made with.
fn secret(slot: u64) -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    let mut random = SimRandom::new(slot);
    bytes.fill_with(|| u8::try_from(random.below(256)).unwrap());
    Secret::from(bytes)
}

/// What was said of slots so far: those in use, and those destroyed.
#[derive(Clone, Default)]
struct Slots {
    used: BTreeSet<u64>,
    destroyed: BTreeSet<u64>,
}

/// Uses and destroys slots until something fails. What was said at each mark is in the result; of
/// the slots that it began to destroy nothing else is known.
fn use_slots(storage: &SimStorage, seed: u64) -> (Vec<Slots>, BTreeSet<u64>) {
    let mut said = vec![Slots::default()];
    let mut begun = BTreeSet::new();
    let Ok((log, _)) = Log::open(storage.clone(), options()) else { return (said, begun) };
    let vault = Vault::of(&log);
    let mut random = SimRandom::new(seed);
    let mut next = 0;
    for _ in 0..12 {
        let mut slots = said.last().unwrap().clone();
        let used: Vec<u64> = slots.used.iter().copied().collect();
        let worked = match random.pick(&used).filter(|_| random.clone().one_in(2)) {
            Some(slot) => {
                begun.insert(*slot);
                slots.used.remove(slot);
                slots.destroyed.insert(*slot);
                vault.destroy(*slot)
            }
            None => vault.free_from(next, &|slot| Ok(secret(slot))).map(|slot| {
                next = slot + 1;
                slots.used.insert(slot);
            }),
        };
        random.next_u64();
        if worked.is_err() {
            break;
        }
        said.push(slots);
        storage.mark(u64::try_from(said.len() - 1).unwrap());
    }
    (said, begun)
}

/// What a vault says of these slots after a crash.
fn check_slots(
    storage: &SimStorage,
    said: &Slots,
    begun: &BTreeSet<u64>,
) -> Result<(Log, Vault), Violation> {
    let (log, _) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    let vault = Vault::of(&log);
    let found: BTreeMap<u64, _> =
        said.used.union(&said.destroyed).map(|slot| (*slot, vault.slot(*slot))).collect();
    for (slot, found) in found {
        let as_said = match &found {
            Ok(Slot::Destroyed) => begun.contains(&slot),
            Ok(Slot::Live(live)) => {
                !said.destroyed.contains(&slot) && live.expose() == secret(slot).expose()
            }
            Err(_) => begun.contains(&slot) && !said.destroyed.contains(&slot),
        };
        if !as_said {
            let found = found.map(|slot| matches!(slot, Slot::Live(_)));
            return Err(Violation::Failed(format!("slot {slot} is there: {found:?}")));
        }
    }
    Ok((log, vault))
}

/// Keys after power losses, and after syncs that failed.
pub fn sweep_keys(seed: u64) -> Result<u64, Violation> {
    let mut random = SimRandom::new(seed);
    let mut books = 0;
    let storage = SimStorage::new(seed);
    storage.keep_points();
    let (said, begun) = use_slots(&storage, seed);
    for point in storage.take_points() {
        let left = SimStorage::of(point.disk.after_power_loss(&mut random), 1);
        check_slots(&left, &said[usize::try_from(point.mark).unwrap()], &begun)?;
        books += 1;
    }
    for nth in 0.. {
        let storage = SimStorage::new(seed ^ nth);
        storage.fail(SimCall::Sync, nth, SimFault::Io);
        let (said, begun) = use_slots(&storage, seed);
        if storage.struck().is_none() {
            break;
        }
        let mut said = said.last().unwrap().clone();
        // The next process sees in memory what may not be on disk, and destroys the same keys.
        let left = SimStorage::of(storage.disk(), nth);
        let (log, vault) = check_slots(&left, &said, &begun)?;
        for slot in &begun {
            vault.destroy(*slot).map_err(|error| Violation::Failed(error.to_string()))?;
            said.used.remove(slot);
            said.destroyed.insert(*slot);
        }
        drop((log, vault));
        for _ in 0..3 {
            let left = SimStorage::of(left.disk().after_power_loss(&mut random), 1);
            check_slots(&left, &said, &begun)?;
            books += 1;
        }
    }
    Ok(books)
}

#[test]
fn a_snapshot_is_the_one_that_was_written_or_is_not_used() {
    let seeds = sized(4, 200, 10_000);
    let books: u64 = (0..seeds)
        .map(|seed| sweep_snapshots(seed).unwrap_or_else(|violation| panic!("{seed}: {violation}")))
        .sum();
    println!(
        "R2, R5: snapshots in {books} books after power losses and on broken sectors: none was used that was not written so; seeds 0..{seeds}"
    );
}

#[test]
fn a_destroyed_key_stays_destroyed_and_no_other_is_lost() {
    let seeds = sized(8, 400, 20_000);
    let books: u64 = (0..seeds)
        .map(|seed| sweep_keys(seed).unwrap_or_else(|violation| panic!("{seed}: {violation}")))
        .sum();
    println!(
        "R2, R6: keys in {books} books after power losses and failed syncs: none came back, none was lost; seeds 0..{seeds}"
    );
}
