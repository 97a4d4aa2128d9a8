//! What the events add up to, in parts by subject: for each subject and meter a series, for each
//! series its hours, and for each hour the events that are in it.
#![expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "row numbers are 32 bits by construction, and rows are never removed; sums are checked"
)]

use super::events::{Event, EventNo, Events, PARTS, UNIT, WIDE};
use super::identity::Key;
use super::index::{Index, Spot};
use super::memory::{ask_for_large_pages, prefetch, prefetch_both};
use super::rows::Rows;
use std::collections::BTreeMap;

/// Nanoseconds of an hour.
pub(crate) const HOUR_NANOS: i64 = 3_600_000_000_000;
/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// What is kept besides sum and count, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lanes(u16);

impl Lanes {
    pub(crate) const NONE: Self = Self(0);
    const EXTREME: u16 = 1;
    const MIN: u16 = 2;
    const LAST: u16 = 4;

    /// `extreme`: the largest value, or the smallest where `min` is set.
    pub(crate) const fn new(extreme: bool, min: bool, last: bool) -> Self {
        let (extreme, min, last) = (extreme as u16, min as u16, last as u16);
        Self((extreme * Self::EXTREME) | (min * Self::MIN) | (last * Self::LAST))
    }

    #[inline(always)]
    pub(crate) const fn extreme(self) -> bool {
        self.0 & Self::EXTREME != 0
    }

    #[inline(always)]
    pub(crate) const fn min(self) -> bool {
        self.0 & Self::MIN != 0
    }

    #[inline(always)]
    pub(crate) const fn last(self) -> bool {
        self.0 & Self::LAST != 0
    }
}

/// What a choice of events comes to. Values are millionths, or trillionths in [`Totals`].
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Row {
    pub(super) sum: i64,
    pub(super) extreme: i64,
    pub(super) count: u32,
    /// The latest event.
    pub(super) last: u32,
}

impl Row {
    const EMPTY: Self = Self { sum: 0, extreme: 0, count: 0, last: EventNo::NONE.0 };
}

/// One hour of one series: 48 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Hour {
    pub(super) row: Row,
    pub(super) series: u32,
    /// Hours since 1970.
    pub(super) hour: i32,
    /// When within the hour the latest event happened, in 1,024 ns.
    pub(super) last_offset: u32,
    /// The next hour of the series. Those of one day follow one another, and the latest of all is
    /// the first.
    pub(super) before: u32,
    /// The last of its events, as a place in the links.
    pub(super) head: u32,
    /// The epoch in which it was last changed: cuts from there on can use the sums.
    pub(super) changed: u32,
}

const _: () = assert!(size_of::<Hour>() == 48);

impl Hour {
    const EMPTY: Self = Self {
        row: Row::EMPTY,
        series: NONE,
        hour: 0,
        last_offset: 0,
        before: NONE,
        head: NONE,
        changed: 0,
    };
}

/// A subject on a meter: one line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Series {
    pub(super) row: Row,
    pub(super) subject: u32,
    pub(super) meter: u16,
    /// Those of its meter.
    pub(super) lanes: Lanes,
    /// Its latest hour.
    pub(super) newest: u32,
    pub(super) changed: u32,
    /// No event lies before; cancelled ones count.
    pub(super) first_time: i64,
    /// No event lies after, cancelled ones neither: the latest hour in the upper half, and in the
    /// lower one when in it, in 1,024 ns.
    pub(super) latest: i64,
    /// When the latest event that counts happened.
    pub(super) last_live: i64,
}

const _: () = assert!(size_of::<Series>() == 64);

impl Series {
    const EMPTY: Self = Self {
        row: Row::EMPTY,
        subject: NONE,
        meter: 0,
        lanes: Lanes::NONE,
        newest: NONE,
        changed: 0,
        first_time: i64::MAX,
        latest: i64::MIN,
        last_live: i64::MIN,
    };

    /// Its latest hour, since 1970.
    #[inline(always)]
    const fn hour(&self) -> i32 {
        (self.latest >> 32) as i32
    }

    /// Whether no event lies at a time or after.
    #[inline(always)]
    pub(super) fn ends_before(&self, time: i64) -> bool {
        self.latest < latest_of(time)
    }
}

/// An hour and when in it, as [`Series::latest`] has them.
#[inline(always)]
const fn latest_of(time: i64) -> i64 {
    let hour = hour_of(time);
    let within = time.wrapping_sub((hour as i64).wrapping_mul(HOUR_NANOS));
    (hour as i64) << 32 | within >> 10
}

/// Sum and extreme of a row, in trillionths, where millionths of 64 bits do not hold them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WideRow {
    pub(super) sum: i128,
    pub(super) extreme: i128,
}

/// An event in the list of its hour, and the one before it there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) event: EventNo,
    pub(super) before: u32,
}

impl Link {
    const NONE: Self = Self { event: EventNo::NONE, before: NONE };
}

/// What a choice of events comes to, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// Trillionths.
    pub(crate) sum: i128,
    pub(crate) count: u64,
    pub(crate) extreme: Option<i128>,
    /// Time and receipt of the latest event, and its number.
    pub(crate) last: Option<(i64, u64, u32)>,
}

impl Totals {
    pub(crate) fn merge(&mut self, other: Self, min: bool) {
        self.sum = self.sum.saturating_add(other.sum);
        self.count = self.count.saturating_add(other.count);
        self.extreme = match (self.extreme, other.extreme) {
            (Some(a), Some(b)) => Some(if min { a.min(b) } else { a.max(b) }),
            (a, b) => a.or(b),
        };
        self.last = self.last.max(other.last);
    }
}

/// An event on its way into the sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) time: i64,
    /// Millionths, or [`WIDE`].
    pub(crate) units: i64,
    pub(crate) number: EventNo,
    pub(crate) subject: u32,
    /// Its place in the order of receipt, within its epoch.
    pub(crate) row: u32,
    pub(crate) meter: u16,
}

impl Arrival {
    /// To be filled.
    pub(crate) const NONE: Self =
        Self { time: 0, units: 0, number: EventNo::NONE, subject: 0, row: 0, meter: 0 };

    pub(crate) const fn of(number: EventNo, event: &Event) -> Self {
        let Event { time, units, subject, row, meter, .. } = *event;
        Self { time, units, number, subject, row, meter }
    }
}

/// The sums of one part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(super) key: Key,
    /// The series of each subject on each of the first meters.
    slots: Vec<[u32; SLOTTED]>,
    /// The series on other meters.
    pub(super) series_index: Index,
    pub(super) series: Rows<Series>,
    /// With which row each day of a series begins, but for its latest day.
    pub(super) day_index: Index,
    pub(super) hours: Rows<Hour>,
    pub(super) links: Rows<Link>,
    pub(super) wide_hours: BTreeMap<u32, WideRow>,
    pub(super) wide_series: BTreeMap<u32, WideRow>,
    /// Empty but while events are taken.
    late: Vec<Late>,
}

/// Meters whose series are found by place; on more of them, most customers would have none.
const SLOTTED: usize = 16;

/// The place of the series of a subject on the first meters.
#[inline(always)]
const fn slots_of(subject: u32) -> usize {
    subject as usize / PARTS
}

/// The part of a subject.
#[inline(always)]
pub(crate) const fn part_of(subject: u32) -> usize {
    subject as usize % PARTS
}

/// The hour of a time.
#[inline(always)]
pub(crate) const fn hour_of(time: i64) -> i32 {
    // Times before 1970 are rare, and dividing what may be one of them takes longer.
    if time >= 0 {
        (time.cast_unsigned() / HOUR_NANOS.cast_unsigned()) as i32
    } else {
        time.div_euclid(HOUR_NANOS) as i32
    }
}

/// The day of an hour.
#[inline(always)]
pub(super) const fn day_of(hour: i32) -> i32 {
    hour.div_euclid(24)
}

/// Whether an hour is of a day: dividing takes longer.
#[inline(always)]
const fn is_in_day(hour: i32, day: i32) -> bool {
    let within = (hour as i64).wrapping_sub((day as i64).wrapping_mul(24));
    within.cast_unsigned() < 24
}

/// When an hour begins, or the nearest time that can be expressed.
pub(crate) fn hour_start(hour: i32) -> i64 {
    i64::from(hour).saturating_mul(HOUR_NANOS)
}

#[inline(always)]
pub(super) const fn offset_of(time: i64) -> u32 {
    (time.rem_euclid(HOUR_NANOS) >> 10) as u32
}

#[inline(always)]
pub(super) fn series_key(subject: u32, meter: u16) -> u64 {
    u64::from(subject) << 16 | u64::from(meter) | 1 << 63
}

#[inline(always)]
pub(super) fn day_key(series: u32, day: i32) -> u64 {
    u64::from(series) << 32 | u64::from(day as u32)
}

/// How many events ahead each step of taking them in is.
const AHEAD: usize = 16;
/// Events that are on their way from their series on.
const RING: usize = 2 * AHEAD;

/// What the events that are taken into the sums share.
#[derive(Clone, Copy)]
pub(crate) struct Arriving<'a> {
    pub(crate) epoch: u32,
    /// Those of each meter.
    pub(crate) lanes: &'a [Lanes],
    pub(crate) events: &'a Events,
}

/// An hour that an event is on its way to.
#[derive(Debug, Clone, Copy)]
struct Sought {
    /// Its hour, and when in it, as [`Series::latest`] has them.
    latest: i64,
    series: u32,
    /// The place in the index of the day that it ends or lies in, unless it is of the latest day.
    place: u64,
    spot: Spot,
    /// When the spot was found.
    moves: u32,
}

/// An event of an hour before the latest of its series.
#[derive(Debug, Clone, Copy)]
struct Late {
    sought: Sought,
    arrival: Arrival,
    day: i32,
    /// The hour up to which its memory was asked for.
    at: u32,
}

impl Sought {
    const NONE: Self =
        Self { latest: 0, series: NONE, place: 0, spot: Spot::NONE, moves: u32::MAX };
}

impl Part {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, ..Self::default() }
    }

    /// Makes room for so many subjects, series, hours and events. The memory is touched here.
    pub(crate) fn reserve(&mut self, subjects: usize, series: usize, hours: usize, events: usize) {
        if self.slots.is_empty() {
            self.slots.reserve_exact(subjects);
            ask_for_large_pages(&self.slots);
            self.slots.resize(subjects, [NONE; SLOTTED]);
        }
        // Where a series has more than an hour a day, days are fewer.
        self.day_index.reserve(hours / 2);
        self.series.reserve(series, Series::EMPTY);
        self.hours.reserve(hours, Hour::EMPTY);
        self.links.reserve(events, Link::NONE);
    }

    /// Takes events of this part into its sums, in any order. While one is taken, the memory of
    /// those behind it is asked for: of the slot first, then of the series that it says, then of
    /// the hour that that says, so that the lines of many events are on their way at once.
    pub(crate) fn take(&mut self, of: Arriving<'_>, arrivals: &[Arrival]) {
        let mut ring = [Sought::NONE; RING];
        let rest = |from: usize| arrivals.get(from..).unwrap_or_default();
        let (second, third, fourth) = (rest(AHEAD), rest(2 * AHEAD), rest(3 * AHEAD));
        let begun = &arrivals[..arrivals.len().min(3 * AHEAD)];
        begun.iter().for_each(|arrival| self.ask_slots(arrival));
        let begun = &arrivals[..arrivals.len().min(2 * AHEAD)];
        begun.iter().zip(&mut ring).for_each(|(own, sought)| self.ask_series(of, own, sought));
        let begun = &arrivals[..arrivals.len().min(AHEAD)];
        begun.iter().zip(&mut ring).for_each(|(own, sought)| self.ask_hour(own, sought));
        // Each place of the ring is free when the event is taken that had it.
        let mut nth = 0;
        let all = arrivals.iter().zip(second).zip(third).zip(fourth);
        for (((first, second), third), fourth) in all {
            self.take_or_defer(of, &ring[nth % RING], first);
            self.ask_hour(second, &mut ring[(nth + AHEAD) % RING]);
            self.ask_series(of, third, &mut ring[nth % RING]);
            self.ask_slots(fourth);
            nth += 1;
        }
        for (nth, arrival) in arrivals.iter().enumerate().skip(nth) {
            self.take_or_defer(of, &ring[nth % RING], arrival);
            if let Some(arrival) = arrivals.get(nth + AHEAD) {
                self.ask_hour(arrival, &mut ring[(nth + AHEAD) % RING]);
            }
            if let Some(arrival) = arrivals.get(nth + 2 * AHEAD) {
                self.ask_series(of, arrival, &mut ring[nth % RING]);
            }
        }
        self.take_late(of);
    }

    #[inline(always)]
    fn take_or_defer(&mut self, by: Arriving<'_>, sought: &Sought, arrival: &Arrival) {
        if hour_in(sought.latest) < self.series[sought.series].hour() {
            let day = day_of(hour_in(sought.latest));
            self.late.push(Late { sought: *sought, arrival: *arrival, day, at: NONE });
        } else {
            self.take_one(by, sought, arrival);
        }
    }

    /// Takes the events of hours before the latest of their series. Each finds its hour in a list;
    /// all go along theirs at once, and then once more, with the memory at hand.
    #[inline(never)]
    fn take_late(&mut self, by: Arriving<'_>) {
        let mut late = std::mem::take(&mut self.late);
        for Late { sought, day, at, .. } in &mut late {
            let of = &self.series[sought.series];
            let known = sought.moves == self.day_index.moves();
            *at = match is_in_day(of.hour(), *day) {
                true => of.newest,
                false if known => {
                    self.day_index.candidate(sought.spot, sought.place).unwrap_or(NONE)
                }
                false => NONE,
            };
            self.ask_row(*at);
        }
        let mut going = true;
        while going {
            going = false;
            for Late { sought, day, at, .. } in late.iter_mut().filter(|late| late.at != NONE) {
                let (own, hour) = (&self.hours[*at], hour_in(sought.latest));
                let further =
                    own.series == sought.series && own.hour != hour && is_in_day(own.hour, *day);
                *at = if further { own.before } else { NONE };
                self.ask_row(*at);
                going |= *at != NONE;
            }
        }
        for Late { sought, arrival, .. } in &late {
            self.take_one(by, sought, arrival);
        }
        late.clear();
        self.late = late;
    }

    /// Asks for an hour.
    #[inline(always)]
    fn ask_row(&self, row: u32) {
        if let Some(own) = self.hours.get(row as usize) {
            prefetch_both(own, &own.changed);
        }
    }

    #[inline(always)]
    fn ask_slots(&self, arrival: &Arrival) {
        if let Some(slots) = self.slots.get(slots_of(arrival.subject)) {
            prefetch(slots);
        }
    }

    #[inline(always)]
    fn ask_series(&mut self, of: Arriving<'_>, arrival: &Arrival, sought: &mut Sought) {
        sought.series = match self.series(arrival.subject, arrival.meter) {
            Some(row) => row,
            None => self.add_series(arrival, of.lanes),
        };
        prefetch(&self.series[sought.series]);
    }

    pub(crate) fn hours(&self) -> usize {
        self.hours.len()
    }

    /// Bytes of the hours and their index.
    pub(crate) fn hour_bytes(&self) -> usize {
        self.day_index.bytes() + self.hours.bytes()
    }

    /// Bytes of the lists of events by hour.
    pub(crate) fn link_bytes(&self) -> usize {
        self.links.bytes()
    }

    /// Bytes of series, and of values that need more room than most.
    pub(crate) fn series_bytes(&self) -> usize {
        self.series_index.bytes()
            + self.series.bytes()
            + self.slots.capacity() * size_of::<[u32; SLOTTED]>()
            + (self.wide_hours.len() + self.wide_series.len()) * 64
    }

    /// The series of a subject on a meter.
    #[inline(always)]
    pub(crate) fn series(&self, subject: u32, meter: u16) -> Option<u32> {
        if usize::from(meter) < SLOTTED {
            let row = self.slots.get(slots_of(subject))?[usize::from(meter)];
            return (row != NONE).then_some(row);
        }
        self.find_series(subject, meter)
    }

    /// Asks for what the totals of a subject's series are read from: all rows, and then, as they
    /// come, their latest events. Those of meters beyond [`SLOTTED`] are left out.
    pub(crate) fn prefetch_totals(&self, subject: u32, events: &Events) {
        let slots = self.slots.get(slots_of(subject)).copied().unwrap_or([NONE; SLOTTED]);
        let rows = || slots.iter().filter(|&&row| row != NONE).map(|&row| &self.series[row]);
        rows().for_each(|series| prefetch_both(series, &series.last_live));
        for series in rows() {
            let last = events.get(EventNo(series.row.last));
            last.into_iter().for_each(|event| prefetch_both(event, &event.flags));
        }
    }

    #[cold]
    fn find_series(&self, subject: u32, meter: u16) -> Option<u32> {
        let place = self.key.pair(series_key(subject, meter));
        self.series_index.find(place, |row| {
            let series = &self.series[row];
            series.subject == subject && series.meter == meter
        })
    }

    #[cold]
    #[inline(never)]
    fn add_series(&mut self, arrival: &Arrival, lanes: &[Lanes]) -> u32 {
        let number = self.series.len() as u32;
        let Arrival { subject, meter, .. } = *arrival;
        let lanes = lanes.get(usize::from(meter)).copied().unwrap_or_default();
        self.series.push(&Series::EMPTY, |own| {
            (own.subject, own.meter, own.lanes) = (subject, meter, lanes);
        });
        if usize::from(meter) < SLOTTED {
            let at = slots_of(subject);
            if at >= self.slots.len() {
                if at >= self.slots.capacity() {
                    self.slots.reserve(at + 1 - self.slots.len());
                    ask_for_large_pages(&self.slots);
                }
                self.slots.resize(at + 1, [NONE; SLOTTED]);
            }
            self.slots[at][usize::from(meter)] = number;
            return number;
        }
        let (key, series) = (self.key, &self.series);
        let place = key.pair(series_key(subject, meter));
        self.series_index.insert(place, number, |row| {
            let series = &series[row];
            key.pair(series_key(series.subject, series.meter))
        });
        number
    }

    #[inline(always)]
    fn ask_hour(&self, arrival: &Arrival, sought: &mut Sought) {
        let of = &self.series[sought.series];
        sought.latest = latest_of(arrival.time);
        sought.moves = u32::MAX;
        if of.newest == NONE {
            return;
        }
        let hour = hour_in(sought.latest);
        let latest = day_of(of.hour());
        if hour == of.hour() {
            let own = &self.hours[of.newest];
            prefetch_both(own, &own.changed);
        } else if !is_in_day(hour, latest) {
            // The day that ends with it, or its own.
            let day = if hour > of.hour() { latest } else { day_of(hour) };
            sought.place = self.key.pair(day_key(sought.series, day));
            sought.spot = self.day_index.spot(sought.place);
            sought.moves = self.day_index.moves();
            self.day_index.prefetch(sought.spot);
        }
    }

    #[inline(always)]
    fn take_one(&mut self, by: Arriving<'_>, sought: &Sought, arrival: &Arrival) {
        let series = sought.series;
        let of = &self.series[series];
        let number = match hour_in(sought.latest) == of.hour() {
            true => of.newest,
            false => self.other_hour(sought),
        };
        let Self { series: all, hours, links, wide_hours, wide_series, .. } = self;
        let (of, own) = (&mut all[series], &mut hours[number]);
        let link = links.len() as u32;
        let before = own.head;
        links.push(&Link::NONE, |own| (own.event, own.before) = (arrival.number, before));
        own.head = link;
        own.changed = by.epoch;
        of.changed = by.epoch;
        of.first_time = of.first_time.min(arrival.time);
        of.latest = of.latest.max(sought.latest);
        let lanes = of.lanes;
        if lanes.last() {
            let offset = sought.latest as u32;
            if own.row.last == EventNo::NONE.0
                || offset > own.last_offset
                || (offset == own.last_offset && is_later(by, arrival, own.row.last))
            {
                (own.row.last, own.last_offset) = (arrival.number.0, offset);
            }
            if arrival.time > of.last_live
                || (arrival.time == of.last_live && is_later(by, arrival, of.row.last))
            {
                (of.row.last, of.last_live) = (arrival.number.0, arrival.time);
            }
        }
        if !add(&mut own.row, lanes, arrival.units) {
            widen(wide_hours, number, &mut own.row, lanes, by.events, arrival);
        }
        if !add(&mut of.row, lanes, arrival.units) {
            widen(wide_series, series, &mut of.row, lanes, by.events, arrival);
        }
    }

    /// The row of an hour that is not the latest of its series, or was not so far.
    #[inline(never)]
    fn other_hour(&mut self, sought: &Sought) -> u32 {
        let (series, hour) = (sought.series, hour_in(sought.latest));
        let of = &mut self.series[series];
        let (newest, latest) = (of.newest, of.hour());
        if newest != NONE && hour < latest {
            return self.earlier_hour(sought, newest, day_of(latest));
        }
        of.newest = self.hours.len() as u32;
        let day = day_of(latest);
        if newest != NONE && !is_in_day(hour, day) {
            self.index_day(sought, day, newest);
        }
        self.add_hour(series, hour, newest)
    }

    #[inline(always)]
    fn add_hour(&mut self, series: u32, hour: i32, before: u32) -> u32 {
        let number = self.hours.len() as u32;
        self.hours.push(&Hour::EMPTY, |own| {
            (own.series, own.hour, own.before) = (series, hour, before);
        });
        number
    }

    /// Notes with which row a day begins.
    #[inline(always)]
    fn index_day(&mut self, sought: &Sought, day: i32, number: u32) {
        let place = self.key.pair(day_key(sought.series, day));
        let known = sought.place == place && sought.moves == self.day_index.moves();
        let spot = if known { sought.spot } else { self.day_index.spot(place) };
        let (key, hours) = (self.key, &self.hours);
        self.day_index.insert_at(spot, place, number, |row| {
            let own = &hours[row];
            key.pair(day_key(own.series, day_of(own.hour)))
        });
    }

    /// The first row of a day that is not the latest day of its series.
    fn find_day(&self, series: u32, day: i32) -> Option<u32> {
        self.day_index.find(self.key.pair(day_key(series, day)), |row| {
            let own = &self.hours[row];
            own.series == series && is_in_day(own.hour, day)
        })
    }

    /// The rows of a day, in no order.
    pub(super) fn hours_on(&self, series: u32, day: i32) -> impl Iterator<Item = u32> {
        let of = &self.series[series];
        let first = match of.newest != NONE && day_of(of.hour()) == day {
            true => Some(of.newest),
            false => self.find_day(series, day),
        };
        self.in_day(first.unwrap_or(NONE), day)
    }

    /// The row of an hour before the latest of its series.
    fn earlier_hour(&mut self, sought: &Sought, newest: u32, latest: i32) -> u32 {
        let (series, hour) = (sought.series, hour_in(sought.latest));
        let day = day_of(hour);
        let first = if day == latest { Some(newest) } else { self.find_day(series, day) };
        let Some(first) = first else {
            // A day that had none stands behind the latest one.
            let last = self.in_day(newest, latest).last().unwrap_or(newest);
            let number = self.add_hour_behind(last, series, hour);
            self.index_day(sought, day, number);
            return number;
        };
        let found = self.in_day(first, day).find(|&row| self.hours[row].hour == hour);
        found.unwrap_or_else(|| self.add_hour_behind(first, series, hour))
    }

    fn add_hour_behind(&mut self, row: u32, series: u32, hour: i32) -> u32 {
        let number = self.add_hour(series, hour, self.hours[row].before);
        self.hours[row].before = number;
        number
    }

    /// The hours of a day, from the first of its rows on.
    fn in_day(&self, first: u32, day: i32) -> impl Iterator<Item = u32> {
        let mut next = first;
        std::iter::from_fn(move || {
            let row = next;
            let own = (row != NONE).then(|| &self.hours[row])?;
            next = own.before;
            is_in_day(own.hour, day).then_some(row)
        })
    }
}

/// The hour of an hour and a time within it.
#[inline(always)]
const fn hour_in(latest: i64) -> i32 {
    (latest >> 32) as i32
}

/// Whether an event happened, or else was received, after the one that was the latest so far.
#[cold]
fn is_later(by: Arriving<'_>, arrival: &Arrival, so_far: u32) -> bool {
    let own = (arrival.time, u64::from(by.epoch) << 32 | u64::from(arrival.row));
    by.events.get(EventNo(so_far)).is_none_or(|event| own > (event.time, event.receipt()))
}

/// Adds a value to a row; `false`, and nothing is changed but the count, where it does not fit.
#[inline(always)]
fn add(row: &mut Row, lanes: Lanes, units: i64) -> bool {
    row.count += 1;
    if units == WIDE || row.sum == WIDE {
        return false;
    }
    match row.sum.checked_add(units) {
        Some(sum) if sum != WIDE => row.sum = sum,
        _ => return false,
    }
    if lanes.extreme() {
        let first = row.count == 1;
        let better = if lanes.min() { units < row.extreme } else { units > row.extreme };
        if first || better {
            row.extreme = units;
        }
    }
    true
}

/// Adds a value to a row that holds, or has to hold, more than 64 bits of millionths.
#[cold]
fn widen(
    wide: &mut BTreeMap<u32, WideRow>,
    number: u32,
    row: &mut Row,
    lanes: Lanes,
    events: &Events,
    arrival: &Arrival,
) {
    let event = events.get(arrival.number);
    let value = event.map_or(0, |event| events.value(arrival.number, event));
    let first = row.count == 1;
    let own = wide.entry(number).or_insert_with(|| WideRow {
        sum: i128::from(row.sum).saturating_mul(UNIT),
        extreme: i128::from(row.extreme).saturating_mul(UNIT),
    });
    row.sum = WIDE;
    own.sum = own.sum.saturating_add(value);
    let better = if lanes.min() { value < own.extreme } else { value > own.extreme };
    if first || better {
        own.extreme = value;
    }
}
