//! Power losses and errors of the disk, simulated: what was acknowledged is there, once.

use super::common::{batch, begin, canonical, counted, next, now, options, reopen, sized};
use crate::fixture::meter;
use counterfoil_core::{Id, kind};
use counterfoil_log::sim::{SimCall, SimDisk, SimFault, SimRandom, SimStorage};
use counterfoil_meter::store::{EventTicket, MeterStore, SingleEvent, StoreError};
use counterfoil_meter::{Formula, MeterConfig, Position};
use std::collections::BTreeSet;

/// Events of a batch.
const EVENTS: u64 = 4;

/// Which of the first events are there; panics where one is there twice.
fn present(store: &MeterStore) -> BTreeSet<u64> {
    let ids = |customer: String| {
        let of = |meters: &counterfoil_meter::Aggregator| {
            let events = meters.events(&meter(1), &customer, super::common::ALWAYS, Position::MAX);
            let ids = events.unwrap().map(|event| event.identifier.into_owned());
            ids.collect::<Vec<_>>()
        };
        store.read(of).unwrap()
    };
    let customers = store.read(|meters| {
        let customers: Vec<_> = meters.customers_with_usage(&meter(1)).collect();
        customers
    });
    let found: Vec<u64> =
        customers.unwrap().into_iter().flat_map(ids).map(|id| id[1..].parse().unwrap()).collect();
    let different: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(different.len(), found.len(), "an event is there twice");
    different
}

fn acknowledge(singles: &mut Vec<EventTicket>) {
    for ticket in singles.drain(..) {
        assert_eq!(ticket.wait().unwrap().refused, None);
    }
}

/// Ingests batches, some by single events, with tickets that are waited for now and then, retries,
/// and checkpoints. The mark on the disk is the number of events acknowledged: those below it.
fn workload(storage: &SimStorage, seed: u64) {
    let store = begin(storage.clone(), options());
    let mut random = seed;
    let (mut tickets, mut singles) = (Vec::new(), Vec::new());
    for round in 0..12_u64 {
        let first = round * EVENTS;
        if next(&mut random).is_multiple_of(3) {
            for event in first..first + EVENTS {
                let (id, customer) = (format!("e{event}"), format!("cus_{}", event % 3));
                let single = SingleEvent::new("calls", &customer).identifier(&id).value("1");
                singles.push(store.submit(&single, now()).unwrap());
            }
        } else {
            // So that the order of acknowledgement is that of the numbers.
            acknowledge(&mut singles);
            tickets.push(store.ingest(batch(first, EVENTS).columns(), now()).unwrap());
        }
        if next(&mut random).is_multiple_of(3) {
            // A retry is acknowledged only when what it repeats is on disk.
            let retry = store.ingest(batch(first, EVENTS).columns(), now()).unwrap();
            acknowledge(&mut singles);
            retry.wait().unwrap();
            storage.mark(first + EVENTS);
        }
        if next(&mut random).is_multiple_of(5) {
            drop(store.checkpoint().unwrap());
        }
    }
}

/// Opens what is left: all that was acknowledged is there, in whole batches, and once again after
/// everything was sent once more.
fn check(left: SimDisk, acknowledged: u64, what: &str) {
    let storage = SimStorage::of(left, 1);
    let (store, opened) = MeterStore::open_in(storage.clone(), options()).unwrap();
    if opened.replayed == 0 && opened.checkpoint.is_none() {
        assert_eq!(acknowledged, 0, "{what}");
        return;
    }
    if store.read(|meters| meters.meters().count()).unwrap() < 2 {
        assert_eq!(acknowledged, 0, "{what}");
        return;
    }
    let found = present(&store);
    let lost = (0..acknowledged).find(|event| !found.contains(event));
    assert_eq!(lost, None, "{what}: of {acknowledged}");
    let torn = found.iter().find(|event| !found.contains(&(*event / EVENTS * EVENTS)));
    assert_eq!(torn, None, "{what}: a batch is there in part");
    let ticket = store.ingest(batch(0, 12 * EVENTS).columns(), now()).unwrap();
    let ack = ticket.wait().unwrap();
    assert_eq!(ack.duplicates, found.len() as u64, "{what}");
    assert_eq!(counted(&store, store.durable()), 12 * EVENTS, "{what}");
    let bytes = canonical(&store);
    drop(store);
    assert_eq!(canonical(&reopen(storage)), bytes, "{what}");
}

#[test]
fn r16_no_power_loss_takes_or_doubles_what_was_acknowledged() {
    let seeds = sized(3, 60, 2_000);
    let mut states = 0;
    for seed in 0..seeds {
        let storage = SimStorage::new(seed);
        storage.keep_points();
        workload(&storage, seed);
        let mut random = SimRandom::new(!seed);
        for (number, point) in storage.take_points().iter().enumerate() {
            let what = format!("seed {seed}, point {number} after {:?}", point.site);
            let mut left = point.disk.ends_of_power_loss().map(SimDisk::holding).to_vec();
            left.push(point.disk.after_power_loss(&mut random));
            left.push(point.disk.clone());
            for left in left {
                states += 1;
                check(left, point.mark, &what);
            }
        }
    }
    println!("R16: {states} states after a power loss or a kill: counted twice 0, lost 0");
}

/// Every call, and what it says.
fn errors(store: &MeterStore) -> Vec<Option<StoreError>> {
    let single = SingleEvent::new("calls", "cus_1").value("1");
    let always = super::common::ALWAYS;
    let id: Id<kind::Meter> = meter(1);
    vec![
        store.ingest(batch(900, 1).columns(), now()).err(),
        store.try_ingest(batch(900, 1).columns(), now()).err(),
        store.submit(&single, now()).err(),
        store.try_submit(&single, now()).err(),
        store.cancel("calls", "e1", now()).err(),
        store.define(meter(9), MeterConfig::new("other", Formula::Sum), now()).err(),
        store.deactivate(&id, now()).err(),
        store.reactivate(&id, now()).err(),
        store.commit().err(),
        store.position().err(),
        store.usage(&id, "cus_1", always, Position::MAX).err(),
        store.totals(&id, "cus_1", always, Position::MAX).err(),
        store.memory().err(),
        store.reserve(1).err(),
        store.writer().run().err(),
        match store.checkpoint() {
            Err(counterfoil_meter::store::StoreCheckpointError::Store(error)) => Some(error),
            _ => None,
        },
        store.close().err(),
    ]
}

#[test]
fn after_an_error_of_the_disk_every_call_says_the_same_and_opening_finds_what_was_acknowledged() {
    let mut struck = 0;
    for call in [SimCall::Write, SimCall::Sync, SimCall::Create, SimCall::SyncDir] {
        for fault in [SimFault::Io, SimFault::Full] {
            for nth in 0..sized(8, 20, 20) {
                let storage = SimStorage::new(nth);
                let store = begin(storage.clone(), options());
                storage.fail(call, nth, fault);
                let mut acknowledged = 0;
                let mut first = None;
                let mut held = Vec::new();
                for round in 0..40 {
                    let columns = batch(round * EVENTS, EVENTS);
                    let ticket = match store.ingest(columns.columns(), now()) {
                        Ok(ticket) => ticket,
                        Err(error) => {
                            first = Some(error);
                            break;
                        }
                    };
                    if round % 3 == 1 {
                        held.push(ticket);
                        continue;
                    }
                    match ticket.wait() {
                        Ok(_) => acknowledged = (round + 1) * EVENTS,
                        Err(error) => {
                            first = Some(error);
                            break;
                        }
                    }
                }
                let Some(first) = first else { continue };
                struck += 1;
                assert!(matches!(first, StoreError::Poisoned { .. }), "{first}");
                for (call, error) in errors(&store).into_iter().enumerate() {
                    assert_eq!(error.as_ref(), Some(&first), "call {call}");
                }
                let late = held.pop().filter(|ticket| !ticket.is_durable());
                if let Some(late) = late {
                    assert_eq!(late.wait().unwrap_err(), first);
                }
                drop((store, held));
                let what = format!("{call:?} {nth} {fault:?}");
                let mut random = SimRandom::new(nth);
                for left in [storage.disk(), storage.disk().after_power_loss(&mut random)] {
                    let again = reopen(SimStorage::of(left, 1));
                    let found = present(&again);
                    let lost = (0..acknowledged).find(|event| !found.contains(event));
                    assert_eq!(lost, None, "{what}: of {acknowledged}");
                }
            }
        }
    }
    assert!(struck > 20, "{struck}");
}

#[test]
fn a_panic_of_the_disk_or_of_the_caller_poisons() {
    let storage = SimStorage::new(1);
    let store = begin(storage.clone(), options());
    storage.fail(SimCall::Sync, 0, SimFault::Panic);
    let other = store.clone();
    let ticket = store.ingest(batch(0, 4).columns(), now()).unwrap();
    assert!(std::thread::spawn(move || ticket.wait()).join().is_err());
    let error = store.commit().unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    assert_eq!(other.position(), Err(error));

    let mut options = options();
    options.customers = std::sync::Arc::new(|customer: &str| {
        assert_ne!(customer, "cus_2", "a bug of whoever keeps the customers");
        true
    });
    let storage = SimStorage::new(2);
    let store = begin(storage.clone(), options);
    let ticket = store.ingest(batch(0, 2).columns(), now()).unwrap();
    ticket.wait().unwrap();
    let other = store.clone();
    let joined =
        std::thread::spawn(move || drop(other.ingest(batch(2, 4).columns(), now()))).join();
    assert!(joined.is_err());
    let error = store.commit().unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    drop(store);
    let left = storage.disk();
    assert_eq!(present(&reopen(SimStorage::of(left, 1))), BTreeSet::from([0, 1]));
}
