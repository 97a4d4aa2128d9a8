//! Large blocks, each on disk before the next one, beside every way of writing a plain file.

use std::{path::Path, time::Instant};

use clap::Args;
use counterfoil_log::{FileStorage, Log, LogOptions, Lsn};

use crate::{
    Measured, Result, Run,
    engines::record,
    payload::fill,
    raw::{Aligned, Way},
    stats::{self, Latencies, figure, median},
};

#[derive(Args, Default)]
pub struct Arguments {
    /// Sizes of a block in KiB [default: 1024 and 64].
    #[arg(long, value_delimiter = ',')]
    block_kib: Vec<usize>,
    /// MiB for each side in each round [default: 512 for blocks of 1 MiB, less for smaller ones].
    #[arg(long)]
    mib: Option<u64>,
}

/// Who writes the blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Counterfoil,
    /// With all the space written ahead before the clock starts, as for the prewritten files.
    Reserved,
    Raw(Way),
}

impl Side {
    fn name(self) -> String {
        match self {
            Self::Counterfoil => "counterfoil".to_owned(),
            Self::Reserved => "counterfoil-reserved".to_owned(),
            Self::Raw(way) => way.name(),
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
    let mut sides = vec![Side::Counterfoil, Side::Reserved];
    sides.extend(Way::ALL.map(Side::Raw));
    sides.retain(|side| run.wants(&side.name()));
    for kib in blocks {
        let usual = if run.quick { 8 } else { (kib as u64 / 2).clamp(64, 512) };
        let bytes = arguments.mib.unwrap_or(usual) << 20;
        compare(run, &sides, kib << 10, bytes)?;
    }
    Ok(())
}

fn compare(run: &Run, sides: &[Side], block: usize, bytes: u64) -> Result<()> {
    let mut samples: Vec<Vec<Measured<Sample>>> = sides.iter().map(|_| Vec::new()).collect();
    for _ in 0..run.rounds {
        for (side, samples) in sides.iter().zip(&mut samples) {
            let measured = run.quietly(|| sample(&run.fresh("bulk")?, *side, block, bytes))?;
            let others = measured.others;
            samples.extend(measured.value.map(|value| Measured { value, others }));
        }
    }
    let rate = |samples: &[Measured<Sample>]| {
        median(samples.iter().map(|s| s.value.bytes_per_second / 1e9))
    };
    let raw = sides.iter().zip(&samples).filter(|(side, _)| matches!(side, Side::Raw(_)));
    let best = raw.map(|(_, samples)| rate(samples)).fold(f64::NAN, f64::max);
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
            format!("{:.0} %", rate(samples) / best * 100.0),
            format!("{:.0}", median(samples.iter().map(|s| s.others * 100.0))),
        ]);
    }
    stats::print(
        &format!("Bulk: {} MiB in blocks of {} KiB, each synced", bytes >> 20, block >> 10),
        &["side", "GB/s", "range", "p50 µs", "p99 µs", "of the best raw way", "others %"],
        &rows,
        &[],
    );
    Ok(())
}

/// One side in one round, or nothing where the file system cannot write so.
fn sample(dir: &Path, side: Side, block: usize, bytes: u64) -> Result<Option<Sample>> {
    let count = bytes / block as u64;
    let mut memory = Aligned::new(block);
    fill(memory.bytes_mut(), 7);
    match side {
        Side::Counterfoil | Side::Reserved => {
            let (log, _) = Log::open(FileStorage::open(dir)?, LogOptions::default())?;
            if side == Side::Reserved {
                // The header of a batch and a record, and the rest of a block behind each.
                log.reserve(bytes + count * 8192)?;
            }
            // The memory that is written from is the same for every block, here as there.
            let mut next = record(memory.bytes().to_vec());
            let sample = timed(count, &mut memory, |block| {
                next.events[0].body[..8].copy_from_slice(&block[..8]);
                let lsn = log.append(&next)?;
                log.wait(lsn)?;
                Ok(())
            })?;
            log.close()?;
            check_log(dir, count, block)?;
            Ok(Some(sample))
        }
        Side::Raw(way) => {
            let Some(mut raw) = way.open(&dir.join("file"), bytes)? else { return Ok(None) };
            Ok(Some(timed(count, &mut memory, |block| raw.put(block))?))
        }
    }
}

/// Writes `count` blocks, each with its number in it.
fn timed(
    count: u64,
    memory: &mut Aligned,
    mut put: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Sample> {
    let mut latencies = Latencies::new()?;
    let started = Instant::now();
    for number in 0..count {
        memory.bytes_mut()[..8].copy_from_slice(&number.to_le_bytes());
        let began = Instant::now();
        put(memory.bytes())?;
        latencies.add(began.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = count * memory.bytes().len() as u64;
    Ok(Sample { bytes_per_second: bytes as f64 / seconds, latencies })
}

/// That the log holds the blocks, in order.
fn check_log(dir: &Path, count: u64, block: usize) -> Result<()> {
    let mut expected = vec![0; block];
    fill(&mut expected, 7);
    let (log, _) = Log::open(FileStorage::open_existing(dir)?, LogOptions::default())?;
    let mut number = 0_u64;
    for record in log.read(Lsn(1)) {
        let record = record?;
        expected[..8].copy_from_slice(&number.to_le_bytes());
        if record.events.first().is_none_or(|event| event.body[..] != expected[..]) {
            return Err(format!("block {number} is not what was written").into());
        }
        number += 1;
    }
    if number != count {
        return Err(format!("{number} blocks of {count} are in the log").into());
    }
    Ok(())
}
