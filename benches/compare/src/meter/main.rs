//! The meter beside DuckDB, Polars, ClickHouse, SQLite, Redis, PostgreSQL and plain hash maps: the
//! same events, equal results, one run.
//!
//! `benches/compare/README.md` says how to run it and how to read what it writes.
#![forbid(unsafe_code)]

mod child;
mod events;
mod page;
mod plot;
mod report;
mod roster;
mod rows;
mod sides;
mod targets;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::{Parser, Subcommand, ValueEnum};
use counterfoil_compare::{Result, machine};
use counterfoil_meter::{Capacity, workload::Workload};

use child::Answer;
use roster::{Plan, Side};
use rows::{Expected, Totals};

/// Measures the meter beside other engines.
///
/// All sides are given the same events, in turn, round after round, each in a process of its own;
/// figures are medians over the rounds. What they come to must be equal, or the run fails and
/// writes nothing. What was measured becomes a section of a page, beside the targets; the other
/// sections of the page stay as they are.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// What is measured.
    #[arg(value_enum, default_value_t = Mode::Batch)]
    mode: Mode,
    /// How many events; where it is not given, 10 million, of single events 2 million, and 200
    /// million to grow to.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..=4_000_000_000))]
    events: Option<u64>,
    /// Which workload.
    #[arg(long, value_enum, default_value_t = Variant::W1)]
    variant: Variant,
    /// The trace of a language model service (CSV) in place of the workload.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The engines to compare with, or none; those that are not installed are named and skipped.
    #[arg(long, value_delimiter = ',', default_value = "duckdb,polars,chdb,sqlite,redis,postgres")]
    against: Vec<String>,
    /// Events of a batch: at most 10,000 where each is synced, and 1,048,576 otherwise.
    #[arg(long, default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: u32,
    /// Engines that take in row by row, and calls that wait for each event, are given only so many.
    #[arg(long, default_value_t = 500_000)]
    small: u64,
    /// Threads of each side that can use several.
    #[arg(long)]
    threads: Option<usize>,
    /// Rounds, each with every side.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Growth: on disk, each batch synced, with a checkpoint at every step.
    #[arg(long)]
    durable: bool,
    /// Growth: end where the process has so much memory.
    #[arg(long, value_name = "GIB")]
    memory_gib: Option<f64>,
    /// Growth: end where the store has so much on disk.
    #[arg(long, value_name = "GIB")]
    disk_gib: Option<f64>,
    /// Where the events are written, and what engines keep on disk; removed afterwards.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
    /// The page; plots go beside it.
    #[arg(long, default_value = "../../docs/METER-SPEED.md")]
    out: PathBuf,
    /// A line that goes above the section, for instance that the machine was busy; empty: none.
    #[arg(long)]
    remark: Option<String>,
}

#[derive(Subcommand)]
enum Part {
    /// One side, in its own process; for the harness itself.
    #[command(hide = true)]
    Side(sides::Arguments),
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Batches, in memory and durable; memory.
    Batch,
    /// Durable batches of 10,000, each followed by a query of one customer's totals on all meters.
    Online,
    /// Single events of eight threads, durable, with unanswered ones and one by one.
    Singles,
    /// What an event costs as there are more and more.
    Growth,
    /// Opening a store again, with a checkpoint and without.
    Recovery,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Online => "online",
            Self::Singles => "singles",
            Self::Growth => "growth",
            Self::Recovery => "recovery",
        }
    }

    const fn events(self) -> u64 {
        match self {
            Self::Batch | Self::Online | Self::Recovery => 10_000_000,
            Self::Singles => 2_000_000,
            Self::Growth => 200_000_000,
        }
    }
}

/// Workloads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Variant {
    /// 100,000 customers, one of a hundred events a repeat.
    W1,
    /// 1,000 customers.
    Hot,
    /// 10 million customers.
    Wide,
    /// 30 of a hundred events are repeats.
    Dup,
}

impl Variant {
    /// Customers, and repeats of a thousand.
    const fn numbers(self) -> (u32, u32) {
        match self {
            Self::W1 => (100_000, 10),
            Self::Hot => (1_000, 10),
            Self::Wide => (10_000_000, 10),
            Self::Dup => (100_000, 300),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::Hot => "W1-hot",
            Self::Wide => "W1-wide",
            Self::Dup => "W1-dup",
        }
    }
}

/// A side and its answer in each round.
pub struct Measured {
    pub side: Side,
    pub answers: Vec<Answer>,
    /// The largest part of the processors that others used meanwhile.
    pub others: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Side(side)) => sides::run(side).and_then(|answer| sides::print(&answer)),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let dir = arguments.dir.join(format!("meter-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let dir = fs::canonicalize(dir)?;
    let done = measure(arguments, &dir);
    let removed = fs::remove_dir_all(&dir);
    done?;
    removed?;
    Ok(())
}

fn measure(arguments: &Arguments, dir: &Path) -> Result<()> {
    let (what, plan) = prepare(arguments, dir)?;
    let facts = machine::facts(dir)?;
    let (sides, skipped) = roster::sides(&plan, &arguments.against)?;
    for (engine, reason) in &skipped {
        eprintln!("skipped: {engine}: {reason}");
    }
    let expected = references(dir, &plan, &sides)?;
    let built = match plan.mode {
        Mode::Recovery => {
            Some(child::ask(&mut roster::recovery_build(&plan).command(dir, &plan, 1)?)?)
        }
        _ => None,
    };
    let rounds = arguments.rounds.max(1);
    let measured = rounds_of(sides, dir, &plan, rounds, &expected)?;
    let run = report::Run {
        what: &what.name,
        detail: &what.detail,
        target: what.target,
        facts,
        plan: &plan,
        rounds,
        expected: expected.get(&plan.events).map(|expected| &expected.rows),
        skipped: &skipped,
        remark: arguments.remark.as_deref().filter(|remark| !remark.is_empty()),
        built: built.as_ref(),
    };
    report::write(&arguments.out, &run, &measured)
}

fn rounds_of(
    sides: Vec<Side>,
    dir: &Path,
    plan: &Plan,
    rounds: usize,
    expected: &BTreeMap<u64, Expected>,
) -> Result<Vec<Measured>> {
    let cores = std::thread::available_parallelism()?.get();
    let mut measured: Vec<Measured> =
        sides.into_iter().map(|side| Measured { side, answers: Vec::new(), others: 0.0 }).collect();
    for round in 1..=rounds {
        for one in &mut measured {
            let name = &one.side.name;
            let (before, began) = (machine::Usage::now(), Instant::now());
            let answer = child::ask(&mut one.side.command(dir, plan, round)?)?;
            let busy = before.others_since();
            if let Some(expected) = expected.get(&one.side.events) {
                check(name, &answer, expected)?;
            }
            let rate = targets::millions(one.side.events as f64 / answer.seconds / 1e6);
            let took = began.elapsed().as_secs_f64();
            eprintln!("round {round}: {name}: {rate} million events/s, equal; {took:.0} s in all");
            // The side itself is another process; with more than its threads, others were there.
            let own = one.side.threads as f64 / cores as f64;
            one.others = one.others.max(busy - own);
            one.answers.push(answer);
        }
    }
    Ok(measured)
}

/// What events there are.
struct What {
    name: String,
    detail: String,
    /// Whether the targets are about them.
    target: bool,
}

/// Writes the events, where they are not made on the way; what they are, and what all sides are
/// told.
fn prepare(arguments: &Arguments, dir: &Path) -> Result<(What, Plan)> {
    let cores = std::thread::available_parallelism()?.get();
    let mib = |gib: f64| (gib * 1024.0) as u64;
    let plan = |events, capacity: Capacity, small: Capacity, workload| {
        let room = |of: Capacity| [of.events, of.hours, of.series, of.customers];
        Plan {
            mode: arguments.mode,
            events,
            small: arguments.small.min(events),
            threads: arguments.threads.unwrap_or(cores).clamp(1, 8),
            batch: arguments.batch,
            room: room(capacity),
            small_room: room(small),
            workload,
            durable: arguments.durable,
            memory_mib: arguments.memory_gib.map(mib),
            disk_mib: arguments.disk_gib.map(mib),
        }
    };
    if let Some(trace) = &arguments.trace {
        if arguments.mode == Mode::Growth {
            return Err("a trace does not grow".into());
        }
        let events = events::write_trace(dir, trace)?;
        let room = usize::try_from(events)?;
        let (customers, series) = (room.min(128), room.min(256));
        let capacity = Capacity { events: room, customers, series, hours: room };
        let name = trace.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let detail = "each invocation twice, as its context and its generated tokens".to_owned();
        let what = What { name, detail, target: false };
        return Ok((what, plan(events, capacity, capacity, [0; 3])));
    }
    let (customers, repeats) = arguments.variant.numbers();
    let events = arguments.events.unwrap_or(arguments.mode.events());
    let workload = Workload::new(arguments.seed, events, customers, repeats);
    if arguments.mode != Mode::Growth {
        events::write(dir, &workload)?;
    }
    let (name, seed) = (arguments.variant.name().to_owned(), arguments.seed);
    let detail = format!(
        "seed {seed}, {customers} customers by Zipf's law, {repeats} of a thousand events repeats"
    );
    let what = What { name, detail, target: arguments.variant == Variant::W1 };
    let (all, some) = (workload.capacity(events), workload.capacity(arguments.small.min(events)));
    Ok((what, plan(events, all, some, [seed, customers.into(), repeats.into()])))
}

/// What each number of events comes to, worked out in the plainest way.
fn references(dir: &Path, plan: &Plan, sides: &[Side]) -> Result<BTreeMap<u64, Expected>> {
    let mut expected = BTreeMap::new();
    if plan.mode == Mode::Growth {
        return Ok(expected);
    }
    for events in sides.iter().map(|side| side.events) {
        let Entry::Vacant(entry) = expected.entry(events) else { continue };
        let (totals, ties, keys) = rows::reference(&events::read(dir, usize::try_from(events)?)?);
        rows::write_ties(dir, events, &ties)?;
        rows::write_keys(dir, events, &keys)?;
        eprintln!("{events} events: {} rows, {} with a tie", totals.rows.rows, ties.len());
        entry.insert(totals);
    }
    Ok(expected)
}

/// Compares all rows; where only the totals of all hours were read, those.
fn check(name: &str, found: &Answer, expected: &Expected) -> Result<()> {
    if let Some(series) = &found.series {
        if *series != expected.series {
            return Err(differs(name, series, &expected.series).into());
        }
        if found.read_seconds.is_none() {
            return Ok(());
        }
    }
    if found.totals != expected.rows {
        return Err(differs(name, &found.totals, &expected.rows).into());
    }
    Ok(())
}

fn differs(name: &str, found: &Totals, expected: &Totals) -> String {
    format!("{name} came to {found:?}, expected {expected:?}: the figures are void")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_result_that_differs_ends_the_run() {
        let rows = Totals { rows: 1, count: 2, sum: 3, checksum: 4 };
        let series = Totals { rows: 1, count: 2, sum: 3, checksum: 5 };
        let expected = Expected { rows, series };
        let answer = |totals, series, read_seconds| {
            check("a", &Answer { totals, series, read_seconds, ..Answer::default() }, &expected)
        };
        assert!(answer(rows, None, None).is_ok());
        assert!(answer(rows, Some(series), Some(1.0)).is_ok());
        assert!(answer(Totals::default(), Some(series), None).is_ok());
        assert!(answer(Totals::default(), None, None).is_err());
        assert!(answer(rows, Some(rows), Some(1.0)).is_err());
        for other in [
            Totals { rows: 2, ..rows },
            Totals { count: 1, ..rows },
            Totals { sum: 4, ..rows },
            Totals { checksum: 5, ..rows },
        ] {
            assert!(answer(other, None, None).is_err(), "{other:?}");
            assert!(answer(other, Some(series), Some(1.0)).is_err(), "{other:?}");
        }
    }
}
