//! What one writes first, and second: a set of identifiers and a map of rows.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    time::Instant,
};

use counterfoil_meter::workload::WorkloadBatch;

use super::{cpu, peak_mib};
use crate::{
    child::Answer,
    rows::{self, Ties},
};

/// Two hash maps on one thread. With `ahead` they are filled twice: they keep their memory where
/// they are cleared, so that the second pass finds them of the final size and touched.
pub fn measure<S: BuildHasher + Default>(
    events: &WorkloadBatch,
    ties: &Ties,
    ahead: bool,
) -> Answer {
    let mut answer = Answer::default();
    let (mut seen, mut found) = (HashSet::with_hasher(S::default()), HashMap::default());
    let (mut began, mut cpu_before) = (Instant::now(), cpu());
    rows::aggregate(events, &mut seen, &mut found);
    answer.peak_mib = peak_mib();
    if ahead {
        answer.first_seconds = Some(began.elapsed().as_secs_f64());
        seen.clear();
        found.clear();
        (began, cpu_before) = (Instant::now(), cpu());
        rows::aggregate(events, &mut seen, &mut found);
    }
    answer.seconds = began.elapsed().as_secs_f64();
    answer.cpu_seconds = Some(cpu() - cpu_before);
    let began = Instant::now();
    found.iter().for_each(|(key, row)| answer.totals.add(*key, row, ties));
    answer.read_seconds = Some(began.elapsed().as_secs_f64());
    answer
}
