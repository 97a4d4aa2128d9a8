//! R13: the same records give the same head, however they were committed, by how many threads, into
//! how many segments, with whatever beside them, and in whichever profile this test was built.

use std::{sync::Mutex, thread};

use counterfoil_log::{
    Log, LogOptions, MemStorage, SnapshotStamp, limits::SEGMENT_BYTES_MIN, sim::SimRandom,
};

use crate::{history::record, size::sized};

/// The receipt of the records of seed 0, which no build may change.
const HEAD_OF_SEED_0: &str = "counterfoil-receipt-1 lsn=60 bytes=104496 \
     head=7c71a20c83c22538a296b7148c6a32c69923929834c99e39c383e3b73099ef1d sum=013e4711";

/// How a book is written.
#[derive(Clone, Copy, Debug)]
struct Way {
    threads: usize,
    /// One in so many records is waited for.
    commit_one_in: u64,
    segment_bytes: u64,
    pending_bytes_max: usize,
    snapshots: bool,
    reopen: bool,
}

const WAYS: [Way; 5] = [
    Way {
        threads: 1,
        commit_one_in: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
        pending_bytes_max: 1 << 20,
        snapshots: false,
        reopen: false,
    },
    Way {
        threads: 1,
        commit_one_in: 1_000,
        segment_bytes: 1 << 30,
        pending_bytes_max: 64 << 20,
        snapshots: false,
        reopen: false,
    },
    Way {
        threads: 4,
        commit_one_in: 2,
        segment_bytes: SEGMENT_BYTES_MIN,
        pending_bytes_max: 1_000,
        snapshots: false,
        reopen: false,
    },
    Way {
        threads: 1,
        commit_one_in: 5,
        segment_bytes: 2 * SEGMENT_BYTES_MIN,
        pending_bytes_max: 1 << 20,
        snapshots: true,
        reopen: true,
    },
    Way {
        threads: 3,
        commit_one_in: 3,
        segment_bytes: 5 * SEGMENT_BYTES_MIN,
        pending_bytes_max: 1 << 20,
        snapshots: true,
        reopen: true,
    },
];

/// Writes the records of a seed; returns the receipt.
fn head(seed: u64, way: Way) -> String {
    let Way { threads, commit_one_in, segment_bytes, pending_bytes_max, snapshots, reopen } = way;
    let options = LogOptions { segment_bytes, pending_bytes_max, ..LogOptions::default() };
    let storage = MemStorage::new();
    let open = || Log::open(storage.clone(), options.clone()).unwrap().0;
    let mut records = SimRandom::new(seed);
    let all: Vec<_> = (0..60).map(|_| record(records.next_u64(), records.index(3_000))).collect();
    let mut log = open();
    for half in all.chunks(30) {
        // The order of the records is given; who appends which is not.
        let next = Mutex::new(half.iter());
        thread::scope(|scope| {
            for thread in 0..threads as u64 {
                let (log, next) = (&log, &next);
                scope.spawn(move || {
                    let mut random = SimRandom::new(seed ^ thread);
                    loop {
                        let mut next = next.lock().unwrap();
                        let Some(record) = next.next() else { break };
                        let lsn = log.append(record.clone()).unwrap();
                        drop(next);
                        if random.one_in(commit_one_in) {
                            log.wait(lsn).unwrap();
                        }
                    }
                });
            }
        });
        let lsn = log.commit().unwrap();
        if snapshots {
            let stamp = SnapshotStamp { lsn, at: 0, fingerprint: 1 };
            log.write_snapshot(stamp, |writer| writer.begin(1)).unwrap();
        }
        if reopen {
            log.close().unwrap();
            log = open();
        }
    }
    log.head().unwrap().to_string()
}

#[test]
fn r13_the_same_records_have_the_same_head() {
    let seeds = sized(3, 300, 30_000);
    for seed in 0..seeds {
        let first = head(seed, WAYS[0]);
        for way in &WAYS[1..] {
            assert_eq!(head(seed, *way), first, "seed {seed}, {way:?}");
        }
        if seed == 0 {
            assert_eq!(first, HEAD_OF_SEED_0);
        } else {
            assert_ne!(first, HEAD_OF_SEED_0);
        }
    }
    println!(
        "R13: {seeds} seeds written in {} ways (threads, batches, segments, snapshots, reopening): \
         the same head each time, and that of seed 0 is the one written down; seeds 0..{seeds}",
        WAYS.len()
    );
}
