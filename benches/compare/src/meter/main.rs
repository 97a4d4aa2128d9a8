//! The meter beside DuckDB, Polars, ClickHouse, SQLite, Redis, PostgreSQL and plain hash maps: the
//! same events, equal results, one run.
//!
//! `benches/compare/README.md` says how to run it and how to read what it writes.
#![forbid(unsafe_code)]

mod child;
mod events;
mod plot;
mod report;
mod roster;
mod rows;
mod sides;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use counterfoil_compare::{Result, machine};
use counterfoil_meter::workload::Workload;

use child::Answer;
use roster::{Plan, Side};
use rows::{Expected, Totals};

/// Measures the meter beside other engines.
///
/// All sides are given the same events, in turn, round after round, each in a process of its own;
/// figures are medians over the rounds. What they come to must be equal, or the run fails.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many events.
    #[arg(long, default_value_t = 10_000_000,
        value_parser = clap::value_parser!(u64).range(1000..=2_000_000_000))]
    events: u64,
    /// Which workload.
    #[arg(long, value_enum, default_value_t = Variant::W1)]
    variant: Variant,
    /// The trace of a language model service (CSV) in place of the workload.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The engines to compare with; those that are not installed are named and skipped.
    #[arg(long, value_delimiter = ',', default_value = "duckdb,polars,chdb,sqlite,redis,postgres")]
    against: Vec<String>,
    /// Batches of 10,000, each followed by a query of one customer's totals on all meters.
    #[arg(long)]
    online: bool,
    /// Events of a batch; 10,000 online and otherwise 1,048,576 where it is not given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    batch: Option<u32>,
    /// Engines that take in row by row are given only so many of the events.
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
    /// Where the events are written, and what engines keep on disk; removed afterwards.
    #[arg(long, default_value = "target/compare")]
    dir: PathBuf,
    /// The file for the table; the plot goes beside it, with the ending `.svg`.
    #[arg(long, default_value = "../../docs/METER-SPEED.md")]
    out: PathBuf,
    /// A line that goes above the table, for instance that the machine was busy.
    #[arg(long)]
    remark: Option<String>,
}

#[derive(Subcommand)]
enum Part {
    /// One side, in its own process; for the harness itself.
    #[command(hide = true)]
    Side(sides::Arguments),
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
    let (what, events, capacity) = prepare(arguments, dir)?;
    let facts = machine::facts(dir)?;
    let cores = std::thread::available_parallelism()?.get();
    let plan = Plan {
        events,
        small: arguments.small.min(events),
        threads: arguments.threads.unwrap_or(cores).clamp(1, 8),
        batch: arguments.batch.unwrap_or(if arguments.online { 10_000 } else { 1 << 20 }),
        online: arguments.online,
        room: [capacity.hours, capacity.series, capacity.customers],
    };
    let (sides, skipped) = roster::sides(&plan, &arguments.against)?;
    for (engine, reason) in &skipped {
        eprintln!("skipped: {engine}: {reason}");
    }
    let expected = references(dir, &sides)?;
    let mut measured: Vec<Measured> =
        sides.into_iter().map(|side| Measured { side, answers: Vec::new(), others: 0.0 }).collect();
    for round in 1..=arguments.rounds.max(1) {
        for one in &mut measured {
            let name = &one.side.name;
            let before = machine::Usage::now();
            let answer = child::ask(&mut one.side.command(dir, &plan, round)?)?;
            let busy = before.others_since();
            check(name, &answer, &expected[&one.side.events])?;
            let rate = one.side.events as f64 / answer.seconds / 1e6;
            eprintln!("round {round}: {name}: {rate:.2} million events/s, equal");
            // The side itself is another process; with more than its threads, others were there.
            let own = one.side.threads as f64 / cores as f64;
            one.others = one.others.max(busy - own);
            one.answers.push(answer);
        }
    }
    let run = report::Run {
        what,
        facts,
        plan: &plan,
        rounds: arguments.rounds.max(1),
        expected: &expected[&plan.events].rows,
        skipped: &skipped,
        remark: arguments.remark.as_deref(),
    };
    report::write(&arguments.out, &run, &measured)
}

/// Writes the events; what they are, how many, and the room that they need.
fn prepare(
    arguments: &Arguments,
    dir: &Path,
) -> Result<(String, u64, counterfoil_meter::Capacity)> {
    if let Some(data) = &arguments.data {
        let events = events::write_trace(dir, data)?;
        let room = usize::try_from(events)?;
        let capacity = counterfoil_meter::Capacity {
            events: room,
            customers: room.min(128),
            series: room.min(256),
            hours: room,
        };
        let name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((name, events, capacity));
    }
    let (customers, repeats) = arguments.variant.numbers();
    let workload = Workload::new(arguments.seed, arguments.events, customers, repeats);
    events::write(dir, &workload)?;
    let what = format!(
        "{}, seed {}: {customers} customers by Zipf's law, {} of a thousand events repeats",
        arguments.variant.name(),
        arguments.seed,
        repeats,
    );
    Ok((what, workload.len(), workload.capacity(workload.len())))
}

/// What each number of events comes to, worked out in the plainest way.
fn references(dir: &Path, sides: &[Side]) -> Result<BTreeMap<u64, Expected>> {
    let mut expected = BTreeMap::new();
    for events in sides.iter().map(|side| side.events) {
        let Entry::Vacant(entry) = expected.entry(events) else { continue };
        let (totals, ties) = rows::reference(&events::read(dir, usize::try_from(events)?)?);
        rows::write_ties(dir, events, &ties)?;
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
