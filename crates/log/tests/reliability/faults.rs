//! R6 and R7: the disk fails at the n-th call, for every n. Nothing is acknowledged after it, and
//! nothing that was acknowledged is lost.

use counterfoil_log::{
    limits::SEGMENT_BYTES_MIN,
    sim::{SimCall, SimDisk, SimFault, SimRandom, SimStorage},
};

use crate::{
    history::History,
    oracle::{Expected, Violation, check},
    size::sized,
    workload::{Ended, Workload},
};

/// How often a call failed, and how many books were opened after that.
#[derive(Debug, Default)]
pub struct Failed {
    pub sites: u64,
    pub books: u64,
}

/// What may be there after a process gave up: its memory is still there, or was dropped where the
/// system took it for clean, or the power went.
fn left(disk: &SimDisk, random: &mut SimRandom) -> Vec<SimDisk> {
    let mut left = vec![disk.clone(), disk.after_eviction()];
    left.extend((0..3).map(|_| disk.after_power_loss(random)));
    left.push(disk.after_eviction().after_power_loss(random));
    left
}

/// One run of a workload with a fault; `None` if the fault did not come to pass.
fn run(
    workload: &Workload,
    storage: &SimStorage,
    random: &mut SimRandom,
) -> Result<Option<u64>, Violation> {
    let mut history = History::new();
    let ended = workload.run(storage, &mut history);
    match (ended, storage.struck()) {
        (Ended::Violated(violation), _) => return Err(violation),
        (Ended::Well, None) => return Ok(None),
        (Ended::Well, Some(site)) => {
            return Err(Violation::Failed(format!("{site} failed unnoticed")));
        }
        (Ended::Poisoned(_) | Ended::NotOpened(_), Some(_)) => {}
        (other, None) => return Err(Violation::Failed(format!("without a fault: {other}"))),
    }
    let (records, acknowledged) = history.latest();
    let mut books = 0;
    for disk in left(&storage.disk(), random) {
        books += check(&disk, Expected { records, acknowledged }, random, 1)?;
    }
    Ok(Some(books))
}

/// Lets the n-th call of a kind fail, for every n.
pub fn sweep(seed: u64, steps: usize, call: SimCall, fault: SimFault) -> Result<Failed, Violation> {
    let workload = Workload::new(seed, steps);
    let mut random = SimRandom::new(seed);
    let mut failed = Failed::default();
    for nth in 0.. {
        let storage = SimStorage::new(seed ^ nth);
        storage.fail(call, nth, fault);
        let Some(books) = run(&workload, &storage, &mut random)? else { break };
        failed.sites += 1;
        failed.books += books;
    }
    Ok(failed)
}

fn sweep_all(seeds: u64, steps: usize, cases: &[(SimCall, SimFault)]) -> Failed {
    let mut all = Failed::default();
    for seed in 0..seeds {
        for (call, fault) in cases {
            match sweep(seed, steps, *call, *fault) {
                Ok(failed) => {
                    all.sites += failed.sites;
                    all.books += failed.books;
                }
                Err(violation) => panic!("seed {seed}, {fault:?} at {call:?}: {violation}"),
            }
        }
    }
    all
}

#[test]
fn r06_no_failed_sync_is_followed_by_an_acknowledgement_or_a_loss() {
    let seeds = sized(2, 60, 3_000);
    let cases = [(SimCall::Sync, SimFault::Io), (SimCall::SyncDir, SimFault::Io)];
    let Failed { sites, books } = sweep_all(seeds, 25, &cases);
    println!(
        "R6: {sites} syncs failed, {books} books opened afterwards: no acknowledgement after the \
         failure, nothing acknowledged lost; seeds 0..{seeds}"
    );
    assert!(sites > 30, "{sites}");
}

#[test]
fn r07_no_full_disk_and_no_short_write_loses_what_was_acknowledged() {
    let seeds = sized(1, 30, 1_500);
    let cases = [
        (SimCall::Write, SimFault::Short),
        (SimCall::Write, SimFault::Full),
        (SimCall::Write, SimFault::Io),
        (SimCall::SetLen, SimFault::Io),
        (SimCall::Create, SimFault::Full),
        (SimCall::Rename, SimFault::Io),
        (SimCall::Remove, SimFault::Io),
        (SimCall::Open, SimFault::Io),
        (SimCall::Read, SimFault::Io),
        (SimCall::Len, SimFault::Io),
        (SimCall::List, SimFault::Io),
    ];
    let Failed { sites, books } = sweep_all(seeds, 25, &cases);
    println!(
        "R7: {sites} calls failed (short writes, no space, errors at every kind of call), {books} \
         books opened afterwards, nothing acknowledged lost; seeds 0..{seeds}"
    );
    assert!(sites > 100, "{sites}");
}

#[test]
fn r07_a_disk_that_fills_up_at_any_byte_loses_nothing_that_was_acknowledged() {
    let (seed, step) = (5, sized(SEGMENT_BYTES_MIN / 32, 97, 13));
    let workload = Workload::new(seed, 25);
    let mut random = SimRandom::new(seed);
    let (mut sizes, mut refused) = (0, 0);
    for bytes_max in (0..).step_by(usize::try_from(step).unwrap()) {
        let storage = SimStorage::new(seed);
        storage.limit_bytes(Some(bytes_max));
        let mut history = History::new();
        match workload.run(&storage, &mut history) {
            Ended::Well => break,
            Ended::Violated(violation) => panic!("{bytes_max} bytes: {violation}"),
            Ended::Poisoned(_) | Ended::NotOpened(_) => refused += 1,
        }
        sizes += 1;
        let (records, acknowledged) = history.latest();
        let disk = storage.disk();
        for disk in [disk.after_power_loss(&mut random), disk] {
            let expected = Expected { records, acknowledged };
            if let Err(violation) = check(&disk, expected, &mut random, 0) {
                panic!("{bytes_max} bytes: {violation}");
            }
        }
    }
    println!(
        "R7: a disk of {sizes} sizes filled up, {refused} workloads ended by it, nothing lost"
    );
    assert!(sizes > 10);
}

/// A sync of a new segment's header failed, the next process saw the header in memory, took it for
/// synced, and named the segment in the manifest: then the power went, and the book was refused.
#[test]
fn the_header_of_a_segment_is_written_again_after_a_sync_that_failed() {
    for (seed, nth) in (0..8).flat_map(|seed| (0..40).map(move |nth| (seed, nth))) {
        let workload = Workload::new(1, 25);
        let storage = SimStorage::new(seed);
        storage.fail(SimCall::Sync, nth, SimFault::Io);
        if let Err(violation) = run(&workload, &storage, &mut SimRandom::new(seed)) {
            panic!("seed {seed}, sync {nth}: {violation}");
        }
    }
}
