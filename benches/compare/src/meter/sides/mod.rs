//! The sides that are written in Rust. Each runs in a process of its own, as those in Python do, so
//! that nobody profits from memory that another one touched.

mod counterfoil;
mod growth;
mod maps;
mod recovery;
mod redis;
mod singles;

use std::{fs, hash::RandomState, path::Path, path::PathBuf, thread, time::Instant};

use counterfoil_compare::Result;
use counterfoil_core::{Id, Period, Timestamp, kind};
use counterfoil_meter::{
    Aggregator, Capacity, Formula, MeterConfig, Position,
    store::{MeterStore, StoreOptions},
    workload::{EVENT_NAMES, WorkloadBatch},
};

pub use redis::version as redis_version;

use crate::{
    child::Answer,
    events,
    rows::{self, Fast, HOUR_NANOS, Key, Row, Ties, Totals},
};

/// What an event takes in the log, roughly.
const EVENT_BYTES: u64 = 64;
/// The size of a segment: few boundaries in a run, whose cost is not what is asked for here.
const SEGMENT_BYTES: u64 = 1 << 30;

type Meter = Id<kind::Meter>;

/// What a process of a side is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which side.
    name: String,
    /// The folder with the events.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    events: u64,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 1 << 20)]
    batch: usize,
    /// Make room for so many events, hours, series and customers before the clock starts.
    #[arg(long, num_args = 4)]
    reserve: Vec<usize>,
    /// Take everything in twice, in one process.
    #[arg(long)]
    twice: bool,
    /// Batches are synced before they are acknowledged.
    #[arg(long)]
    durable: bool,
    /// Batches that may be unanswered, or single events of a thread.
    #[arg(long, default_value_t = 1)]
    held: usize,
    /// Lend a thread for writing and one for hashing.
    #[arg(long)]
    lend: bool,
    /// Read every row in the end, and not only the totals of all hours.
    #[arg(long)]
    rows: bool,
    /// A query after each batch.
    #[arg(long)]
    online: bool,
    /// Drop the files of the store from the page cache before it is opened.
    #[arg(long)]
    cold: bool,
    /// Open the store without its checkpoints.
    #[arg(long)]
    replay: bool,
    /// The workload, for sides that make it themselves: seed, customers and repeats of a thousand.
    #[arg(long, num_args = 3)]
    workload: Vec<u64>,
    /// End where the process has so much memory, or the folder so much on disk.
    #[arg(long)]
    memory_mib: Option<u64>,
    #[arg(long)]
    disk_mib: Option<u64>,
    /// Move events out of memory where there are more than so many.
    #[arg(long)]
    spill: Option<usize>,
}

pub fn run(arguments: &Arguments) -> Result<Answer> {
    match arguments.name.as_str() {
        "growth" => return growth::measure(arguments),
        "recovery-build" => return recovery::build(arguments),
        "recovery" => return recovery::measure(arguments),
        _ => {}
    }
    let began = Instant::now();
    let events = events::read(&arguments.dir, usize::try_from(arguments.events)?)?;
    let ties = rows::read_ties(&arguments.dir, arguments.events)?;
    let loading = began.elapsed();
    let mut answer = match arguments.name.as_str() {
        "counterfoil" => counterfoil::measure(arguments, &events, &ties)?,
        "singles" => singles::measure(arguments, &events, &ties)?,
        "redis-singles" => redis::measure(arguments, &events, &ties)?,
        "std-maps" => maps::measure::<RandomState>(&events, &ties, arguments.twice),
        "fast-maps" => maps::measure::<Fast>(&events, &ties, arguments.twice),
        other => return Err(format!("no side is named {other}").into()),
    };
    answer.load_seconds = loading.as_secs_f64();
    Ok(answer)
}

/// What the process used of the processors so far, in seconds.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time in hundredths; the name in parentheses is cut off.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory that the process ever had, its input included.
fn peak_mib() -> f64 {
    status_mib("VmHWM:")
}

/// The memory that the process has.
fn resident_mib() -> f64 {
    status_mib("VmRSS:")
}

/// Without what is mapped of files, which the system takes back when it needs it.
fn own_mib() -> f64 {
    status_mib("RssAnon:")
}

fn status_mib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// What the files of a folder take, on the disk.
fn disk_mib(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let blocks = files.filter_map(|file| file.metadata().ok()).map(|meta| meta.blocks());
    blocks.sum::<u64>() as f64 / 2048.0
}

/// The meters of the workload, by its event names.
fn meters() -> Vec<Meter> {
    (1..).zip(EVENT_NAMES).map(|(number, _)| Id::derived(number)).collect()
}

fn configs(ids: &[Meter]) -> impl Iterator<Item = (Meter, MeterConfig)> {
    ids.iter().zip(EVENT_NAMES).map(|(id, name)| {
        let config = MeterConfig::new(name, Formula::Sum);
        (id.clone(), config.also(Formula::Max).also(Formula::Last))
    })
}

impl Arguments {
    fn room(&self) -> Option<Capacity> {
        let [events, hours, series, customers] = self.reserve[..] else { return None };
        Some(Capacity { events, customers, series, hours })
    }

    fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::default();
        options.threads = self.threads;
        options.capacity = self.room().unwrap_or_default();
        options.log.segment_bytes = SEGMENT_BYTES;
        options
    }
}

/// A store, and the threads that were lent to it.
struct Disk {
    store: MeterStore,
    lent: Vec<thread::JoinHandle<Result<()>>>,
}

impl Disk {
    /// A store in a new folder, with room on the disk where it is to have some.
    fn create(arguments: &Arguments, ids: &[Meter], now: Timestamp) -> Result<Self> {
        let dir = arguments.store();
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        let (store, _) = MeterStore::open(dir, arguments.options())?;
        for (id, config) in configs(ids) {
            store.define(id, config, now)?;
        }
        if !arguments.reserve.is_empty() {
            store.reserve(arguments.events * EVENT_BYTES)?;
        }
        let mut lent = Vec::new();
        if arguments.lend {
            let (writer, hasher) = (store.writer(), store.hasher());
            lent.push(thread::spawn(move || Ok(writer.run()?)));
            lent.push(thread::spawn(move || Ok(hasher.run()?)));
        }
        Ok(Self { store, lent })
    }

    fn close(self) -> Result<()> {
        self.store.close()?;
        for thread in self.lent {
            thread.join().map_err(|_| "a lent thread panicked")??;
        }
        Ok(())
    }
}

/// When all events have happened.
fn end_of(events: &WorkloadBatch) -> Result<Timestamp> {
    let last = events.times.iter().max().copied().unwrap_or_default();
    Ok(Timestamp::from_unix(last / 1_000_000_000 + 1)?)
}

/// A billing period in which all events are.
fn month(now: Timestamp) -> Result<Period> {
    Ok(Period::new(Timestamp::from_unix(now.unix() - 35 * 86_400)?, now))
}

/// The keys of all hours, of those by hour.
fn all_hours(keys: &mut Vec<Key>) {
    keys.iter_mut().for_each(|key| key.2 = rows::ALL_HOURS);
    keys.dedup();
}

/// Reads what each key comes to through the public interface, on all cores.
fn read(meters: &Aggregator, ids: &[Meter], keys: &[Key], ties: &Ties) -> Result<Totals> {
    let cores = thread::available_parallelism()?.get();
    let parts = keys.chunks(keys.len().div_ceil(cores).max(1));
    let mut totals = Totals::default();
    thread::scope(|scope| {
        let start = |part| scope.spawn(move || read_part(meters, ids, part, ties));
        let running: Vec<_> = parts.map(start).collect();
        for part in running {
            totals.join(&part.join().map_err(|_| "a reading panicked")??);
        }
        Ok(totals)
    })
}

fn read_part(meters: &Aggregator, ids: &[Meter], keys: &[Key], ties: &Ties) -> Result<Totals> {
    let mut totals = Totals::default();
    let (mut customer, mut text) = (None, String::new());
    for &key in keys {
        if customer != Some(key.0) {
            (customer, text) = (Some(key.0), format!("{:016x}", key.0));
        }
        let start = i64::from(key.2) * (HOUR_NANOS / 1_000_000_000);
        let hour = match key.2 {
            rows::ALL_HOURS => Period::new(Timestamp::MIN, Timestamp::MAX),
            _ => Period::new(Timestamp::from_unix(start)?, Timestamp::from_unix(start + 3600)?),
        };
        let found = meters.totals(&ids[usize::from(key.1)], &text, hour, Position::MAX)?;
        let units = |value: i128| -> Result<i64> {
            if value % 1_000_000 != 0 {
                return Err(format!("{value} trillionths are no whole millionths").into());
            }
            Ok(i64::try_from(value / 1_000_000)?)
        };
        let (Some(max), Some(last)) = (found.max, found.last) else {
            return Err(format!("{key:?} has no events").into());
        };
        let row = Row {
            count: found.events,
            sum: units(found.sum.trillionths())?,
            max: units(max.trillionths())?,
            last: units(last.trillionths())?,
            last_at: 0,
        };
        totals.add(key, &row, ties);
    }
    Ok(totals)
}

/// Compares the number of rows that are kept with those that have events.
fn check_rows(meters: &Aggregator, keys: &[Key]) -> Result<()> {
    let kept = meters.memory().hours;
    if kept != keys.len() {
        let found = keys.len();
        return Err(format!("{kept} hours are kept, {found} have events").into());
    }
    Ok(())
}

/// Prints what a side came to, for the process that started it.
pub fn print(answer: &Answer) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}
