//! The command that measures the meter alone.

use crate::Ending;
use crate::arguments::BenchMeter;
use crate::problem::Problem;
use crate::progress::Bar;
use crate::table::Columns;
use counterfoil_core::Id;
use counterfoil_meter::workload::{EVENT_NAMES, Workload, WorkloadBatch};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, DedupePolicy, Formula, Memory, MeterConfig, Position,
};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// Events that are made at once; making them is not measured.
const CHUNK: usize = 1 << 20;

/// What a run came to.
#[derive(Default)]
struct Run {
    batches: Vec<Duration>,
    reserving: Duration,
    taken: u64,
    duplicates: u64,
    refused: u64,
    memory: Memory,
}

/// `counterfoil bench meter`.
pub(crate) fn meter(arguments: &BenchMeter, out: &mut dyn Write) -> Result<Ending, Problem> {
    let threads = arguments.threads.map_or_else(available, usize::from);
    let run = run(arguments, threads);
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

fn run(arguments: &BenchMeter, threads: usize) -> Run {
    let mut bar = Bar::new("counting", "making room");
    let BenchMeter { events, customers, repeats, seed, .. } = *arguments;
    let workload = Workload::new(seed, events, customers, repeats);
    let mut meters = Aggregator::new(DedupePolicy::default()).threads(threads);
    for (number, name) in (1..).zip(EVENT_NAMES) {
        let config = MeterConfig::new(name, Formula::Sum).also(Formula::Max).also(Formula::Last);
        let defined = meters.define(Id::derived(number), config);
        debug_assert!(defined.is_ok(), "the names of the workload differ");
    }
    let began = Instant::now();
    if !arguments.no_reserve {
        meters.reserve(workload.capacity(events));
    }
    let reserving = began.elapsed();
    let context = AdmitContext::new(workload.end(), &Anyone);
    let size = usize::try_from(arguments.batch).unwrap_or(1).max(1);
    // Whole batches.
    let chunk = size * (CHUNK / size).max(1);
    let mut batch = WorkloadBatch::default();
    let mut run = Run { reserving, ..Run::default() };
    let (mut position, mut made) = (0_u64, 0_u64);
    while made < workload.len() {
        workload.fill(&mut batch, made, chunk);
        for from in (0..batch.len()).step_by(size) {
            let rows = from..batch.len().min(from.saturating_add(size));
            let Ok(columns) = batch.columns(rows) else { continue };
            position = position.saturating_add(1);
            let began = Instant::now();
            let admission = meters.take(Position(position), columns, &context);
            run.batches.push(began.elapsed());
            run.taken = run.taken.saturating_add(admission.taken);
            run.duplicates = run.duplicates.saturating_add(admission.duplicates);
            let refused = u64::try_from(admission.refused.len()).unwrap_or(u64::MAX);
            run.refused = run.refused.saturating_add(refused);
        }
        made = made.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        bar.at(made, workload.len());
    }
    run.memory = meters.memory();
    run.batches.sort_unstable();
    run
}

impl Run {
    fn elapsed(&self) -> Duration {
        self.batches.iter().sum()
    }

    fn rate(&self, events: u64) -> f64 {
        events as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The time that so many thousandths of the batches took at most.
    fn latency(&self, thousandths: usize) -> Duration {
        let last = self.batches.len().saturating_sub(1);
        let at = last.saturating_mul(thousandths).div_ceil(1000);
        self.batches.get(at).copied().unwrap_or_default()
    }
}

fn per(bytes: usize, things: usize) -> f64 {
    bytes as f64 / things.max(1) as f64
}

/// Names of latencies and the thousandths that they stand for.
const LATENCIES: [(&str, usize); 4] = [("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1000)];

fn as_json(arguments: &BenchMeter, threads: usize, run: &Run) -> Value {
    let memory = &run.memory;
    let latencies = LATENCIES.map(|(name, thousandths)| {
        (name.to_owned(), Value::from(run.latency(thousandths).as_secs_f64()))
    });
    json!({
        "events": arguments.events,
        "threads": threads,
        "batch": arguments.batch,
        "customers": arguments.customers,
        "repeats_per_thousand": arguments.repeats,
        "seed": arguments.seed,
        "reserved": !arguments.no_reserve,
        "durability": "memory",
        "dedupe_window_seconds": DedupePolicy::default().window_seconds(),
        "taken": run.taken,
        "duplicates": run.duplicates,
        "refused": run.refused,
        "reserve_seconds": run.reserving.as_secs_f64(),
        "seconds": run.elapsed().as_secs_f64(),
        "events_per_second": run.rate(arguments.events),
        "batch_seconds": latencies.into_iter().collect::<serde_json::Map<_, _>>(),
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
    let BenchMeter { events, batch, customers, no_reserve, .. } = arguments;
    let (memory, rate) = (&run.memory, run.rate(*events) / 1e6);
    let room = if *no_reserve {
        "none made ahead".to_owned()
    } else {
        format!("made ahead in {:.2} s, which is not counted", run.reserving.as_secs_f64())
    };
    writeln!(out, "rate        {rate:.2} million events/s")?;
    writeln!(out, "events      {events}: {} taken, {} duplicates", run.taken, run.duplicates)?;
    writeln!(out, "customers   {customers}")?;
    writeln!(out, "batches     of {batch}, {threads} threads")?;
    writeln!(out, "durability  none: in memory")?;
    writeln!(out, "dedupe      35 days, exact")?;
    writeln!(out, "room        {room}")?;
    let micros = |thousandths| run.latency(thousandths).as_secs_f64() * 1e6;
    let latencies = LATENCIES.map(|(name, at)| format!("{name} {:.0} µs", micros(at)));
    writeln!(out, "a batch     {}\n", latencies.join(", "))?;
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
        let batches: Vec<_> = (1..=101).map(Duration::from_millis).collect();
        let run = Run { batches, ..Run::default() };
        for (thousandths, millis) in [(500, 51), (990, 100), (999, 101), (1000, 101)] {
            assert_eq!(run.latency(thousandths), Duration::from_millis(millis), "{thousandths}");
        }
        assert!((run.rate(5_151) - 1000.0).abs() < 1e-6);
    }
}
