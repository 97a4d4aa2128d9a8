//! The whole path: commands and usage in, a month of time, invoices out. In memory and on disk
//! (every record synced), so that the difference is the disk.

use counterfoil::{Engine, Options, Timestamp};
use counterfoil_benches::{World, collect, usage};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CUSTOMERS: usize = 1_000;
const EVENTS: usize = 10_000;

/// A book in memory, or in a directory that lives as long as it.
fn open(on_disk: bool) -> (Engine, Option<tempfile::TempDir>) {
    if !on_disk {
        return (Engine::in_memory(), None);
    }
    let dir = tempfile::tempdir().expect("a directory");
    let book = Engine::open(dir.path(), Options::default()).expect("a new book");
    (book, Some(dir))
}

fn modes() -> [(&'static str, bool); 2] {
    [("memory", false), ("disk", true)]
}

fn subscribe(c: &mut Criterion) {
    let mut group = c.benchmark_group("subscribe_and_first_payment");
    group.sample_size(10).throughput(Throughput::Elements(CUSTOMERS as u64));
    for (name, on_disk) in modes() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_batched(
                || {
                    let (book, dir) = open(on_disk);
                    let world = World::lay(&book).expect("a catalog");
                    (book, world, dir)
                },
                |(book, world, dir)| {
                    world.subscribe(&book, CUSTOMERS).expect("subscriptions");
                    (book, dir)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn ingest(c: &mut Criterion) {
    let mut group = c.benchmark_group("ingest_batch_of_10000");
    group.sample_size(10).throughput(Throughput::Elements(EVENTS as u64));
    for (name, on_disk) in modes() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_batched(
                || {
                    let (book, dir) = open(on_disk);
                    let world = World::lay(&book).expect("a catalog");
                    let customers = world.subscribe(&book, 100).expect("subscriptions");
                    (book, usage(&customers, 0, EVENTS), dir)
                },
                |(book, batch, dir)| {
                    let ingested = book.meter_events().ingest(&batch).expect("usage");
                    assert_eq!(ingested.taken, EVENTS as u64);
                    (book, dir)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn renew(c: &mut Criterion) {
    let mut group = c.benchmark_group("renew_draft_finalize_collect");
    group.sample_size(10).throughput(Throughput::Elements(CUSTOMERS as u64));
    let end = Timestamp::parse("2025-02-01T01:00:00Z").expect("a time");
    for (name, on_disk) in modes() {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_batched(
                || {
                    let (book, dir) = open(on_disk);
                    let world = World::lay(&book).expect("a catalog");
                    let customers = world.subscribe(&book, CUSTOMERS).expect("subscriptions");
                    book.meter_events().ingest(&usage(&customers, 0, EVENTS)).expect("usage");
                    (book, dir)
                },
                |(book, dir)| {
                    let progress = book.advance_to(end, &mut collect).expect("a month");
                    assert_eq!(progress.worked, 2 * CUSTOMERS);
                    (book, dir)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let end = Timestamp::parse("2025-12-31T00:00:00Z").expect("a time");
    let book = Engine::open(dir.path(), Options::default()).expect("a new book");
    let world = World::lay(&book).expect("a catalog");
    world.subscribe(&book, CUSTOMERS).expect("subscriptions");
    book.advance_to(end, &mut collect).expect("a year");
    let events = book.event_count().expect("a count");
    book.close().expect("a close");
    let mut group = c.benchmark_group("open_and_replay_a_year");
    group.sample_size(10).throughput(Throughput::Elements(events));
    group.bench_function("disk", |b| {
        b.iter(|| Engine::open(dir.path(), Options::default()).expect("the same book"));
    });
    group.finish();
}

criterion_group!(whole_path, subscribe, ingest, renew, replay);
criterion_main!(whole_path);
