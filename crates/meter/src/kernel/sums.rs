//! Reading the sums of a part, and mending them where an event is taken back or corrected.
#![expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "row numbers come from the part itself, and rows are never removed"
)]

use super::events::{Event, EventNo, Events, UNIT, WIDE};
use super::usage::{
    HOUR_NANOS, Hour, Lanes, NONE, Part, Row, Totals, WideRow, day_of, hour_of, hour_start,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// Days of a range up to which each is looked up.
const DAYS_LOOKED_UP: i32 = 3;

/// Which events a reading is of.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Nanoseconds since 1970.
    pub(crate) range: Range<i64>,
    /// The last epoch that is seen.
    pub(crate) epoch: u32,
    pub(crate) lanes: Lanes,
}

impl Part {
    /// The subjects that have a series on a meter.
    pub(crate) fn subjects_on(&self, meter: u16) -> impl Iterator<Item = u32> {
        let on = self.series.iter().filter(move |series| series.meter == meter);
        on.map(|series| series.subject)
    }

    /// What a series comes to in a scope.
    pub(crate) fn totals(&self, events: &Events, series: u32, scope: &Scope) -> Totals {
        let of = &self.series[series];
        let range = &scope.range;
        if of.changed <= scope.epoch && range.start <= of.first_time && of.ends_before(range.end) {
            return exact(events, &of.row, self.wide_series.get(&series));
        }
        let mut totals = Totals::default();
        for number in self.hours_of(series, range) {
            totals.merge(self.hour_totals(events, number, scope), scope.lanes.min());
        }
        totals
    }

    /// The hours of a series that lie in a range or reach into it, in no order: each looked up where
    /// they are few, else all that the series has gone through.
    pub(crate) fn hours_of<'a>(
        &'a self,
        series: u32,
        range: &Range<i64>,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let (start, end) = (hour_of(range.start), range.end);
        let last = hour_of(end.saturating_sub(1));
        let empty = range.start >= end;
        let days = day_of(start)..day_of(last).saturating_add(1);
        let few = !empty && days.end.saturating_sub(days.start) <= DAYS_LOOKED_UP;
        let looked_up = if few { days } else { 0..0 };
        let looked_up = looked_up.flat_map(move |day| self.hours_on(series, day));
        let mut next = if few || empty { NONE } else { self.series[series].newest };
        let gone_through = std::iter::from_fn(move || {
            (next != NONE).then(|| {
                let number = next;
                next = self.hours[number].before;
                number
            })
        });
        looked_up.chain(gone_through).filter(move |&number| {
            let hour = self.hours[number].hour;
            hour >= start && hour_start(hour) < end
        })
    }

    fn find_hour(&self, series: u32, hour: i32) -> Option<u32> {
        self.hours_on(series, day_of(hour)).find(|&row| self.hours[row].hour == hour)
    }

    /// The hour since 1970 of a row.
    pub(crate) fn hour(&self, number: u32) -> i32 {
        self.hours[number].hour
    }

    /// What an hour comes to in a scope: by its sums where all of it is in there, else by its
    /// events.
    pub(crate) fn hour_totals(&self, events: &Events, number: u32, scope: &Scope) -> Totals {
        let own = &self.hours[number];
        let start = hour_start(own.hour);
        let whole = scope.range.start <= start
            && start.saturating_add(HOUR_NANOS) <= scope.range.end
            && own.changed <= scope.epoch;
        if whole {
            return exact(events, &own.row, self.wide_hours.get(&number));
        }
        let mut totals = Totals::default();
        for (number, event) in self.events_of(events, own) {
            if scope.range.contains(&event.time) && events.is_live(number, event, scope.epoch) {
                let own = of_one(events, number, event, scope.epoch);
                totals.merge(own, scope.lanes.min());
            }
        }
        totals
    }

    /// The events of a series in the hours that a range touches, in no order.
    pub(crate) fn events_in<'a>(
        &'a self,
        events: &'a Events,
        series: u32,
        range: &Range<i64>,
    ) -> impl Iterator<Item = (EventNo, &'a Event)> + use<'a> {
        self.hours_of(series, range)
            .flat_map(move |number| self.events_of(events, &self.hours[number]))
    }

    /// The events of an hour, in no order.
    pub(crate) fn hour_events<'a>(
        &'a self,
        events: &'a Events,
        number: u32,
    ) -> impl Iterator<Item = (EventNo, &'a Event)> + use<'a> {
        self.events_of(events, &self.hours[number])
    }

    fn events_of<'a>(
        &'a self,
        events: &'a Events,
        hour: &Hour,
    ) -> impl Iterator<Item = (EventNo, &'a Event)> + use<'a> {
        let mut next = hour.head;
        std::iter::from_fn(move || {
            let link = self.links.get(next as usize)?;
            next = link.before;
            Some((link.event, events.get(link.event)?))
        })
    }

    /// Mends the sums after an event was cancelled or its value replaced.
    pub(crate) fn mend(&mut self, events: &Events, event: &Event, lanes: Lanes, epoch: u32) {
        let Some(series) = self.series(event.subject, event.meter) else { return };
        let hour = hour_of(event.time);
        let found = self.find_hour(series, hour);
        let Some(number) = found else { return };
        let all = Scope { range: i64::MIN..i64::MAX, epoch: u32::MAX - 1, lanes };
        let mut own = self.hours[number];
        let changed = own.changed.max(epoch);
        // Marked as changed later than the scope, so that its events are asked.
        own.changed = u32::MAX;
        self.hours[number] = own;
        let totals = self.hour_totals(events, number, &all);
        own.row = narrow(&mut self.wide_hours, number, &totals);
        own.changed = changed;
        own.last_offset = totals.last.map_or(0, |(time, ..)| super::usage::offset_of(time));
        self.hours[number] = own;
        let mut totals = Totals::default();
        for hour in self.hours_of(series, &all.range) {
            totals.merge(self.hour_totals(events, hour, &all), lanes.min());
        }
        let row = narrow(&mut self.wide_series, series, &totals);
        let of = &mut self.series[series];
        (of.row, of.changed) = (row, of.changed.max(epoch));
        of.last_live = totals.last.map_or(i64::MIN, |(time, ..)| time);
    }
}

/// The totals of one event at the end of an epoch.
pub(crate) fn of_one(events: &Events, number: EventNo, event: &Event, epoch: u32) -> Totals {
    let value = events.value_at(number, event, epoch);
    Totals {
        sum: value,
        count: 1,
        extreme: Some(value),
        last: Some((event.time, event.receipt(), number.0)),
    }
}

/// A row in trillionths.
fn exact(events: &Events, row: &Row, wide: Option<&WideRow>) -> Totals {
    let units = |units: i64| i128::from(units).saturating_mul(UNIT);
    let (sum, extreme) = match wide {
        Some(wide) if row.sum == WIDE => (wide.sum, wide.extreme),
        _ => (units(row.sum), units(row.extreme)),
    };
    let last = events.get(EventNo(row.last));
    Totals {
        sum,
        count: u64::from(row.count),
        extreme: (row.count > 0).then_some(extreme),
        last: last.map(|event| (event.time, event.receipt(), row.last)),
    }
}

/// Totals as a row, in units where they are so many.
fn narrow(wide: &mut BTreeMap<u32, WideRow>, number: u32, totals: &Totals) -> Row {
    let extreme = totals.extreme.unwrap_or_default();
    let units = |value: i128| {
        let units = i64::try_from(value.checked_div(UNIT)?).ok()?;
        (value.checked_rem(UNIT)? == 0 && units != WIDE).then_some(units)
    };
    let (sum, extreme) = match (units(totals.sum), units(extreme)) {
        (Some(sum), Some(extreme)) => {
            wide.remove(&number);
            (sum, extreme)
        }
        _ => {
            wide.insert(number, WideRow { sum: totals.sum, extreme });
            (WIDE, 0)
        }
    };
    let count = u32::try_from(totals.count).unwrap_or(u32::MAX);
    let last = totals.last.map_or(EventNo::NONE.0, |(.., number)| number);
    Row { sum, extreme, count, last }
}
