//! What a store is opened with is what it had, with any checkpoint or none.

use super::common::{ALWAYS, batch, begin, canonical, next, now, options, reopen};
use crate::fixture::{decimal, meter};
use counterfoil_core::EventTime;
use counterfoil_log::sim::SimStorage;
use counterfoil_log::{Log, LogOptions, MemStorage, NewEvent, NewRecord, RecordKind};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreError, StoreOpenError, StoreOptions};
use counterfoil_meter::{
    AdjustError, AdjustPolicy, Adjustment, EventBatch, EventRefusal, Formula, MeterConfig,
    MeterError, Outcome, Position,
};
use std::sync::Arc;

/// Does something that follows from a number.
fn step(store: &MeterStore, random: &mut u64) {
    let second = i64::try_from(next(random) % 90_000).unwrap();
    let now = now().checked_add_seconds(second - 90_000).unwrap();
    let first = next(random) % 300;
    let id = format!("e{first}");
    match next(random) % 8 {
        0 => {
            drop(store.cancel("calls", &id, now));
            let (id, value) = (format!("e{}", first + 1), Adjustment::Correct(decimal("7.25")));
            drop(store.adjust("calls", &id, value, AdjustPolicy::Remembered, now));
        }
        1 => drop(store.deactivate(&meter(2), now).unwrap()),
        2 => drop(store.reactivate(&meter(2), now).unwrap()),
        3 => {
            let name = format!("more {first}");
            let config = MeterConfig::new(&name, Formula::Average);
            let config = config.with_dimensions(["model", "region"]);
            drop(store.define(meter(100 + first), config, now));
            let mut batch = EventBatch::new(&name).with_dimensions(["model", "region"]);
            let values = [["a", "eu"], ["b", ""]];
            let model = values[usize::try_from(first % 2).unwrap()];
            batch.push_with(Some(&id), Some("cus_1"), None, Some("1"), &model).unwrap();
            drop(store.ingest(batch.columns(), now).unwrap());
        }
        4 | 5 => {
            let time = EventTime::from_timestamp(now).unwrap();
            let event = SingleEvent::new("level", "cus_1").at(time);
            drop(store.submit(&event.identifier(&id).value("2.5"), now).unwrap());
            drop(store.submit(&event.number(7).decimal(decimal("-3")), now).unwrap());
            drop(store.submit(&event.value("1e3"), now).unwrap());
            drop(store.submit(&event.value("4"), now).unwrap());
        }
        _ => drop(store.ingest(batch(first, 20).columns(), now).unwrap()),
    }
}

#[test]
fn a_store_is_opened_as_it_was() {
    for seed in 0..20 {
        let storage = Arc::new(MemStorage::new());
        let store = begin(Arc::clone(&storage), options());
        let mut random = seed;
        for _ in 0..60 {
            step(&store, &mut random);
        }
        if seed % 2 == 0 {
            store.commit().unwrap();
        } else {
            let last = store.submit(&SingleEvent::new("calls", "cus_9").value("1"), now()).unwrap();
            last.wait().unwrap();
        }
        let (bytes, position) = (canonical(&store), store.position().unwrap());
        assert_eq!(store.durable(), position);
        if seed % 3 == 0 {
            store.close().unwrap();
        }
        drop(store);
        let again = reopen(storage);
        assert_eq!(canonical(&again), bytes, "{seed}");
        assert_eq!(again.position().unwrap(), position);
        assert_eq!(again.durable(), position);
    }
}

#[test]
fn a_checkpoint_at_any_point_changes_nothing() {
    let key = |key: u8| {
        let mut options = options();
        options.key = (key > 0).then_some([key; 32]);
        options.threads = usize::from(key) + 1;
        options
    };
    for point in 0..40 {
        let storage = Arc::new(MemStorage::new());
        let store = begin(Arc::clone(&storage), key(1));
        let mut random = 99;
        for number in 0..40 {
            if number == point {
                let written = store.checkpoint().unwrap().unwrap();
                assert!(written.position <= store.position().unwrap());
            }
            step(&store, &mut random);
        }
        store.commit().unwrap();
        let bytes = canonical(&store);
        drop(store);
        // A store goes on from a checkpoint as from the log alone, under another key as well.
        let (mut after, mut checkpoints) = (Vec::new(), Vec::new());
        for kept in [true, false] {
            let copy = SimStorage::new(1);
            copy_to(&storage, &copy, kept);
            let (again, opened) = MeterStore::open_in(copy, key(2)).unwrap();
            assert_eq!(opened.skipped, []);
            assert_eq!(canonical(&again), bytes, "{point}");
            let mut random = 7;
            (0..20).for_each(|_| step(&again, &mut random));
            again.commit().unwrap();
            after.push(canonical(&again));
            checkpoints.push(opened.checkpoint);
        }
        assert!(checkpoints[0].is_some() && checkpoints[1].is_none());
        assert_eq!(after[0], after[1], "{point}");
    }
}

fn copy_to(from: &MemStorage, to: &SimStorage, snapshots: bool) {
    use counterfoil_log::{Access, Storage};
    for name in from.list().unwrap() {
        if !snapshots && name.ends_with(".snap") {
            continue;
        }
        let file = from.open(&name, Access::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        let copy = to.create(&name).unwrap();
        copy.write_all_at(&bytes, 0).unwrap();
        copy.sync_data().unwrap();
    }
    to.sync_dir().unwrap();
}

#[test]
fn old_checkpoints_go_and_damaged_ones_are_passed_over() {
    use counterfoil_log::{Access, Storage};
    let storage = Arc::new(MemStorage::new());
    let store = begin(Arc::clone(&storage), options());
    let mut written = Vec::new();
    for first in 0..4 {
        store.ingest(batch(first * 10, 10).columns(), now()).unwrap().wait().unwrap();
        written.push(store.checkpoint().unwrap().unwrap());
    }
    assert_eq!(written[3].removed, [written[1].position]);
    let bytes = canonical(&store);
    drop(store);
    let name = format!("{:020}.snap", written[3].position.0);
    let file = storage.open(&name, Access::Write).unwrap();
    file.write_all_at(&[0xff; 64], file.len().unwrap() - 64).unwrap();
    let (again, opened) = MeterStore::open_in(storage, options()).unwrap();
    assert_eq!(opened.checkpoint, Some(written[2].position));
    assert_eq!(opened.skipped.len(), 1);
    assert_eq!(opened.skipped[0].0, written[3].position);
    assert_eq!(canonical(&again), bytes);
}

#[test]
fn an_empty_store_has_no_checkpoint_and_is_opened_again() {
    let storage = Arc::new(MemStorage::new());
    let (store, opened) = MeterStore::open_in(Arc::clone(&storage), options()).unwrap();
    assert!(opened.log.created);
    assert_eq!(store.checkpoint().unwrap(), None);
    assert_eq!((store.position().unwrap(), store.written_at().unwrap()), (Position(0), None));
    // With nothing on disk, there is nothing to wait for.
    let refused = store.ingest(batch(0, 2).columns(), now()).unwrap().wait().unwrap();
    assert_eq!((refused.position, refused.refused.len()), (Position(0), 2));
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(store.position(), Err(StoreError::Closed));
    assert_eq!(store.ingest(batch(0, 2).columns(), now()).unwrap_err(), StoreError::Closed);
    assert!(!MeterStore::open_in(storage, options()).unwrap().1.log.created);
}

#[test]
fn what_something_else_wrote_is_refused() {
    let storage = Arc::new(MemStorage::new());
    let (log, _) = Log::open(Arc::clone(&storage), LogOptions::default()).unwrap();
    let event = NewEvent {
        stream: "customer:cus_1".into(),
        stream_version: 1,
        type_id: 1,
        schema: 1,
        body: vec![1],
        personal: vec![],
    };
    let record = NewRecord { at: 0, kind: RecordKind::Events, meta: vec![], events: vec![event] };
    log.wait(log.append(record).unwrap()).unwrap();
    log.close().unwrap();
    let error = MeterStore::open_in(storage, options()).unwrap_err();
    assert!(matches!(error, StoreOpenError::Record { .. }), "{error}");
}

#[test]
fn a_refused_call_changes_nothing() {
    let storage = Arc::new(MemStorage::new());
    let store = begin(Arc::clone(&storage), options());
    store.ingest(batch(0, 3).columns(), now()).unwrap().wait().unwrap();
    let (bytes, position) = (canonical(&store), store.position().unwrap());
    let taken = store.define(meter(3), MeterConfig::new("calls", Formula::Sum), now());
    assert!(matches!(taken, Err(StoreError::Meter(MeterError::EventNameTaken { .. }))));
    let mut config = MeterConfig::new("long", Formula::Sum);
    config.value_payload_key = "k".repeat(70_000);
    let long = store.define(meter(3), config, now());
    assert!(matches!(long, Err(StoreError::TooLarge { .. })));
    let unknown = store.cancel("calls", "nobody", now()).unwrap_err();
    assert!(matches!(unknown, StoreError::Adjust(AdjustError::Unknown { .. })));
    let missing = store.usage(&meter(9), "cus_1", ALWAYS, Position::MAX);
    assert!(matches!(missing, Err(StoreError::Meter(MeterError::Unknown { .. }))));
    let odd = store.summaries(&meter(1), "cus_1", ALWAYS, None, Position::MAX);
    assert!(matches!(odd, Err(StoreError::Refused(_))), "{odd:?}");
    let text = "x".repeat(70_000);
    let huge = store.submit(&SingleEvent::new("calls", &text), now());
    assert!(matches!(huge, Err(StoreError::TooLarge { .. })));
    let refused = store.submit(&SingleEvent::new("none", "cus_1"), now()).unwrap().wait().unwrap();
    assert_eq!(refused.outcome, Outcome::Refused);
    assert_eq!(refused.refused, Some(EventRefusal::NoMeter));
    assert_eq!((canonical(&store), store.position().unwrap()), (bytes, position));
    assert_eq!(store.written_at().unwrap(), Some(now()));
}

#[test]
fn customers_are_those_of_the_options() {
    let mut options: StoreOptions = options();
    options.customers = Arc::new(|customer: &str| customer == "cus_1");
    let store = begin(MemStorage::new(), options);
    let ack = store.ingest_with_outcomes(batch(0, 6).columns(), now()).unwrap().wait().unwrap();
    assert_eq!((ack.taken, ack.refused.len()), (2, 4));
    assert_eq!(ack.outcomes.unwrap()[..2], [Outcome::Refused, Outcome::Taken]);
}
