//! What every side must come to: a row for each customer, meter and hour, and what all rows add up
//! to, in whatever order they come.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::BuildHasher,
    path::{Path, PathBuf},
};

use counterfoil_compare::Result;
use counterfoil_meter::workload::WorkloadBatch;
use serde::{Deserialize, Serialize};

pub const HOUR_NANOS: i64 = 3_600_000_000_000;

/// Customer, meter and hour.
pub type Key = (u64, u16, u32);

/// What the events of a key come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub count: u64,
    pub sum: i64,
    pub max: i64,
    pub last: i64,
    pub last_at: i64,
}

impl Row {
    pub const NONE: Self = Self { count: 0, sum: 0, max: i64::MIN, last: 0, last_at: i64::MIN };

    /// Adds an event; of equal times the later one is the last.
    #[inline]
    pub fn add(&mut self, time: i64, units: i64) {
        self.count += 1;
        self.sum += units;
        self.max = self.max.max(units);
        if time >= self.last_at {
            (self.last_at, self.last) = (time, units);
        }
    }
}

/// The key of an event.
#[inline]
pub fn key(events: &WorkloadBatch, row: usize) -> Key {
    let hour = (events.times[row] / HOUR_NANOS) as u32;
    (events.customers[row], events.names[row], hour)
}

/// In place of an hour: all of them.
pub const ALL_HOURS: u32 = u32::MAX;

/// What all rows add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub rows: u64,
    /// Events after deduplication.
    pub count: u64,
    pub sum: i64,
    /// Hashes of all rows, added up: the order of rows does not matter.
    pub checksum: u64,
}

/// Keys with several events at their latest time, by their hashes. Which of those is the last is
/// not said by a time alone, so their last value is not compared.
pub type Ties = BTreeSet<u64>;

impl Totals {
    /// Adds what other rows add up to.
    pub fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        self.count += other.count;
        self.sum += other.sum;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }

    pub fn add(&mut self, key: Key, row: &Row, ties: &Ties) {
        let place = hash_of([key.0, u64::from(key.1), u64::from(key.2)], 0);
        let last = if ties.contains(&place) { 0 } else { row.last as u64 };
        let hash = hash_of([row.count, row.sum as u64, row.max as u64, last], place);
        self.rows += 1;
        self.count += row.count;
        self.sum += row.sum;
        self.checksum = self.checksum.wrapping_add(hash);
    }
}

fn hash_of<const N: usize>(words: [u64; N], start: u64) -> u64 {
    words.into_iter().fold(start, |hash, word| {
        let word = hash.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    })
}

/// Exact deduplication and rows by two hash maps: what one writes first.
pub fn aggregate<S: BuildHasher>(
    events: &WorkloadBatch,
    seen: &mut HashSet<u128, S>,
    rows: &mut HashMap<Key, Row, S>,
) {
    for number in 0..events.len() {
        if seen.insert(events.identifiers[number]) {
            let row = rows.entry(key(events, number)).or_insert(Row::NONE);
            row.add(events.times[number], events.units[number]);
        }
    }
}

/// What the events come to: by customer, meter and hour, and over all hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    pub rows: Totals,
    pub series: Totals,
}

/// What the events come to, worked out in the plainest way, and the keys with ties.
pub fn reference(events: &WorkloadBatch) -> (Expected, Ties) {
    let (mut seen, mut rows) = (HashSet::new(), HashMap::new());
    aggregate(events, &mut seen, &mut rows);
    drop(seen);
    let mut series: HashMap<Key, Row> = HashMap::new();
    for ((customer, meter, _), row) in &rows {
        let all = series.entry((*customer, *meter, ALL_HOURS)).or_insert(Row::NONE);
        all.count += row.count;
        all.sum += row.sum;
        all.max = all.max.max(row.max);
        if row.last_at > all.last_at {
            (all.last_at, all.last) = (row.last_at, row.last);
        }
    }
    let mut at_last: HashMap<Key, u128> = HashMap::new();
    let mut ties = Ties::new();
    for number in 0..events.len() {
        let (hour, identifier) = (key(events, number), events.identifiers[number]);
        if rows.get(&hour).is_none_or(|row| row.last_at != events.times[number])
            || *at_last.entry(hour).or_insert(identifier) == identifier
        {
            continue;
        }
        ties.insert(hash_of([hour.0, u64::from(hour.1), u64::from(hour.2)], 0));
        // The latest time of all hours lies in one of them.
        let all = (hour.0, hour.1, ALL_HOURS);
        if series.get(&all).is_some_and(|row| row.last_at == events.times[number]) {
            ties.insert(hash_of([all.0, u64::from(all.1), u64::from(all.2)], 0));
        }
    }
    drop(at_last);
    let sum = |of: &HashMap<Key, Row>| {
        let mut totals = Totals::default();
        of.iter().for_each(|(key, row)| totals.add(*key, row, &ties));
        totals
    };
    (Expected { rows: sum(&rows), series: sum(&series) }, ties)
}

fn ties_of(dir: &Path, events: u64) -> PathBuf {
    dir.join(format!("ties-{events}"))
}

/// Keeps the ties among the first so many events for those who compare.
pub fn write_ties(dir: &Path, events: u64, ties: &Ties) -> Result<()> {
    let bytes: Vec<u8> = ties.iter().flat_map(|tie| tie.to_le_bytes()).collect();
    Ok(std::fs::write(ties_of(dir, events), bytes)?)
}

/// Reads what [`write_ties`] kept.
pub fn read_ties(dir: &Path, events: u64) -> Result<Ties> {
    let bytes = std::fs::read(ties_of(dir, events))?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|tie| u64::from_le_bytes(*tie)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(rows: &[(u128, u64, i64, i64)]) -> WorkloadBatch {
        WorkloadBatch {
            names: vec![3; rows.len()],
            identifiers: rows.iter().map(|row| row.0).collect(),
            customers: rows.iter().map(|row| row.1).collect(),
            times: rows.iter().map(|row| row.2).collect(),
            units: rows.iter().map(|row| row.3).collect(),
        }
    }

    #[test]
    fn the_first_of_an_identifier_counts_and_the_order_of_the_rest_does_not() {
        let all = [(1, 7, 10, 5), (2, 7, 20, 3), (3, 8, 5, 9), (1, 7, 30, 100), (4, 7, 15, 4)];
        let (totals, ties) = reference(&events(&all));
        let rows = totals.rows;
        assert_eq!((rows.rows, rows.count, rows.sum), (2, 4, 21));
        assert_eq!((totals.series.rows, totals.series.count), (2, 4));
        assert!(ties.is_empty());
        let mixed = [all[4], all[0], all[2], all[3], all[1]];
        assert_eq!(reference(&events(&mixed)).0, totals);
        for change in [(1, 7, 10, 6), (1, 7, 21, 5), (1, 9, 10, 5), (2, 7, 10, 5)] {
            let mut others = all;
            others[0] = change;
            assert_ne!(reference(&events(&others)).0.rows.checksum, rows.checksum, "{change:?}");
        }
    }

    #[test]
    fn a_last_value_that_is_not_determined_is_not_compared() {
        let (one, ties) = reference(&events(&[(1, 7, 10, 5), (2, 7, 10, 3), (2, 7, 10, 3)]));
        let (other, _) = reference(&events(&[(2, 7, 10, 3), (1, 7, 10, 5), (1, 7, 10, 5)]));
        // Of the hour, and of all hours.
        assert_eq!((one, ties.len()), (other, 2));
        // A repeat alone is no tie.
        assert!(reference(&events(&[(1, 7, 10, 5), (1, 7, 10, 5)])).1.is_empty());
    }
}
