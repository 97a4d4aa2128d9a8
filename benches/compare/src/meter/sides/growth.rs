//! What an event costs as there are more and more: the events are made here, a piece at a time, as
//! no file and no other process is to take the memory that the aggregator needs.

use std::time::{Duration, Instant};

use counterfoil_compare::Result;
use counterfoil_core::Timestamp;
use counterfoil_meter::{
    AdmitContext, Aggregator, Anyone, DedupePolicy, EventColumns, Memory, Position, SpillFile,
    workload::{Workload, WorkloadBatch},
};

use super::{Arguments, Disk, Meter, configs, cpu, disk_mib, meters, month, peak_mib};
use super::{own_mib, resident_mib};
use crate::{
    child::{Answer, Kept, Step},
    rows::Totals,
};

/// Events that are made at once; making them is not measured.
const CHUNK: usize = 1 << 20;
/// A step is told of after so many twentieths of all events.
const STEPS: [u64; 6] = [1, 2, 5, 10, 15, 20];

enum Meters {
    /// Where events are moved out of memory: the file, and how many stay.
    Memory(Box<Aggregator>, Option<(SpillFile, usize)>),
    Disk(Disk),
}

impl Meters {
    fn new(arguments: &Arguments, ids: &[Meter], now: Timestamp) -> Result<Self> {
        if arguments.durable {
            return Ok(Self::Disk(Disk::create(arguments, ids, now)?));
        }
        let mut meters = Aggregator::new(DedupePolicy::default()).threads(arguments.threads);
        for (id, config) in configs(ids) {
            meters.define(id, config)?;
        }
        arguments.room().into_iter().for_each(|room| meters.reserve(room));
        let spill = arguments
            .spill
            .map(|keep| Ok::<_, std::io::Error>((SpillFile::create(&arguments.dir)?, keep)));
        Ok(Self::Memory(Box::new(meters), spill.transpose()?))
    }

    /// How many of a batch were taken, and were duplicates.
    fn take(&mut self, columns: EventColumns<'_>, now: Timestamp) -> Result<(u64, u64)> {
        match self {
            Self::Memory(meters, spill) => {
                let position = Position(meters.position().0 + 1);
                let admission = meters.take(position, columns, &AdmitContext::new(now, &Anyone));
                if let Some((file, keep)) = spill {
                    while meters.spill(file, *keep)? > 0 {}
                }
                Ok((admission.taken, admission.duplicates))
            }
            Self::Disk(disk) => {
                let ack = disk.store.ingest(columns, now)?.wait()?;
                Ok((ack.taken, ack.duplicates))
            }
        }
    }

    /// MiB of the file that events were moved to.
    fn spilled_mib(&self) -> Option<f64> {
        match self {
            Self::Memory(_, Some((file, _))) => Some(file.bytes() as f64 / f64::from(1 << 20)),
            _ => None,
        }
    }

    fn ask<T>(&self, ask: impl FnOnce(&Aggregator) -> T) -> Result<T> {
        match self {
            Self::Memory(meters, _) => Ok(ask(meters)),
            Self::Disk(disk) => Ok(disk.store.read(ask)?),
        }
    }
}

/// How far it is.
#[derive(Default)]
struct Progress {
    given: u64,
    busy: Duration,
    /// Of the last so many events.
    busy_here: Duration,
    given_here: u64,
    stall: Duration,
    taken: u64,
    duplicates: u64,
    /// What must come out: distinct events, and the sum of their values.
    expected: Totals,
}

pub fn measure(arguments: &Arguments) -> Result<Answer> {
    let [seed, customers, repeats] = arguments.workload[..] else {
        return Err("a workload is needed".into());
    };
    let repeats = u32::try_from(repeats)?;
    let workload = Workload::new(seed, arguments.events, u32::try_from(customers)?, repeats);
    let (now, ids) = (workload.end(), meters());
    let mut meters = Meters::new(arguments, &ids, now)?;
    let (mut progress, mut answer) = (Progress::default(), Answer::default());
    let window = workload.len() / 20;
    let (mut batch, cpu_before) = (WorkloadBatch::default(), cpu());
    for part in STEPS {
        let end = workload.len() * part / 20;
        while progress.given < end && answer.stopped.is_none() {
            let start = end.saturating_sub(window);
            if progress.given == start {
                (progress.busy_here, progress.given_here) = (Duration::ZERO, 0);
            }
            let bound = if progress.given < start { start } else { end };
            let rows = usize::try_from((bound - progress.given).min(CHUNK as u64))?;
            workload.fill(&mut batch, progress.given, rows);
            progress.note(&workload, &batch);
            progress.take(arguments, &mut meters, &batch, now)?;
            answer.stopped = limit(arguments, &meters);
        }
        let step = step(arguments, &meters, &progress)?;
        answer.steps.push(step);
        eprintln!(
            "  {} events: {:.1} ns an event, {:.1} here; {:.0} MiB",
            step.events, step.mean_nanos, step.here_nanos, step.resident_mib
        );
        if let Some(reason) = &answer.stopped {
            eprintln!("  ended after {} events: {reason}", progress.given);
            break;
        }
    }
    answer.seconds = progress.busy.as_secs_f64();
    answer.cpu_seconds = Some(cpu() - cpu_before);
    answer.peak_mib = peak_mib();
    answer.stall = Some(progress.stall.as_secs_f64() * 1e6);
    answer.kept = Some(Kept::of(&meters.ask(Aggregator::memory)?));
    drop(batch);
    progress.check(&meters, &ids, now)?;
    if let Meters::Disk(disk) = meters {
        disk.close()?;
        std::fs::remove_dir_all(arguments.store())?;
    }
    Ok(answer)
}

/// Why it is to end.
fn limit(arguments: &Arguments, meters: &Meters) -> Option<String> {
    let over = |is: f64, most: Option<u64>| most.is_some_and(|most| is > most as f64);
    let memory = if arguments.spill.is_some() { own_mib() } else { resident_mib() };
    if over(memory, arguments.memory_mib) {
        return Some(format!("{} MiB of memory", arguments.memory_mib.unwrap_or_default()));
    }
    let disk = over(used_mib(arguments, meters), arguments.disk_mib);
    disk.then(|| format!("{} MiB on disk", arguments.disk_mib.unwrap_or_default()))
}

/// What there is on disk.
fn used_mib(arguments: &Arguments, meters: &Meters) -> f64 {
    let store = if arguments.durable { disk_mib(&arguments.store()) } else { 0.0 };
    store + meters.spilled_mib().unwrap_or(0.0)
}

fn step(arguments: &Arguments, meters: &Meters, progress: &Progress) -> Result<Step> {
    let nanos = |busy: Duration, events: u64| busy.as_secs_f64() * 1e9 / events.max(1) as f64;
    let memory: Memory = meters.ask(Aggregator::memory)?;
    let checkpoint_seconds = match meters {
        Meters::Memory(..) => None,
        Meters::Disk(disk) => {
            let began = Instant::now();
            disk.store.checkpoint()?;
            Some(began.elapsed().as_secs_f64())
        }
    };
    Ok(Step {
        events: progress.given,
        mean_nanos: nanos(progress.busy, progress.given),
        here_nanos: nanos(progress.busy_here, progress.given_here),
        stall_millis: progress.stall.as_secs_f64() * 1e3,
        resident_mib: if arguments.spill.is_some() { own_mib() } else { resident_mib() },
        disk_mib: used_mib(arguments, meters),
        per_event: Kept::of(&memory).per_event,
        checkpoint_seconds,
    })
}

impl Progress {
    /// Takes note of what must come out of the events that follow.
    fn note(&mut self, workload: &Workload, batch: &WorkloadBatch) {
        for (number, units) in (self.given..).zip(&batch.units) {
            if !workload.is_repeat(number) {
                self.expected.count += 1;
                self.expected.sum += units;
            }
        }
    }

    fn take(
        &mut self,
        arguments: &Arguments,
        meters: &mut Meters,
        batch: &WorkloadBatch,
        now: Timestamp,
    ) -> Result<()> {
        for from in (0..batch.len()).step_by(arguments.batch) {
            let to = batch.len().min(from + arguments.batch);
            let columns = batch.columns(from..to)?;
            let began = Instant::now();
            let (taken, duplicates) = meters.take(columns, now)?;
            let busy = began.elapsed();
            self.busy += busy;
            self.busy_here += busy;
            self.stall = self.stall.max(busy);
            self.taken += taken;
            self.duplicates += duplicates;
        }
        self.given += batch.len() as u64;
        self.given_here += batch.len() as u64;
        Ok(())
    }

    /// Compares number and sum of all events of all customers with what went in.
    fn check(&self, meters: &Meters, ids: &[Meter], now: Timestamp) -> Result<()> {
        let expected = (self.expected.count, self.given - self.expected.count);
        if (self.taken, self.duplicates) != expected {
            let found = (self.taken, self.duplicates);
            return Err(format!("taken and duplicates {found:?}, expected {expected:?}").into());
        }
        let found = meters.ask(|meters| sums(meters, ids, now))??;
        if (found.count, found.sum) != (self.expected.count, self.expected.sum) {
            return Err(format!("came to {found:?}, expected {:?}", self.expected).into());
        }
        Ok(())
    }
}

/// Number and sum of all events of all customers, by the public readings.
fn sums(meters: &Aggregator, ids: &[Meter], now: Timestamp) -> Result<Totals> {
    let (period, mut totals) = (month(now)?, Totals::default());
    for id in ids {
        for reading in meters.usage_by_customer(id, period, Position::MAX)?.values() {
            totals.count += reading.events;
            totals.sum += i64::try_from(reading.quantity.trillionths() / 1_000_000)?;
        }
    }
    Ok(totals)
}
