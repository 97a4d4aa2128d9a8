//! The workload that the aggregator is measured with: usage as a large service sees it, from a
//! seed, of any size, the same on every machine.
//!
//! Each event is a function of the seed and its number, so a workload of a thousand million events
//! needs no memory. Identifiers are 128 random bits; a share of the events are exact repeats of an
//! event of the 24 hours before; customers are drawn by Zipf's law (the n-th largest has 1/n of the
//! largest one's events) and have scattered ids; meters are uniform; times span 31 days in
//! milliseconds, 97 of 100 within a minute of their order and the others up to three days late;
//! values are 1 to 10^9 millionths.

use crate::{Capacity, ColumnError, CustomerIds, EventColumns, EventNames, Identifiers, Values};
use counterfoil_core::Timestamp;

/// The event names of the workload's meters.
pub const EVENT_NAMES: [&str; 8] = [
    "api_call",
    "build_minute",
    "egress_byte",
    "gpu_second",
    "input_token",
    "output_token",
    "row_read",
    "storage_hour",
];

const SPAN_MILLIS: u64 = 31 * 86_400_000;
const DAYS: u64 = 31;
const LATE_MILLIS_MAX: u64 = 3 * 86_400_000;
const JITTER_MILLIS_MAX: u64 = 60_000;
const UNITS_MAX: u64 = 1_000_000_000;
/// Hours in which events happen.
const HOURS: u64 = DAYS * 24;
/// One, of the shares that [`missing`] reckons with.
const ONE: u64 = 1 << 32;
/// 2025-03-01T00:00:00Z.
const START_SECONDS: i64 = 1_740_787_200;

/// A workload.
#[derive(Debug, Clone)]
pub struct Workload {
    seed: u64,
    events: u64,
    repeats_per_thousand: u64,
    /// How often each customer is drawn, added up.
    weights: Vec<u64>,
    /// For each 1/2^16 of the weights the customer that it begins with.
    guide: Vec<u32>,
}

/// Some events of a workload, as columns.
#[derive(Debug, Clone, Default)]
pub struct WorkloadBatch {
    /// Places in [`EVENT_NAMES`].
    pub names: Vec<u16>,
    /// Identifiers.
    pub identifiers: Vec<u128>,
    /// Customers.
    pub customers: Vec<u64>,
    /// Nanoseconds since 1970, whole milliseconds.
    pub times: Vec<i64>,
    /// Millionths.
    pub units: Vec<i64>,
}

impl WorkloadBatch {
    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// A part of the batch for the aggregator.
    ///
    /// # Errors
    /// [`ColumnError::TooManyEvents`] beyond [`EventColumns::EVENTS_MAX`].
    pub fn columns(&self, rows: std::ops::Range<usize>) -> Result<EventColumns<'_>, ColumnError> {
        let codes = self.names.get(rows.clone()).unwrap_or_default();
        EventColumns::of(
            EventNames::Coded { names: &EVENT_NAMES, codes },
            Identifiers::Numbers(self.identifiers.get(rows.clone()).unwrap_or_default()),
            CustomerIds::Numbers(self.customers.get(rows.clone()).unwrap_or_default()),
            self.times.get(rows.clone()),
            Values::Units { units: self.units.get(rows).unwrap_or_default(), digits: 6 },
        )
    }
}

impl Workload {
    /// So many events of so many customers, so many of a thousand of them repeats. At least one
    /// customer, at most 10 million; at least 31 events.
    #[must_use]
    pub fn new(seed: u64, events: u64, customers: u32, repeats_per_thousand: u32) -> Self {
        let mut sum = 0_u64;
        let weights: Vec<u64> = (1..=u64::from(customers.clamp(1, 10_000_000)))
            .map(|rank| {
                sum = sum.saturating_add((1_u64 << 40).checked_div(rank).unwrap_or_default());
                sum
            })
            .collect();
        let guide = (0..1_u64 << 16)
            .map(|part| {
                let from = scaled(part << 48, sum);
                u32::try_from(weights.partition_point(|&weight| weight <= from)).unwrap_or(u32::MAX)
            })
            .collect();
        let repeats_per_thousand = u64::from(repeats_per_thousand.min(999));
        Self { seed, events: events.max(DAYS), repeats_per_thousand, weights, guide }
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.events
    }

    /// Never: a workload has events.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The time at which all of it has arrived.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        let start = Timestamp::from_unix(START_SECONDS).unwrap_or(Timestamp::MIN);
        let seconds = i64::try_from(SPAN_MILLIS / 1000).unwrap_or(i64::MAX);
        start.checked_add_seconds(seconds).unwrap_or(Timestamp::MAX)
    }

    /// What the first so many events come to, for
    /// [`Aggregator::reserve`](crate::Aggregator::reserve): what is to be expected, and a
    /// hundredth more.
    #[must_use]
    pub fn capacity(&self, events: u64) -> Capacity {
        let kept = 1000_u64.saturating_sub(self.repeats_per_thousand);
        let different = scaled_by(events.min(self.events), kept, 1000);
        let hours = scaled_by(events.min(self.events), HOURS, self.events).saturating_add(1);
        let meters = u64::try_from(EVENT_NAMES.len()).unwrap_or(u64::MAX);
        let expected = |cells: u64| {
            let mut before = 0;
            let shares = self.weights.iter().map(|&weight| {
                let own = weight.saturating_sub(before);
                before = weight;
                let all = u128::from(self.weights.last().copied().unwrap_or(1));
                let events = u128::from(different).saturating_mul(own.into());
                let mean = events.saturating_mul(ONE.into()).checked_div(all).unwrap_or_default();
                let mean = mean.checked_div(cells.into()).unwrap_or_default();
                let share = ONE.saturating_sub(missing(u64::try_from(mean).unwrap_or(u64::MAX)));
                share.saturating_mul(cells)
            });
            let sum = shares.fold(0_u64, u64::saturating_add) >> 32;
            let roomy = sum.saturating_add(sum / 100).saturating_add(64);
            usize::try_from(roomy.min(different.saturating_add(64))).unwrap_or(usize::MAX)
        };
        Capacity {
            events: usize::try_from(different.saturating_add(different / 100)).unwrap_or(0),
            customers: expected(1),
            series: expected(meters),
            hours: expected(meters.saturating_mul(hours)),
        }
    }

    /// Fills a batch with so many events from a number on.
    pub fn fill(&self, batch: &mut WorkloadBatch, from: u64, events: usize) {
        batch.names.clear();
        batch.identifiers.clear();
        batch.customers.clear();
        batch.times.clear();
        batch.units.clear();
        let rows = u64::try_from(events).unwrap_or(u64::MAX);
        for number in from..from.saturating_add(rows).min(self.events) {
            self.push(batch, self.original(number));
        }
    }

    /// The number of the event that an event repeats, or its own.
    fn original(&self, number: u64) -> u64 {
        if !self.is_repeat(number) {
            return number;
        }
        let day = self.events.checked_div(DAYS).unwrap_or(1).max(1);
        let back = self.word(number, 1).checked_rem(day.min(number)).unwrap_or_default();
        let mut first = number.saturating_sub(1).saturating_sub(back);
        while self.is_repeat(first) {
            first = first.saturating_sub(1);
        }
        first
    }

    /// Whether an event, by its number, repeats an earlier one. The first one does not.
    #[must_use]
    pub fn is_repeat(&self, number: u64) -> bool {
        number > 0 && self.word(number, 0) % 1000 < self.repeats_per_thousand
    }

    fn push(&self, batch: &mut WorkloadBatch, number: u64) {
        let high = u128::from(self.word(number, 2));
        batch.identifiers.push(high << 64 | u128::from(self.word(number, 3)));
        batch.names.push(u16::try_from(self.word(number, 4) % 8).unwrap_or_default());
        batch.customers.push(self.customer(self.word(number, 5)));
        batch.times.push(self.time(number));
        let units = 1_u64.saturating_add(self.word(number, 6) % UNITS_MAX);
        batch.units.push(i64::try_from(units).unwrap_or(i64::MAX));
    }

    fn customer(&self, word: u64) -> u64 {
        let all = self.weights.last().copied().unwrap_or(1);
        let (point, part) = (scaled(word, all), usize::try_from(word >> 48).unwrap_or(0));
        let from = self.guide.get(part).map_or(0, |&from| usize::try_from(from).unwrap_or(0));
        let to = self.guide.get(part.saturating_add(1)).copied();
        let to = to
            .and_then(|to| usize::try_from(to).ok())
            .map_or(self.weights.len(), |to| to.saturating_add(1).min(self.weights.len()));
        let run = self.weights.get(from..to).unwrap_or_default();
        let rank = from.saturating_add(run.partition_point(|&weight| weight <= point));
        mixed(u64::try_from(rank).unwrap_or(u64::MAX).wrapping_add(self.seed.rotate_left(17)))
    }

    fn time(&self, number: u64) -> i64 {
        let due = scaled_by(number, SPAN_MILLIS, self.events);
        let word = self.word(number, 7);
        let most = if word % 100 < 97 { JITTER_MILLIS_MAX } else { LATE_MILLIS_MAX };
        let millis = due.saturating_sub((word >> 8).checked_rem(most).unwrap_or_default());
        let millis = START_SECONDS.saturating_mul(1000).saturating_add_unsigned(millis);
        millis.saturating_mul(1_000_000)
    }

    /// A random word: the so-manieth of an event.
    #[inline(always)]
    fn word(&self, number: u64, which: u64) -> u64 {
        let counter = number.wrapping_mul(8).wrapping_add(which);
        mixed(self.seed.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// The finalizer of SplitMix64.
#[inline(always)]
const fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A word as a share of 2^64, of a whole.
fn scaled(word: u64, whole: u64) -> u64 {
    let product = u128::from(word).saturating_mul(u128::from(whole));
    u64::try_from(product >> 64).unwrap_or(u64::MAX)
}

fn scaled_by(number: u64, whole: u64, of: u64) -> u64 {
    let product = u128::from(number).saturating_mul(u128::from(whole));
    u64::try_from(product.checked_div(of.into()).unwrap_or_default()).unwrap_or(u64::MAX)
}

/// The share of cells that stay without an event where each is to have so many: `e^-mean`, both in
/// parts of [`ONE`].
fn missing(mean: u64) -> u64 {
    let mut share = ONE.saturating_sub(mean >> 8);
    for _ in 0..8 {
        share = scaled_by(share, share, ONE);
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn it_is_as_it_is_described() {
        let workload = Workload::new(1, 200_000, 1_000, 10);
        let mut batch = WorkloadBatch::default();
        workload.fill(&mut batch, 0, 200_000);
        assert_eq!(batch.len(), 200_000);
        let different: BTreeSet<_> = batch.identifiers.iter().collect();
        let repeats = batch.len() - different.len();
        assert!((1_800..2_200).contains(&repeats), "{repeats}");
        assert_eq!((0..200_000).filter(|&number| workload.is_repeat(number)).count(), repeats);
        let mut counts = BTreeMap::<u64, u32>::new();
        batch.customers.iter().for_each(|&customer| *counts.entry(customer).or_default() += 1);
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // 200,000 / H(1000), and a tenth of that for the tenth.
        assert!((25_500..27_900).contains(&counts[0]), "{}", counts[0]);
        assert!((2_400..2_950).contains(&counts[9]), "{}", counts[9]);
        assert!(counts.len() > 990);
        let order = |row: usize| START_SECONDS * 1_000_000_000 + row as i64 * 13_392_000_000;
        let late = |&row: &usize| batch.times[row] < order(row) - 60_000_000_000;
        let late = (0..batch.len()).filter(late).count();
        // Three of a hundred, and repeats.
        assert!((6_500..9_000).contains(&late), "{late}");
        let end = workload.end().unix() * 1_000_000_000;
        assert!(batch.times.iter().all(|&time| time < end && time % 1_000_000 == 0));
        assert!(batch.units.iter().all(|&units| (1..=1_000_000_000).contains(&units)));
    }

    #[test]
    fn its_capacity_is_what_it_needs() {
        for (customers, events) in [(10, 50_000), (1_000, 100_000), (50_000, 100_000)] {
            let workload = Workload::new(4, 100_000, customers, 100);
            let mut batch = WorkloadBatch::default();
            workload.fill(&mut batch, 0, events);
            let rows = || (0..batch.len()).map(|row| (batch.customers[row], batch.names[row]));
            let hour = |row: usize| batch.times[row] / 3_600_000_000_000;
            let identifiers: BTreeSet<_> = batch.identifiers.iter().collect();
            let customers: BTreeSet<_> = batch.customers.iter().collect();
            let series: BTreeSet<_> = rows().collect();
            let hours: BTreeSet<_> = rows().zip((0..).map(hour)).collect();
            let room = workload.capacity(u64::try_from(events).unwrap());
            for (needed, room) in [
                (identifiers.len(), room.events),
                (customers.len(), room.customers),
                (series.len(), room.series),
                (hours.len(), room.hours),
            ] {
                assert!(needed <= room, "{needed} in {room}");
                assert!(room <= needed + needed / 25 + 128, "{needed} in {room}");
            }
        }
    }

    #[test]
    fn a_part_is_that_part_of_the_whole() {
        let workload = Workload::new(9, 10_000, 50, 300);
        let (mut whole, mut part) = (WorkloadBatch::default(), WorkloadBatch::default());
        workload.fill(&mut whole, 0, 10_000);
        workload.fill(&mut part, 6_000, 500);
        assert_eq!(whole.identifiers[6_000..6_500], part.identifiers);
        assert_eq!(whole.times[6_000..6_500], part.times);
        assert_eq!(whole.customers[6_000..6_500], part.customers);
        assert_eq!(whole.columns(0..10_000).unwrap().len(), 10_000);
    }
}
