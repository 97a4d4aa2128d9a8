//! R24: what the store allocates for an event once it has the room that it was told to make.
#![allow(clippy::disallowed_methods, reason = "tests have threads")]
#![allow(unsafe_code, reason = "an allocator is an unsafe trait; this one counts and passes on")]

use counterfoil_core::{Decimal12, EventTime, Id};
use counterfoil_log::MemStorage;
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreOptions};
use counterfoil_meter::workload::{EVENT_NAMES, Workload, WorkloadBatch};
use counterfoil_meter::{Capacity, DedupePolicy, Formula, MeterConfig};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the allocator of the system as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CUSTOMERS: u32 = 1_000;
const EVENTS: u64 = 400_000;

fn store(workload: &Workload) -> MeterStore {
    let mut options = StoreOptions::default();
    options.dedupe = DedupePolicy::FOREVER;
    options.capacity =
        Capacity { events: 500_000, customers: 1_000, series: 8_000, hours: 400_000 };
    let (store, _) = MeterStore::open_in(MemStorage::new(), options).unwrap();
    for (number, name) in (1..).zip(EVENT_NAMES) {
        let config = MeterConfig::new(name, Formula::Sum).also(Formula::Max).also(Formula::Last);
        store.define(Id::derived(number), config, workload.end()).unwrap();
    }
    store
}

/// Allocations of a call.
fn counted(call: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Relaxed);
    call();
    ALLOCATIONS.load(Relaxed) - before
}

/// Ingests the second half of the workload in batches of a size, after the first one; allocations
/// of a batch, and of an event.
fn in_batches(size: usize) -> (f64, f64) {
    let workload = Workload::new(24, EVENTS, CUSTOMERS, 10);
    let store = store(&workload);
    let mut batch = WorkloadBatch::default();
    workload.fill(&mut batch, 0, EVENTS as usize);
    let ingest = |from: usize, to: usize| {
        for start in (from..to).step_by(size) {
            let columns = batch.columns(start..start + size).unwrap();
            store.ingest(columns, workload.end()).unwrap().wait().unwrap();
        }
    };
    let half = EVENTS as usize / 2;
    ingest(0, half);
    let allocations = counted(|| ingest(half, EVENTS as usize)) as f64;
    (allocations * size as f64 / half as f64, allocations / half as f64)
}

/// The same, given one by one, with so many unanswered at once; allocations of an event.
fn one_by_one(tickets: usize) -> f64 {
    let workload = Workload::new(24, EVENTS, CUSTOMERS, 10);
    let store = store(&workload);
    let mut batch = WorkloadBatch::default();
    workload.fill(&mut batch, 0, EVENTS as usize);
    let ids: Vec<String> = batch.customers.iter().map(|id| format!("{id:016x}")).collect();
    let mut held = Vec::with_capacity(tickets);
    let mut give = |from: usize, to: usize| {
        for row in from..to {
            let name = EVENT_NAMES[usize::from(batch.names[row])];
            let value = Decimal12::from_trillionths(i128::from(batch.units[row]) * 1_000_000);
            let event = SingleEvent::new(name, &ids[row]).number(batch.identifiers[row]);
            let event = event.at(EventTime::from_nanos(batch.times[row])).decimal(value);
            held.push(store.submit(&event, workload.end()).unwrap());
            if held.len() == tickets {
                held.drain(..).for_each(|ticket| assert!(ticket.wait().unwrap().refused.is_none()));
            }
        }
    };
    let half = EVENTS as usize / 2;
    give(0, half);
    counted(|| give(half, EVENTS as usize)) as f64 / half as f64
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn r24_an_event_is_taken_in_without_an_allocation() {
    let mut batches = Vec::new();
    for size in [1_000, 10_000, 50_000] {
        let (batch, event) = in_batches(size);
        println!("R24: {batch:.1} allocations a batch of {size}, {event:.5} an event");
        batches.push(batch);
    }
    // What a batch takes does not grow with its events, but for vectors that double.
    assert!(batches.iter().all(|&batch| batch < 16.0), "{batches:?}");
    let single = one_by_one(1_024);
    println!("R24: {single:.5} allocations a single event, 1,024 unanswered");
    assert!(single < 0.02, "{single}");
    // The counter counts.
    assert_eq!(counted(|| drop(std::hint::black_box(Box::new(7)))), 1);
}
