//! Single events of many threads on their way into one block.
//!
//! Threads are spread over shards, so that they rarely wait for each other; whoever judges takes
//! the events of all shards out and puts them together.

use super::rows::Rows;
use super::sync::{AtomicU8, AtomicU64, Mutex, MutexGuard, Ordering, thread_number};
use crate::{Admission, EventRefusal, Outcome, RefusedEvent};
use counterfoil_core::{Decimal12, EventTime, Timestamp};
use std::sync::{Arc, LockResult, PoisonError};

/// Threads that submit without waiting for each other.
#[cfg(not(loom))]
pub(super) const SHARDS: usize = 16;
#[cfg(loom)]
pub(super) const SHARDS: usize = 2;
/// Results that are kept until their tickets are answered, to be used again.
const PAST_MAX: usize = 8;

/// One event, borrowed: what [`MeterStore::submit`](super::MeterStore::submit) takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleEvent<'a> {
    pub(super) event_name: &'a str,
    pub(super) customer: &'a str,
    pub(super) identifier: Identifier<'a>,
    pub(super) time: Option<EventTime>,
    pub(super) value: Value<'a>,
    pub(super) dimensions: &'a [(&'a str, &'a str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identifier<'a> {
    Generated,
    Text(&'a str),
    Number(u128),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Absent,
    Text(&'a str),
    Decimal(Decimal12),
}

impl<'a> SingleEvent<'a> {
    /// An event of a customer that happens when it is received, with an identifier that is
    /// generated, and without a value.
    #[must_use]
    pub const fn new(event_name: &'a str, customer: &'a str) -> Self {
        let (identifier, value) = (Identifier::Generated, Value::Absent);
        Self { event_name, customer, identifier, time: None, value, dimensions: &[] }
    }

    /// The same with an identifier, without which a retry counts twice. An empty one is none.
    #[must_use]
    pub const fn identifier(mut self, identifier: &'a str) -> Self {
        self.identifier = Identifier::Text(identifier);
        self
    }

    /// The same with a number as identifier: that whose text is its 32 hexadecimal digits.
    #[must_use]
    pub const fn number(mut self, identifier: u128) -> Self {
        self.identifier = Identifier::Number(identifier);
        self
    }

    /// The same at a time.
    #[must_use]
    pub const fn at(mut self, time: EventTime) -> Self {
        self.time = Some(time);
        self
    }

    /// The same with a value as text, in the grammar of [`Values::Text`](crate::Values::Text).
    #[must_use]
    pub const fn value(mut self, value: &'a str) -> Self {
        self.value = Value::Text(value);
        self
    }

    /// The same with a number as value.
    #[must_use]
    pub const fn decimal(mut self, value: Decimal12) -> Self {
        self.value = Value::Decimal(value);
        self
    }

    /// The same with dimensions: names and values. A value that is empty is none, of equal names
    /// the first one is the one, and what the meter does not keep is passed over (rule 12.2).
    #[must_use]
    pub const fn dimensions(mut self, dimensions: &'a [(&'a str, &'a str)]) -> Self {
        self.dimensions = dimensions;
        self
    }

    /// Bytes of its text.
    pub(super) fn text_bytes(&self) -> usize {
        let identifier = match self.identifier {
            Identifier::Text(text) => text.len(),
            _ => 32,
        };
        let value = match self.value {
            Value::Text(text) => text.len(),
            _ => 32,
        };
        let names = self.event_name.len().saturating_add(self.customer.len());
        let dimensions = self.dimensions.iter().fold(0_usize, |sum, (name, value)| {
            sum.saturating_add(name.len()).saturating_add(value.len())
        });
        names.saturating_add(identifier).saturating_add(value).saturating_add(dimensions)
    }
}

/// What became of the events of one shard in one block: set once they are judged.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Results {
    state: AtomicU8,
    /// What must be on disk before any of them is acknowledged.
    position: AtomicU64,
    /// What became of each, where not all were taken.
    others: Mutex<Others>,
}

const WAITING: u8 = 0;
const ALL_TAKEN: u8 = 1;
const SEE_OTHERS: u8 = 2;

#[derive(Debug, Default)]
struct Others {
    outcomes: Vec<Outcome>,
    refused: Vec<RefusedEvent>,
}

impl Results {
    fn new() -> Self {
        let (state, position) = (AtomicU8::new(WAITING), AtomicU64::new(0));
        Self { state, position, others: Mutex::new(Others::default()) }
    }

    /// What must be on disk before an event is acknowledged; `None` before they are judged.
    pub(super) fn position(&self) -> Option<u64> {
        match self.state.load(Ordering::Acquire) {
            WAITING => None,
            _ => Some(self.position.load(Ordering::Relaxed)),
        }
    }

    /// What became of an event that was judged, and why it was refused where it was.
    pub(super) fn outcome(&self, row: usize) -> (Outcome, Option<EventRefusal>) {
        if self.state.load(Ordering::Acquire) != SEE_OTHERS {
            return (Outcome::Taken, None);
        }
        // Nothing but reading happens under the lock.
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = others.outcomes.get(row).copied().unwrap_or(Outcome::Refused);
        let place = others.refused.binary_search_by_key(&row, |refused| refused.index);
        let refused = place.ok().and_then(|place| others.refused.get(place));
        (outcome, refused.map(|refused| refused.cause))
    }

    /// Says what became of its events, which are so many and began at a row of what was judged.
    pub(super) fn set(&self, position: u64, first: usize, len: usize, judged: &Admission) {
        let outcomes = judged.outcomes.as_deref().unwrap_or_default();
        let end = first.saturating_add(len);
        let own = outcomes.get(first..end).unwrap_or_default();
        let all = own.len() == len && own.iter().all(|&outcome| outcome == Outcome::Taken);
        if !all {
            let within = |refused: &&RefusedEvent| (first..end).contains(&refused.index);
            let refused = judged.refused.iter().filter(within);
            let refused = refused.map(|&RefusedEvent { index, cause }| RefusedEvent {
                index: index.saturating_sub(first),
                cause,
            });
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            others.outcomes.extend_from_slice(own);
            others.refused.extend(refused);
        }
        self.position.store(position, Ordering::Relaxed);
        self.state.store(if all { ALL_TAKEN } else { SEE_OTHERS }, Ordering::Release);
    }

    /// Makes it as new, with its memory.
    fn renew(&mut self) {
        self.state = AtomicU8::new(WAITING);
        let others = self.others.get_mut().unwrap_or_else(PoisonError::into_inner);
        others.outcomes.clear();
        others.refused.clear();
    }
}

/// Events of a shard that wait to be judged, all received in the same second.
#[derive(Debug)]
pub(super) struct Gathering {
    now: Option<Timestamp>,
    pub(super) rows: Rows,
    results: Arc<Results>,
    /// Those of former blocks.
    past: Vec<Arc<Results>>,
}

impl Gathering {
    pub(super) fn new() -> Self {
        let results = Arc::new(Results::new());
        Self { now: None, rows: Rows::default(), results, past: Vec::new() }
    }

    /// When its events were received; `None` where there is none.
    pub(super) const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Whether an event that is received now may be judged together with the others.
    pub(super) fn takes(&self, event: &SingleEvent<'_>, now: Timestamp) -> bool {
        let Some(own) = self.now else { return true };
        own == now && !self.rows.is_full() && self.rows.takes(event)
    }

    /// Adds an event that it takes; where its result will be.
    pub(super) fn push(
        &mut self,
        event: &SingleEvent<'_>,
        now: Timestamp,
    ) -> (Arc<Results>, usize) {
        let row = self.rows.len();
        self.now = Some(now);
        self.rows.push(event);
        (Arc::clone(&self.results), row)
    }

    /// Removes its events, as if they had been judged: a bug that can be planted.
    pub(super) fn forget(&mut self) {
        self.now = None;
        self.rows.clear();
    }

    /// Says what became of its events, which began at a row of what was judged, and removes them.
    pub(super) fn settle(&mut self, position: u64, first: usize, judged: &Admission) {
        self.results.set(position, first, self.rows.len(), judged);
        self.now = None;
        self.rows.clear();
        let free = self.past.iter_mut().position(|past| Arc::get_mut(past).is_some());
        let mut next = match free {
            Some(free) => self.past.swap_remove(free),
            None => Arc::new(Results::new()),
        };
        if let Some(next) = Arc::get_mut(&mut next) {
            next.renew();
        }
        let judged = std::mem::replace(&mut self.results, next);
        if self.past.len() < PAST_MAX {
            self.past.push(judged);
        }
    }
}

/// Events that wait to be judged, by the threads that gave them.
pub(super) struct Shards {
    shards: [Shard; SHARDS],
}

/// Apart from the others, so that what one thread writes is not taken from another's cache.
#[repr(align(128))]
struct Shard(Mutex<Gathering>);

impl Shards {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Shard(Mutex::new(Gathering::new()))) }
    }

    /// The shard of the calling thread, and its place.
    pub(super) fn own_place() -> usize {
        thread_number() % SHARDS
    }

    pub(super) fn lock(&self, place: usize) -> Option<LockResult<MutexGuard<'_, Gathering>>> {
        self.shards.get(place).map(|shard| shard.0.lock())
    }

    /// All shards, each locked when it is asked for.
    pub(super) fn lock_each(&self) -> impl Iterator<Item = LockResult<MutexGuard<'_, Gathering>>> {
        self.shards.iter().map(|shard| shard.0.lock())
    }
}
