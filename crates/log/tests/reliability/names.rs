//! R8: a crash at every call that creates, renames, removes or shortens a file or syncs the
//! directory, by name.

use std::collections::BTreeMap;

use counterfoil_log::sim::{SimCall, SimDisk, SimRandom};

use crate::{
    oracle::{Expected, Violation, check},
    power_loss::points,
    size::sized,
};

/// Calls that are about more than bytes.
const CALLS: [SimCall; 5] =
    [SimCall::Create, SimCall::Rename, SimCall::Remove, SimCall::SetLen, SimCall::SyncDir];

/// How often a crash point of this name was tried.
pub type Points = BTreeMap<String, u64>;

/// Crashes right before and right after each such call of a workload.
pub fn sweep(seed: u64, steps: usize, samples: usize) -> Result<(Points, u64), Violation> {
    let (points, history) = points(seed, steps)?;
    let mut random = SimRandom::new(seed);
    let (mut names, mut states) = (Points::new(), 0);
    for pair in points.windows(2) {
        let Some(site) = pair[1].site.as_ref().filter(|site| CALLS.contains(&site.call)) else {
            continue;
        };
        *names.entry(format!("{:?} {}", site.call, site.file)).or_default() += 1;
        for point in pair {
            let (records, acknowledged) = history.at(point.mark);
            let expected = Expected { records, acknowledged };
            let ends = point.disk.ends_of_power_loss().map(SimDisk::holding);
            let any = (0..samples).map(|_| point.disk.after_power_loss(&mut random));
            let left: Vec<SimDisk> = ends.into_iter().chain(any).collect();
            for disk in left {
                states += check(&disk, expected, &mut random, 1)?;
            }
        }
    }
    Ok((names, states))
}

#[test]
fn r08_a_crash_at_every_change_of_a_name_is_recovered_from() {
    let seeds = sized(2, 100, 5_000);
    let (mut names, mut states) = (Points::new(), 0);
    for seed in 0..seeds {
        match sweep(seed, 25, sized(1, 10, 10)) {
            Ok((found, more)) => {
                states += more;
                for (name, count) in found {
                    *names.entry(name).or_default() += count;
                }
            }
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    println!("R8: {states} states at these crash points, all recovered; seeds 0..{seeds}");
    for (name, count) in &names {
        println!("R8:   {name}: {count}");
    }
    for expected in
        ["Create seg", "Create MANIFEST.new", "Rename MANIFEST.new", "SetLen seg", "SyncDir "]
    {
        assert!(names.contains_key(expected), "no crash point {expected}");
    }
}
