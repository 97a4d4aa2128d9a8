//! Records of 256 bytes, each acknowledged when it is on disk.
//!
//! In the mode `each` a thread writes a record, waits until it is on disk, and goes on; in the mode
//! `batch` it writes a hundred records and waits once. A side runs for a fixed time; what it wrote
//! is then closed, opened again, read, and compared with what was acknowledged.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{
    Measured, Result, Run,
    engines::{Engine, Side},
    payload::{RECORD_BYTES, Source, Total},
    stats::{self, Latencies, figure, median},
};

/// Records that are acknowledged together in the mode `batch`.
const BATCH_RECORDS: usize = 100;

#[derive(Args, Default)]
pub struct Arguments {
    /// Numbers of threads [default: 1, 8 and 64].
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// How many records are acknowledged at once [default: both].
    #[arg(long, value_enum)]
    mode: Vec<Mode>,
    /// Milliseconds for each side in each round [default: 1000].
    #[arg(long)]
    millis: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One.
    Each,
    /// A hundred.
    Batch,
}

impl Mode {
    const fn records(self) -> usize {
        match self {
            Self::Each => 1,
            Self::Batch => BATCH_RECORDS,
        }
    }
}

/// What one side did in one round.
struct Sample {
    records_per_second: f64,
    latencies: Latencies,
}

pub fn run(run: &Run, arguments: &Arguments) -> Result<()> {
    let or = |given: &[usize], usual: &[usize]| {
        if given.is_empty() { usual.to_vec() } else { given.to_vec() }
    };
    let threads = or(&arguments.threads, &[1, 8, 64]);
    let modes = if arguments.mode.is_empty() {
        vec![Mode::Each, Mode::Batch]
    } else {
        arguments.mode.clone()
    };
    let usual = if run.quick { 100 } else { 1000 };
    let time = Duration::from_millis(arguments.millis.unwrap_or(usual));
    let sides: Vec<_> = Side::ALL.into_iter().filter(|side| run.wants(side.name())).collect();
    println!("Append: {RECORD_BYTES}-byte records, {} ms a side and round", time.as_millis());
    for side in &sides {
        println!("  {:<19} {}", side.name(), side.says());
    }
    println!();
    for mode in modes {
        for threads in &threads {
            compare(run, &sides, mode, *threads, time)?;
        }
    }
    Ok(())
}

fn compare(run: &Run, sides: &[Side], mode: Mode, threads: usize, time: Duration) -> Result<()> {
    let mut samples: Vec<Vec<Measured<Sample>>> = sides.iter().map(|_| Vec::new()).collect();
    for _ in 0..run.rounds {
        for (side, samples) in sides.iter().zip(&mut samples) {
            samples.push(run.quietly(|| sample(run, *side, mode, threads, time))?);
        }
    }
    let rate =
        |samples: &[Measured<Sample>]| median(samples.iter().map(|s| s.value.records_per_second));
    let ours = sides.iter().zip(&samples).find(|(side, _)| **side == Side::Counterfoil);
    let ours = ours.map_or(f64::NAN, |(_, samples)| rate(samples));
    let rows: Vec<_> = sides
        .iter()
        .zip(&samples)
        .map(|(side, samples)| {
            let at = |part| median(samples.iter().map(|s| s.value.latencies.micros_at(part)));
            let worst = samples.iter().map(|s| s.value.latencies.micros_max()).fold(0.0, f64::max);
            let rates: Vec<_> = samples.iter().map(|s| s.value.records_per_second).collect();
            let (low, high) = stats::range(&rates);
            vec![
                side.name().to_owned(),
                figure(rate(samples)),
                format!("{} to {}", figure(low), figure(high)),
                figure(at(0.5)),
                figure(at(0.99)),
                figure(worst),
                format!("{:.2}", ours / rate(samples)),
                format!("{:.0}", median(samples.iter().map(|s| s.others * 100.0))),
            ]
        })
        .collect();
    let what = match mode {
        Mode::Each => "each record acknowledged before the next".to_owned(),
        Mode::Batch => format!("{BATCH_RECORDS} records acknowledged at once"),
    };
    let s = if threads == 1 { "" } else { "s" };
    stats::print(
        &format!("{threads} thread{s}, {what}"),
        &[
            "side",
            "records/s",
            "range",
            "p50 µs",
            "p99 µs",
            "max µs",
            "counterfoil ÷ it",
            "others %",
        ],
        &rows,
        &[],
    );
    Ok(())
}

/// One side in one round: open, warm up, measure, close, open again and compare.
fn sample(run: &Run, side: Side, mode: Mode, threads: usize, time: Duration) -> Result<Sample> {
    let name = side.name();
    let dir = run.fresh(name)?;
    let engine = side.open(&dir)?;
    let (sample, written) = load(&*engine, mode, threads, time)?;
    drop(engine);
    let found = side.read_all(&dir)?;
    if found != written {
        return Err(format!("{name}: acknowledged {written:?}, found {found:?}").into());
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(sample)
}

/// Where the threads are: before the measured time, in it, or behind it.
struct Phases {
    ready: Barrier,
    measured: AtomicBool,
    over: AtomicBool,
}

fn load(
    engine: &dyn Engine,
    mode: Mode,
    threads: usize,
    time: Duration,
) -> Result<(Sample, Total)> {
    let phases = Phases {
        ready: Barrier::new(threads + 1),
        measured: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let (done, elapsed) = thread::scope(|scope| {
        let phases = &phases;
        let workers: Vec<_> = (0..threads as u64)
            .map(|number| scope.spawn(move || work(engine, mode, number, phases)))
            .collect();
        phases.ready.wait();
        thread::sleep(time / 4);
        phases.measured.store(true, Ordering::Relaxed);
        let started = Instant::now();
        thread::sleep(time);
        phases.over.store(true, Ordering::Relaxed);
        let elapsed = started.elapsed();
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        (done, elapsed)
    });
    let mut latencies = Latencies::new()?;
    let (mut total, mut records) = (Total::default(), 0_u64);
    for done in done {
        let done = done.map_err(|_| "a thread panicked")??;
        latencies.join(&done.latencies)?;
        records += done.records;
        total.join(done.source.total());
    }
    let records_per_second = records as f64 / elapsed.as_secs_f64();
    Ok((Sample { records_per_second, latencies }, total))
}

struct Done {
    source: Source,
    /// Acknowledged within the measured time.
    records: u64,
    latencies: Latencies,
}

fn work(engine: &dyn Engine, mode: Mode, number: u64, phases: &Phases) -> Result<Done> {
    let client = engine.client();
    phases.ready.wait();
    let mut client = client?;
    let mut done = Done { source: Source::new(number), records: 0, latencies: Latencies::new()? };
    let mut batch = Vec::with_capacity(mode.records());
    while !phases.over.load(Ordering::Relaxed) {
        batch.clear();
        batch.extend((0..mode.records()).map(|_| done.source.record()));
        // What began before the measured time or ends behind it is not counted: all sides alike.
        let measured = phases.measured.load(Ordering::Relaxed);
        let started = Instant::now();
        client.put(&batch)?;
        let elapsed = started.elapsed();
        if measured {
            done.latencies.add(elapsed);
            if !phases.over.load(Ordering::Relaxed) {
                done.records += batch.len() as u64;
            }
        }
    }
    Ok(done)
}
