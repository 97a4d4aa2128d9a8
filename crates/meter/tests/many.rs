//! Batches large enough for threads, for growth and for reserved room: the answers stay the same.

mod fixture;

use counterfoil_core::Timestamp;
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, Capacity, CustomerIds, DedupePolicy, EventColumns,
    EventNames, Formula, Identifiers, MeterConfig, Outcome, Position, Values,
};
use fixture::{Fixture, at, meter};
use std::collections::{BTreeMap, BTreeSet};

const NOW: &str = "2025-03-15T12:00:00Z";

/// A generator of numbers whose whole state is its argument.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[derive(Default)]
struct Batch {
    codes: Vec<u16>,
    identifiers: Vec<u128>,
    customers: Vec<u64>,
    times: Vec<i64>,
    units: Vec<i64>,
}

impl Batch {
    fn columns(&self) -> EventColumns<'_> {
        EventColumns::of(
            EventNames::Coded { names: &["calls", "tokens"], codes: &self.codes },
            Identifiers::Numbers(&self.identifiers),
            CustomerIds::Numbers(&self.customers),
            Some(&self.times),
            Values::Units { units: &self.units, digits: 6 },
        )
        .unwrap()
    }
}

/// Batches with one repeat in eight, some of them with other content.
fn batches(sizes: &[usize]) -> Vec<Batch> {
    let mut state = 7;
    let mut all: Vec<(u16, u128, u64, i64, i64)> = Vec::new();
    let now = at(NOW).unix() * 1_000_000_000;
    let mut batch_of = |rows: usize| {
        let mut batch = Batch::default();
        for _ in 0..rows {
            let word = next(&mut state);
            let mut row = (
                (word % 2) as u16,
                u128::from(next(&mut state)) << 64 | u128::from(next(&mut state)),
                (next(&mut state) % 1_000).pow(2) / 1_000,
                now - (next(&mut state) % (20 * 86_400_000)) as i64 * 1_000_000,
                (next(&mut state) % 1_000_000_000) as i64 - 100_000_000,
            );
            if word.is_multiple_of(8) && !all.is_empty() {
                row = all[(next(&mut state) % all.len() as u64) as usize];
                if word.is_multiple_of(64) {
                    row.4 += 1;
                }
            } else {
                all.push(row);
            }
            batch.codes.push(row.0);
            batch.identifiers.push(row.1);
            batch.customers.push(row.2);
            batch.times.push(row.3);
            batch.units.push(row.4);
        }
        batch
    };
    sizes.iter().map(|&rows| batch_of(rows)).collect()
}

fn aggregator(threads: usize) -> Aggregator {
    let mut meters = Aggregator::new(DedupePolicy::default()).threads(threads);
    let config = MeterConfig::new("calls", Formula::Sum).also(Formula::Max).also(Formula::Last);
    meters.define(meter(1), config).unwrap();
    meters.define(meter(2), MeterConfig::new("tokens", Formula::Last)).unwrap();
    meters
}

fn canonical(meters: &Aggregator) -> Vec<u8> {
    let mut bytes = Vec::new();
    meters.canonical(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

fn take_all(mut meters: Aggregator, batches: &[Batch]) -> (Aggregator, Vec<Outcome>) {
    let mut outcomes = Vec::new();
    let ctx = AdmitContext::new(at(NOW), &Anyone).with_outcomes();
    for (position, batch) in (1..).zip(batches) {
        let admission = meters.take(Position(position), batch.columns(), &ctx);
        assert_eq!(admission.refused, []);
        outcomes.extend(admission.outcomes.unwrap());
    }
    (meters, outcomes)
}

#[test]
fn threads_and_room_change_no_answer() {
    let batches = batches(&[200, 150_000, 9_000, 40_000]);
    let (one, outcomes) = take_all(aggregator(1), &batches);
    let expected = canonical(&one);
    for threads in [2, 3, 8] {
        let (other, same) = take_all(aggregator(threads), &batches);
        assert_eq!(outcomes, same, "{threads} threads");
        assert!(expected == canonical(&other), "{threads} threads");
    }
    let mut reserved = aggregator(2);
    let capacity = Capacity { events: 180_000, customers: 1_000, series: 2_000, hours: 160_000 };
    reserved.reserve(capacity);
    assert!(expected == canonical(&take_all(reserved, &batches).0));
    let keyed = Aggregator::with_key(DedupePolicy::default(), [9; 32]);
    let mut keyed = keyed.threads(2);
    for (id, config, _) in one.meters() {
        keyed.define(id.clone(), config.clone()).unwrap();
    }
    assert!(expected == canonical(&take_all(keyed, &batches).0));
}

#[test]
fn the_sums_are_those_of_a_plain_list() {
    let batches = batches(&[60_000, 60_000]);
    let (meters, outcomes) = take_all(aggregator(2), &batches);
    let mut outcomes = outcomes.into_iter();
    let mut seen = BTreeSet::new();
    let mut sums = BTreeMap::<(u16, u64), (i128, u64, i64, (i64, usize, i64))>::new();
    for (order, (batch, row)) in batches
        .iter()
        .flat_map(|batch| (0..batch.codes.len()).map(move |row| (batch, row)))
        .enumerate()
    {
        let outcome = outcomes.next().unwrap();
        let fresh = seen.insert((batch.codes[row], batch.identifiers[row]));
        assert_eq!(fresh, outcome == Outcome::Taken);
        if !fresh {
            continue;
        }
        let (units, time) = (batch.units[row], batch.times[row]);
        let first = (0, 0, i64::MIN, (i64::MIN, 0, 0));
        let sum = sums.entry((batch.codes[row], batch.customers[row])).or_insert(first);
        sum.0 += i128::from(units);
        sum.1 += 1;
        sum.2 = sum.2.max(units);
        sum.3 = sum.3.max((time, order, units));
    }
    assert!(sums.len() > 1_000);
    for ((code, customer), (sum, events, max, (.., last))) in sums {
        let customer = format!("{customer:016x}");
        let totals = meters
            .totals(&meter(u64::from(code) + 1), &customer, Fixture::ALWAYS, Position::MAX)
            .unwrap();
        let micro = |value: Option<counterfoil_core::Decimal12>| {
            value.map(|value| i64::try_from(value.trillionths() / 1_000_000).unwrap())
        };
        assert_eq!(totals.sum.trillionths(), sum * 1_000_000);
        assert_eq!((totals.events, micro(totals.max)), (events, Some(max)));
        assert_eq!(micro(totals.last), Some(last));
    }
}

#[test]
fn memory_is_what_is_said_of_it() {
    let batches = batches(&[200_000]);
    let mut meters = aggregator(1);
    let capacity = Capacity { events: 175_000, customers: 750, series: 1_500, hours: 165_000 };
    meters.reserve(capacity);
    let (meters, _) = take_all(meters, &batches);
    let memory = meters.memory();
    assert_eq!(memory.identifiers, memory.events);
    assert!(memory.identifier_bytes <= memory.identifiers * 25, "{memory:?}");
    assert!(memory.hour_bytes <= memory.hours * 66, "{memory:?}");
    assert!(memory.bytes() > memory.events * 48 + memory.hours * 48);
    let later = at("2025-05-15T12:00:00Z");
    forgets(meters, later);
}

/// After the window no identifier is remembered, and the sums are as they were.
fn forgets(mut meters: Aggregator, later: Timestamp) {
    let customer = "0000000000000007";
    let read = |meters: &Aggregator| {
        meters.totals(&meter(1), customer, Fixture::ALWAYS, Position::MAX).unwrap()
    };
    let before = read(&meters);
    let mut batch = Batch::default();
    batch.codes.push(0);
    batch.identifiers.push(1);
    batch.customers.push(7);
    batch.times.push(EventColumns::RECEIPT_TIME);
    batch.units.push(5);
    let ctx = AdmitContext::new(later, &Anyone);
    let taken = meters.take(meters.position(), batch.columns(), &ctx);
    assert_eq!(taken.taken, 1);
    assert_eq!(meters.memory().identifiers, 1);
    assert_eq!(read(&meters).events, before.events + 1);
}
