//! How fast a book is verified on one core: every checksum, every form, the whole hash tree.
//!
//! `cargo run --release -p counterfoil-log --example verify_rate -- [MIB] [RECORD_BYTES]`
//!
//! The book is written to a temporary directory, and then verified five times. It was just written,
//! so it is read from the page cache: the figure is that of the processor, not of the disk.

use std::{error::Error, time::Instant};

use counterfoil_log::{
    FileStorage, Frontier, Log, LogOptions, NewEvent, NewRecord, RecordKind, verify,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mib: usize = args.next().map_or(Ok(1024), |arg| arg.parse())?;
    let record_bytes: usize = args.next().map_or(Ok(64 << 10), |arg| arg.parse())?;
    let bytes = mib << 20;
    let directory = std::env::temp_dir().join(format!("verify-rate-{}", std::process::id()));
    let (log, _) = Log::open(FileStorage::open(&directory)?, LogOptions::default())?;
    let mut body = vec![0_u8; record_bytes];
    for n in 0..bytes.div_ceil(record_bytes) {
        // Something else in each record; what it is does not matter to any checksum.
        body.iter_mut()
            .step_by(64)
            .for_each(|byte| *byte = byte.wrapping_add(n.to_le_bytes()[0] | 1));
        log.append(NewRecord {
            at: 0,
            kind: RecordKind::Events,
            meta: Vec::new(),
            events: vec![NewEvent {
                stream: format!("customer/{}", n % 1000).into(),
                stream_version: 1,
                type_id: 1,
                schema: 1,
                body: body.clone(),
                personal: Vec::new(),
            }],
        })?;
    }
    log.commit()?;
    let head = log.head()?;
    log.close()?;
    println!(
        "{} records, {} bytes of stream, on {}",
        head.lsn,
        head.stream_bytes,
        directory.display()
    );
    rate("hash tree alone, in memory", 1 << 28, || {
        let piece = vec![7; 1 << 20];
        let mut frontier = Frontier::default();
        (0..256).for_each(|_| frontier.update(&piece, &mut |_| ()));
        assert_eq!(frontier.stream_len(), 1 << 28);
    });
    for _ in 0..5 {
        let storage = FileStorage::open(&directory)?;
        rate("verify", head.stream_bytes, || {
            let report = verify(&storage).expect("the book is there");
            assert_eq!((report.damage, report.last), (vec![], head.lsn));
        });
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Prints the rate by the clock on the wall, and by the time that the processor gave this thread where
/// the system tells it: on a busy machine only the latter says what one core does.
#[expect(clippy::cast_precision_loss, reason = "a figure to be looked at")]
fn rate(what: &str, bytes: u64, run: impl FnOnce()) {
    let (started, cpu_before) = (Instant::now(), cpu_nanos());
    run();
    let wall = started.elapsed().as_nanos();
    print!("{what}: {:.2} GB/s", bytes as f64 / wall as f64);
    if let (Some(before), Some(after)) = (cpu_before, cpu_nanos()) {
        print!(", by processor time {:.2} GB/s", bytes as f64 / (after - before) as f64);
    }
    println!();
}

fn cpu_nanos() -> Option<u64> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    times.split(' ').next()?.parse().ok()
}
