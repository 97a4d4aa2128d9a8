//! Counterfoil with batches: in memory or on disk, with a query after each or without.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use counterfoil_compare::{Result, stats::Latencies};
use counterfoil_core::{Period, Timestamp};
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, DedupePolicy, EventColumns, Position, RefusedEvent,
    store::Ticket, workload::WorkloadBatch,
};

use super::{Arguments, Disk, Meter, all_hours, check_rows, configs, cpu, end_of, meters};
use super::{month, peak_mib, read};
use crate::{
    child::{Answer, Kept, Percentiles},
    rows::{self, Ties},
};

/// What it comes to to take everything in.
struct Pass {
    meters: Meters,
    ids: Vec<Meter>,
    seconds: f64,
    cpu_seconds: f64,
    watch: Watch,
}

/// How long things took.
struct Watch {
    /// From giving a batch to its acknowledgement.
    batches: Latencies,
    queries: Latencies,
    /// The longest time that a call kept its caller.
    stall: Duration,
}

/// Takes everything in, with `--twice` into a new aggregator after another one: the first one finds
/// memory as it comes from the system; what it touched is used again by the second one, where the
/// allocator was told to keep it.
pub fn measure(arguments: &Arguments, events: &WorkloadBatch, ties: &Ties) -> Result<Answer> {
    let first_seconds = match arguments.twice {
        true => {
            let first = pass(arguments, events)?;
            first.meters.finish()?;
            Some(first.seconds)
        }
        false => None,
    };
    let first_peak = peak_mib();
    let Pass { meters, ids, seconds, cpu_seconds, watch } = pass(arguments, events)?;
    let mut answer = Answer {
        first_seconds,
        peak_mib: if arguments.twice { first_peak } else { peak_mib() },
        seconds,
        cpu_seconds: Some(cpu_seconds),
        batch: Some(Percentiles::of(&watch.batches)),
        query: arguments.online.then(|| Percentiles::of(&watch.queries)),
        stall: Some(watch.stall.as_secs_f64() * 1e6),
        ..Answer::default()
    };
    answer.kept = Some(Kept::of(&meters.read(Aggregator::memory)?));
    let mut keys = rows::read_keys(&arguments.dir, arguments.events)?;
    meters.read(|meters| check_rows(meters, &keys))??;
    if arguments.rows {
        let began = Instant::now();
        answer.totals = meters.read(|meters| read(meters, &ids, &keys, ties))??;
        answer.read_seconds = Some(began.elapsed().as_secs_f64());
    }
    all_hours(&mut keys);
    answer.series = Some(meters.read(|meters| read(meters, &ids, &keys, ties))??);
    meters.finish()?;
    Ok(answer)
}

/// What takes events in.
enum Meters {
    Memory(Box<Aggregator>),
    Disk(Disk),
}

/// A batch that was given to a store.
struct Given {
    at: Instant,
    ticket: Ticket,
}

impl Meters {
    /// Meters that took nothing yet. A store is in a new folder.
    fn new(arguments: &Arguments, ids: &[Meter], now: Timestamp) -> Result<Self> {
        if arguments.durable {
            return Ok(Self::Disk(Disk::create(arguments, ids, now)?));
        }
        let mut meters = Aggregator::new(DedupePolicy::default()).threads(arguments.threads);
        for (id, config) in configs(ids) {
            meters.define(id, config)?;
        }
        arguments.room().into_iter().for_each(|room| meters.reserve(room));
        Ok(Self::Memory(Box::new(meters)))
    }

    /// Takes a batch in, and to the disk where there is one; what was refused first.
    fn take(
        &mut self,
        position: u64,
        columns: EventColumns<'_>,
        now: Timestamp,
        given: &mut VecDeque<Given>,
        watch: &mut Watch,
    ) -> Result<Option<RefusedEvent>> {
        let at = Instant::now();
        let refused = match self {
            Self::Memory(meters) => {
                let context = AdmitContext::new(now, &Anyone);
                let refused = meters.take(Position(position), columns, &context).refused;
                watch.batches.add(at.elapsed());
                refused.first().copied()
            }
            Self::Disk(disk) => {
                given.push_back(Given { at, ticket: disk.store.ingest(columns, now)? });
                None
            }
        };
        watch.stall = watch.stall.max(at.elapsed());
        Ok(refused)
    }

    fn read<T>(&self, ask: impl FnOnce(&Aggregator) -> T) -> Result<T> {
        match self {
            Self::Memory(meters) => Ok(ask(meters)),
            Self::Disk(disk) => Ok(disk.store.read(ask)?),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Disk(disk) => disk.close(),
        }
    }
}

/// Takes note of the batches that are on disk, and waits for the oldest where more are not than may
/// be.
fn settle(given: &mut VecDeque<Given>, held: usize, watch: &mut Watch) -> Result<()> {
    let began = Instant::now();
    while given.len() > held || given.front().is_some_and(|first| first.ticket.is_durable()) {
        let Some(Given { at, ticket }) = given.pop_front() else { break };
        if let Some(refused) = ticket.wait()?.refused.first() {
            return Err(format!("event {} of a batch: {}", refused.index, refused.cause).into());
        }
        watch.batches.add(at.elapsed());
    }
    watch.stall = watch.stall.max(began.elapsed());
    Ok(())
}

/// Takes everything in.
fn pass(arguments: &Arguments, events: &WorkloadBatch) -> Result<Pass> {
    let (now, ids) = (end_of(events)?, meters());
    let mut meters = Meters::new(arguments, &ids, now)?;
    let month = month(now)?;
    let mut watch =
        Watch { batches: Latencies::new()?, queries: Latencies::new()?, stall: Duration::ZERO };
    let mut given = VecDeque::new();
    let mut asked = 0_u64;
    let (began, cpu_before) = (Instant::now(), cpu());
    for (position, from) in (1..).zip((0..events.len()).step_by(arguments.batch)) {
        let to = events.len().min(from + arguments.batch);
        let columns = events.columns(from..to)?;
        if let Some(refused) = meters.take(position, columns, now, &mut given, &mut watch)? {
            return Err(format!("event {}: {}", from + refused.index, refused.cause).into());
        }
        // Of as many as may be unanswered, this one is the last.
        settle(&mut given, arguments.held.saturating_sub(1), &mut watch)?;
        if arguments.online {
            let customer = format!("{:016x}", events.customers[from + (to - from) / 2]);
            let started = Instant::now();
            asked += ask(&meters, &customer, month)?;
            watch.queries.add(started.elapsed());
            watch.stall = watch.stall.max(started.elapsed());
        }
    }
    settle(&mut given, 0, &mut watch)?;
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), cpu() - cpu_before);
    if arguments.online && asked == 0 {
        return Err("the queries found nothing".into());
    }
    Ok(Pass { meters, ids, seconds, cpu_seconds, watch })
}

/// A customer's running totals over all meters; how many events they are of.
fn ask(meters: &Meters, customer: &str, period: Period) -> Result<u64> {
    meters.read(|meters| {
        let totals = meters.running_totals(customer, period, Position::MAX);
        totals.map(|(_, totals)| totals.events).sum()
    })
}
