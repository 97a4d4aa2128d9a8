//! R2: the power goes at any moment, and takes any part of what was not synced.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

use counterfoil_log::{
    Log,
    sim::{SimDisk, SimFiles, SimPoint, SimRandom, SimStorage},
};

use crate::{
    history::{History, record},
    oracle::{Expected, Violation, check, options},
    size::{in_parallel, sized},
    workload::{Ended, Workload},
};

/// What a sweep over crashes came to.
#[derive(Default)]
pub struct Swept {
    pub points: u64,
    pub states: u64,
    /// First ones, no two alike; the others are what a second loss left of those.
    pub distinct: u64,
}

fn hash(files: &SimFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}

/// Runs a workload and keeps the disk at every moment.
pub fn points(seed: u64, steps: usize) -> Result<(Vec<SimPoint>, History), Violation> {
    let storage = SimStorage::new(seed);
    storage.keep_points();
    let mut history = History::new();
    match Workload::new(seed, steps).run(&storage, &mut history) {
        Ended::Well => Ok((storage.take_points(), history)),
        Ended::Violated(violation) => Err(violation),
        other => Err(Violation::Failed(other.to_string())),
    }
}

/// Lets the power go so often at every moment of a workload, and once more during the recovery.
pub fn sweep(seed: u64, steps: usize, per_point: usize) -> Result<Swept, Violation> {
    let (points, history) = points(seed, steps)?;
    let mut random = SimRandom::new(!seed);
    let mut swept = Swept::default();
    let mut seen = HashSet::new();
    for point in &points {
        let (records, acknowledged) = history.at(point.mark);
        let expected = Expected { records, acknowledged };
        swept.points += 1;
        // All of what is not synced or none of it, or any part of it.
        let mut left = point.disk.ends_of_power_loss().map(SimDisk::holding).to_vec();
        left.extend((0..per_point).map(|_| point.disk.after_power_loss(&mut random)));
        left.retain(|left| seen.insert((hash(&left.files()), acknowledged)));
        swept.distinct += u64::try_from(left.len()).unwrap();
        for left in left {
            swept.states += check(&left, expected, &mut random, 2)?;
        }
        // A process that is killed takes nothing with it.
        swept.distinct += 1;
        let killed = Expected { acknowledged: history.buffered_at(point.mark), ..expected };
        swept.states += check(&point.disk, killed, &mut random, 0)?;
        swept.states += check(&point.disk, expected, &mut random, 2)? - 1;
    }
    Ok(swept)
}

/// Lets the power go so often while several batches were written and not synced.
pub fn sweep_relaxed(seed: u64, losses: usize) -> Result<u64, Violation> {
    let storage = SimStorage::new(seed);
    let mut history = History::new();
    let mut random = SimRandom::new(seed);
    let (log, _) = Log::open(storage.clone(), options()).map_err(Violation::Refused)?;
    for number in 0..8 {
        let (seed, bytes) = (random.next_u64(), random.index(700));
        history.append(record(seed, bytes));
        let lsn = log.append(record(seed, bytes)).unwrap();
        if number == 2 {
            log.wait(lsn).unwrap();
            history.acknowledge(lsn);
        } else {
            log.wait_buffered(lsn).unwrap();
        }
    }
    let (records, acknowledged) = history.latest();
    let mut states = 0;
    for _ in 0..losses {
        let left = storage.disk().after_power_loss(&mut random);
        states += check(&left, Expected { records, acknowledged }, &mut random, 1)?;
    }
    Ok(states)
}

/// Batches that were written without a sync come to the disk in any order: a whole one behind a
/// torn one once made the book be refused.
#[test]
fn r02_relaxed_batches_are_torn_in_any_order() {
    let seeds = sized(10, 500, 20_000);
    let states: u64 = (0..seeds)
        .map(|seed| {
            sweep_relaxed(seed, 40).unwrap_or_else(|violation| panic!("{seed}: {violation}"))
        })
        .sum();
    println!(
        "R2: {states} states of batches that no sync had followed, all recovered; seeds 0..{seeds}"
    );
}

#[test]
fn r02_every_power_loss_recovers_to_a_legal_prefix() {
    let (seeds, per_point) = sized((4, 2), (280, 5), (15_000, 10));
    let [points, states, distinct] = [const { AtomicU64::new(0) }; 3];
    in_parallel(seeds, |seed| match sweep(seed, 30, per_point) {
        Ok(swept) => {
            points.fetch_add(swept.points, Ordering::Relaxed);
            states.fetch_add(swept.states, Ordering::Relaxed);
            distinct.fetch_add(swept.distinct, Ordering::Relaxed);
        }
        Err(violation) => panic!("seed {seed}: {violation}"),
    });
    let states = states.into_inner();
    println!(
        "R2: {states} power-loss states ({} after one loss, no two alike, the rest after a second \
         one) at {} moments of {seeds} workloads, all recovered to a legal prefix; seeds 0..{seeds}",
        distinct.into_inner(),
        points.into_inner(),
    );
    assert!(states >= sized(1_000, 100_000, 10_000_000), "{states}");
}
