//! Replay of domain events on one core: reading the log, decoding, applying.
//!
//! ```sh
//! cargo bench -p counterfoil-benches --bench replay                 # 2,000 customers, 12 months
//! cargo bench -p counterfoil-benches --bench replay -- 20000 12     # larger
//! cargo bench -p counterfoil-benches --bench replay -- 500 12 apply # one stage, once
//! ```
//!
//! The book is that of renewals: each customer has one licensed and one metered item, and each
//! month brings a draft, its finalization, an attempt to pay, and the payment. The stages build on
//! each other: `read` goes through the log, `decode` makes events of its records, `apply` makes the
//! state of them, `open` is all of it as an embedder sees it, meters included. Each is run seven
//! times; the median counts, the best is shown beside it.
//!
//! With a stage named it is run once and nothing else, for a profiler: the number of instructions
//! does not depend on how busy the machine is.
//!
//! ```sh
//! valgrind --tool=callgrind '--toggle-collect=replay::pass*' target/release/deps/replay-… 200 12 apply
//! ```

use counterfoil::{Engine, Lsn, MemStorage, Options, State, Timestamp};
use counterfoil_benches::{World, collect, usage};
use counterfoil_log::{Log, LogOptions, RecordKind};
use std::hint::black_box;
use std::time::{Duration, Instant};

const RUNS: usize = 7;
const STAGES: [&str; 4] = ["read", "decode", "apply", "open"];

/// A closed book, and what it holds.
struct Book {
    storage: MemStorage,
    /// The hash of the state.
    hash: [u8; 32],
    /// Records of domain events, their entries, and the bytes of these.
    records: u64,
    events: u64,
    body_bytes: u64,
    /// The bytes of all segments: blocks of usage, headers and space written ahead included.
    log_bytes: u64,
}

/// What `cargo bench` was given beside its own flags.
struct Arguments {
    customers: usize,
    months: u32,
    stage: Option<String>,
}

impl Arguments {
    /// None where the arguments are a filter for another benchmark.
    fn parse() -> Option<Self> {
        let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
        let first = given.next().unwrap_or_else(|| "replay".to_owned());
        if first == "replay" {
            return Some(Self { customers: 2_000, months: 12, stage: None });
        }
        let customers = first.parse().ok()?;
        let months = given.next().map_or(Some(12), |months| months.parse().ok())?;
        Some(Self { customers, months, stage: given.next() })
    }
}

fn main() {
    let Some(arguments) = Arguments::parse() else { return };
    let book = build(arguments.customers, arguments.months);
    match arguments.stage.as_deref() {
        Some(stage) => {
            run(&book, stage);
        }
        None => report(&book, &arguments),
    }
}

/// Renews for some months. Usage comes in once a month, one event a customer.
fn build(customers: usize, months: u32) -> Book {
    let storage = MemStorage::new();
    let book = Engine::on(storage.clone(), Options::default()).expect("a new book");
    let world = World::lay(&book).expect("a catalog");
    let ids = world.subscribe(&book, customers).expect("subscriptions");
    for n in 0..months {
        let first = customers * usize::try_from(n).expect("a few months");
        book.meter_events().ingest(&usage(&ids, first, customers)).expect("usage");
        let (year, month) = (2025 + (n + 1) / 12, (n + 1) % 12 + 1);
        let end = Timestamp::parse(&format!("{year}-{month:02}-01T01:00:00Z")).expect("a time");
        let progress = book.advance_to(end, &mut collect).expect("a month");
        assert_eq!(progress.worked, 2 * customers);
    }
    let (hash, events) = {
        let state = book.state().expect("a state");
        (state.hash(), state.event_count())
    };
    book.close().expect("a close");
    let log_bytes = storage.files().values().map(|file| file.len() as u64).sum();
    let mut built = Book { storage, hash, records: 0, events, body_bytes: 0, log_bytes };
    drop(book);
    for record in open_log(&built.storage).read(Lsn::ZERO.next()) {
        let record = record.expect("a record");
        if record.kind == RecordKind::Events {
            built.records += 1;
            built.body_bytes +=
                record.events.iter().map(|event| event.body.len() as u64).sum::<u64>();
        }
    }
    built
}

fn open_log(storage: &MemStorage) -> Log {
    Log::open(storage.clone(), LogOptions::default()).expect("the log").0
}

/// Runs a stage once and says how long it took.
fn run(book: &Book, stage: &str) -> Duration {
    if stage == "open" {
        let begin = Instant::now();
        let engine = Engine::on(book.storage.clone(), Options::default()).expect("the book");
        let took = begin.elapsed();
        assert_eq!(engine.state().expect("a state").hash(), book.hash);
        return took;
    }
    let mut state = State::default();
    let (log, engine, begin, events);
    if stage == "read" {
        log = open_log(&book.storage);
        begin = Instant::now();
        events = pass_records(&log);
    } else {
        engine = Engine::on(book.storage.clone(), Options::default()).expect("the book");
        begin = Instant::now();
        events = pass_events(&engine, (stage == "apply").then_some(&mut state));
    }
    let took = begin.elapsed();
    assert_eq!(events, book.events);
    if stage == "apply" {
        assert_eq!(state.hash(), book.hash);
    }
    took
}

/// Goes through the log once: what a profiler should look at, like [`pass_events`].
#[inline(never)]
fn pass_records(log: &Log) -> u64 {
    let mut events = 0;
    let mut records = log.read(Lsn::ZERO.next());
    while let Some(record) = records.next_ref() {
        let record = record.expect("a record");
        if record.kind() == RecordKind::Events {
            events += record.events().map(black_box).count() as u64;
        }
    }
    events
}

#[inline(never)]
fn pass_events(engine: &Engine, mut state: Option<&mut State>) -> u64 {
    let mut events = 0;
    for record in engine.events(Lsn::ZERO.next()) {
        let record = black_box(record.expect("a record"));
        events += record.events.len() as u64;
        for event in &record.events {
            if let Some(state) = &mut state {
                state.apply(record.at, event);
            }
        }
    }
    events
}

fn report(book: &Book, arguments: &Arguments) {
    let per_event = |bytes: u64| bytes as f64 / book.events as f64;
    println!(
        "{} customers, {} months: {} events in {} records, {:.0} bytes an event, {:.0} in the log",
        arguments.customers,
        arguments.months,
        book.events,
        book.records,
        per_event(book.body_bytes),
        per_event(book.log_bytes),
    );
    println!("memory of the book as it was lived: {} KiB at most", memory_kib());
    println!("{:8} {:>14} {:>14} {:>12}", "stage", "median", "best", "ns an event");
    for stage in STAGES {
        let mut took: Vec<Duration> = (0..RUNS).map(|_| run(book, stage)).collect();
        took.sort_unstable();
        let rate = |took: Duration| book.events as f64 / took.as_secs_f64() / 1e6;
        let (median, best) = (took[RUNS / 2], took[0]);
        let nanos = median.as_nanos() as f64 / book.events as f64;
        println!("{stage:8} {:>10.3} M/s {:>10.3} M/s {nanos:>12.0}", rate(median), rate(best));
    }
}

/// The most memory that this process held so far; 0 where nobody says.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
