//! R16: a process that ingests from several threads is killed at any moment, and a client sends
//! again what was not acknowledged: nothing is counted twice, and nothing is lost.
//!
//! The test runs its own binary as the child. Each of its threads gives the events of one meter in
//! order and says on the output how far they are acknowledged. The parent kills it, opens the
//! store, compares, and starts the next child where the acknowledgements ended.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests have processes")]

use counterfoil_core::{Decimal12, Id, Period, Timestamp, kind};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreOptions};
use counterfoil_meter::{
    CustomerIds, EventColumns, EventNames, Formula, Identifiers, MeterConfig, Position, Values,
};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// Threads that give events: the first ones in batches, the others one by one.
const THREADS: usize = 6;
const IN_BATCHES: usize = 3;
/// Batches, and single events, that wait for their acknowledgement at once.
const TICKETS: usize = 4;
const SINGLE_TICKETS: usize = 64;
/// Events that are sent again although they were acknowledged.
const AGAIN: u64 = 60;
const CUSTOMERS: u64 = 50;

const BOOK: &str = "COUNTERFOIL_CHILD_STORE";
const FROM: &str = "COUNTERFOIL_CHILD_FROM";

struct Size {
    /// Events that are acknowledged in all, at least.
    events: u64,
    /// Kills, at least.
    kills: u64,
    /// How long a child may live once it was heard, in milliseconds.
    millis: u64,
    /// Events of a batch.
    batch: u64,
}

/// By `COUNTERFOIL_RELIABILITY`.
fn size() -> Size {
    match env::var("COUNTERFOIL_RELIABILITY").as_deref() {
        Err(_) | Ok("ci") => Size { events: 20_000, kills: 10, millis: 300, batch: 200 },
        Ok("full") => Size { events: 1_000_000, kills: 50, millis: 300, batch: 2_000 },
        Ok("long") => Size { events: 100_000_000, kills: 5_000, millis: 2_000, batch: 2_000 },
        Ok(other) => panic!("COUNTERFOIL_RELIABILITY is {other}: it may be ci, full or long"),
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2025-03-15T12:00:00Z").unwrap()
}

fn meter(thread: usize) -> Id<kind::Meter> {
    Id::derived(thread as u64 + 1)
}

fn name(thread: usize) -> String {
    format!("events of {thread}")
}

fn value(event: u64) -> u64 {
    event % 7 + 1
}

fn open(dir: &Path) -> MeterStore {
    let mut options = StoreOptions::default();
    options.log.segment_bytes = 1 << 20;
    let (store, opened) = MeterStore::open(dir, options).unwrap();
    assert_eq!(opened.skipped, [], "a checkpoint that was written is whole");
    store
}

// The child

/// Says how far the events of a thread are acknowledged, in one write. Where nobody listens any
/// more the child ends, as none may be left over.
fn acknowledge(thread: usize, below: u64) {
    let line = format!("\nack {thread} {below}\n");
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn give_batches(store: &MeterStore, thread: usize, from: u64) {
    let mut tickets = VecDeque::new();
    let name = name(thread);
    let batch = size().batch;
    for first in (from..).step_by(batch as usize) {
        let events = first..first + batch;
        let identifiers: Vec<u128> = events.clone().map(u128::from).collect();
        let customers: Vec<u64> = events.clone().map(|event| event % CUSTOMERS).collect();
        let units: Vec<i64> = events.map(|event| value(event) as i64).collect();
        let columns = EventColumns::of(
            EventNames::One(&name),
            Identifiers::Numbers(&identifiers),
            CustomerIds::Numbers(&customers),
            None,
            Values::Units { units: &units, digits: 0 },
        );
        tickets.push_back((first + batch, store.ingest(columns.unwrap(), now()).unwrap()));
        if tickets.len() == TICKETS {
            let (below, ticket) = tickets.pop_front().unwrap();
            let ack = ticket.wait().unwrap();
            assert_eq!((ack.taken + ack.duplicates, ack.conflicts), (batch, 0));
            acknowledge(thread, below);
        }
    }
}

fn give_singles(store: &MeterStore, thread: usize, from: u64) {
    let mut tickets = VecDeque::new();
    let name = name(thread);
    for event in from.. {
        let customer = format!("{:016x}", event % CUSTOMERS);
        let single = SingleEvent::new(&name, &customer).number(u128::from(event));
        let single = single.decimal(Decimal12::from_int(value(event) as i64));
        tickets.push_back(store.submit(&single, now()).unwrap());
        if tickets.len() == SINGLE_TICKETS {
            for ticket in tickets.drain(..SINGLE_TICKETS / 2) {
                let ack = ticket.wait().unwrap();
                assert_eq!(ack.refused, None);
            }
            acknowledge(thread, event + 1 - (SINGLE_TICKETS as u64 / 2));
        }
    }
}

#[test]
#[ignore = "runs until it is killed: started by the test below"]
fn child() {
    let (Ok(dir), Ok(from)) = (env::var(BOOK), env::var(FROM)) else { return };
    let from: Vec<u64> = from.split(' ').map(|number| number.parse().unwrap()).collect();
    let store = open(Path::new(&dir));
    for thread in 0..THREADS {
        if store.read(|meters| meters.config(&meter(thread)).is_none()).unwrap() {
            let config = MeterConfig::new(name(thread), Formula::Sum);
            store.define(meter(thread), config, now()).unwrap();
        }
    }
    thread::scope(|scope| {
        for (thread, from) in from.into_iter().enumerate() {
            let store = store.clone();
            scope.spawn(move || match thread < IN_BATCHES {
                true => give_batches(&store, thread, from),
                false => give_singles(&store, thread, from),
            });
        }
        // Every other child has a thread that writes for all.
        if std::process::id().is_multiple_of(2) {
            let writer = store.writer();
            scope.spawn(move || writer.run().unwrap());
        }
        scope.spawn(|| {
            loop {
                let began = Instant::now();
                store.checkpoint().unwrap();
                // The more there is, the longer it takes, and events are to come in as well.
                thread::sleep(Duration::from_millis(20) + 4 * began.elapsed());
            }
        });
    });
}

// The parent

/// What a meter has: every event of some beginning once, and at least those acknowledged.
fn check(store: &MeterStore, thread: usize, acknowledged: u64) -> u64 {
    let always = Period::new(Timestamp::MIN, Timestamp::MAX);
    let read = |meters: &counterfoil_meter::Aggregator| {
        meters.usage_by_customer(&meter(thread), always, Position::MAX).unwrap_or_default()
    };
    let found = store.read(read).unwrap();
    let events = found.values().map(|reading| reading.events).sum();
    assert!(events >= acknowledged, "meter {thread} has {events} of {acknowledged}");
    let mut due = [(0_u64, 0_u64); CUSTOMERS as usize];
    for event in 0..events {
        let own = &mut due[(event % CUSTOMERS) as usize];
        *own = (own.0 + 1, own.1 + value(event));
    }
    let found: BTreeMap<String, (u64, Decimal12)> =
        found.into_iter().map(|(id, reading)| (id, (reading.events, reading.quantity))).collect();
    let due: BTreeMap<String, (u64, Decimal12)> = (0..)
        .zip(due)
        .filter(|(_, (events, _))| *events > 0)
        .map(|(id, (events, sum))| {
            (format!("{id:016x}"), (events, Decimal12::from_int(sum as i64)))
        })
        .collect();
    assert_eq!(found, due, "meter {thread} is not its first {events} events");
    events
}

/// Runs a child for so long after its first acknowledgement, kills it, and takes in what it said.
fn run_and_kill(dir: &Path, acknowledged: &mut [u64; THREADS], millis: u64) {
    let from: Vec<String> =
        acknowledged.iter().map(|below| below.saturating_sub(AGAIN).to_string()).collect();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(BOOK, dir)
        .env(FROM, from.join(" "))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = None;
    for line in lines.by_ref() {
        // The last line may be cut in the middle: then it was not heard.
        if take(acknowledged, &line.unwrap()) && until.is_none() {
            until = Some(Instant::now() + Duration::from_millis(millis));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    child.kill().unwrap();
    for line in lines {
        take(acknowledged, &line.unwrap());
    }
    assert!(!child.wait().unwrap().success(), "the child ended by itself");
}

/// Takes in what a line says, if it says something new.
fn take(acknowledged: &mut [u64; THREADS], line: &str) -> bool {
    let mut words = line.split(' ');
    if words.next() != Some("ack") {
        return false;
    }
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(thread), Some(below)) = (number(), number()) else { return false };
    let own = &mut acknowledged[thread as usize];
    let new = below > *own;
    *own = (*own).max(below);
    new
}

#[test]
fn r16_kills_and_retries_count_nothing_twice_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Size { events, kills, millis, .. } = size();
    let began = Instant::now();
    let mut acknowledged = [0; THREADS];
    let (mut killed, mut unheard) = (0, 0);
    let mut random = 16_u64;
    while killed < kills || acknowledged.iter().sum::<u64>() < events {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        run_and_kill(dir.path(), &mut acknowledged, (random >> 40) % millis);
        killed += 1;
        let store = open(dir.path());
        for (thread, &acknowledged) in acknowledged.iter().enumerate() {
            unheard += check(&store, thread, acknowledged) - acknowledged;
        }
    }
    println!(
        "R16: {} events acknowledged over {killed} kills, {unheard} more were on disk and unheard, \
         all sent again: counted twice 0, lost 0, in {} s",
        acknowledged.iter().sum::<u64>(),
        began.elapsed().as_secs(),
    );
}
