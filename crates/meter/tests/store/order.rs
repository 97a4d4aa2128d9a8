//! R14: order of arrival, repetition and lateness change no total.

use super::common::{ALWAYS, begin, canonical, next, now, options, sized};
use crate::fixture::meter;
use counterfoil_core::Timestamp;
use counterfoil_log::MemStorage;
use counterfoil_meter::store::{MeterStore, SingleEvent};
use counterfoil_meter::{
    Aggregator, CustomerIds, EventColumns, EventNames, Formula, Identifiers, MeterConfig, Values,
};

/// An event: 35 days of time, half of them late by up to a month.
#[derive(Clone, Copy)]
struct Event {
    identifier: u128,
    customer: u64,
    time: i64,
    units: i64,
}

fn events(seed: u64, count: u64) -> Vec<Event> {
    let mut random = seed;
    let end = now().unix() * 1_000_000_000;
    let mut event = |n: u64| Event {
        identifier: u128::from(next(&mut random)) << 64 | u128::from(n),
        customer: next(&mut random) % 200,
        time: end - i64::try_from(next(&mut random) % (30 * 86_400 * 1_000)).unwrap() * 1_000_000,
        units: i64::try_from(next(&mut random) % 2_000_000_000).unwrap() - 1_000_000_000,
    };
    (0..count).map(&mut event).collect()
}

fn shuffle(events: &mut [Event], seed: u64) {
    let mut random = seed;
    for last in (1..events.len()).rev() {
        let at = usize::try_from(next(&mut random) % (last as u64 + 1)).unwrap();
        events.swap(at, last);
    }
}

/// Feeds events in batches of random sizes, some as single events, and closes the store.
fn feed(store: &MeterStore, events: &[Event], seed: u64) -> u64 {
    let (mut random, mut rest, mut taken) = (seed, events, 0);
    while !rest.is_empty() {
        let size = usize::try_from(next(&mut random) % 9_000 + 1).unwrap().min(rest.len());
        let (now_in, later) = rest.split_at(size);
        rest = later;
        if size < 500 {
            let ids: Vec<String> = now_in.iter().map(|e| format!("{:016x}", e.customer)).collect();
            let tickets = now_in.iter().zip(&ids).map(|(event, customer)| {
                let value = counterfoil_core::Decimal12::from_trillionths(
                    i128::from(event.units) * 1_000_000,
                );
                let single = SingleEvent::new("sum", customer).number(event.identifier);
                let time = counterfoil_core::EventTime::from_nanos(event.time);
                store.submit(&single.at(time).decimal(value), now()).unwrap()
            });
            let tickets: Vec<_> = tickets.collect();
            let acks = tickets.into_iter().map(|ticket| ticket.wait().unwrap());
            taken +=
                acks.filter(|ack| ack.outcome == counterfoil_meter::Outcome::Taken).count() as u64;
            continue;
        }
        let identifiers: Vec<u128> = now_in.iter().map(|event| event.identifier).collect();
        let customers: Vec<u64> = now_in.iter().map(|event| event.customer).collect();
        let times: Vec<i64> = now_in.iter().map(|event| event.time).collect();
        let units: Vec<i64> = now_in.iter().map(|event| event.units).collect();
        let columns = EventColumns::of(
            EventNames::One("sum"),
            Identifiers::Numbers(&identifiers),
            CustomerIds::Numbers(&customers),
            Some(&times),
            Values::Units { units: &units, digits: 6 },
        );
        let ticket = store.ingest(columns.unwrap(), now()).unwrap();
        taken += ticket.wait().unwrap().taken;
    }
    taken
}

fn store(threads: usize, storage: std::sync::Arc<MemStorage>) -> MeterStore {
    let mut options = options();
    options.log.segment_bytes = 1 << 20;
    options.threads = threads;
    let store = begin(storage, options);
    let config = MeterConfig::new("sum", Formula::Sum).also(Formula::Max);
    store.define(meter(3), config, now()).unwrap();
    store
}

fn totals(meters: &Aggregator) -> Vec<String> {
    let own = meter(3);
    let customers = meters.customers_with_usage(&own);
    let total = |customer: String| {
        let cut = counterfoil_meter::Position::MAX;
        let totals = meters.totals(&own, &customer, ALWAYS, cut).unwrap();
        format!("{customer} {totals:?}")
    };
    customers.map(total).collect()
}

#[test]
fn r14_permuted_duplicated_and_late_events_give_the_same_totals() {
    let count = sized(100_000, 1_000_000, 100_000_000_u64);
    let piece = count.min(1_000_000);
    for seed in 0..count / piece {
        let events = events(seed, piece);
        let mut found: Option<(Vec<u8>, Vec<String>)> = None;
        for variant in 0..3_u64 {
            let mut given = events.clone();
            if variant > 0 {
                // Every third is sent again, somewhere.
                given.extend(events.iter().step_by(3));
                shuffle(&mut given, variant);
            }
            let storage = std::sync::Arc::new(MemStorage::new());
            let threads = usize::try_from(variant).unwrap() + 1;
            let store = store(threads, std::sync::Arc::clone(&storage));
            assert_eq!(feed(&store, &given, seed ^ variant), piece);
            store.close().unwrap();
            drop(store);
            let store = super::common::reopen(storage);
            let own = (canonical(&store), store.read(totals).unwrap());
            let first = found.get_or_insert_with(|| own.clone());
            assert_eq!(first.1, own.1, "variant {variant} of seed {seed}");
            assert!(first.0 == own.0, "variant {variant} of seed {seed}: other bytes");
        }
    }
    println!("R14: {count} events in 3 orders, a third of them repeated: other totals 0");
}

#[test]
fn r14_sees_an_event_that_counts_twice_or_not_at_all() {
    let given = events(1, 3_000);
    let all = |events: &[Event]| {
        let store = store(1, std::sync::Arc::new(MemStorage::new()));
        feed(&store, events, 5);
        store.read(totals).unwrap()
    };
    let whole = all(&given);
    assert_ne!(all(&given[1..]), whole);
    let mut again = given.clone();
    again.push(Event { identifier: 1, ..given[0] });
    assert_ne!(all(&again), whole);
    assert!(now() > Timestamp::MIN);
}
