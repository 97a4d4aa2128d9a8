//! Single events of several threads.

use counterfoil_core::{Decimal12, EventTime, Timestamp};
use counterfoil_meter::Outcome;
use counterfoil_meter::store::{EventAck, EventTicket, MeterStore, SingleEvent, StoreError};
use counterfoil_meter::workload::{EVENT_NAMES, WorkloadBatch};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Trillionths of a unit of the workload's values.
const UNIT: i128 = 1_000_000;

/// What events that were given came to.
#[derive(Default)]
pub(super) struct Given {
    /// From giving each event to its acknowledgement.
    pub(super) acks: Vec<Duration>,
    /// From the first event to the last acknowledgement.
    pub(super) busy: Duration,
    pub(super) taken: u64,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
}

/// An event that is not acknowledged yet.
struct Held {
    given: Instant,
    ticket: EventTicket,
}

/// Gives events to a store, from so many threads with so many unanswered ones of each.
pub(super) fn give(
    store: &MeterStore,
    events: &WorkloadBatch,
    (threads, held): (usize, u32),
    now: Timestamp,
) -> Result<Given, StoreError> {
    let customers: Vec<String> = events.customers.iter().map(|id| format!("{id:016x}")).collect();
    let source = Source { store, events, customers: &customers, now };
    let held = usize::try_from(held).unwrap_or(1);
    let mut all = Given::default();
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<(), StoreError> {
        let source = &source;
        let give = |first| scope.spawn(move || source.give(first, threads, held));
        let running: Vec<_> = (0..threads).map(give).collect();
        for thread in running {
            // A panic of a thread is one of the program.
            let given = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.acks.extend(given.acks);
            all.taken = all.taken.saturating_add(given.taken);
            all.duplicates = all.duplicates.saturating_add(given.duplicates);
            all.refused = all.refused.saturating_add(given.refused);
        }
        Ok(())
    })?;
    all.busy = began.elapsed();
    Ok(all)
}

struct Source<'a> {
    store: &'a MeterStore,
    events: &'a WorkloadBatch,
    customers: &'a [String],
    now: Timestamp,
}

impl Source<'_> {
    /// Gives every so-manieth event.
    fn give(&self, first: usize, step: usize, held_max: usize) -> Result<Given, StoreError> {
        let (mut given, mut held) = (Given::default(), VecDeque::with_capacity(held_max));
        for row in (first..self.events.len()).step_by(step) {
            let Some(event) = self.event(row) else { continue };
            let at = Instant::now();
            let ticket = self.store.submit(&event, self.now)?;
            held.push_back(Held { given: at, ticket });
            given.settle(&mut held, held_max.saturating_sub(1))?;
        }
        given.settle(&mut held, 0)?;
        Ok(given)
    }

    fn event(&self, row: usize) -> Option<SingleEvent<'_>> {
        let events = self.events;
        let name = EVENT_NAMES.get(usize::from(*events.names.get(row)?))?;
        let value = i128::from(*events.units.get(row)?).checked_mul(UNIT)?;
        let event = SingleEvent::new(name, self.customers.get(row)?)
            .number(*events.identifiers.get(row)?)
            .at(EventTime::from_nanos(*events.times.get(row)?))
            .decimal(Decimal12::from_trillionths(value));
        Some(event)
    }
}

impl Given {
    /// Takes note of events that are on disk, and waits for the oldest where more are not than may
    /// be.
    fn settle(&mut self, held: &mut VecDeque<Held>, most: usize) -> Result<(), StoreError> {
        while held.len() > most || held.front().is_some_and(|first| first.ticket.is_durable()) {
            let Some(Held { given, ticket }) = held.pop_front() else { break };
            let EventAck { outcome, .. } = ticket.wait()?;
            self.acks.push(given.elapsed());
            let count = match outcome {
                Outcome::Taken => &mut self.taken,
                Outcome::Refused => &mut self.refused,
                _ => &mut self.duplicates,
            };
            *count = count.saturating_add(1);
        }
        Ok(())
    }
}
