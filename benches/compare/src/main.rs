//! The log beside SQLite, redb, fjall and raw files: same bytes, same promise, same disk, one run.
//!
//! `benches/compare/README.md` says how to run it and how to read what it prints.
#![forbid(unsafe_code)]

mod append;
mod bulk;
mod engines;
mod payload;
mod raw;
mod scan;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};

use counterfoil_compare::{Result, machine, stats};
use machine::Usage;

/// Memory that was used is used again. That of the system is given back after each large block, and
/// fresh pages would cost more than all else that is measured here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the log beside other stores.
///
/// All sides run in one run on one disk, in turn, round after round; figures are medians over the
/// rounds. Without a workload, all of them run.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    workload: Option<Workload>,
    /// Where the files are written. It must be on the disk that is meant.
    #[arg(long, global = true, default_value = "target/compare")]
    dir: PathBuf,
    /// Rounds, each with every side.
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Only sides whose name begins so; may be given more than once.
    #[arg(long, global = true, value_name = "NAME")]
    side: Vec<String>,
    /// Seconds that each measurement may wait for the rest of the machine to be quiet. One during
    /// which others used more than a quarter of the processors is then thrown away and repeated.
    #[arg(long, global = true, default_value_t = 0, value_name = "SECONDS")]
    patience: u64,
    /// Tiny sizes: seconds in all, and figures that mean nothing.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Workload {
    /// Records of 256 bytes, each acknowledged when it is on disk.
    Append(append::Arguments),
    /// Large blocks, each synced, beside every way of writing a plain file.
    Bulk(bulk::Arguments),
    /// Verifying and reading a log from end to end.
    Scan(scan::Arguments),
}

/// A measurement, and which part of the processors others used meanwhile.
pub struct Measured<T> {
    pub value: T,
    pub others: f64,
}

/// What all workloads are told.
pub struct Run {
    /// An empty folder that is removed afterwards.
    pub dir: PathBuf,
    pub rounds: usize,
    sides: Vec<String>,
    patience: Duration,
    pub quick: bool,
}

impl Run {
    /// Whether a side is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.sides.is_empty() || self.sides.iter().any(|side| name.starts_with(side.as_str()))
    }

    /// Measures; see `--patience`. What decides whether a measurement counts is the machine alone,
    /// never what was measured.
    pub fn quietly<T>(&self, mut measure: impl FnMut() -> Result<T>) -> Result<Measured<T>> {
        let deadline = Instant::now() + self.patience;
        loop {
            machine::wait_for_quiet(deadline);
            let before = Usage::now();
            let value = measure()?;
            let others = before.others_since();
            if others <= machine::OTHERS_MAX || Instant::now() >= deadline {
                return Ok(Measured { value, others });
            }
        }
    }

    /// A folder for one side in one round, new and empty.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    // A folder of its own within the one that was named, which may hold other things.
    let dir = arguments.dir.join(format!("run-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let run = Run {
        dir: fs::canonicalize(&dir)?,
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 5 }).max(1),
        sides: arguments.side,
        patience: Duration::from_secs(arguments.patience),
        quick: arguments.quick,
    };
    let done = measure(&run, arguments.workload);
    let removed = fs::remove_dir_all(&run.dir);
    done?;
    removed?;
    Ok(())
}

fn measure(run: &Run, workload: Option<Workload>) -> Result<()> {
    describe(run)?;
    match workload {
        Some(Workload::Append(arguments)) => append::run(run, &arguments),
        Some(Workload::Bulk(arguments)) => bulk::run(run, &arguments),
        Some(Workload::Scan(arguments)) => scan::run(run, &arguments),
        None => {
            append::run(run, &append::Arguments::default())?;
            bulk::run(run, &bulk::Arguments::default())?;
            scan::run(run, &scan::Arguments::default())
        }
    }
}

/// Prints what the figures are measured on, and what they mean.
fn describe(run: &Run) -> Result<()> {
    for (name, fact) in machine::facts(&run.dir)? {
        println!("{name:12} {fact}");
    }
    println!("rounds       {}, each with every side in turn", run.rounds);
    println!("durability   every acknowledged byte synced (fdatasync or what the side has for it)");
    if option_env!("LIBSQLITE3_FLAGS").is_none() {
        println!("NOTE         built outside its folder: SQLite syncs by fsync, not fdatasync");
    }
    if cfg!(debug_assertions) {
        println!("NOTE         built without optimization: the figures mean nothing");
    }
    if run.quick {
        println!("NOTE         --quick: the figures mean nothing");
    }
    println!();
    Ok(())
}
