//! Tickets, bounds, lent threads, and what a reader sees meanwhile.

use super::common::{ALWAYS, batch, begin, counted, now, options};
use crate::fixture::{decimal, meter};
use counterfoil_log::{Durability, MemStorage};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreError, StoreOptions};
use counterfoil_meter::{EventBatch, EventColumns, Formula, MeterConfig, Outcome, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[test]
fn many_tickets_are_held_and_one_wait_serves_those_before() {
    let store = begin(MemStorage::new(), options());
    let before = store.durable();
    let mut tickets: Vec<_> =
        (0..100).map(|n| store.ingest(batch(n * 10, 10).columns(), now()).unwrap()).collect();
    // Nobody waited: events count, and are not durable.
    assert_eq!(store.durable(), before);
    assert_eq!((counted(&store, Position::MAX), counted(&store, store.durable())), (1_000, 0));
    assert!(tickets.iter().all(|ticket| !ticket.is_durable()));
    let last = tickets.pop().unwrap().wait().unwrap();
    assert_eq!((last.taken, last.position), (10, store.position().unwrap()));
    assert!(tickets.iter().all(|ticket| ticket.is_durable()));
    assert_eq!(counted(&store, store.durable()), 1_000);
    // A reading at a cut stays as it was.
    let cut = tickets[41].position();
    assert_eq!(counted(&store, cut), 420);
}

#[test]
fn single_events_of_many_threads_become_one_record() {
    let store = begin(MemStorage::new(), options());
    let before = store.position().unwrap();
    let tickets: Vec<_> = thread::scope(|scope| {
        let submit = |thread: u64| {
            let store = &store;
            let one = move |n: u64| {
                let id = format!("e{}", thread * 50 + n);
                let event = SingleEvent::new("calls", "cus_1").identifier(&id).value("1");
                store.submit(&event, now()).unwrap()
            };
            scope.spawn(move || (0..100).map(one).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..8).map(submit).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(store.position().unwrap(), before);
    let acks: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect();
    assert!(acks.iter().all(|ack| ack.position == Position(before.0 + 1)));
    let taken = acks.iter().filter(|ack| ack.outcome == Outcome::Taken).count();
    let repeated = acks.iter().filter(|ack| ack.outcome == Outcome::Duplicate).count();
    // Neighbours share half of their identifiers.
    assert_eq!((taken, repeated), (450, 350));
    assert_eq!(counted(&store, store.durable()), 450);
}

#[test]
fn single_events_of_two_seconds_are_received_in_their_own() {
    let store = begin(MemStorage::new(), options());
    let later = now().checked_add_seconds(1).unwrap();
    let event = SingleEvent::new("calls", "cus_1").value("1");
    let tickets: Vec<_> =
        [now(), now(), later, now()].map(|at| store.submit(&event, at).unwrap()).into();
    let positions: Vec<_> =
        tickets.into_iter().map(|ticket| ticket.wait().unwrap().position.0).collect();
    assert_eq!(positions, [3, 3, 4, 5]);
}

fn bounded(events: u64) -> MeterStore {
    let mut options = options();
    options.queued_events_max = events;
    begin(MemStorage::new(), options)
}

#[test]
fn at_the_bound_a_call_is_refused_or_helps_to_write() {
    let store = bounded(25);
    drop(store.try_ingest(batch(0, 10).columns(), now()).unwrap());
    drop(store.try_ingest(batch(10, 10).columns(), now()).unwrap());
    let full = StoreError::Full { queued: 20, events: 10, max: 25 };
    assert_eq!(store.try_ingest(batch(20, 10).columns(), now()).unwrap_err(), full);
    let single = SingleEvent::new("calls", "cus_1").value("1");
    (0..5).for_each(|_| drop(store.try_submit(&single, now()).unwrap()));
    let full = StoreError::Full { queued: 25, events: 1, max: 25 };
    assert_eq!(store.try_submit(&single, now()).unwrap_err(), full);
    assert_eq!(counted(&store, store.durable()), 0);
    drop(store.submit(&single, now()).unwrap());
    assert_eq!(counted(&store, store.durable()), 25);
    drop(store.try_ingest(batch(20, 10).columns(), now()).unwrap());
    // What turns out to be nothing new does not wait for the disk.
    (0..10).for_each(|_| drop(store.try_ingest(batch(0, 10).columns(), now()).unwrap()));
    // A batch that is larger than the bound comes through alone.
    assert!(matches!(
        store.try_ingest(batch(100, 40).columns(), now()),
        Err(StoreError::Full { queued: 11, events: 40, max: 25 })
    ));
    assert_eq!(store.ingest(batch(100, 40).columns(), now()).unwrap().wait().unwrap().taken, 40);
    drop(store.try_ingest(batch(200, 25).columns(), now()).unwrap());
}

#[test]
fn a_batch_that_no_record_holds_is_refused_whole() {
    let store = begin(MemStorage::new(), StoreOptions::default());
    let mut large = EventBatch::new("calls");
    let id = "i".repeat(90);
    for _ in 0..EventColumns::EVENTS_MAX {
        large.push(Some(&id), Some("cus_1"), None, Some("1")).unwrap();
    }
    let error = store.ingest(large.columns(), now()).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(counted(&store, Position::MAX), 0);
    drop(store.try_ingest(batch(0, 1).columns(), now()).unwrap());
}

#[test]
fn the_largest_batch_of_numbers_fits_a_record() {
    use counterfoil_meter::{CustomerIds, EventNames, Identifiers, Values};
    let store = begin(MemStorage::new(), StoreOptions::default());
    let rows = EventColumns::EVENTS_MAX;
    let numbers: Vec<u128> = (0..rows as u128).map(|n| n << 70 | n).collect();
    let customers: Vec<u64> = (0..rows as u64).collect();
    let units = vec![i64::MAX / 10_000; rows];
    let codes: Vec<u16> = (0..rows).map(|n| (n % 2) as u16).collect();
    let columns = EventColumns::of(
        EventNames::Coded { names: &["calls", "level"], codes: &codes },
        Identifiers::Numbers(&numbers),
        CustomerIds::Numbers(&customers),
        None,
        Values::Units { units: &units, digits: 6 },
    );
    let ack = store.ingest(columns.unwrap(), now()).unwrap().wait().unwrap();
    assert_eq!(ack.taken, rows as u64);
}

#[test]
fn a_lent_thread_writes_without_anybody_waiting() {
    for durability in [Durability::Synced, Durability::Buffered] {
        let mut options = options();
        options.durability = durability;
        let store = begin(MemStorage::new(), options);
        let (writer, hasher) = (store.writer(), store.hasher());
        let lent = thread::spawn(move || writer.run());
        let hashing = thread::spawn(move || hasher.run());
        let single = SingleEvent::new("calls", "cus_1").value("1");
        for round in 0..200 {
            let first = store.submit(&single, now()).unwrap();
            let second = store.ingest(batch(round * 10, 10).columns(), now()).unwrap();
            match durability {
                Durability::Synced => {
                    while !first.is_durable() || !second.is_durable() {
                        thread::yield_now();
                    }
                }
                Durability::Buffered => {
                    first.wait_buffered().unwrap();
                    assert_eq!(second.wait_buffered().unwrap().0.taken, 10);
                }
            }
        }
        if durability == Durability::Synced {
            store.close().unwrap();
        }
        drop(store);
        lent.join().unwrap().unwrap();
        drop(hashing.join().unwrap());
    }
}

#[test]
fn eight_threads_with_the_same_identifiers_count_each_once() {
    let mut options = options();
    options.queued_events_max = 300;
    let store = begin(MemStorage::new(), options);
    let taken = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        let writer = store.writer();
        let lent = scope.spawn(move || writer.run());
        let threads: Vec<_> = (0..8_u64)
            .map(|thread| {
                let (store, taken) = (store.clone(), Arc::clone(&taken));
                scope.spawn(move || {
                    // Each thread has its own start, and all go through the same 4,000 events.
                    for round in 0..40 {
                        let first = (thread * 500 + round * 100) % 4_000;
                        if (round + thread) % 2 == 0 {
                            let ticket = store.ingest(batch(first, 100).columns(), now()).unwrap();
                            let ack = ticket.wait().unwrap();
                            assert_eq!((ack.taken + ack.duplicates, ack.conflicts), (100, 0));
                            taken.fetch_add(ack.taken, Ordering::Relaxed);
                        } else {
                            let one = |event: u64| {
                                let (id, of) = (format!("e{event}"), format!("cus_{}", event % 3));
                                let event = SingleEvent::new("calls", &of).identifier(&id);
                                store.submit(&event.value("1"), now()).unwrap()
                            };
                            let tickets: Vec<_> = (first..first + 100).map(one).collect();
                            for ticket in tickets {
                                let ack = ticket.wait().unwrap();
                                let new = ack.outcome == Outcome::Taken;
                                assert!(new || ack.outcome == Outcome::Duplicate);
                                taken.fetch_add(u64::from(new), Ordering::Relaxed);
                            }
                        }
                        let counted = counted(&store, Position::MAX);
                        assert!(counted <= 4_000, "{counted}");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        store.close().unwrap_or_else(|error| panic!("{error}"));
        lent.join().unwrap().unwrap();
    });
    assert_eq!(taken.load(Ordering::Relaxed), 4_000);
}

#[test]
fn a_limit_is_checked_with_what_is_not_on_disk_yet() {
    let store = begin(MemStorage::new(), options());
    drop(store.ingest(batch(0, 30).columns(), now()).unwrap());
    let within = |more: &str| {
        let (more, limit) = (decimal(more), decimal("12"));
        store.is_within(&meter(1), "cus_1", ALWAYS, more, limit).unwrap()
    };
    assert!(within("2"));
    assert!(!within("2.000001"));
    let at = |cut| store.usage(&meter(1), "cus_1", ALWAYS, cut).unwrap();
    assert_eq!(at(store.durable()).quantity, decimal("0"));
    assert_eq!(at(Position::MAX).quantity, decimal("10"));
    store.commit().unwrap();
    assert_eq!(at(store.durable()).quantity, decimal("10"));
    let totals = store.totals(&meter(1), "cus_1", ALWAYS, Position::MAX).unwrap();
    assert_eq!(totals.events, 10);
}

#[test]
fn single_events_may_have_any_form_beside_one_another() {
    let store = begin(MemStorage::new(), options());
    store.define(meter(3), MeterConfig::new("hits", Formula::Count), now()).unwrap();
    let event = SingleEvent::new("calls", "cus_1");
    let number = |number: u128| event.number(number);
    // Each row is of another form than those before, so that columns change on the way.
    let events = [
        (number(7).value("2.5"), Outcome::Taken),
        (number(8).decimal(decimal("-0.25")), Outcome::Taken),
        (number(9).decimal(decimal("0.000000000001")), Outcome::Taken),
        (event.identifier("00000000000000000000000000000007").value("2.500"), Outcome::Duplicate),
        (event.identifier("e1").value("100000000000000"), Outcome::Taken),
        (event.identifier("e1").value("1"), Outcome::Conflict),
        (number(8).value("-0.25"), Outcome::Duplicate),
        (event.identifier("e2").value("1e3"), Outcome::Refused),
        (event.identifier("e3"), Outcome::Refused),
        (event.value("4"), Outcome::Taken),
        (SingleEvent::new("hits", "cus_1").identifier("e1"), Outcome::Taken),
        (SingleEvent::new("hits", "cus_1").number(7).value("much"), Outcome::Taken),
    ];
    // All in one block, then each in one of its own.
    for together in [true, false] {
        let store = if together { store.clone() } else { begin(MemStorage::new(), options()) };
        if !together {
            store.define(meter(3), MeterConfig::new("hits", Formula::Count), now()).unwrap();
        }
        let mut tickets = Vec::new();
        for (event, outcome) in &events {
            tickets.push((store.submit(event, now()).unwrap(), outcome));
            if !together {
                store.commit().unwrap();
            }
        }
        for (row, (ticket, &outcome)) in tickets.into_iter().enumerate() {
            let ack = ticket.wait().unwrap();
            assert_eq!(ack.outcome, outcome, "row {row}");
            assert_eq!(ack.refused.is_some(), outcome == Outcome::Refused, "row {row}");
        }
        let sum = store.usage(&meter(1), "cus_1", ALWAYS, Position::MAX).unwrap();
        assert_eq!(sum.quantity, decimal("100000000000006.250000000001"));
        assert_eq!(store.usage(&meter(3), "cus_1", ALWAYS, Position::MAX).unwrap().events, 2);
    }
}

#[test]
fn single_events_have_dimensions() {
    let store = begin(MemStorage::new(), options());
    for (number, name, kept) in [(4, "tokens", &["model", "region"][..]), (5, "bytes", &["tier"])] {
        let config = MeterConfig::new(name, Formula::Sum).with_dimensions(kept.iter().copied());
        store.define(meter(number), config, now()).unwrap();
    }
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("d{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
    let cases: [Case<'_>; 7] = [
        ("tokens", &[("model", "a"), ("region", "eu"), ("other", "passed over")], true),
        ("tokens", &[("region", "us"), ("model", "a"), ("model", "b")], true),
        ("calls", &[], true),
        ("bytes", &[("tier", "free")], true),
        ("tokens", &[("model", "a"), ("region", "")], false),
        ("tokens", &many, false),
        ("calls", &[("model", "a")], true),
    ];
    let submit = |store: MeterStore, thread: usize| {
        let mut tickets = Vec::new();
        for (name, dimensions, taken) in cases {
            let event = SingleEvent::new(name, "cus_1").value("1").dimensions(dimensions);
            tickets.push((store.submit(&event, now()).unwrap(), taken, thread));
        }
        tickets
    };
    // Two threads, so that the rows of two shards come together.
    let tickets = thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let store = store.clone();
            scope.spawn(move || submit(store, thread))
        });
        threads.map(|thread| thread.join().unwrap())
    });
    for (ticket, taken, thread) in tickets.into_iter().flatten() {
        let ack = ticket.wait().unwrap();
        assert_eq!(ack.refused.is_none(), taken, "{:?} of {thread}", ack.refused);
    }
    let of = |number: u64, dimensions: &[(&str, &str)]| {
        let filter: Vec<_> = dimensions.to_vec();
        store
            .read(|meters| {
                let events = meters.events(&meter(number), "cus_1", ALWAYS, Position::MAX);
                let config = meters.config(&meter(number)).unwrap();
                let wanted = |event: &counterfoil_meter::UsageEvent<'_>| {
                    filter.iter().all(|(name, value)| {
                        let place = config.dimensions.iter().position(|own| own == name);
                        event.dimensions[place.unwrap()] == *value
                    })
                };
                events.unwrap().filter(|event| wanted(event)).count()
            })
            .unwrap()
    };
    assert_eq!(of(4, &[("model", "a"), ("region", "eu")]), 2);
    assert_eq!(of(4, &[("model", "a"), ("region", "us")]), 2);
    assert_eq!(of(4, &[]), 4);
    assert_eq!((of(5, &[("tier", "free")]), of(1, &[])), (2, 4));
}

#[test]
fn a_batch_is_read_whole_or_not_at_all_while_it_is_judged() {
    const ROWS: u64 = 6_000;
    let mut options = options();
    options.log.segment_bytes = 64 << 20;
    let store = begin(MemStorage::new(), options);
    let base = store.position().unwrap().0;
    let ended = AtomicU64::new(0);
    let read = |cut| store.usage(&meter(1), "cus_1", ALWAYS, cut).unwrap();
    let (mut between, mut seen) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rows = EventBatch::new("calls");
            for batch in 0..25 {
                rows.clear();
                for row in 0..ROWS {
                    let id = format!("{batch}-{row}");
                    rows.push(Some(&id), Some("cus_1"), None, Some("1")).unwrap();
                }
                store.ingest(rows.columns(), now()).unwrap().wait().unwrap();
            }
            ended.store(1, Ordering::Release);
        });
        while ended.load(Ordering::Acquire) == 0 {
            let live = read(Position::MAX);
            assert_eq!(live.events, (live.position.0.max(base) - base) * ROWS);
            // What was read is read again, whatever came meanwhile.
            assert_eq!(read(live.position), live);
            assert_eq!(read(store.durable()).events % ROWS, 0);
            let all = store.usage_by_customer(&meter(1), ALWAYS, live.position).unwrap();
            assert_eq!(all.get("cus_1").map_or(0, |own| own.events), live.events);
            let top = store.top_customers(&meter(1), ALWAYS, 3, live.position).unwrap();
            assert_eq!(top, all.into_iter().collect::<Vec<_>>());
            seen = live.events.max(seen);
            between += u64::from(live.events > 0 && live.events < 25 * ROWS);
        }
    });
    assert!(between > 0 && seen > 0, "nothing was read meanwhile");
    assert_eq!(read(Position::MAX).events, 25 * ROWS);
}
