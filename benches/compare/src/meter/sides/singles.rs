//! Counterfoil with single events of many threads, each on disk before it is acknowledged.

use std::{collections::VecDeque, thread, time::Instant};

use counterfoil_compare::{Result, stats::Latencies};
use counterfoil_core::{Decimal12, EventTime, Timestamp};
use counterfoil_meter::{
    Aggregator, Outcome,
    store::{EventTicket, MeterStore, SingleEvent},
    workload::{EVENT_NAMES, WorkloadBatch},
};

use super::{Arguments, Disk, all_hours, check_rows, cpu, end_of, meters, peak_mib, read};
use crate::{
    child::{Answer, Kept, Percentiles},
    rows::{self, Ties},
};

pub fn measure(arguments: &Arguments, events: &WorkloadBatch, ties: &Ties) -> Result<Answer> {
    let (now, ids) = (end_of(events)?, meters());
    let disk = Disk::create(arguments, &ids, now)?;
    let customers: Vec<String> = events.customers.iter().map(|id| format!("{id:016x}")).collect();
    let source = Source { events, customers: &customers, now, held: arguments.held };
    let mut acks = Latencies::new()?;
    let (began, cpu_before) = (Instant::now(), cpu());
    thread::scope(|scope| -> Result<()> {
        let (source, store) = (&source, &disk.store);
        let start = |first| scope.spawn(move || source.give(store, first, arguments.threads));
        let threads: Vec<_> = (0..arguments.threads).map(start).collect();
        for thread in threads {
            acks.join(&thread.join().map_err(|_| "a thread panicked")??)?;
        }
        Ok(())
    })?;
    let (seconds, cpu_seconds) = (began.elapsed().as_secs_f64(), cpu() - cpu_before);
    let mut keys = rows::read_keys(&arguments.dir, arguments.events)?;
    disk.store.read(|meters| check_rows(meters, &keys))??;
    all_hours(&mut keys);
    let answer = Answer {
        seconds,
        cpu_seconds: Some(cpu_seconds),
        peak_mib: peak_mib(),
        kept: Some(Kept::of(&disk.store.read(Aggregator::memory)?)),
        ack: Some(Percentiles::of(&acks)),
        series: Some(disk.store.read(|meters| read(meters, &ids, &keys, ties))??),
        ..Answer::default()
    };
    disk.close()?;
    Ok(answer)
}

/// What the threads take events from.
struct Source<'a> {
    events: &'a WorkloadBatch,
    customers: &'a [String],
    now: Timestamp,
    /// Events that may be unanswered; 1: each is waited for.
    held: usize,
}

impl Source<'_> {
    /// Gives every so-manieth event, one by one: how long each took to its acknowledgement.
    fn give(&self, store: &MeterStore, first: usize, step: usize) -> Result<Latencies> {
        let mut acks = Latencies::new()?;
        let mut given = VecDeque::with_capacity(self.held);
        for row in (first..self.events.len()).step_by(step) {
            let at = Instant::now();
            let name = EVENT_NAMES[usize::from(self.events.names[row])];
            let value = Decimal12::from_trillionths(i128::from(self.events.units[row]) * 1_000_000);
            let event = SingleEvent::new(name, &self.customers[row])
                .number(self.events.identifiers[row])
                .at(EventTime::from_nanos(self.events.times[row]))
                .decimal(value);
            given.push_back((at, store.submit(&event, self.now)?));
            settle(&mut given, self.held.saturating_sub(1), &mut acks)?;
        }
        settle(&mut given, 0, &mut acks)?;
        Ok(acks)
    }
}

/// Takes note of the events that are on disk, and waits for the oldest where more are not than may
/// be.
fn settle(
    given: &mut VecDeque<(Instant, EventTicket)>,
    held: usize,
    acks: &mut Latencies,
) -> Result<()> {
    while given.len() > held || given.front().is_some_and(|(_, ticket)| ticket.is_durable()) {
        let Some((at, ticket)) = given.pop_front() else { break };
        let ack = ticket.wait()?;
        acks.add(at.elapsed());
        if ack.outcome == Outcome::Refused {
            return Err(format!("an event was refused: {:?}", ack.refused).into());
        }
    }
    Ok(())
}
