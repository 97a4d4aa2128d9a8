//! Usage in windows that the caller cuts, and what came after a cut.

use super::read::{Reading, Series, range_of};
use super::{Aggregator, Position, Summary, UsageEvent, UsageReading};
use crate::MeterError;
use crate::kernel::sums::of_one;
use crate::kernel::usage::{HOUR_NANOS, Totals, hour_start};
#[cfg(feature = "zones")]
use counterfoil_core::Refusal;
use counterfoil_core::{Decimal12, EventTime, Id, Period, Timestamp, kind};
use std::collections::BTreeMap;
use std::ops::Range;

/// What became of a period after it was billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateUsage<'a> {
    /// What was billed: the period as it read at that position.
    pub billed: UsageReading,
    /// The period as it reads now.
    pub now: UsageReading,
    /// What the events that came after amount to by themselves.
    pub late: UsageReading,
    /// Those events, in order of time; cancelled ones are left out.
    pub events: Vec<UsageEvent<'a>>,
    /// Events that were billed and have been cancelled or corrected since, as they were billed.
    pub adjusted: Vec<UsageEvent<'a>>,
}

impl Aggregator {
    /// What a customer used on a meter between each two instants of a list, at a cut: for windows
    /// of any kind, as the days of a time zone, whose beginnings the caller knows. Windows in which
    /// nothing counts are in the answer too. One pass over the hours that have events makes all of
    /// them where the formula adds up.
    ///
    /// # Errors
    /// [`MeterError::Unknown`], and [`MeterError::NotAscending`] where an instant is before the one
    /// that it follows.
    pub fn usage_in(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        bounds: &[Timestamp],
        cut: Position,
    ) -> Result<Vec<UsageReading>, MeterError> {
        let reading = self.reading(meter, Some(customer), cut)?;
        if let Some(&[_, at]) = bounds.array_windows().find(|[before, at]| at < before) {
            return Err(MeterError::NotAscending { at });
        }
        let bounds: Vec<i64> = bounds.iter().map(|&at| EventTime::clamped(at).nanos()).collect();
        let position = self.position_at(cut);
        let windows = bounds.len().saturating_sub(1);
        let none = vec![(Decimal12::ZERO, 0); windows];
        let rows = reading.map_or(none, |reading| reading.windows(&bounds));
        let row = |(quantity, events)| UsageReading { quantity, events, position };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Usage by minute, hour, day or month of the clock in a time zone, ascending; what those are is
    /// said at [`Zone`](crate::Zone). Windows in which nothing counts have no row; a month at an edge
    /// has the days of it that the period has. Whole hours are read from their sums, and the events
    /// of an hour only where a window ends inside of it.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`] for an unknown meter, and [`Refusal::ParameterInvalid`] where
    /// the period is empty or its bounds are not where a window begins: a day, where it is
    /// grouped by months.
    #[cfg(feature = "zones")]
    pub fn summaries_in(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        grouping: crate::Grouping,
        zone: crate::Zone,
        cut: Position,
    ) -> Result<Vec<Summary>, Refusal> {
        use crate::Grouping::{Day, Hour, Minute, Month};
        let reading = self.reading(meter, Some(customer), cut)?;
        let (unit, what) = match grouping {
            Minute => (Minute, "a whole minute"),
            Hour => (Hour, "a whole hour"),
            Day | Month => (Day, "the beginning of a day"),
        };
        for (param, at) in [("start_time", period.start), ("end_time", period.end)] {
            if zone.window(unit, at).start != at {
                return Err(Refusal::invalid(param, format!("{at} is not {what} in {zone}")));
            }
        }
        if period.is_empty() {
            let reason = format!("{} is not after start_time {}", period.end, period.start);
            return Err(Refusal::invalid("end_time", reason));
        }
        let around = |time: i64| {
            let second = EventTime::from_nanos(time).second().unix();
            let (start, end) = zone.around(grouping, second);
            let nanos = |second: i64| second.saturating_mul(1_000_000_000);
            nanos(start)..nanos(end)
        };
        Ok(reading.map_or_else(Vec::new, |own| own.grouped(&range_of(period), &around)))
    }

    /// What came of a period after it was billed: events are never lost for being late, and by
    /// what this says they are billed or corrected, as the caller's policy has it.
    ///
    /// # Errors
    /// [`MeterError::Unknown`].
    pub fn late(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        billed_at: Position,
    ) -> Result<LateUsage<'_>, MeterError> {
        let (range, end) = (range_of(period), Position::MAX);
        let after = self.reading_between(meter, customer, billed_at, end)?;
        let (quantity, events) =
            after.as_ref().map_or((Decimal12::ZERO, 0), |own| own.quantity(&range));
        let billed = self.reading(meter, Some(customer), billed_at)?;
        Ok(LateUsage {
            billed: self.usage(meter, customer, period, billed_at)?,
            now: self.usage(meter, customer, period, end)?,
            late: UsageReading { quantity, events, position: self.position_at(end) },
            events: after.map_or_else(Vec::new, |after| after.usage_events(&range)),
            adjusted: billed.map_or_else(Vec::new, |billed| billed.adjusted_since(&range)),
        })
    }
}

impl<'a> Reading<'a> {
    /// The quantity of each window, and how many events it is of.
    fn windows(&self, bounds: &[i64]) -> Vec<(Decimal12, u64)> {
        let ranges = bounds.array_windows().map(|[start, end]| *start..*end);
        if !self.merges() {
            return ranges.map(|range| self.quantity(&range)).collect();
        }
        let totals = self.window_totals(bounds);
        let rows = totals.iter().zip(ranges);
        rows.map(|(totals, range)| (self.quantity_of(totals, &range), totals.count)).collect()
    }

    fn window_totals(&self, bounds: &[i64]) -> Vec<Totals> {
        let mut windows = vec![Totals::default(); bounds.len().saturating_sub(1)];
        let (Some(&first), Some(&last)) = (bounds.first(), bounds.last()) else { return windows };
        let window_of = |time: i64| bounds.partition_point(|&start| start <= time).wrapping_sub(1);
        let (events, min) = (&self.of.events, self.meter.lanes.min());
        let mut add = |window: usize, totals| {
            if let Some(own) = windows.get_mut(window) {
                own.merge(totals, min);
            }
        };
        for Series { part, number } in self.series() {
            for hour in part.hours_of(number, &(first..last)) {
                let start = hour_start(part.hour(hour));
                let end = start.saturating_add(HOUR_NANOS).min(last);
                let window = window_of(start.max(first));
                let one = window == window_of(end.saturating_sub(1));
                let range = bounds.get(window).zip(bounds.get(window.saturating_add(1)));
                if let Some((&start, &end)) = range.filter(|_| one) {
                    let scope = self.scope(&(start..end));
                    add(window, part.hour_totals(events, hour, &scope));
                    continue;
                }
                for (number, event) in part.hour_events(events, hour) {
                    let inside = first <= event.time && event.time < last;
                    if inside && events.is_live(number, event, self.epoch) {
                        add(window_of(event.time), of_one(events, number, event, self.epoch));
                    }
                }
            }
        }
        windows
    }

    /// The windows of a range in which something counts, cut by the range; `around` is the window
    /// that a time lies in. Only hours that have events are looked at, however long the range is, and
    /// the events of an hour only where a window ends inside of it.
    pub(super) fn grouped(
        &self,
        range: &Range<i64>,
        around: &dyn Fn(i64) -> Range<i64>,
    ) -> Vec<Summary> {
        let merges = self.merges();
        let (scope, events, min) = (self.scope(range), &self.of.events, self.meter.lanes.min());
        let mut groups = BTreeMap::<i64, (i64, Totals)>::new();
        let mut add = |window: &Range<i64>, totals: &dyn Fn() -> Totals| {
            let (_, own) = groups.entry(window.start).or_insert((window.end, Totals::default()));
            if merges {
                own.merge(totals(), min);
            }
        };
        // Times that follow each other mostly lie in one window.
        let mut window = 0..0;
        for Series { part, number } in self.series() {
            for hour in part.hours_of(number, range) {
                let start = hour_start(part.hour(hour));
                let end = start.saturating_add(HOUR_NANOS).min(range.end);
                let start = start.max(range.start);
                if !window.contains(&start) {
                    window = around(start);
                }
                if end <= window.end {
                    add(&window, &|| part.hour_totals(events, hour, &scope));
                    continue;
                }
                for (number, event) in part.hour_events(events, hour) {
                    if range.contains(&event.time) && events.is_live(number, event, self.epoch) {
                        if !window.contains(&event.time) {
                            window = around(event.time);
                        }
                        add(&window, &|| of_one(events, number, event, self.epoch));
                    }
                }
            }
        }
        let row = |(start, (end, totals)): (i64, (i64, Totals))| {
            let group = start.max(range.start)..end.min(range.end);
            let (value, events) = match merges {
                true => (self.quantity_of(&totals, &group), totals.count),
                false => self.quantity(&group),
            };
            let second = |nanos| EventTime::from_nanos(nanos).second();
            let period = Period::new(second(group.start), second(group.end));
            (events > 0).then_some(Summary { period, value })
        };
        groups.into_iter().filter_map(row).collect()
    }

    /// The events of a range that have been cancelled or corrected after the cut.
    fn adjusted_since(&self, range: &Range<i64>) -> Vec<UsageEvent<'a>> {
        let later = |epoch: u32| epoch > self.epoch;
        let events = &self.of.events;
        let adjusted = |number| {
            events.cancelled_at(number).is_some_and(later)
                || events.corrections(number).iter().any(|&(epoch, _)| later(epoch))
        };
        self.usage_events_where(range, adjusted)
    }
}
