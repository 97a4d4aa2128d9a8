//! R2: the power goes at any moment, and takes any part of what was not synced.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
};

use counterfoil_log::sim::{SimFiles, SimPoint, SimRandom, SimStorage};

use crate::{
    history::History,
    oracle::{Expected, Violation, check},
    size::{in_parallel, sized},
    workload::{Ended, Workload},
};

/// What a sweep over crashes came to.
#[derive(Default)]
pub struct Swept {
    pub points: u64,
    pub states: u64,
    /// Those of them that differ.
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
        for _ in 0..per_point {
            let left = point.disk.after_power_loss(&mut random);
            swept.states += check(&left, expected, &mut random, 1)?;
            swept.distinct += u64::from(seen.insert((hash(&left.files()), acknowledged)));
        }
        // A process that is killed takes nothing with it.
        swept.states += check(&point.disk, expected, &mut random, 1)?;
    }
    Ok(swept)
}

#[test]
fn r02_every_power_loss_recovers_to_a_legal_prefix() {
    let (seeds, per_point) = sized((4, 1), (220, 3), (11_000, 6));
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
        "R2: {states} power-loss states ({} first ones distinct) at {} moments of {seeds} workloads, \
         all recovered to a legal prefix; seeds 0..{seeds}",
        distinct.into_inner(),
        points.into_inner(),
    );
    assert!(states >= sized(1_000, 100_000, 10_000_000), "{states}");
}
