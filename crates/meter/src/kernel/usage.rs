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
use super::memory::{prefetch, prefetch_both};
use super::rows::Rows;
use std::collections::BTreeMap;

/// Nanoseconds of an hour.
pub(crate) const HOUR_NANOS: i64 = 3_600_000_000_000;
/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// What is kept besides sum and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lanes {
    /// The largest value; the smallest where `min` is set.
    pub(crate) extreme: bool,
    pub(crate) min: bool,
    pub(crate) last: bool,
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
    /// The hour of the series that was begun before.
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
#[repr(align(64))]
pub(super) struct Series {
    pub(super) row: Row,
    pub(super) subject: u32,
    pub(super) meter: u16,
    /// The hour that was begun last.
    pub(super) newest: u32,
    pub(super) changed: u32,
    /// No event lies before or after these; cancelled ones count.
    pub(super) first_time: i64,
    pub(super) last_time: i64,
    /// When the latest event that counts happened.
    pub(super) last_live: i64,
}

const _: () = assert!(size_of::<Series>() == 64);

impl Series {
    const EMPTY: Self = Self {
        row: Row::EMPTY,
        subject: NONE,
        meter: 0,
        newest: NONE,
        changed: 0,
        first_time: i64::MAX,
        last_time: i64::MIN,
        last_live: i64::MIN,
    };
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
pub(crate) struct Arrival<'a> {
    pub(crate) number: EventNo,
    pub(crate) event: &'a Event,
    pub(crate) lanes: Lanes,
}

impl Arrival<'_> {
    /// Fills a stage.
    pub(crate) const NONE: Self = Self {
        number: EventNo::NONE,
        event: &Event::EMPTY,
        lanes: Lanes { extreme: false, min: false, last: false },
    };
}

/// The sums of one part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(super) key: Key,
    /// The series of each subject on each of the first meters.
    slots: Vec<u32>,
    /// The series on other meters.
    pub(super) series_index: Index,
    pub(super) series: Rows<Series>,
    pub(super) hour_index: Index,
    pub(super) hours: Rows<Hour>,
    pub(super) links: Rows<Link>,
    pub(super) wide_hours: BTreeMap<u32, WideRow>,
    pub(super) wide_series: BTreeMap<u32, WideRow>,
}

/// Meters whose series are found by place; on more of them, most customers would have none.
const SLOTTED: usize = 16;

/// The place of the series of a subject on one of the first meters.
#[inline(always)]
const fn slot_of(subject: u32, meter: u16) -> Option<usize> {
    if meter as usize >= SLOTTED {
        return None;
    }
    Some(subject as usize / PARTS * SLOTTED + meter as usize)
}

/// The part of a subject.
#[inline(always)]
pub(crate) const fn part_of(subject: u32) -> usize {
    subject as usize % PARTS
}

/// The hour of a time.
#[inline(always)]
pub(crate) const fn hour_of(time: i64) -> i32 {
    time.div_euclid(HOUR_NANOS) as i32
}

/// When an hour begins, or the nearest time that can be expressed.
pub(crate) fn hour_start(hour: i32) -> i64 {
    i64::from(hour).saturating_mul(HOUR_NANOS)
}

#[inline(always)]
pub(super) fn offset_of(time: i64) -> u32 {
    (time.rem_euclid(HOUR_NANOS) >> 10) as u32
}

#[inline(always)]
pub(super) fn series_key(subject: u32, meter: u16) -> u64 {
    u64::from(subject) << 16 | u64::from(meter) | 1 << 63
}

#[inline(always)]
pub(super) fn hour_key(series: u32, hour: i32) -> u64 {
    u64::from(series) << 32 | u64::from(hour as u32)
}

/// Events that are taken into the sums at once.
const STAGE: usize = 64;

/// Takes events into the sums of the parts that they belong to, in their order. Memory is asked
/// for ahead, stage by stage, so that the lines of all of them are on their way at once.
#[inline]
pub(crate) fn take(parts: &mut [Part], first: usize, events: &Events, arrivals: &[Arrival<'_>]) {
    let mut series = [0_u32; STAGE];
    let mut sought = [Sought::default(); STAGE];
    let part_of = |arrival: &Arrival<'_>| part_of(arrival.event.subject) - first;
    for some in arrivals.chunks(STAGE) {
        for (series, arrival) in series.iter_mut().zip(some) {
            let part = &mut parts[part_of(arrival)];
            *series = part.series_of(arrival);
            prefetch(&part.series[*series]);
        }
        for ((sought, &series), arrival) in sought.iter_mut().zip(&series).zip(some) {
            *sought = parts[part_of(arrival)].seek(series, arrival);
        }
        for (sought, arrival) in sought.iter().zip(some) {
            parts[part_of(arrival)].prefetch_hour(sought);
        }
        for (sought, arrival) in sought.iter().zip(some) {
            parts[part_of(arrival)].take_one(events, sought, arrival);
        }
    }
}

/// An hour that an event is on its way to.
#[derive(Debug, Clone, Copy, Default)]
struct Sought {
    place: u64,
    series: u32,
    hour: i32,
    spot: Spot,
    /// When the spot was found.
    moves: u32,
}

impl Part {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, ..Self::default() }
    }

    /// Makes room for so many series, hours and events. The memory is touched here.
    pub(crate) fn reserve(&mut self, series: usize, hours: usize, events: usize) {
        self.hour_index.reserve(hours);
        self.series.reserve(series, Series::EMPTY);
        self.hours.reserve(hours, Hour::EMPTY);
        self.links.reserve(events, Link::NONE);
    }

    pub(crate) fn hours(&self) -> usize {
        self.hours.len()
    }

    /// Bytes of the hours and their index.
    pub(crate) fn hour_bytes(&self) -> usize {
        self.hour_index.bytes() + self.hours.bytes()
    }

    /// Bytes of the lists of events by hour.
    pub(crate) fn link_bytes(&self) -> usize {
        self.links.bytes()
    }

    /// Bytes of series, and of values that need more room than most.
    pub(crate) fn series_bytes(&self) -> usize {
        self.series_index.bytes()
            + self.series.bytes()
            + self.slots.capacity() * size_of::<u32>()
            + (self.wide_hours.len() + self.wide_series.len()) * 64
    }

    #[inline(always)]
    fn series_of(&mut self, arrival: &Arrival<'_>) -> u32 {
        match self.series(arrival.event.subject, arrival.event.meter) {
            Some(row) => row,
            None => self.add_series(arrival),
        }
    }

    /// The series of a subject on a meter.
    #[inline(always)]
    pub(crate) fn series(&self, subject: u32, meter: u16) -> Option<u32> {
        match slot_of(subject, meter) {
            Some(slot) => self.slots.get(slot).copied().filter(|&row| row != NONE),
            None => self.find_series(subject, meter),
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
    fn add_series(&mut self, arrival: &Arrival<'_>) -> u32 {
        let number = self.series.len() as u32;
        let (subject, meter) = (arrival.event.subject, arrival.event.meter);
        self.series.push(&Series::EMPTY, |series| {
            series.subject = subject;
            series.meter = meter;
        });
        match slot_of(subject, meter) {
            Some(slot) => {
                if slot >= self.slots.len() {
                    self.slots.resize((slot + 1).next_multiple_of(SLOTTED), NONE);
                }
                self.slots[slot] = number;
            }
            None => {
                let (key, series) = (self.key, &self.series);
                let place = key.pair(series_key(subject, meter));
                self.series_index.insert(place, number, |row| {
                    let series = &series[row];
                    key.pair(series_key(series.subject, series.meter))
                });
            }
        }
        number
    }

    #[inline(always)]
    fn seek(&self, series: u32, arrival: &Arrival<'_>) -> Sought {
        let hour = hour_of(arrival.event.time);
        let place = self.key.pair(hour_key(series, hour));
        let (spot, moves) = (self.hour_index.spot(place), self.hour_index.moves());
        Sought { place, series, hour, spot, moves }
    }

    #[inline(always)]
    fn prefetch_hour(&self, sought: &Sought) {
        if let Some(row) = self.hour_index.candidate(sought.spot, sought.place) {
            let hour = &self.hours[row];
            prefetch_both(hour, &hour.changed);
        }
    }

    #[inline(always)]
    fn take_one(&mut self, events: &Events, sought: &Sought, arrival: &Arrival<'_>) {
        let Sought { place, series, hour, spot, moves } = *sought;
        let hours = &self.hours;
        let same = |row: u32| {
            let own = &hours[row];
            own.series == series && own.hour == hour
        };
        let found = match moves == self.hour_index.moves() {
            true => self.hour_index.find_at(spot, place, same),
            false => self.hour_index.find(place, same),
        };
        let number = match found {
            Some(row) => row,
            None => self.add_hour(place, series, hour),
        };
        let link = self.links.len() as u32;
        let own = &mut self.hours[number];
        let before = own.head;
        self.links.push(&Link::NONE, |link| {
            link.event = arrival.number;
            link.before = before;
        });
        own.head = link;
        own.changed = arrival.event.epoch;
        let of = &mut self.series[series];
        of.changed = arrival.event.epoch;
        of.first_time = of.first_time.min(arrival.event.time);
        if arrival.lanes.last {
            let (last, offset) = (arrival.number.0, offset_of(arrival.event.time));
            let newer = own.row.last == EventNo::NONE.0
                || offset > own.last_offset
                || (offset == own.last_offset
                    && is_latest(events, EventNo(own.row.last), arrival.event.time));
            if newer {
                (own.row.last, own.last_offset) = (last, offset);
            }
            if arrival.event.time >= of.last_live {
                (of.row.last, of.last_live) = (last, arrival.event.time);
            }
        }
        of.last_time = of.last_time.max(arrival.event.time);
        if !add(&mut own.row, arrival) {
            widen(&mut self.wide_hours, number, &mut own.row, events, arrival);
        }
        if !add(&mut of.row, arrival) {
            widen(&mut self.wide_series, series, &mut of.row, events, arrival);
        }
    }

    #[inline(always)]
    fn add_hour(&mut self, place: u64, series: u32, hour: i32) -> u32 {
        let number = self.hours.len() as u32;
        let of = &mut self.series[series];
        self.hours.push(&Hour::EMPTY, |own| {
            own.series = series;
            own.hour = hour;
            own.before = of.newest;
        });
        of.newest = number;
        let (key, hours) = (self.key, &self.hours);
        self.hour_index.insert(place, number, |row| {
            let own = &hours[row];
            key.pair(hour_key(own.series, own.hour))
        });
        number
    }
}

/// Whether an event at a time is the latest, compared with the one that is so far.
#[cold]
fn is_latest(events: &Events, so_far: EventNo, time: i64) -> bool {
    events.get(so_far).is_none_or(|event| time >= event.time)
}

/// Adds a value to a row; `false`, and nothing is changed but the count, where it does not fit.
#[inline(always)]
fn add(row: &mut Row, arrival: &Arrival<'_>) -> bool {
    row.count += 1;
    if arrival.event.units == WIDE || row.sum == WIDE {
        return false;
    }
    match row.sum.checked_add(arrival.event.units) {
        Some(sum) if sum != WIDE => row.sum = sum,
        _ => return false,
    }
    if arrival.lanes.extreme {
        let (first, units) = (row.count == 1, arrival.event.units);
        let better = if arrival.lanes.min { units < row.extreme } else { units > row.extreme };
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
    events: &Events,
    arrival: &Arrival<'_>,
) {
    let value = events.value(arrival.number, arrival.event);
    let first = row.count == 1;
    let own = wide.entry(number).or_insert_with(|| WideRow {
        sum: i128::from(row.sum).saturating_mul(UNIT),
        extreme: i128::from(row.extreme).saturating_mul(UNIT),
    });
    row.sum = WIDE;
    own.sum = own.sum.saturating_add(value);
    let better = if arrival.lanes.min { value < own.extreme } else { value > own.extreme };
    if first || better {
        own.extreme = value;
    }
}
