//! The rules of admission for one event (rule 12.2), but for its identifier.

use super::{Aggregator, Meter};
use crate::columns::{Row, Value};
use crate::dimensions::{Dimensions, Finder, Tuple};
use crate::kernel::identity::Customer;
use crate::value::{Amount, ValueError, check_value, parse_value};
use crate::{AdmitContext, EventColumns, EventNames, EventRefusal, Formula};
use counterfoil_core::{EventTime, Timestamp, limits};

/// What there is to know of a batch before its rows are looked at.
pub(super) struct Bench {
    oldest: Timestamp,
    newest: Timestamp,
    nanos: std::ops::RangeInclusive<i64>,
    /// What a row without a time gets.
    receipt: Result<i64, EventRefusal>,
    /// The meter of each event name of the batch.
    meters: Vec<Result<Seat, EventRefusal>>,
    /// The number of each, and whether it looks at values.
    numbers: Vec<(u16, bool)>,
    /// Where the batch has the dimensions of each meter; empty where no meter keeps any.
    finders: Vec<Finder>,
}

/// The meter of an event name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) meter: u16,
    /// Whether values are looked at.
    valued: bool,
    /// Whether the meter keeps dimensions.
    pub(super) dimensioned: bool,
}

impl Bench {
    pub(super) fn new(of: &Aggregator, columns: &EventColumns<'_>, ctx: &AdmitContext<'_>) -> Self {
        let one;
        let names = match columns.names() {
            EventNames::One(name) => {
                one = [name];
                &one
            }
            EventNames::Coded { names, .. } => names,
        };
        let seats: Vec<_> = names.iter().map(|name| of.seat(name)).collect();
        let dimensioned = seats.iter().flatten().any(|seat| seat.dimensioned);
        let finder = |name: &&str| {
            let config = of.named(name).map(|(_, meter)| &meter.config);
            config.map(|config| Finder::new(config, columns.dimensions())).unwrap_or_default()
        };
        let finders = names.iter().filter(|_| dimensioned).map(finder).collect();
        Self { finders, ..Self::around(ctx.now, seats) }
    }

    /// Whether a meter of the batch keeps dimensions.
    pub(super) const fn is_dimensioned(&self) -> bool {
        !self.finders.is_empty()
    }

    /// The dimensions of a row that its meter keeps.
    pub(super) fn tuple<'a>(
        &self,
        name: usize,
        dimensions: Dimensions<'a>,
        row: usize,
    ) -> Result<Tuple<'a>, EventRefusal> {
        self.finders.get(name).ok_or(EventRefusal::NoMeter)?.find(dimensions, row)
    }

    pub(super) fn around(now: Timestamp, meters: Vec<Result<Seat, EventRefusal>>) -> Self {
        let past = limits::METER_EVENT_PAST_SECONDS_MAX.saturating_neg();
        let oldest = now.checked_add_seconds(past).unwrap_or(Timestamp::MIN);
        let future = limits::METER_EVENT_FUTURE_SECONDS_MAX;
        let newest = now.checked_add_seconds(future).unwrap_or(Timestamp::MAX);
        let nanos = EventTime::clamped(oldest).nanos()..=EventTime::clamped(newest).nanos();
        let receipt = EventTime::from_timestamp(now)
            .map(EventTime::nanos)
            .map_err(|_| EventRefusal::TimestampNotRepresentable { now });
        let number = |seat: &Result<Seat, EventRefusal>| {
            seat.map_or((u16::MAX, false), |seat| (seat.meter, seat.valued))
        };
        let numbers = meters.iter().map(number).collect();
        Self { oldest, newest, nanos, receipt, meters, numbers, finders: Vec::new() }
    }

    /// Whether a time is within bounds.
    #[inline(always)]
    pub(super) fn takes_time(&self, time: i64) -> bool {
        self.nanos.contains(&time)
    }

    /// The number of the meter of an event name if it takes events, else the largest number; and
    /// whether it looks at values.
    #[inline(always)]
    pub(super) fn meter(&self, name: usize) -> (u16, bool) {
        self.numbers.get(name).copied().unwrap_or((u16::MAX, false))
    }

    /// The meter of an event name of the batch, by its place.
    #[inline(always)]
    pub(super) fn seat(&self, name: usize) -> Result<Seat, EventRefusal> {
        self.meters.get(name).copied().unwrap_or(Err(EventRefusal::NoMeter))
    }

    /// The time of a row, within the bounds that are accepted, both ends included (point 60).
    #[inline(always)]
    pub(super) fn time(&self, row: &Row<'_>) -> Result<i64, EventRefusal> {
        let Some(time) = row.time else { return self.receipt };
        if time.nanos() < *self.nanos.start() {
            return Err(EventRefusal::TimestampTooFarInPast { time, oldest: self.oldest });
        }
        if time.nanos() > *self.nanos.end() {
            return Err(EventRefusal::TimestampInFuture { time, newest: self.newest });
        }
        Ok(time.nanos())
    }
}

impl Seat {
    /// The value of a row.
    #[inline(always)]
    pub(super) fn amount(self, row: &Row<'_>) -> Result<Amount, EventRefusal> {
        if !self.valued {
            return Ok(Amount::ZERO);
        }
        let amount = match row.value {
            Value::Units(units, unit) => Amount::of_units(units, unit),
            Value::Absent | Value::Text("") => return Err(EventRefusal::NoValue),
            Value::Text(text) => parse_value(text).map(Amount::of),
            Value::Decimal(value) => check_value(value).map(Amount::of),
        };
        amount.map_err(|error| match error {
            ValueError::Malformed => EventRefusal::InvalidValue,
            ValueError::TooManyDigits => EventRefusal::ValueTooManyDigits,
        })
    }
}

impl Meter {
    pub(super) fn seat(&self, number: u16) -> Result<Seat, EventRefusal> {
        if !self.active {
            return Err(EventRefusal::ArchivedMeter);
        }
        let dimensioned = !self.config.dimensions.is_empty();
        Ok(Seat { meter: number, valued: self.is_valued(), dimensioned })
    }

    /// Whether the values of events are kept.
    pub(super) fn is_valued(&self) -> bool {
        self.config.formula != Formula::Count || !self.config.also.is_empty()
    }
}

impl Aggregator {
    pub(super) fn seat(&self, event_name: &str) -> Result<Seat, EventRefusal> {
        let (number, meter) = self.named(event_name).ok_or(EventRefusal::NoMeter)?;
        meter.seat(number)
    }
}

/// Whether usage may be taken for a customer.
pub(super) fn exists(ctx: &AdmitContext<'_>, customer: Customer<'_>) -> bool {
    match customer {
        Customer::Number(number) => ctx.customers.exists_number(number),
        // The length first: no customer has an id that long, and blocks stay bounded.
        Customer::Text(text) => text.len() <= limits::ID_BYTES_MAX && ctx.customers.exists(text),
    }
}
