//! Events in a file answer as those in memory do.
#![forbid(unsafe_code)]

use counterfoil_core::{Decimal12, Id, Period, Timestamp};
use counterfoil_log::MemStorage;
use counterfoil_meter::store::{MeterStore, Spill, StoreOptions};
use counterfoil_meter::workload::{EVENT_NAMES, Workload, WorkloadBatch};
use counterfoil_meter::{
    AdjustPolicy, Adjustment, AdmitContext, Aggregator, Anyone, Capture, DedupePolicy, Formula,
    MeterConfig, Outcome, Position, SpillFile,
};

const EVENTS: usize = 400_000;
const BATCH: usize = 20_000;

fn workload() -> (Workload, WorkloadBatch) {
    let workload = Workload::new(7, 400_000, 2_000, 50);
    let mut all = WorkloadBatch::default();
    workload.fill(&mut all, 0, EVENTS);
    (workload, all)
}

fn config(name: &str) -> MeterConfig {
    MeterConfig::new(name, Formula::Sum).also(Formula::Max).also(Formula::Last)
}

fn meters() -> Aggregator {
    let mut meters = Aggregator::new(DedupePolicy::default());
    for (number, name) in (1..).zip(EVENT_NAMES) {
        meters.define(Id::derived(number), config(name)).unwrap();
    }
    meters
}

fn content(meters: &Aggregator) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    meters.canonical(&mut |bytes| {
        hasher.update(bytes);
    });
    hasher.finalize()
}

#[test]
fn every_answer_is_the_same_and_memory_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = SpillFile::create(directory.path()).unwrap();
    let (workload, all) = workload();
    let ctx = AdmitContext::new(workload.end(), &Anyone).with_outcomes();
    let (mut kept, mut moved) = (meters(), meters());
    let mut freed = 0;
    for (position, start) in (1..).zip((0..EVENTS).step_by(BATCH)) {
        let columns = all.columns(start..start + BATCH).unwrap();
        let expected = kept.take(Position(position), columns, &ctx);
        assert_eq!(moved.take(Position(position), columns, &ctx), expected);
        loop {
            match moved.spill(&mut file, 0).unwrap() {
                0 => break,
                bytes => freed += bytes,
            }
        }
    }
    assert!(freed >= 16 * 16_384 * 48, "{freed} bytes were moved");
    assert_eq!(u64::try_from(freed), Ok(file.bytes()));
    let (whole, rest) = (kept.memory().bytes(), moved.memory().bytes());
    assert_eq!(rest + freed, whole, "what was moved is what memory has less");
    assert_eq!(content(&moved), content(&kept));

    // Every repetition is known, those of the first batch too.
    let again = moved.take(Position(90), all.columns(0..BATCH).unwrap(), &ctx);
    assert!(again.outcomes.unwrap().iter().all(|&outcome| outcome == Outcome::Duplicate));

    // Totals of parts of hours, at an old cut.
    let meter = Id::derived(3);
    let customer = format!("{:016x}", all.customers[0]);
    let middle = workload.end().checked_add_seconds(-9 * 86_400 - 1_234).unwrap();
    for period in [Period::new(Timestamp::MIN, middle), Period::new(middle, Timestamp::MAX)] {
        for cut in [Position(7), Position::MAX] {
            let usage = |of: &Aggregator| of.usage(&meter, &customer, period, cut).unwrap();
            assert_eq!(usage(&moved), usage(&kept));
        }
    }
}

#[test]
fn events_in_a_file_are_cancelled_corrected_captured_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = SpillFile::create(directory.path()).unwrap();
    let (workload, all) = workload();
    let ctx = AdmitContext::new(workload.end(), &Anyone);
    let (mut kept, mut moved) = (meters(), meters());
    for of in [&mut kept, &mut moved] {
        of.take(Position(1), all.columns(0..EVENTS).unwrap(), &ctx);
    }
    while moved.spill(&mut file, 0).unwrap() > 0 {}
    let name = EVENT_NAMES[usize::from(all.names[5])];
    for (position, row) in (2..).zip([5_usize, 6, 7, 5]) {
        let adjustment = match row {
            6 => Adjustment::Correct("12.5".parse::<Decimal12>().unwrap()),
            _ => Adjustment::Cancel,
        };
        let name = EVENT_NAMES[usize::from(all.names[row])];
        let identifier = format!("{:032x}", all.identifiers[row]);
        let blocks = [&kept, &moved].map(|of| {
            let policy = AdjustPolicy::Remembered;
            of.admit_adjustment(name, &identifier, adjustment, policy, workload.end())
        });
        assert_eq!(blocks[0].is_ok(), blocks[1].is_ok());
        for (of, block) in [&mut kept, &mut moved].into_iter().zip(&blocks) {
            if let Ok(block) = block {
                of.apply(Position(position), block);
            }
        }
    }
    assert!(kept.meter_of(name).is_some());
    assert_eq!(content(&moved), content(&kept));
    let bytes = |of: &Aggregator| Capture::encode(&of.capture()).unwrap().to_vec();
    assert_eq!(bytes(&moved), bytes(&kept));
    // What was adjusted is in memory again, and a later call moves what came since.
    let later = workload.end().checked_add_seconds(36 * 86_400).unwrap();
    let mut shifted = WorkloadBatch::default();
    workload.fill(&mut shifted, 0, 1_000);
    shifted.times.iter_mut().for_each(|time| *time += 36 * 86_400 * 1_000_000_000);
    let ctx = AdmitContext::new(later, &Anyone);
    for of in [&mut kept, &mut moved] {
        let admission = of.take(Position(9), shifted.columns(0..1_000).unwrap(), &ctx);
        assert!(admission.taken > 900, "identifiers are forgotten after 35 days");
    }
    assert_eq!(content(&moved), content(&kept));
}

#[test]
fn a_store_moves_events_out_and_opens_to_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let storage = MemStorage::new();
    let spill = Spill { directory: directory.path().to_owned(), keep_events: 50_000 };
    let mut options = StoreOptions::default();
    options.spill = Some(spill);
    let (workload, all) = workload();
    let totals = |store: &MeterStore| {
        let period = Period::new(Timestamp::MIN, Timestamp::MAX);
        let customer = format!("{:016x}", all.customers[0]);
        store.usage(&Id::derived(3), &customer, period, Position::MAX).unwrap()
    };
    let before = {
        let (store, _) = MeterStore::open_in(storage.clone(), options.clone()).unwrap();
        for (number, name) in (1..).zip(EVENT_NAMES) {
            store.define(Id::derived(number), config(name), workload.end()).unwrap();
        }
        for start in (0..EVENTS).step_by(BATCH) {
            let columns = all.columns(start..start + BATCH).unwrap();
            store.ingest(columns, workload.end()).unwrap().wait().unwrap();
        }
        let spilled = store.spilled().unwrap().unwrap();
        assert!(spilled.bytes > 0 && spilled.failed.is_none(), "{spilled:?}");
        let before = totals(&store);
        store.close().unwrap();
        before
    };
    let (store, opened) = MeterStore::open_in(storage, options).unwrap();
    assert_eq!(opened.replayed, 8 + 20);
    assert!(store.spilled().unwrap().unwrap().bytes > 0);
    assert_eq!(totals(&store), before);
    store.close().unwrap();
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap().path().join("gone");
    let mut options = StoreOptions::default();
    options.spill = Some(Spill { directory: directory.clone(), keep_events: 0 });
    let error = MeterStore::open_in(MemStorage::new(), options).unwrap_err().to_string();
    assert!(error.contains(&directory.display().to_string()), "{error}");
}
