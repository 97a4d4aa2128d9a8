//! What every side must come to: a row for each customer, meter and hour, and what all rows add up
//! to, in whatever order they come.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    io::{BufWriter, Write},
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

/// What the events come to, worked out in the plainest way, the keys with ties, and all keys in
/// order.
pub fn reference(events: &WorkloadBatch) -> (Expected, Ties, Vec<Key>) {
    let (mut seen, mut rows) = (HashSet::with_hasher(Fast::default()), HashMap::default());
    aggregate(events, &mut seen, &mut rows);
    drop(seen);
    let mut series: HashMap<Key, Row, Fast> = HashMap::default();
    for ((customer, meter, _), row) in &rows {
        let all = series.entry((*customer, *meter, ALL_HOURS)).or_insert(Row::NONE);
        all.count += row.count;
        all.sum += row.sum;
        all.max = all.max.max(row.max);
        if row.last_at > all.last_at {
            (all.last_at, all.last) = (row.last_at, row.last);
        }
    }
    let mut at_last: HashMap<Key, u128, Fast> = HashMap::default();
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
    let sum = |of: &HashMap<Key, Row, Fast>| {
        let mut totals = Totals::default();
        of.iter().for_each(|(key, row)| totals.add(*key, row, &ties));
        totals
    };
    let expected = Expected { rows: sum(&rows), series: sum(&series) };
    let mut keys: Vec<Key> = rows.into_keys().collect();
    keys.sort_unstable();
    (expected, ties, keys)
}

/// Bytes of a key in a file.
const KEY_BYTES: usize = 14;

fn keys_of(dir: &Path, events: u64) -> PathBuf {
    dir.join(format!("keys-{events}"))
}

/// Keeps the keys of the first so many events, in order, for those who read them one by one.
pub fn write_keys(dir: &Path, events: u64, keys: &[Key]) -> Result<()> {
    let mut file = BufWriter::new(File::create(keys_of(dir, events))?);
    for (customer, meter, hour) in keys {
        file.write_all(&customer.to_le_bytes())?;
        file.write_all(&meter.to_le_bytes())?;
        file.write_all(&hour.to_le_bytes())?;
    }
    file.into_inner().map_err(|error| error.into_error())?;
    Ok(())
}

/// Reads what [`write_keys`] kept.
pub fn read_keys(dir: &Path, events: u64) -> Result<Vec<Key>> {
    let bytes = fs::read(keys_of(dir, events))?;
    let key = |bytes: &[u8; KEY_BYTES]| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = *bytes;
        let customer = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        (customer, u16::from_le_bytes([i, j]), u32::from_le_bytes([k, l, m, n]))
    };
    Ok(bytes.as_chunks::<KEY_BYTES>().0.iter().map(key).collect())
}

/// Builds [`Folded`].
pub type Fast = BuildHasherDefault<Folded>;

/// Multiply and fold, a word at a time: the fast hash that one takes where nobody chooses the keys.
#[derive(Default, Clone, Copy)]
pub struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        let word = self.0.rotate_left(23) ^ word ^ 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(word) * 0xd6e8_feb8_6659_fd93;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u128(&mut self, word: u128) {
        self.write_u64((word >> 64) as u64);
        self.write_u64(word as u64);
    }
}

fn ties_of(dir: &Path, events: u64) -> PathBuf {
    dir.join(format!("ties-{events}"))
}

/// Keeps the ties among the first so many events for those who compare.
pub fn write_ties(dir: &Path, events: u64, ties: &Ties) -> Result<()> {
    let bytes: Vec<u8> = ties.iter().flat_map(|tie| tie.to_le_bytes()).collect();
    Ok(fs::write(ties_of(dir, events), bytes)?)
}

/// Reads what [`write_ties`] kept.
pub fn read_ties(dir: &Path, events: u64) -> Result<Ties> {
    let bytes = fs::read(ties_of(dir, events))?;
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
        let (totals, ties, keys) = reference(&events(&all));
        assert_eq!(keys, [(7, 3, 0), (8, 3, 0)]);
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
    fn keys_are_kept_as_they_are() {
        let dir = std::env::temp_dir().join(format!("compare-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let keys = [(0, 0, 0), (7, u16::MAX, 9), (u64::MAX, 258, u32::MAX)];
        write_keys(&dir, 3, &keys).unwrap();
        assert_eq!(read_keys(&dir, 3).unwrap(), keys);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_last_value_that_is_not_determined_is_not_compared() {
        let (one, ties, _) = reference(&events(&[(1, 7, 10, 5), (2, 7, 10, 3), (2, 7, 10, 3)]));
        let (other, ..) = reference(&events(&[(2, 7, 10, 3), (1, 7, 10, 5), (1, 7, 10, 5)]));
        // Of the hour, and of all hours.
        assert_eq!((one, ties.len()), (other, 2));
        // A repeat alone is no tie.
        assert!(reference(&events(&[(1, 7, 10, 5), (1, 7, 10, 5)])).1.is_empty());
    }
}
