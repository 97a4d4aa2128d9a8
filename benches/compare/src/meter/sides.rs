//! The sides that are written in Rust. Each runs in a process of its own, as those in Python do, so
//! that nobody profits from memory that another one touched.

use std::{
    collections::{HashMap, HashSet},
    fs,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    thread,
    time::Instant,
};

use counterfoil_compare::{Result, stats::Latencies};
use counterfoil_core::{Id, Period, Timestamp, kind};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, Capacity, DedupePolicy, EventColumns, Formula, MeterConfig,
    MeterError, Position, RefusedEvent,
    store::{MeterStore, StoreOptions},
    workload::{EVENT_NAMES, WorkloadBatch},
};

use crate::{
    child::{Answer, Percentiles},
    events,
    rows::{self, HOUR_NANOS, Key, Row, Ties, Totals},
};

/// What an event takes in the log, roughly.
const EVENT_BYTES: u64 = 64;

type Meter = Id<kind::Meter>;

/// What a process of a side is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which side.
    name: String,
    /// The folder with the events.
    #[arg(long)]
    dir: std::path::PathBuf,
    #[arg(long)]
    events: u64,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 1 << 20)]
    batch: usize,
    /// Make room for so many rows, series and customers before the clock starts.
    #[arg(long, num_args = 3)]
    reserve: Vec<usize>,
    /// Each batch is on disk before the next one.
    #[arg(long)]
    durable: bool,
    /// Read every row in the end, and not only the totals of all hours.
    #[arg(long)]
    rows: bool,
    /// A query after each batch.
    #[arg(long)]
    online: bool,
}

pub fn run(arguments: &Arguments) -> Result<Answer> {
    let began = Instant::now();
    let events = events::read(&arguments.dir, usize::try_from(arguments.events)?)?;
    let ties = rows::read_ties(&arguments.dir, arguments.events)?;
    let loading = began.elapsed();
    let mut answer = match arguments.name.as_str() {
        "counterfoil" => counterfoil(arguments, &events, &ties)?,
        "std-maps" => maps::<std::hash::RandomState>(&events, &ties, false),
        "fast-maps" => maps::<BuildHasherDefault<Fast>>(&events, &ties, true),
        other => return Err(format!("no side is named {other}").into()),
    };
    answer.load_seconds = loading.as_secs_f64();
    Ok(answer)
}

/// What the process used of the processors so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time in hundredths; the name in parentheses is cut off.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory that the process ever had, its input included.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// What it comes to to take everything in.
struct Pass {
    meters: Meters,
    ids: Vec<Meter>,
    seconds: f64,
    cpu_seconds: f64,
    batches: Latencies,
    queries: Latencies,
}

/// Takes everything in twice, each time into a new aggregator. The first one finds memory as it
/// comes from the system; what it touched is used again by the second one, where the allocator
/// was told to keep it.
fn counterfoil(arguments: &Arguments, events: &WorkloadBatch, ties: &Ties) -> Result<Answer> {
    let first_seconds = Some(pass(arguments, events)?.seconds);
    let peak_mib = peak_mib();
    let Pass { meters, ids, seconds, cpu_seconds, batches, queries } = &pass(arguments, events)?;
    let mut answer = Answer {
        first_seconds,
        peak_mib,
        seconds: *seconds,
        cpu_seconds: Some(*cpu_seconds),
        ..Answer::default()
    };
    if arguments.online {
        answer.batch = Some(Percentiles::of(batches));
        answer.query = Some(Percentiles::of(queries));
    }
    let memory = meters.read(Aggregator::memory)?;
    answer.kept_mib = Some(memory.bytes() as f64 / f64::from(1 << 20));
    let mut keys = keys(events);
    if memory.hours != keys.len() {
        let (found, hours) = (keys.len(), memory.hours);
        return Err(format!("{hours} hours are kept, {found} have events").into());
    }
    if arguments.rows {
        let began = Instant::now();
        answer.totals = meters.read(|meters| read(meters, ids, &keys, ties))??;
        answer.read_seconds = Some(began.elapsed().as_secs_f64());
    }
    keys.iter_mut().for_each(|key| key.2 = rows::ALL_HOURS);
    keys.dedup();
    answer.series = Some(meters.read(|meters| read(meters, ids, &keys, ties))??);
    Ok(answer)
}

/// What takes events in.
enum Meters {
    Memory(Box<Aggregator>),
    Disk(MeterStore),
}

impl Meters {
    /// Meters that took nothing yet. A store is in a new folder.
    fn new(arguments: &Arguments, ids: &[Meter], events: usize, now: Timestamp) -> Result<Self> {
        let room = match arguments.reserve[..] {
            [hours, series, customers] => Some(Capacity { events, customers, series, hours }),
            _ => None,
        };
        let configs = ids.iter().zip(EVENT_NAMES).map(|(id, name)| {
            let config = MeterConfig::new(name, Formula::Sum);
            (id.clone(), config.also(Formula::Max).also(Formula::Last))
        });
        if arguments.durable {
            let dir = arguments.dir.join("store");
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            let mut options = StoreOptions::default();
            (options.threads, options.capacity) = (arguments.threads, room.unwrap_or_default());
            let (store, _) = MeterStore::open(dir, options)?;
            for (id, config) in configs {
                store.define(id, config, now)?;
            }
            if room.is_some() {
                store.reserve(events as u64 * EVENT_BYTES)?;
            }
            return Ok(Self::Disk(store));
        }
        let mut meters = Aggregator::new(DedupePolicy::default()).threads(arguments.threads);
        for (id, config) in configs {
            meters.define(id, config)?;
        }
        room.into_iter().for_each(|room| meters.reserve(room));
        Ok(Self::Memory(Box::new(meters)))
    }

    /// Takes a batch in, and to the disk where there is one; what was refused first.
    fn take(
        &mut self,
        position: u64,
        columns: EventColumns<'_>,
        now: Timestamp,
    ) -> Result<Option<RefusedEvent>> {
        let refused = match self {
            Self::Memory(meters) => {
                let context = AdmitContext::new(now, &Anyone);
                meters.take(Position(position), columns, &context).refused
            }
            Self::Disk(store) => store.ingest(columns, now)?.wait()?.refused,
        };
        Ok(refused.first().copied())
    }

    fn read<T>(&self, ask: impl FnOnce(&Aggregator) -> T) -> Result<T> {
        match self {
            Self::Memory(meters) => Ok(ask(meters)),
            Self::Disk(store) => Ok(store.read(ask)?),
        }
    }
}

/// Takes everything in.
fn pass(arguments: &Arguments, events: &WorkloadBatch) -> Result<Pass> {
    let last = events.times.iter().max().copied().unwrap_or_default();
    let now = Timestamp::from_unix(last / 1_000_000_000 + 1)?;
    let ids: Vec<Meter> = (1..).zip(EVENT_NAMES).map(|(number, _)| Id::derived(number)).collect();
    let mut meters = Meters::new(arguments, &ids, events.len(), now)?;
    let month = Period::new(Timestamp::from_unix(now.unix() - 35 * 86_400)?, now);
    let (mut batches, mut queries) = (Latencies::new()?, Latencies::new()?);
    let mut asked = 0_u64;
    let (began, cpu_before) = (Instant::now(), cpu());
    for (position, from) in (1..).zip((0..events.len()).step_by(arguments.batch)) {
        let to = events.len().min(from + arguments.batch);
        let started = Instant::now();
        let refused = meters.take(position, events.columns(from..to)?, now)?;
        batches.add(started.elapsed());
        if let Some(refused) = refused {
            return Err(format!("event {}: {}", from + refused.index, refused.cause).into());
        }
        if arguments.online {
            let customer = format!("{:016x}", events.customers[from + (to - from) / 2]);
            let started = Instant::now();
            asked += meters.read(|meters| {
                let all = ids.iter().map(|meter| {
                    let totals = meters.totals(meter, &customer, month, Position::MAX)?;
                    Ok::<_, MeterError>(totals.events)
                });
                all.sum::<std::result::Result<u64, _>>()
            })??;
            queries.add(started.elapsed());
        }
    }
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), cpu() - cpu_before);
    if arguments.online && asked == 0 {
        return Err("the queries found nothing".into());
    }
    Ok(Pass { meters, ids, seconds, cpu_seconds, batches, queries })
}

/// All keys that have events, in order.
fn keys(events: &WorkloadBatch) -> Vec<Key> {
    let mut keys: Vec<Key> = (0..events.len()).map(|row| rows::key(events, row)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
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

/// Two hash maps on one thread, filled twice; they keep their memory where they are cleared, and
/// with `ahead` they are, so that the second pass finds them of the final size and touched.
fn maps<S: BuildHasher + Default>(events: &WorkloadBatch, ties: &Ties, ahead: bool) -> Answer {
    let mut answer = Answer::default();
    let (mut seen, mut found) = (HashSet::with_hasher(S::default()), HashMap::default());
    let began = Instant::now();
    rows::aggregate(events, &mut seen, &mut found);
    answer.first_seconds = Some(began.elapsed().as_secs_f64());
    answer.peak_mib = peak_mib();
    if ahead {
        seen.clear();
        found.clear();
    } else {
        (seen, found) = (HashSet::with_hasher(S::default()), HashMap::default());
    }
    let (began, cpu_before) = (Instant::now(), cpu());
    rows::aggregate(events, &mut seen, &mut found);
    answer.seconds = began.elapsed().as_secs_f64();
    answer.cpu_seconds = Some(cpu() - cpu_before);
    let began = Instant::now();
    found.iter().for_each(|(key, row)| answer.totals.add(*key, row, ties));
    answer.read_seconds = Some(began.elapsed().as_secs_f64());
    answer
}

/// Multiply and fold, a word at a time: the fast hash that one takes where nobody chooses the keys.
#[derive(Default, Clone, Copy)]
struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        let word = self.0.rotate_left(23) ^ word ^ 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(word) * 0xd6e8_feb8_6659_fd93;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64((word >> 64) as u64);
        self.write_u64(word as u64);
    }
}

/// Prints what a side came to, for the process that started it.
pub fn print(answer: &Answer) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}
