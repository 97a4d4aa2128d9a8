//! How fast the store takes events in on a disk: batches of 10,000, each followed by a query, and
//! single events of eight threads with 1,024 unanswered each.
//!
//! `cargo run --release -p counterfoil-meter --features store,workload --example store_rate -- \
//! DIRECTORY [EVENTS] [RESERVED BYTES] [PART]`. What is printed says how long acknowledgements took
//! as well. PART is `batches`, `singles`, `blocking` or
//! `recovery`; all of them where it is not given.
#![expect(clippy::disallowed_methods, reason = "it measures, from threads")]
#![expect(clippy::disallowed_types, reason = "it measures, on a disk")]

use counterfoil_core::{Decimal12, EventTime, Id, Period, Timestamp};
use counterfoil_meter::store::{MeterStore, SingleEvent, StoreOptions, Ticket};
use counterfoil_meter::workload::{EVENT_NAMES, Workload, WorkloadBatch};
use counterfoil_meter::{Capacity, Formula, MeterConfig, Position};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BATCH: usize = 10_000;
/// Batches that wait for their acknowledgement.
const HELD: usize = 8;
const THREADS: usize = 8;
const TICKETS: usize = 1_024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name a directory")?;
    let events: u64 = arguments.next().map_or(Ok(5_000_000), |text| text.parse())?;
    let reserved: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let part = arguments.next();
    let is_asked = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let workload = Workload::new(1, events, 100_000, 10);
    let dir = Path::new(&dir);
    if is_asked("batches") {
        batches(&dir.join("batches"), &workload, reserved, false)?;
        batches(&dir.join("batches-lent"), &workload, reserved, true)?;
    }
    if is_asked("recovery") {
        recovery(&dir.join("recovery"), &workload)?;
    }
    let workload = Workload::new(1, events / 5, 100_000, 10);
    if is_asked("singles") {
        singles(&dir.join("singles"), &workload, TICKETS, false)?;
        singles(&dir.join("singles-lent"), &workload, TICKETS, true)?;
    }
    if is_asked("blocking") {
        let few = Workload::new(1, events / 50, 100_000, 10);
        singles(&dir.join("blocking"), &few, 1, false)?;
        singles(&dir.join("blocking-lent"), &few, 1, true)?;
    }
    Ok(())
}

/// How long it takes until a store that was closed answers its first query: with a checkpoint, and
/// without one.
fn recovery(dir: &Path, workload: &Workload) -> Result<(), Failure> {
    let store = open(dir, workload)?;
    let mut batch = WorkloadBatch::default();
    let mut made = 0;
    let mut customer = String::new();
    while made < workload.len() {
        workload.fill(&mut batch, made, 1_000_000);
        for start in (0..batch.len()).step_by(BATCH) {
            let columns = batch.columns(start..batch.len().min(start + BATCH))?;
            store.ingest(columns, workload.end())?.wait()?;
        }
        made += batch.len() as u64;
        customer = format!("{:016x}", batch.customers[0]);
    }
    let began = Instant::now();
    let written = store.checkpoint()?.ok_or("no checkpoint")?;
    let writing = began.elapsed();
    store.close()?;
    drop(store);
    let period = Period::new(Timestamp::MIN, Timestamp::MAX);
    for kept in [true, false] {
        if !kept {
            for file in std::fs::read_dir(dir)? {
                let path = file?.path();
                if path.extension().is_some_and(|ending| ending == "snap") {
                    std::fs::remove_file(path)?;
                }
            }
        }
        let began = Instant::now();
        let mut options = StoreOptions::default();
        options.threads = 2;
        options.capacity = workload.capacity(workload.len());
        let (store, opened) = MeterStore::open(dir, options)?;
        let opening = began.elapsed();
        let totals = store.totals(&Id::derived(1), &customer, period, Position::MAX)?;
        println!(
            "{:>13}: {} events, checkpoint of {} MB written in {writing:?}; opened {} in {opening:?}, first \
             answer after {:?} ({} records replayed, {:.2} M events/s, {} events found)",
            "recovery",
            workload.len(),
            written.bytes >> 20,
            if opened.checkpoint.is_some() { "with it" } else { "without" },
            began.elapsed(),
            opened.replayed,
            workload.len() as f64 / opening.as_secs_f64() / 1e6,
            totals.events,
        );
    }
    Ok(())
}

fn open(dir: &Path, workload: &Workload) -> Result<MeterStore, Failure> {
    let events = usize::try_from(workload.len())?;
    let mut options = StoreOptions::default();
    options.capacity = Capacity { events, customers: 100_000, series: 800_000, hours: events };
    options.log.segment_bytes = 2 << 30;
    let (store, _) = MeterStore::open(dir, options)?;
    for (number, name) in (1..).zip(EVENT_NAMES) {
        let config = MeterConfig::new(name, Formula::Sum).also(Formula::Max).also(Formula::Last);
        store.define(Id::derived(number), config, workload.end())?;
    }
    Ok(store)
}

fn batches(dir: &Path, workload: &Workload, reserved: u64, lend: bool) -> Result<(), Failure> {
    let store = open(dir, workload)?;
    store.reserve(reserved)?;
    let rows = usize::try_from(workload.len())?;
    let mut batch = WorkloadBatch::default();
    workload.fill(&mut batch, 0, rows);
    let period = Period::new(Timestamp::MIN, Timestamp::MAX);
    let (mut acks, mut queries, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut held: VecDeque<(Instant, Ticket)> = VecDeque::new();
    let mut taken = 0;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if lend {
            let (writer, hasher) = (store.writer(), store.hasher());
            scope.spawn(move || writer.run());
            scope.spawn(move || hasher.run());
        }
        let beside = scope.spawn({
            let (store, batch, ended) = (store.clone(), &batch, &ended);
            move || ask_beside(&store, batch, period, ended)
        });
        let began = Instant::now();
        for start in (0..rows).step_by(BATCH) {
            let given = Instant::now();
            let end = rows.min(start + BATCH);
            held.push_back((given, store.ingest(batch.columns(start..end)?, workload.end())?));
            calls.push(given.elapsed());
            let customer = format!("{:016x}", batch.customers[start]);
            let asked = Instant::now();
            for number in 1..=8 {
                store.totals(&Id::derived(number), &customer, period, Position::MAX)?;
            }
            queries.push(asked.elapsed() / 8);
            while held.len() > HELD || held.front().is_some_and(|(_, ticket)| ticket.is_durable()) {
                let Some((given, ticket)) = held.pop_front() else { break };
                taken += ticket.wait()?.taken;
                acks.push(given.elapsed());
            }
        }
        for (given, ticket) in held.drain(..) {
            taken += ticket.wait()?.taken;
            acks.push(given.elapsed());
        }
        let seconds = began.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        let mut beside = beside.join().map_err(|_| "a thread panicked")??;
        println!(
            "{:>13}: {:.2} M events/s, {taken} taken of {rows}, {HELD} batches of {BATCH} held, {} bytes \
             reserved; ack {}; call {}; query of one meter after each batch {}, of all every ms beside {}",
            dir.file_name().unwrap_or_default().display(),
            rows as f64 / seconds / 1e6,
            reserved,
            percentiles(&mut acks),
            percentiles(&mut calls),
            percentiles(&mut queries),
            percentiles(&mut beside),
        );
        store.close()?;
        Ok(())
    })
}

/// Asks for what one customer used on all meters, every millisecond, until it is told to end.
fn ask_beside(
    store: &MeterStore,
    batch: &WorkloadBatch,
    period: Period,
    ended: &AtomicBool,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let meters: Vec<_> = (1..=8).map(Id::derived).collect();
    for customer in batch.customers.iter().step_by(97).cycle() {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        let customer = format!("{customer:016x}");
        let asked = Instant::now();
        store.read_at(Position::MAX, |kernel, cut| {
            let totals = |meter| kernel.totals(meter, &customer, period, cut);
            meters.iter().map(totals).collect::<Result<Vec<_>, _>>()
        })??;
        times.push(asked.elapsed());
    }
    Ok(times)
}

fn singles(dir: &Path, workload: &Workload, tickets: usize, lend: bool) -> Result<(), Failure> {
    let store = open(dir, workload)?;
    let rows = usize::try_from(workload.len())?;
    let mut batch = WorkloadBatch::default();
    workload.fill(&mut batch, 0, rows);
    let customers: Vec<String> = batch.customers.iter().map(|id| format!("{id:016x}")).collect();
    let (batch, customers, end) = (&batch, &customers, workload.end());
    let give = |thread: usize| -> Result<Vec<Duration>, Failure> {
        let (mut acks, mut held) = (Vec::new(), VecDeque::new());
        for row in (thread..rows).step_by(THREADS) {
            let name = EVENT_NAMES[usize::from(batch.names[row])];
            let value = Decimal12::from_trillionths(i128::from(batch.units[row]) * 1_000_000);
            let event = SingleEvent::new(name, &customers[row]).number(batch.identifiers[row]);
            let event = event.at(EventTime::from_nanos(batch.times[row])).decimal(value);
            held.push_back((Instant::now(), store.submit(&event, end)?));
            if held.len() == tickets {
                let Some((given, ticket)) = held.pop_front() else { break };
                ticket.wait()?;
                acks.push(given.elapsed());
                // Those that are acknowledged by the same sync.
                while held.front().is_some_and(|(_, ticket)| ticket.is_durable()) {
                    let Some((given, ticket)) = held.pop_front() else { break };
                    ticket.wait()?;
                    acks.push(given.elapsed());
                }
            }
        }
        for (given, ticket) in held {
            ticket.wait()?;
            acks.push(given.elapsed());
        }
        Ok(acks)
    };
    std::thread::scope(|scope| {
        if lend {
            let writer = store.writer();
            scope.spawn(move || writer.run());
        }
        let began = Instant::now();
        let give = &give;
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || give(thread))).collect();
        let mut acks = Vec::new();
        for thread in threads {
            acks.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{:>13}: {:.2} M events/s, {rows} of {THREADS} threads, {tickets} held each, {} records; \
             ack {}",
            dir.file_name().unwrap_or_default().display(),
            rows as f64 / seconds / 1e6,
            store.position()?.0 - 8,
            percentiles(&mut acks),
        );
        store.close()?;
        Ok(())
    })
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    format!(
        "p50 {:?} p99 {:?} max {:?}",
        at(500),
        at(990),
        times.last().copied().unwrap_or_default()
    )
}
