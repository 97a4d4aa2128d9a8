//! What one meter has counted: its events, and what is kept to answer quickly.

use super::Position;
use super::events::Events;
use crate::block::BlockEvent;
use crate::{DedupePolicy, EventTimeWindow, Formula, MeterConfig};
use counterfoil_core::{Decimal12, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Nanoseconds of an hour, the length of a bucket.
pub(super) const HOUR_NANOS: i64 = 3_600_000_000_000;
/// Nanoseconds of a day.
pub(super) const DAY_NANOS: i64 = 24 * HOUR_NANOS;

/// The number of an event in the order in which the meter took them.
pub(super) type Ordinal = usize;

#[derive(Debug, Clone)]
pub(super) struct MeterState {
    pub(super) config: MeterConfig,
    pub(super) active: bool,
    /// Every event ever taken, cancelled ones too.
    pub(super) events: Events,
    /// The identifiers that are still remembered.
    pub(super) identifiers: BTreeMap<Arc<str>, Ordinal>,
    /// The first event whose identifier may still be remembered.
    remembered_from: Ordinal,
    pub(super) customers: BTreeMap<Arc<str>, CustomerUsage>,
    /// The sum of the absolute values of all events, in trillionths. While it fits an `i128`, so
    /// does the sum over any choice of them.
    pub(super) magnitude: u128,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) identifier: Arc<str>,
    pub(super) customer: Arc<str>,
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    pub(super) value: Decimal12,
    pub(super) received_at: Timestamp,
    pub(super) position: Position,
    pub(super) cancelled: Option<Position>,
}

impl Event {
    /// Whether it was taken and not yet cancelled at a cut.
    pub(super) fn is_live(&self, cut: Position) -> bool {
        self.position <= cut && self.cancelled.is_none_or(|cancelled| cancelled > cut)
    }
}

/// The events of one customer by time, and their sums by hour.
#[derive(Debug, Clone, Default)]
pub(super) struct CustomerUsage {
    /// All events, live or not, by time and, at equal times, in order of receipt.
    pub(super) by_time: BTreeSet<(i64, Ordinal)>,
    /// What the hours sum to now, by the number of the hour since 1970.
    pub(super) hours: BTreeMap<i64, Bucket>,
    /// The event that counts in each window of pre-aggregated input, by the number of the window.
    winners: BTreeMap<i64, Ordinal>,
}

/// The events that count in one hour.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    pub(super) tally: Tally,
    /// The last position that changed it: cuts from there on can use it.
    pub(super) changed: Position,
}

/// A sum in trillionths, and over how many events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sum: i128,
    pub(super) events: u64,
}

// The sums cannot overflow: admission keeps `MeterState::magnitude` within an `i128`, and a block
// that was never admitted is only required not to panic.
impl Tally {
    pub(super) fn add(&mut self, value: Decimal12) {
        self.sum = self.sum.saturating_add(value.trillionths());
        self.events = self.events.saturating_add(1);
    }

    fn remove(&mut self, value: Decimal12) {
        self.sum = self.sum.saturating_sub(value.trillionths());
        self.events = self.events.saturating_sub(1);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.events = self.events.saturating_add(other.events);
    }
}

impl EventTimeWindow {
    pub(super) const fn nanos(self) -> i64 {
        match self {
            Self::Hour => HOUR_NANOS,
            Self::Day => DAY_NANOS,
        }
    }
}

impl CustomerUsage {
    fn bucket(&mut self, time: i64, position: Position) -> &mut Tally {
        let bucket = self.hours.entry(time.div_euclid(HOUR_NANOS)).or_default();
        bucket.changed = position;
        &mut bucket.tally
    }

    /// The events of a time range in nanoseconds, in order of time, then of receipt.
    pub(super) fn ordinals(&self, range: Range<i64>) -> impl DoubleEndedIterator<Item = Ordinal> {
        let end = range.end.max(range.start);
        self.by_time.range((range.start, 0)..(end, 0)).map(|(_, ordinal)| *ordinal)
    }

    /// The most recently received event of a window that is live at a cut.
    fn winner(
        &self,
        events: &Events,
        window: EventTimeWindow,
        number: i64,
        cut: Position,
    ) -> Option<Ordinal> {
        let start = number.saturating_mul(window.nanos());
        self.ordinals(start..start.saturating_add(window.nanos()))
            .filter(|&ordinal| events.get(ordinal).is_some_and(|event| event.is_live(cut)))
            .max()
    }
}

impl MeterState {
    pub(super) fn new(config: MeterConfig) -> Self {
        Self {
            config,
            active: true,
            events: Events::default(),
            identifiers: BTreeMap::new(),
            remembered_from: 0,
            customers: BTreeMap::new(),
            magnitude: 0,
        }
    }

    /// The event that has used an identifier, if that is remembered at `now`.
    pub(super) fn first_with(
        &self,
        identifier: &str,
        now: Timestamp,
        policy: DedupePolicy,
    ) -> Option<&Event> {
        let event = self.events.get(*self.identifiers.get(identifier)?)?;
        policy.remembers(now.seconds_since(event.received_at)).then_some(event)
    }

    /// Drops the identifiers that are no longer remembered at `now`. Nothing can tell, as
    /// [`Self::first_with`] looks at the age itself.
    pub(super) fn forget(&mut self, now: Timestamp, policy: DedupePolicy) {
        while let Some(event) = self.events.get(self.remembered_from) {
            if policy.remembers(now.seconds_since(event.received_at)) {
                return;
            }
            if self.identifiers.get(&event.identifier) == Some(&self.remembered_from) {
                self.identifiers.remove(&event.identifier);
            }
            self.remembered_from = self.remembered_from.saturating_add(1);
        }
    }

    /// Takes in an event.
    pub(super) fn take(&mut self, new: BlockEvent<'_>, received_at: Timestamp, at: Position) {
        let customer = match self.customers.get_key_value(new.customer) {
            Some((customer, _)) => Arc::clone(customer),
            None => Arc::from(new.customer),
        };
        self.take_event(Event {
            identifier: new.identifier.into(),
            customer,
            time: new.time.nanos(),
            value: new.value,
            received_at,
            position: at,
            cancelled: None,
        });
    }

    /// Takes in an event that is not cancelled.
    pub(super) fn take_event(&mut self, event: Event) {
        let ordinal = self.events.len();
        let (time, value, at) = (event.time, event.value, event.position);
        self.identifiers.insert(Arc::clone(&event.identifier), ordinal);
        self.magnitude = self.magnitude.saturating_add(value.trillionths().unsigned_abs());
        let usage = self.customers.entry(Arc::clone(&event.customer)).or_default();
        self.events.push(event);
        usage.by_time.insert((time, ordinal));
        if let Some(window) = self.config.event_time_window {
            let before = usage.winners.insert(time.div_euclid(window.nanos()), ordinal);
            if let Some(before) = before.and_then(|before| self.events.get(before)) {
                usage.bucket(before.time, at).remove(before.value);
            }
        }
        usage.bucket(time, at).add(value);
    }

    /// Takes an event back. One that is unknown or was taken back before stays as it is.
    pub(super) fn cancel(&mut self, identifier: &str, at: Position) {
        if let Some(&ordinal) = self.identifiers.get(identifier) {
            self.cancel_event(ordinal, at);
        }
    }

    /// Takes an event back by its ordinal.
    pub(super) fn cancel_event(&mut self, ordinal: Ordinal, at: Position) {
        let Some(event) = self.events.get_mut(ordinal) else { return };
        if event.cancelled.is_some() {
            return;
        }
        event.cancelled = Some(at);
        let (customer, time, value) = (Arc::clone(&event.customer), event.time, event.value);
        let Some(usage) = self.customers.get_mut(&customer) else { return };
        if let Some(window) = self.config.event_time_window {
            let number = time.div_euclid(window.nanos());
            if usage.winners.get(&number) != Some(&ordinal) {
                return;
            }
            usage.winners.remove(&number);
            let next = usage.winner(&self.events, window, number, Position::MAX);
            if let Some((next, event)) = next.and_then(|n| Some((n, self.events.get(n)?))) {
                usage.winners.insert(number, next);
                usage.bucket(event.time, at).add(event.value);
            }
        }
        usage.bucket(time, at).remove(value);
    }

    /// The events that count in a time range at a cut.
    pub(super) fn counting<'a>(&'a self, usage: &'a CustomerUsage, cut: Position) -> Counting<'a> {
        Counting { meter: self, usage, cut, window: None }
    }

    /// The sum over a time range in nanoseconds at a cut: whole hours from their buckets, the
    /// edges and hours that changed after the cut from the events.
    pub(super) fn tally(&self, usage: &CustomerUsage, range: Range<i64>, cut: Position) -> Tally {
        let first = hour_from(range.start);
        let end = range.end.div_euclid(HOUR_NANOS);
        if first >= end {
            return self.tally_events(usage, range, cut);
        }
        let (head_end, tail_start) = (hour_start(first), hour_start(end));
        let mut total = self.tally_events(usage, range.start..head_end, cut);
        for (&hour, bucket) in usage.hours.range(first..end) {
            total.merge(if bucket.changed <= cut {
                bucket.tally
            } else {
                let start = hour_start(hour);
                self.tally_events(usage, start..start.saturating_add(HOUR_NANOS), cut)
            });
        }
        total.merge(self.tally_events(usage, tail_start..range.end, cut));
        total
    }

    fn tally_events(&self, usage: &CustomerUsage, range: Range<i64>, cut: Position) -> Tally {
        let mut counting = self.counting(usage, cut);
        let mut total = Tally::default();
        for event in usage.ordinals(range).filter_map(|ordinal| counting.get(ordinal)) {
            total.add(event.value);
        }
        total
    }

    /// The quantity of a time range at a cut, by the meter's formula, and the events it is of.
    pub(super) fn quantity(
        &self,
        usage: &CustomerUsage,
        range: Range<i64>,
        cut: Position,
    ) -> (Decimal12, u64) {
        let tally = self.tally(usage, range.clone(), cut);
        let quantity = match self.config.formula {
            Formula::Sum => Decimal12::from_trillionths(tally.sum),
            Formula::Count => Decimal12::from_trillionths(
                i128::from(tally.events).saturating_mul(Decimal12::SCALE),
            ),
            Formula::Last => {
                let mut counting = self.counting(usage, cut);
                let mut latest_first = usage.ordinals(range).rev();
                latest_first
                    .find_map(|ordinal| counting.get(ordinal))
                    .map_or(Decimal12::ZERO, |event| event.value)
            }
        };
        (quantity, tally.events)
    }
}

/// Tells which events count at a cut. Asked in order of time, in either direction, it looks at
/// each window of pre-aggregated input once.
pub(super) struct Counting<'a> {
    meter: &'a MeterState,
    usage: &'a CustomerUsage,
    cut: Position,
    /// The window last looked at, and the event that counts in it.
    window: Option<(i64, Option<Ordinal>)>,
}

impl<'a> Counting<'a> {
    /// The event, if it counts.
    pub(super) fn get(&mut self, ordinal: Ordinal) -> Option<&'a Event> {
        let event = self.live(ordinal)?;
        self.is_winner(ordinal, event).then_some(event)
    }

    /// The event, if it is live.
    pub(super) fn live(&self, ordinal: Ordinal) -> Option<&'a Event> {
        self.meter.events.get(ordinal).filter(|event| event.is_live(self.cut))
    }

    /// Whether a live event is the one that counts in its window.
    pub(super) fn is_winner(&mut self, ordinal: Ordinal, event: &Event) -> bool {
        let Some(window) = self.meter.config.event_time_window else { return true };
        let number = event.time.div_euclid(window.nanos());
        let winner = match self.window {
            Some((looked_at, winner)) if looked_at == number => winner,
            _ => {
                let events = &self.meter.events;
                let winner = self.usage.winner(events, window, number, self.cut);
                self.window = Some((number, winner));
                winner
            }
        };
        winner == Some(ordinal)
    }
}

/// The first hour that begins at or after a time.
fn hour_from(time: i64) -> i64 {
    let hour = time.div_euclid(HOUR_NANOS);
    if time.rem_euclid(HOUR_NANOS) == 0 { hour } else { hour.saturating_add(1) }
}

/// When an hour begins, or the nearest time that can be expressed.
pub(super) fn hour_start(hour: i64) -> i64 {
    hour.saturating_mul(HOUR_NANOS)
}
