//! Verifying a log and reading it from end to end, on one core, with the page cache warm.

use std::{fs, hint::black_box, path::Path, time::Instant};

use clap::Args;
use counterfoil_log::{FileStorage, Log, LogOptions, Lsn, verify};
use crc_fast::{CrcAlgorithm, Digest};

use crate::{
    Result, Run,
    engines::record,
    payload::{RECORD_BYTES, fill},
    stats::{self, figure, median},
};

#[derive(Args, Default)]
pub struct Arguments {
    /// MiB of payload in the log [default: 1024].
    #[arg(long)]
    mib: Option<u64>,
}

/// A thing that goes over all files of a log.
type Pass = (&'static str, fn(&Path) -> Result<()>);

const PASSES: [Pass; 4] = [
    ("read the files", read_files),
    ("read the files, CRC-32C", checksum_files),
    ("counterfoil verify", verify_log),
    ("counterfoil read", read_log),
];

pub fn run(run: &Run, arguments: &Arguments) -> Result<()> {
    let bytes = arguments.mib.unwrap_or(if run.quick { 8 } else { 1024 }) << 20;
    for body in [RECORD_BYTES, 64 << 10] {
        let dir = run.fresh("scan")?;
        let records = bytes / body as u64;
        write(&dir, records, body)?;
        compare(run, &dir, records, body)?;
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn write(dir: &Path, records: u64, body: usize) -> Result<()> {
    let (log, _) = Log::open(FileStorage::open(dir)?, LogOptions::default())?;
    let mut next = record(vec![0; body]);
    fill(&mut next.events[0].body, 11);
    for number in 0..records {
        next.events[0].body[..8].copy_from_slice(&number.to_le_bytes());
        log.append(&next)?;
    }
    log.close()?;
    Ok(())
}

fn compare(run: &Run, dir: &Path, records: u64, body: usize) -> Result<()> {
    let mut on_disk = 0;
    for entry in fs::read_dir(dir)? {
        on_disk += entry?.metadata()?.len();
    }
    let mut seconds = vec![Vec::new(); PASSES.len()];
    // The first round is the warm-up.
    for round in 0..=run.rounds {
        for ((_, pass), seconds) in PASSES.iter().zip(&mut seconds) {
            let started = Instant::now();
            pass(dir)?;
            if round > 0 {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
    }
    let row = |((name, _), seconds): (&Pass, &Vec<f64>)| {
        let seconds = median(seconds.iter().copied());
        vec![
            (*name).to_owned(),
            format!("{:.2}", on_disk as f64 / seconds / 1e9),
            figure(records as f64 / seconds),
        ]
    };
    let rows: Vec<_> = PASSES.iter().zip(&seconds).map(row).collect();
    stats::print(
        &format!(
            "Scan: {} records of {body} bytes, {} MiB on disk, one thread, page cache warm",
            figure(records as f64),
            on_disk >> 20
        ),
        &["pass", "GB/s", "records/s"],
        &rows,
        &[],
    );
    Ok(())
}

fn each_chunk(dir: &Path, mut use_it: impl FnMut(&[u8])) -> Result<()> {
    use std::io::Read;
    let mut chunk = vec![0; 256 << 10];
    for entry in fs::read_dir(dir)? {
        let mut file = fs::File::open(entry?.path())?;
        loop {
            let len = file.read(&mut chunk)?;
            if len == 0 {
                break;
            }
            use_it(&chunk[..len]);
        }
    }
    Ok(())
}

fn read_files(dir: &Path) -> Result<()> {
    each_chunk(dir, |chunk| {
        black_box(chunk);
    })
}

fn checksum_files(dir: &Path) -> Result<()> {
    // CRC-32C is that of iSCSI, and summed here by the library that the log sums with.
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    each_chunk(dir, |chunk| crc.update(chunk))?;
    black_box(crc.finalize());
    Ok(())
}

fn verify_log(dir: &Path) -> Result<()> {
    let report = verify(&FileStorage::open_existing(dir)?)?;
    if report.damage.is_empty() && report.tail.is_none() {
        return Ok(());
    }
    Err(format!("a log that was just written is damaged: {:?}", report.damage).into())
}

fn read_log(dir: &Path) -> Result<()> {
    let (log, _) = Log::open(FileStorage::open_existing(dir)?, LogOptions::default())?;
    for record in log.read(Lsn(1)) {
        black_box(record?.events.len());
    }
    log.close()?;
    Ok(())
}
