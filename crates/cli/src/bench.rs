//! The command that measures the meter alone.

mod singles;

use crate::Ending;
use crate::arguments::BenchMeter;
use crate::problem::Problem;
use crate::progress::Bar;
use crate::table::Columns;
use counterfoil_core::{Id, Period, Timestamp};
use counterfoil_meter::store::{MeterStore, StoreOptions};
use counterfoil_meter::workload::{EVENT_NAMES, Workload, WorkloadBatch};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, DedupePolicy, EventColumns, Formula, Memory, MeterConfig,
    Position,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Events that are made at once; making them is not measured.
const CHUNK: usize = 1 << 20;
/// What an event takes in the log, roughly: space is written ahead for so much.
const EVENT_BYTES: u64 = 64;
/// The most that is written ahead.
const AHEAD_BYTES_MAX: u64 = 4 << 30;

/// Days before the end of the workload that a query is of.
const MONTH_DAYS: i64 = 35;

/// What a run came to.
#[derive(Default)]
struct Run {
    /// Each batch, or each single event, from giving it to its acknowledgement.
    latencies: Vec<Duration>,
    queries: Vec<Duration>,
    /// From the first event to the last acknowledgement, without queries and without making events.
    busy: Duration,
    reserving: Duration,
    taken: u64,
    duplicates: u64,
    refused: u64,
    memory: Memory,
}

/// `counterfoil bench meter`.
pub(crate) fn meter(arguments: &BenchMeter, out: &mut dyn Write) -> Result<Ending, Problem> {
    let usual = if arguments.singles { 8 } else { available() };
    let threads = arguments.threads.map_or(usual, usize::from);
    let run = run(arguments, threads)?;
    let lost = arguments.events != run.taken.saturating_add(run.duplicates);
    if arguments.json {
        writeln!(out, "{}", as_json(arguments, threads, &run))?;
    } else {
        print(arguments, threads, &run, out)?;
    }
    if lost {
        eprintln!(
            "counterfoil: {} events went in, {} were taken, {} were duplicates, {} were refused",
            arguments.events, run.taken, run.duplicates, run.refused
        );
        return Ok(Ending::Unsound);
    }
    Ok(Ending::Sound)
}

fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// What takes the events in.
enum Meters {
    Memory(Box<Aggregator>),
    Disk(MeterStore, PathBuf),
}

impl BenchMeter {
    fn batch(&self) -> u32 {
        let small = self.durable.is_some() || self.online;
        self.batch.unwrap_or(if small { 10_000 } else { 1 << 20 })
    }
}

impl Meters {
    /// Meters that took nothing yet, with room for a workload unless it is to be made on the way.
    fn new(arguments: &BenchMeter, threads: usize, workload: &Workload) -> Result<Self, Problem> {
        let configs = (1..).zip(EVENT_NAMES).map(|(number, name)| {
            let config = MeterConfig::new(name, Formula::Sum);
            (Id::derived(number), config.also(Formula::Max).also(Formula::Last))
        });
        let room = (!arguments.no_reserve).then(|| workload.capacity(workload.len()));
        let Some(path) = &arguments.durable else {
            let mut meters = Aggregator::new(DedupePolicy::default()).threads(threads);
            for (meter, config) in configs {
                let defined = meters.define(meter, config);
                debug_assert!(defined.is_ok(), "the names of the workload differ");
            }
            room.into_iter().for_each(|room| meters.reserve(room));
            return Ok(Self::Memory(Box::new(meters)));
        };
        let mut options = StoreOptions::default();
        (options.threads, options.capacity) = (threads, room.unwrap_or_default());
        let (store, _) = MeterStore::open(path, options).map_err(failed(path))?;
        for (meter, config) in configs {
            store.define(meter, config, workload.end()).map_err(failed(path))?;
        }
        if room.is_some() {
            let bytes = workload.len().saturating_mul(EVENT_BYTES).min(AHEAD_BYTES_MAX);
            store.reserve(bytes).map_err(failed(path))?;
        }
        Ok(Self::Disk(store, path.clone()))
    }

    /// Takes a batch in: how many were taken, duplicates and refused.
    fn take(
        &mut self,
        position: u64,
        columns: EventColumns<'_>,
        now: Timestamp,
    ) -> Result<[u64; 3], Problem> {
        let (taken, duplicates, refused) = match self {
            Self::Memory(meters) => {
                let context = AdmitContext::new(now, &Anyone);
                let admission = meters.take(Position(position), columns, &context);
                (admission.taken, admission.duplicates, admission.refused.len())
            }
            Self::Disk(store, path) => {
                let ticket = store.ingest(columns, now).map_err(failed(path))?;
                let ack = ticket.wait().map_err(failed(path))?;
                (ack.taken, ack.duplicates, ack.refused.len())
            }
        };
        Ok([taken, duplicates, u64::try_from(refused).unwrap_or(u64::MAX)])
    }

    /// A customer's running totals on all meters: of how many events they are.
    fn ask(&self, customer: &str, period: Period) -> Result<u64, Problem> {
        let ask = |meters: &Aggregator| {
            let totals = meters.running_totals(customer, period, Position::MAX);
            totals.map(|(_, totals)| totals.events).sum()
        };
        match self {
            Self::Memory(meters) => Ok(ask(meters)),
            Self::Disk(store, path) => store.read(ask).map_err(failed(path)),
        }
    }

    /// Ends the work: the memory that it took.
    fn finish(self) -> Result<Memory, Problem> {
        match self {
            Self::Memory(meters) => Ok(meters.memory()),
            Self::Disk(store, path) => {
                let memory = store.memory().map_err(failed(&path))?;
                store.close().map_err(failed(&path))?;
                Ok(memory)
            }
        }
    }
}

/// What went wrong with a store.
fn failed<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl Fn(E) -> Problem {
    let path = path.to_owned();
    move |reason| Problem::Store { path: path.clone(), reason: Box::new(reason) }
}

fn run(arguments: &BenchMeter, threads: usize) -> Result<Run, Problem> {
    let mut bar = Bar::new("counting", "making room");
    let BenchMeter { events, customers, repeats, seed, .. } = *arguments;
    let workload = Workload::new(seed, events, customers, repeats);
    let began = Instant::now();
    // Threads that give single events do not take in a batch.
    let own = if arguments.singles { 1 } else { threads };
    let mut meters = Meters::new(arguments, own, &workload)?;
    let mut run = Run { reserving: began.elapsed(), ..Run::default() };
    let size = usize::try_from(arguments.batch()).unwrap_or(1).max(1);
    // Whole batches.
    let chunk = size * (CHUNK / size).max(1);
    let mut batch = WorkloadBatch::default();
    let (mut position, mut made) = (0_u64, 0_u64);
    while made < workload.len() {
        workload.fill(&mut batch, made, chunk);
        match &meters {
            Meters::Disk(store, path) if arguments.singles => {
                let (held, now) = (arguments.tickets, workload.end());
                let given = singles::give(store, &batch, (threads, held), now);
                run.add(given.map_err(failed(path))?);
            }
            _ => run.take(arguments, &mut meters, &batch, &mut position, workload.end())?,
        }
        made = made.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        bar.at(made, workload.len());
    }
    run.memory = meters.finish()?;
    run.latencies.sort_unstable();
    run.queries.sort_unstable();
    Ok(run)
}

impl Run {
    /// Takes a piece of the workload in, batch by batch.
    fn take(
        &mut self,
        arguments: &BenchMeter,
        meters: &mut Meters,
        events: &WorkloadBatch,
        position: &mut u64,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let start = now.checked_add_seconds(-MONTH_DAYS * 86_400).unwrap_or(Timestamp::MIN);
        let month = Period::new(start, now);
        let size = usize::try_from(arguments.batch()).unwrap_or(1).max(1);
        for from in (0..events.len()).step_by(size) {
            let rows = from..events.len().min(from.saturating_add(size));
            let asked = rows.start.midpoint(rows.end);
            let Ok(columns) = events.columns(rows) else { continue };
            *position = position.saturating_add(1);
            let began = Instant::now();
            let [taken, duplicates, refused] = meters.take(*position, columns, now)?;
            let elapsed = began.elapsed();
            self.latencies.push(elapsed);
            self.busy = self.busy.saturating_add(elapsed);
            self.taken = self.taken.saturating_add(taken);
            self.duplicates = self.duplicates.saturating_add(duplicates);
            self.refused = self.refused.saturating_add(refused);
            if arguments.online {
                let customer = events.customers.get(asked).copied().unwrap_or_default();
                let customer = format!("{customer:016x}");
                let began = Instant::now();
                meters.ask(&customer, month)?;
                self.queries.push(began.elapsed());
            }
        }
        Ok(())
    }

    /// Adds what a piece of the workload came to.
    fn add(&mut self, given: singles::Given) {
        self.latencies.extend(given.acks);
        self.busy = self.busy.saturating_add(given.busy);
        self.taken = self.taken.saturating_add(given.taken);
        self.duplicates = self.duplicates.saturating_add(given.duplicates);
        self.refused = self.refused.saturating_add(given.refused);
    }

    /// Queries are part of the time that an online run takes.
    fn elapsed(&self) -> Duration {
        self.busy.saturating_add(self.queries.iter().sum())
    }

    fn rate(&self, events: u64) -> f64 {
        events as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The time that so many thousandths took at most, of times in ascending order.
fn latency(times: &[Duration], thousandths: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    let at = last.saturating_mul(thousandths).div_ceil(1000);
    times.get(at).copied().unwrap_or_default()
}

fn per(bytes: usize, things: usize) -> f64 {
    bytes as f64 / things.max(1) as f64
}

/// Names of latencies and the thousandths that they stand for.
const LATENCIES: [(&str, usize); 4] = [("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1000)];

fn as_json(arguments: &BenchMeter, threads: usize, run: &Run) -> Value {
    let memory = &run.memory;
    let seconds = |times: &[Duration]| -> Value {
        let of = |(name, at): (&str, usize)| {
            (name.to_owned(), Value::from(latency(times, at).as_secs_f64()))
        };
        LATENCIES.map(of).into_iter().collect::<serde_json::Map<_, _>>().into()
    };
    let singles = arguments.singles;
    json!({
        "events": arguments.events,
        "threads": threads,
        "batch": (!singles).then(|| arguments.batch()),
        "tickets": singles.then_some(arguments.tickets),
        "online": arguments.online,
        "customers": arguments.customers,
        "repeats_per_thousand": arguments.repeats,
        "seed": arguments.seed,
        "reserved": !arguments.no_reserve,
        "durability": if arguments.durable.is_some() { "synced" } else { "memory" },
        "dedupe_window_seconds": DedupePolicy::default().window_seconds(),
        "taken": run.taken,
        "duplicates": run.duplicates,
        "refused": run.refused,
        "reserve_seconds": run.reserving.as_secs_f64(),
        "seconds": run.elapsed().as_secs_f64(),
        "events_per_second": run.rate(arguments.events),
        "batch_seconds": (!singles).then(|| seconds(&run.latencies)),
        "ack_seconds": singles.then(|| seconds(&run.latencies)),
        "query_seconds": arguments.online.then(|| seconds(&run.queries)),
        "memory": {
            "bytes": memory.bytes(),
            "per_event": per(memory.bytes(), memory.events),
            "identifiers": memory.identifiers,
            "per_identifier": per(memory.identifier_bytes, memory.identifiers),
            "hours": memory.hours,
            "per_hour": per(memory.hour_bytes, memory.hours),
            "customers": memory.customers,
            "per_customer": per(memory.customer_bytes, memory.customers),
        },
    })
}

fn print(
    arguments: &BenchMeter,
    threads: usize,
    run: &Run,
    out: &mut dyn Write,
) -> Result<(), Problem> {
    let BenchMeter { events, customers, no_reserve, durable, .. } = arguments;
    let batch = arguments.batch();
    let (memory, rate) = (&run.memory, run.rate(*events) / 1e6);
    let room = if *no_reserve {
        "none made ahead".to_owned()
    } else {
        format!("made ahead in {:.2} s, which is not counted", run.reserving.as_secs_f64())
    };
    writeln!(out, "rate        {rate:.2} million events/s")?;
    writeln!(out, "events      {events}: {} taken, {} duplicates", run.taken, run.duplicates)?;
    writeln!(out, "customers   {customers}")?;
    match (arguments.singles, arguments.tickets) {
        (false, _) => writeln!(out, "batches     of {batch}, {threads} threads")?,
        (true, 1) => writeln!(out, "events      one by one, from {threads} threads")?,
        (true, held) => writeln!(out, "tickets     {held} unanswered of {threads} threads each")?,
    }
    let durability = match (durable, arguments.singles) {
        (Some(_), false) => "each batch is on disk, synced, before it is done",
        (Some(_), true) => "each event is on disk, synced, before it is done",
        (None, _) => "none: in memory",
    };
    writeln!(out, "durability  {durability}")?;
    writeln!(out, "dedupe      35 days, exact")?;
    writeln!(out, "room        {room}")?;
    let said = |times: &[Duration], places: usize| {
        let micros = |at| latency(times, at).as_secs_f64() * 1e6;
        LATENCIES.map(|(name, at)| format!("{name} {:.places$} µs", micros(at))).join(", ")
    };
    let one = if arguments.singles { "an event" } else { "a batch" };
    writeln!(out, "{one:<11} {}", said(&run.latencies, 0))?;
    if arguments.online {
        writeln!(out, "a query     {}, of one customer on all meters", said(&run.queries, 2))?;
    }
    writeln!(out)?;
    let mut columns = Columns::new(&["Memory", ">Number", ">Bytes each", ">MiB"]);
    for (name, number, bytes) in [
        ("identifiers", memory.identifiers, memory.identifier_bytes),
        ("events", memory.events, memory.event_bytes),
        ("hours of a customer on a meter", memory.hours, memory.hour_bytes),
        ("customers", memory.customers, memory.customer_bytes),
        ("all, by event", memory.events, memory.bytes()),
    ] {
        let each = format!("{:.1}", per(bytes, number));
        columns.row([name.to_owned(), number.to_string(), each, (bytes >> 20).to_string()]);
    }
    columns.print(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_batches_is_counted_from_the_fastest() {
        let times: Vec<_> = (1..=101).map(Duration::from_millis).collect();
        for (thousandths, millis) in [(500, 51), (990, 100), (999, 101), (1000, 101)] {
            assert_eq!(
                latency(&times, thousandths),
                Duration::from_millis(millis),
                "{thousandths}"
            );
        }
        assert_eq!(latency(&[], 500), Duration::ZERO);
        let (busy, queries) = (Duration::from_millis(5_050), vec![Duration::from_millis(101)]);
        let run = Run { busy, queries, ..Run::default() };
        assert!((run.rate(5_151) - 1000.0).abs() < 1e-6);
    }
}
