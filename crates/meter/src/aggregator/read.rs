//! Reads at a cut.

use super::{Aggregator, Meter, Position};
use crate::kernel::events::{Event, EventNo};
use crate::kernel::identity::{Customer, identifier_text};
use crate::kernel::sums::{Scope, of_one};
use crate::kernel::usage::{HOUR_NANOS, Part, Totals, part_of};
use crate::{EventTimeWindow, Formula, MeterError};
use counterfoil_core::{
    Anchor, Decimal12, EventTime, Id, Interval, IntervalUnit, Period, Refusal, Timestamp, kind,
};
use ethnum::I256;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const DAY_NANOS: i64 = 24 * HOUR_NANOS;
const MINUTE_SECONDS: i64 = 60;
const NANOS: i64 = 1_000_000_000;

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

/// What the events of a period come to, all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct UsageTotals {
    /// How many events there are.
    pub events: u64,
    /// The sum of their values.
    pub sum: Decimal12,
    /// The largest value.
    pub max: Option<Decimal12>,
    /// The smallest value.
    pub min: Option<Decimal12>,
    /// The value of the latest event, of equal times the one received later.
    pub last: Option<Decimal12>,
}

/// How summaries are grouped (rule 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// By minute.
    Minute,
    /// By UTC hour.
    Hour,
    /// By UTC day.
    Day,
    /// By UTC calendar month.
    Month,
}

impl Grouping {
    /// The group that an instant lies in.
    fn around(self, time: i64) -> Range<i64> {
        let nanos = match self {
            Self::Minute => MINUTE_SECONDS.saturating_mul(NANOS),
            Self::Hour => HOUR_NANOS,
            Self::Day => DAY_NANOS,
            Self::Month => return month_around(time),
        };
        let start = time.div_euclid(nanos).saturating_mul(nanos);
        start..start.saturating_add(nanos)
    }

    /// Bounds of a summary have to be whole multiples of this, and why.
    const fn alignment(grouping: Option<Self>) -> (i64, &'static str) {
        match grouping {
            None | Some(Self::Minute) => (MINUTE_SECONDS, "a whole minute"),
            Some(Self::Hour) => (60 * MINUTE_SECONDS, "a whole hour when grouped by hour"),
            Some(Self::Day | Self::Month) => {
                (1_440 * MINUTE_SECONDS, "midnight UTC when grouped by day or month")
            }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent<'a> {
    /// Unique within the event name; generated where none was given.
    pub identifier: Cow<'a, str>,
    /// When the usage happened.
    pub time: EventTime,
    /// How much at the cut; zero for a meter that counts.
    pub value: Decimal12,
    /// The values of the dimensions that the meter keeps, in its order.
    pub dimensions: Vec<&'a str>,
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
        let reading = self.reading(meter, Some(customer), cut)?;
        let (quantity, events) =
            reading.map_or((Decimal12::ZERO, 0), |reading| reading.quantity(&range_of(period)));
        Ok(UsageReading { quantity, events, position: self.position_at(cut) })
    }

    /// Sum, count and the rest of a customer's events on a meter in a period, at a cut. What
    /// neither the meter's formula nor [`MeterConfig::also`](crate::MeterConfig::also) keeps is
    /// found by going through the events.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn totals(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> Result<UsageTotals, MeterError> {
        let reading = self.reading(meter, Some(customer), cut)?;
        Ok(reading
            .map_or_else(UsageTotals::default, |reading| reading.usage_totals(&range_of(period))))
    }

    /// What every customer used on a meter in a period, by customer; those without events in it
    /// are left out.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn usage_by_customer(
        &self,
        meter: &Id<kind::Meter>,
        period: Period,
        cut: Position,
    ) -> Result<BTreeMap<String, UsageReading>, MeterError> {
        let mut rows = BTreeMap::new();
        self.add_usage(meter, &self.numbers_on(meter)?, period, cut, &mut rows)?;
        Ok(rows)
    }

    /// The numbers of the customers on a meter, which keep them for ever.
    pub(crate) fn numbers_on(&self, meter: &Id<kind::Meter>) -> Result<Vec<u32>, MeterError> {
        Ok(self.customers_on(self.number(meter)?))
    }

    /// Adds what some customers used, as [`Self::usage_by_customer`] does for all.
    pub(crate) fn add_usage(
        &self,
        meter: &Id<kind::Meter>,
        customers: &[u32],
        period: Period,
        cut: Position,
        rows: &mut BTreeMap<String, UsageReading>,
    ) -> Result<(), MeterError> {
        let position = self.position_at(cut);
        for &customer in customers {
            let Some(reading) = self.reading_of(meter, customer, cut)? else { continue };
            let (quantity, events) = reading.quantity(&range_of(period));
            if let Some(customer) = self.customers.get(customer).filter(|_| events > 0) {
                rows.insert(customer.to_text(), UsageReading { quantity, events, position });
            }
        }
        Ok(())
    }

    /// The so many customers that used most on a meter in a period, the largest quantity first, of
    /// equal ones in the order of their ids.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn top_customers(
        &self,
        meter: &Id<kind::Meter>,
        period: Period,
        count: usize,
        cut: Position,
    ) -> Result<Vec<(String, UsageReading)>, MeterError> {
        Ok(largest(self.usage_by_customer(meter, period, cut)?, count))
    }

    /// Whether a customer may use so much more on a meter: whether what it used in a period and
    /// this together are at most a limit. For formulas other than sum and count the quantity of
    /// the period alone is compared.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn is_within(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        more: Decimal12,
        limit: Decimal12,
    ) -> Result<bool, MeterError> {
        let used = self.usage(meter, customer, period, Position::MAX)?.quantity;
        let adds = matches!(
            self.config(meter).map(|config| config.formula),
            Some(Formula::Sum | Formula::Count)
        );
        let more = if adds { more.trillionths() } else { 0 };
        let then = used.trillionths().checked_add(more);
        Ok(then.is_some_and(|then| then <= limit.trillionths()))
    }

    /// Usage by minute, hour, day or month, ascending, or of the whole range in one row (rule
    /// 12.5). Groups in which nothing counts have no row; a month at an edge has the days of it
    /// that the range has. Windows of a time zone are those of `summaries_in` (feature `zones`).
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`] for an unknown meter, and [`Refusal::ParameterInvalid`] where
    /// the range is empty or its bounds are not whole minutes (hours where grouped by them, days
    /// where grouped by days or months).
    pub fn summaries(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        grouping: Option<Grouping>,
        cut: Position,
    ) -> Result<Vec<Summary>, Refusal> {
        let reading = self.reading(meter, Some(customer), cut)?;
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
        let around = |time| grouping.around(time);
        Ok(reading.map_or_else(Vec::new, |own| own.grouped(&range_of(period), &around)))
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
        let reading = self.reading(meter, Some(customer), cut)?;
        let events =
            reading.map_or_else(Vec::new, |reading| reading.usage_events(&range_of(period)));
        Ok(events.into_iter())
    }

    /// The customers that ever had an event on a meter, cancelled or not, sorted; none for an
    /// unknown meter.
    pub fn customers_with_usage(&self, meter: &Id<kind::Meter>) -> impl Iterator<Item = String> {
        let numbers = self.by_id.get(meter).map(|&number| self.customers_on(number));
        let customers = numbers.into_iter().flatten();
        let customers = customers.filter_map(|customer| self.customers.get(customer));
        customers.map(Customer::to_text).collect::<BTreeSet<_>>().into_iter()
    }

    /// The numbers of the customers that ever had an event on a meter.
    pub(super) fn customers_on(&self, meter: u16) -> Vec<u32> {
        let subjects = self.usage.iter().flat_map(|part| part.subjects_on(meter));
        let customers = subjects.map(|subject| self.customers.customer_of(subject));
        if self.meter(meter).is_some_and(|meter| meter.config.dimensions.is_empty()) {
            return customers.collect();
        }
        customers.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The last epoch at or before a cut.
    pub(super) fn epoch_at(&self, cut: Position) -> Option<u32> {
        let behind = match self.epochs.last() {
            Some(last) if last.position <= cut => self.epochs.len(),
            _ => self.epochs.partition_point(|epoch| epoch.position <= cut),
        };
        u32::try_from(behind.checked_sub(1)?).ok()
    }

    pub(super) fn reading(
        &self,
        meter: &Id<kind::Meter>,
        customer: Option<&str>,
        cut: Position,
    ) -> Result<Option<Reading<'_>>, MeterError> {
        let customer = customer.and_then(|customer| self.customers.find(Customer::of(customer)));
        match customer {
            Some(customer) => self.reading_of(meter, customer, cut),
            None => self.number(meter).map(|_| None),
        }
    }

    fn reading_of(
        &self,
        meter: &Id<kind::Meter>,
        customer: u32,
        cut: Position,
    ) -> Result<Option<Reading<'_>>, MeterError> {
        let number = self.number(meter)?;
        Ok(self.reading_where(number, customer, cut, |_| true))
    }

    /// A reading of the buckets of a customer that fulfil a condition; of a customer on a meter
    /// without dimensions it is not asked.
    pub(super) fn reading_where(
        &self,
        number: u16,
        customer: u32,
        cut: Position,
        mut wanted: impl FnMut(u32) -> bool,
    ) -> Option<Reading<'_>> {
        let meter = self.meter(number)?;
        let epoch = self.epoch_at(cut)?;
        let series_of = |subject: u32| {
            let part = self.usage.get(part_of(subject))?;
            Some(Series { part, number: part.series(subject, number)? })
        };
        if meter.config.dimensions.is_empty() {
            let rest = Vec::new();
            return Some(Reading {
                of: self,
                meter,
                first: series_of(customer)?,
                rest,
                epoch,
                since: 0,
            });
        }
        let buckets = self.customers.buckets_of(customer).filter(|&bucket| wanted(bucket));
        let mut series = buckets.filter_map(series_of);
        let first = series.next()?;
        Some(Reading { of: self, meter, first, rest: series.collect(), epoch, since: 0 })
    }

    /// A reading of what was received after a cut only, of what was received up to another.
    pub(super) fn reading_between(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        after: Position,
        cut: Position,
    ) -> Result<Option<Reading<'_>>, MeterError> {
        let since = self.epoch_at(after).map_or(0, |epoch| epoch.saturating_add(1));
        let reading = self.reading(meter, Some(customer), cut)?;
        Ok(reading.map(|reading| reading.since(since)))
    }

    pub(super) fn position_at(&self, cut: Position) -> Position {
        let epoch = self.epoch_at(cut).and_then(|epoch| usize::try_from(epoch).ok());
        let epoch = epoch.and_then(|epoch| self.epochs.get(epoch));
        epoch.map(|epoch| epoch.position).unwrap_or_default()
    }
}

/// The so many largest quantities, of equal ones in the order of ids.
pub(crate) fn largest(
    rows: BTreeMap<String, UsageReading>,
    count: usize,
) -> Vec<(String, UsageReading)> {
    let mut rows: Vec<(String, UsageReading)> = rows.into_iter().collect();
    // Stable: equal quantities stay in the order of ids.
    rows.sort_by_key(|(_, reading)| std::cmp::Reverse(reading.quantity));
    rows.truncate(count);
    rows
}

/// The UTC month that an instant lies in.
fn month_around(time: i64) -> Range<i64> {
    let month = || {
        let start = Timestamp::from_unix(0).ok()?;
        let interval = Interval::new(IntervalUnit::Month, 1).ok()?;
        let at = EventTime::from_nanos(time).second();
        Some(range_of(Anchor::at(start).period_at(interval, at).ok()?))
    };
    month().unwrap_or(i64::MIN..i64::MAX)
}

/// A period in nanoseconds. Clamping loses no event: none lies where event times end.
pub(super) fn range_of(period: Period) -> Range<i64> {
    EventTime::clamped(period.start).nanos()..EventTime::clamped(period.end).nanos()
}

impl EventTimeWindow {
    const fn nanos(self) -> i64 {
        match self {
            Self::Hour => HOUR_NANOS,
            Self::Day => DAY_NANOS,
        }
    }

    /// The range that a range reaches into, in whole windows.
    fn around(self, range: &Range<i64>) -> Range<i64> {
        let nanos = self.nanos();
        let end = range.end.saturating_sub(1).div_euclid(nanos).saturating_add(1);
        range.start.div_euclid(nanos).saturating_mul(nanos)..end.saturating_mul(nanos)
    }
}

/// A customer, or one of its buckets, on a meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    pub(super) part: &'a Part,
    pub(super) number: u32,
}

/// What one customer used on one meter, at a cut.
pub(super) struct Reading<'a> {
    pub(super) of: &'a Aggregator,
    pub(super) meter: &'a Meter,
    first: Series<'a>,
    /// More buckets. The first is apart so that a customer without any costs no allocation.
    rest: Vec<Series<'a>>,
    pub(super) epoch: u32,
    /// Events of earlier epochs are left out; 0: none are.
    since: u32,
}

impl<'a> Reading<'a> {
    /// The same without the events of earlier epochs.
    pub(super) fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }

    pub(super) fn scope(&self, range: &Range<i64>) -> Scope {
        Scope { range: range.clone(), epoch: self.epoch, lanes: self.meter.lanes }
    }

    pub(super) fn series(&self) -> impl Iterator<Item = Series<'a>> {
        std::iter::once(self.first).chain(self.rest.iter().copied())
    }

    /// The events of a range that are live.
    pub(super) fn live(&self, range: &Range<i64>) -> Vec<(EventNo, &'a Event)> {
        let (events, range) = (&self.of.events, range.clone());
        let of = |series: Series<'a>| series.part.events_in(events, series.number, &range);
        let all = self.series().flat_map(of);
        let live = |&(number, event): &(EventNo, &Event)| {
            let received = event.epoch >= self.since && events.is_live(number, event, self.epoch);
            received && range.contains(&event.time)
        };
        all.filter(live).collect()
    }

    /// The events of a range that count.
    fn counting(&self, range: &Range<i64>) -> Vec<(EventNo, &'a Event)> {
        let Some(window) = self.meter.config.event_time_window else { return self.live(range) };
        let mut winners = BTreeMap::<(u32, i64), (EventNo, &Event)>::new();
        for (number, event) in self.live(&window.around(range)) {
            let winner = (event.subject, event.time.div_euclid(window.nanos()));
            let winner = winners.entry(winner);
            let winner = winner.or_insert((number, event));
            if event.receipt() > winner.1.receipt() {
                *winner = (number, event);
            }
        }
        winners.into_values().filter(|(_, event)| range.contains(&event.time)).collect()
    }

    /// What the events of a range come to, with the extreme that the meter keeps.
    pub(super) fn sums(&self, range: &Range<i64>) -> Totals {
        let (scope, mut totals) = (self.scope(range), Totals::default());
        if self.meter.config.event_time_window.is_none() && self.since == 0 {
            for Series { part, number } in self.series() {
                totals.merge(part.totals(&self.of.events, number, &scope), scope.lanes.min());
            }
            return totals;
        }
        for (number, event) in self.counting(range) {
            totals
                .merge(of_one(&self.of.events, number, event, self.epoch), self.meter.lanes.min());
        }
        totals
    }

    fn values(&self, range: &Range<i64>) -> impl Iterator<Item = i128> {
        let events = &self.of.events;
        self.counting(range)
            .into_iter()
            .map(|(number, event)| events.value_at(number, event, self.epoch))
    }

    fn extreme(&self, sums: &Totals, range: &Range<i64>, min: bool) -> Option<Decimal12> {
        let lanes = self.meter.lanes;
        let extreme = match (lanes.extreme() && lanes.min() == min, min) {
            (true, _) => sums.extreme,
            (false, true) => self.values(range).min(),
            (false, false) => self.values(range).max(),
        };
        extreme.map(Decimal12::from_trillionths)
    }

    fn last(&self, sums: &Totals, range: &Range<i64>) -> Option<Decimal12> {
        let events = &self.of.events;
        let (number, event) = if self.meter.lanes.last() {
            let number = EventNo(sums.last?.2);
            (number, events.get(number)?)
        } else {
            let counting = self.counting(range);
            counting.into_iter().max_by_key(|(_, event)| (event.time, event.receipt()))?
        };
        Some(Decimal12::from_trillionths(events.value_at(number, event, self.epoch)))
    }

    fn usage_totals(&self, range: &Range<i64>) -> UsageTotals {
        let sums = self.sums(range);
        UsageTotals {
            events: sums.count,
            sum: Decimal12::from_trillionths(sums.sum),
            max: self.extreme(&sums, range, false),
            min: self.extreme(&sums, range, true),
            last: self.last(&sums, range),
        }
    }

    /// The quantity of a range, and how many events it is of.
    pub(super) fn quantity(&self, range: &Range<i64>) -> (Decimal12, u64) {
        let sums = self.sums(range);
        (self.quantity_of(&sums, range), sums.count)
    }

    /// Whether the quantity of a range follows from the totals of its pieces.
    pub(super) fn merges(&self) -> bool {
        let config = &self.meter.config;
        config.event_time_window.is_none()
            && !matches!(config.formula, Formula::UniqueCount | Formula::WeightedSum)
            && (self.meter.lanes.extreme()
                || !matches!(config.formula, Formula::Max | Formula::Min))
    }

    pub(super) fn quantity_of(&self, sums: &Totals, range: &Range<i64>) -> Decimal12 {
        let whole =
            |count: i128| Decimal12::from_trillionths(count.saturating_mul(Decimal12::SCALE));
        match self.meter.config.formula {
            Formula::Sum => Decimal12::from_trillionths(sums.sum),
            Formula::Count => whole(sums.count.into()),
            Formula::Last => self.last(sums, range).unwrap_or_default(),
            Formula::Max => self.extreme(sums, range, false).unwrap_or_default(),
            Formula::Min => self.extreme(sums, range, true).unwrap_or_default(),
            Formula::Average => {
                let count = i64::try_from(sums.count).unwrap_or(i64::MAX);
                Decimal12::from_trillionths(mean(sums.sum, count))
            }
            Formula::UniqueCount => {
                let different = self.values(range).collect::<BTreeSet<_>>().len();
                whole(i128::try_from(different).unwrap_or(i128::MAX))
            }
            Formula::WeightedSum => self.mean_level(range),
        }
    }

    /// The mean over a range of the level that values change.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "2^32 values of 90 bits over 64 bits of nanoseconds need 186 bits of 256"
    )]
    fn mean_level(&self, range: &Range<i64>) -> Decimal12 {
        let events = &self.of.events;
        let length = I256::from(range.end) - I256::from(range.start);
        let mut area = I256::ZERO;
        for (number, event) in self.counting(&(i64::MIN..range.end)) {
            let since = event.time.max(range.start);
            let lasts = I256::from(range.end) - I256::from(since);
            area += I256::from(events.value_at(number, event, self.epoch)) * lasts;
        }
        Decimal12::from_trillionths(rounded(area, length))
    }

    pub(super) fn usage_events(&self, range: &Range<i64>) -> Vec<UsageEvent<'a>> {
        self.usage_events_where(range, |_| true)
    }

    pub(super) fn usage_events_where(
        &self,
        range: &Range<i64>,
        wanted: impl Fn(EventNo) -> bool,
    ) -> Vec<UsageEvent<'a>> {
        let winners: BTreeSet<EventNo> =
            self.counting(range).into_iter().map(|(number, _)| number).collect();
        let mut live = self.live(range);
        live.retain(|&(number, _)| wanted(number));
        live.sort_by_key(|(_, event)| (event.time, event.receipt()));
        let row = |(number, event): (EventNo, &Event)| {
            let epoch = usize::try_from(event.epoch).ok()?;
            let epoch = self.of.epochs.get(epoch)?;
            let value = self.of.events.value_at(number, event, self.epoch);
            Some(UsageEvent {
                identifier: self.of.identifier(number, event),
                time: EventTime::from_nanos(event.time),
                value: Decimal12::from_trillionths(value),
                dimensions: self.of.customers.values_of(event.subject).collect(),
                position: epoch.position,
                received_at: epoch.received_at,
                counts: winners.contains(&number),
            })
        };
        live.into_iter().filter_map(row).collect()
    }
}

impl Aggregator {
    /// The identifier of an event as text.
    pub(super) fn identifier(&self, number: EventNo, event: &Event) -> Cow<'_, str> {
        match self.events.text(number) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(identifier_text(self.key.number(event.meter, event.identifier))),
        }
    }
}

/// The mean of so many values in trillionths.
pub(super) fn mean(sum: i128, count: i64) -> i128 {
    rounded(I256::from(sum), I256::from(count))
}

/// A quotient, rounded to the nearest, ties to even; 0 where there is nothing to divide by.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "numerator and denominator have 190 bits of 256 at most, and zero was asked for"
)]
fn rounded(value: I256, by: I256) -> i128 {
    if by <= I256::ZERO {
        return 0;
    }
    let (whole, rest) = (value.div_euclid(by), value.rem_euclid(by));
    let twice = rest + rest;
    let up = twice > by || (twice == by && whole % 2 != I256::ZERO);
    i128::try_from(whole + I256::from(i128::from(up))).unwrap_or(i128::MAX)
}
