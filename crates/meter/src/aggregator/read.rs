//! Reads at a cut.

use super::usage::{CustomerUsage, DAY_NANOS, HOUR_NANOS, MeterState};
use super::{Aggregator, Position};
use crate::MeterError;
use counterfoil_core::{Decimal12, EventTime, Id, Period, Refusal, Timestamp, kind};
use serde::{Deserialize, Serialize};
use std::ops::Range;

const MINUTE_SECONDS: i64 = 60;

/// What was used in a period, read at a cut. Kept with what is made of it, it can be derived again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UsageReading {
    /// The quantity by the meter's formula; it may be negative.
    pub quantity: Decimal12,
    /// How many events it is of.
    pub events: u64,
    /// The last position applied at or before the cut; 0 before any. A reading there is the same.
    pub position: Position,
}

/// How summaries are grouped (rule 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// By UTC hour.
    Hour,
    /// By UTC day.
    Day,
}

impl Grouping {
    const fn nanos(self) -> i64 {
        match self {
            Self::Hour => HOUR_NANOS,
            Self::Day => DAY_NANOS,
        }
    }

    /// Bounds of a summary have to be whole multiples of this, and why.
    const fn alignment(grouping: Option<Self>) -> (i64, &'static str) {
        match grouping {
            None => (MINUTE_SECONDS, "a whole minute"),
            Some(Self::Hour) => (60 * MINUTE_SECONDS, "a whole hour when grouped by hour"),
            Some(Self::Day) => (1_440 * MINUTE_SECONDS, "midnight UTC when grouped by day"),
        }
    }
}

/// One row of summaries (rule 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Summary {
    /// What the row is of.
    pub period: Period,
    /// The quantity by the meter's formula; it may be negative.
    pub value: Decimal12,
}

/// An event behind a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageEvent<'a> {
    /// Unique within the event name; generated where none was given.
    pub identifier: &'a str,
    /// When the usage happened.
    pub time: EventTime,
    /// How much; zero for a meter that counts.
    pub value: Decimal12,
    /// Where the log has it.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// Whether it counts: false where a later one of its hour or day has replaced it.
    pub counts: bool,
}

impl Aggregator {
    /// What a customer used on a meter in a period, to the second, with what was applied up to a
    /// cut: later events are not there yet, later cancellations have not happened. A customer
    /// without events used 0.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn usage(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> Result<UsageReading, MeterError> {
        let state = self.state(meter)?;
        let (quantity, events) = state
            .customers
            .get(customer)
            .map_or((Decimal12::ZERO, 0), |usage| state.quantity(usage, range_of(period), cut));
        Ok(UsageReading { quantity, events, position: self.position_at(cut) })
    }

    /// Usage by hour or day, ascending, or of the whole range in one row (rule 12.5). Hours and
    /// days in which nothing counts have no row.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`] for an unknown meter, and [`Refusal::ParameterInvalid`] where
    /// the range is empty or its bounds are not whole minutes (hours, days where grouped by them).
    pub fn summaries(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        grouping: Option<Grouping>,
        cut: Position,
    ) -> Result<Vec<Summary>, Refusal> {
        let state = self.state(meter)?;
        let (unit, rule) = Grouping::alignment(grouping);
        for (param, at) in [("start_time", period.start), ("end_time", period.end)] {
            if at.unix().rem_euclid(unit) != 0 {
                return Err(Refusal::invalid(param, format!("{at} is not {rule}")));
            }
        }
        if period.is_empty() {
            let reason = format!("{} is not after start_time {}", period.end, period.start);
            return Err(Refusal::invalid("end_time", reason));
        }
        let Some(grouping) = grouping else {
            let value = self.usage(meter, customer, period, cut)?.quantity;
            return Ok(vec![Summary { period, value }]);
        };
        match state.customers.get(customer) {
            Some(usage) => Ok(grouped(state, usage, range_of(period), grouping, cut)),
            None => Ok(Vec::new()),
        }
    }

    /// The events behind the quantity of a period at a cut, in order of time, then of receipt.
    /// Cancelled ones are left out.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn events<'a>(
        &'a self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> Result<impl Iterator<Item = UsageEvent<'a>> + use<'a>, MeterError> {
        let state = self.state(meter)?;
        let usage = state.customers.get(customer);
        Ok(usage.into_iter().flat_map(move |usage| {
            let mut counting = state.counting(usage, cut);
            usage.ordinals(range_of(period)).filter_map(move |ordinal| {
                let event = counting.live(ordinal)?;
                Some(UsageEvent {
                    identifier: &event.identifier,
                    time: EventTime::from_nanos(event.time),
                    value: event.value,
                    position: event.position,
                    received_at: event.received_at,
                    counts: counting.is_winner(ordinal, event),
                })
            })
        }))
    }

    /// The customers that ever had an event on a meter, cancelled or not, sorted; none for an
    /// unknown meter.
    pub fn customers_with_usage(&self, meter: &Id<kind::Meter>) -> impl Iterator<Item = &str> {
        self.meters
            .get(meter)
            .into_iter()
            .flat_map(|state| state.customers.keys().map(AsRef::as_ref))
    }

    fn position_at(&self, cut: Position) -> Position {
        let behind = self.positions.partition_point(|&position| position <= cut);
        let last = behind.checked_sub(1).and_then(|index| self.positions.get(index));
        last.copied().unwrap_or_default()
    }
}

/// A period in nanoseconds. Clamping loses no event: none lies where event times end.
fn range_of(period: Period) -> Range<i64> {
    EventTime::clamped(period.start).nanos()..EventTime::clamped(period.end).nanos()
}

/// The groups of an aligned range in which something counts. Only hours that have events are
/// looked at, however long the range is.
fn grouped(
    state: &MeterState,
    usage: &CustomerUsage,
    range: Range<i64>,
    grouping: Grouping,
    cut: Position,
) -> Vec<Summary> {
    let mut rows = Vec::new();
    let mut next = range.start;
    loop {
        let Some((time, _)) = usage.by_time.range((next, 0)..(range.end, 0)).next() else {
            return rows;
        };
        let start = time.saturating_sub(time.rem_euclid(grouping.nanos())).max(range.start);
        let end = start.saturating_add(grouping.nanos()).min(range.end);
        let (value, events) = state.quantity(usage, start..end, cut);
        if events > 0 {
            let second = |nanos| EventTime::from_nanos(nanos).second();
            rows.push(Summary { period: Period::new(second(start), second(end)), value });
        }
        next = end;
    }
}
