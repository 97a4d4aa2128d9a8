//! Large blocks, each on disk before the next one, beside every way of writing a plain file.

use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Args;
use counterfoil_log::{FileStorage, Log, LogOptions, Lsn};

use crate::{
    Measured, Result, Run,
    engines::record,
    payload::fill,
    raw::{Aligned, Space, Way},
    stats::{self, Latencies, figure, median},
};

#[derive(Args, Default)]
pub struct Arguments {
    /// Sizes of a block in KiB [default: 1024 and 64].
    #[arg(long, value_delimiter = ',')]
    block_kib: Vec<usize>,
    /// Numbers of threads, each with a block of its own [default: 1].
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// MiB for each side in each round [default: 512 for blocks of 1 MiB, less for smaller ones].
    #[arg(long)]
    mib: Option<u64>,
}

/// Who writes the blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Counterfoil(Help),
    Raw(Way),
}

/// What the log is given beside the blocks.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Help {
    /// All the space is written ahead before the clock starts, as for the prewritten files.
    reserved: bool,
    /// A second thread, which does nothing but hash.
    lent: bool,
}

impl Side {
    fn name(self) -> String {
        match self {
            Self::Counterfoil(help) => {
                let reserved = if help.reserved { "-reserved" } else { "" };
                let lent = if help.lent { "-lent" } else { "" };
                format!("counterfoil{reserved}{lent}")
            }
            Self::Raw(way) => way.name(),
        }
    }

    /// Whether it finds space that was written before the clock starts.
    fn is_prewritten(self) -> bool {
        match self {
            Self::Counterfoil(help) => help.reserved,
            Self::Raw(way) => way.space == Space::Prewritten,
        }
    }
}

struct Sample {
    bytes_per_second: f64,
    latencies: Latencies,
}

pub fn run(run: &Run, arguments: &Arguments) -> Result<()> {
    let blocks =
        if arguments.block_kib.is_empty() { vec![1024, 64] } else { arguments.block_kib.clone() };
    let mut sides = Vec::new();
    for (reserved, lent) in [(false, false), (false, true), (true, false), (true, true)] {
        sides.push(Side::Counterfoil(Help { reserved, lent }));
    }
    sides.extend(Way::ALL.map(Side::Raw));
    sides.retain(|side| run.wants(&side.name()));
    for kib in blocks {
        let usual = if run.quick { 8 } else { (kib as u64 / 2).clamp(64, 512) };
        let bytes = arguments.mib.unwrap_or(usual) << 20;
        let one = [1];
        let threads = if arguments.threads.is_empty() { &one[..] } else { &arguments.threads };
        for threads in threads {
            compare(run, &sides, kib << 10, bytes, *threads)?;
        }
    }
    Ok(())
}

fn compare(run: &Run, sides: &[Side], block: usize, bytes: u64, threads: usize) -> Result<()> {
    let mut samples: Vec<Vec<Measured<Sample>>> = sides.iter().map(|_| Vec::new()).collect();
    for _ in 0..run.rounds {
        for (side, samples) in sides.iter().zip(&mut samples) {
            let measured =
                run.quietly(|| sample(&run.fresh("bulk")?, *side, block, bytes, threads))?;
            let others = measured.others;
            samples.extend(measured.value.map(|value| Measured { value, others }));
        }
    }
    let rate = |samples: &[Measured<Sample>]| {
        median(samples.iter().map(|s| s.value.bytes_per_second / 1e9))
    };
    let best = |alike: Option<bool>| {
        let raw = sides.iter().zip(&samples).filter(|(side, _)| {
            matches!(side, Side::Raw(_)) && alike.is_none_or(|space| side.is_prewritten() == space)
        });
        raw.map(|(_, samples)| rate(samples)).fold(f64::NAN, f64::max)
    };
    let part = |rate: f64, best: f64| format!("{:.0} %", rate / best * 100.0);
    let mut rows = Vec::new();
    for (side, samples) in sides.iter().zip(&samples) {
        if samples.is_empty() {
            println!("{}: this file system cannot", side.name());
            continue;
        }
        let at = |part| median(samples.iter().map(|s| s.value.latencies.micros_at(part)));
        let rates: Vec<_> = samples.iter().map(|s| s.value.bytes_per_second / 1e9).collect();
        let (low, high) = stats::range(&rates);
        rows.push(vec![
            side.name(),
            format!("{:.3}", rate(samples)),
            format!("{low:.3} to {high:.3}"),
            figure(at(0.5)),
            figure(at(0.99)),
            part(rate(samples), best(None)),
            part(rate(samples), best(Some(side.is_prewritten()))),
            format!("{:.0}", median(samples.iter().map(|s| s.others * 100.0))),
        ]);
    }
    stats::print(
        &format!(
            "Bulk: {} MiB in blocks of {} KiB, each synced, threads: {threads}",
            bytes >> 20,
            block >> 10
        ),
        &["side", "GB/s", "range", "p50 µs", "p99 µs", "of the best", "of its kind", "others %"],
        &rows,
        &[],
    );
    Ok(())
}

/// One side in one round, or nothing where the file system cannot write so.
fn sample(
    dir: &Path,
    side: Side,
    block: usize,
    bytes: u64,
    threads: usize,
) -> Result<Option<Sample>> {
    let count = bytes / block as u64;
    match side {
        Side::Counterfoil(help) => {
            let (log, _) = Log::open(FileStorage::open(dir)?, LogOptions::default())?;
            let hasher = log.hasher();
            let lent = help.lent.then(|| thread::spawn(move || hasher.run()));
            if help.reserved {
                // The header of a batch and a record, and the rest of a block behind each.
                log.reserve(bytes + count * 8192)?;
            }
            let sample = timed(count, block, threads, || {
                // The memory that is written from is the same for every block, here as there.
                let mut body = vec![0; block];
                fill(&mut body, 7);
                let mut next = record(body);
                let log = &log;
                move |block: &[u8]| {
                    next.events[0].body[..8].copy_from_slice(&block[..8]);
                    let lsn = log.append(&next)?;
                    log.wait(lsn)?;
                    Ok(())
                }
            })?;
            log.close()?;
            if let Some(lent) = lent {
                lent.join().map_err(|_| "the thread that hashes panicked")??;
            }
            check_log(dir, count, block, threads)?;
            Ok(Some(sample))
        }
        Side::Raw(way) => {
            let Some(raw) = way.open(&dir.join("file"), bytes)? else { return Ok(None) };
            let raw = &raw;
            Ok(Some(timed(count, block, threads, || move |block: &[u8]| raw.put(block))?))
        }
    }
}

/// Writes `count` blocks from so many threads, each block with its number in it.
fn timed<P: FnMut(&[u8]) -> Result<()>>(
    count: u64,
    block: usize,
    threads: usize,
    client: impl Fn() -> P + Sync,
) -> Result<Sample> {
    let (next, ready) = (AtomicU64::new(0), Barrier::new(threads + 1));
    let work = || {
        let mut memory = Aligned::new(block);
        fill(memory.bytes_mut(), 7);
        let (mut put, latencies) = (client(), Latencies::new());
        ready.wait();
        let mut latencies = latencies?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(latencies);
            }
            memory.bytes_mut()[..8].copy_from_slice(&number.to_le_bytes());
            let began = Instant::now();
            put(memory.bytes())?;
            latencies.add(began.elapsed());
        }
    };
    let (done, elapsed) = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        ready.wait();
        let started = Instant::now();
        let done: Vec<Result<Latencies>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
            .collect();
        (done, started.elapsed())
    });
    let mut latencies = Latencies::new()?;
    for done in done {
        latencies.join(&done?)?;
    }
    let bytes = count * block as u64;
    Ok(Sample { bytes_per_second: bytes as f64 / elapsed.as_secs_f64(), latencies })
}

/// That the log holds the blocks, each once, and in order where one thread wrote them.
fn check_log(dir: &Path, count: u64, block: usize, threads: usize) -> Result<()> {
    let mut expected = vec![0; block];
    fill(&mut expected, 7);
    let (log, _) = Log::open(FileStorage::open_existing(dir)?, LogOptions::default())?;
    let mut numbers = Vec::new();
    for record in log.read(Lsn(1)) {
        let record = record?;
        let body = record.events.first().map_or(&[][..], |event| &event.body[..]);
        let rest_is_right = body.len() == block && body[8..] == expected[8..];
        let Some(number) = body.first_chunk().filter(|_| rest_is_right) else {
            return Err(format!("{} is not what was written", record.lsn).into());
        };
        numbers.push(u64::from_le_bytes(*number));
    }
    if threads > 1 {
        numbers.sort_unstable();
    }
    if !numbers.iter().copied().eq(0..count) {
        return Err(format!("{} blocks of {count} are in the log", numbers.len()).into());
    }
    Ok(())
}
