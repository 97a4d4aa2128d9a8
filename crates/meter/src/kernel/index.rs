//! From a hash to the row of a table: what the aggregator finds identifiers, series and hours by.
//!
//! An index holds no key, only 16 bits of each hash beside the row; whether a row is the one that
//! is looked for is asked of the table that has it. Ten entries share one line of the cache, so a
//! lookup costs one miss. Entries that find their line full go to the next one. Lines are grouped
//! in segments, which a directory finds by the first bits of the hash: a full segment is doubled
//! while it is small and split in two when it is not, so that growth never moves more than one
//! segment at a time.
#![expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "places come from the index itself: lines and slots are taken modulo their number"
)]

use super::memory::{ask_for_large_pages, prefetch};

/// Entries of a line.
const SLOTS: usize = 10;
/// Lines of the largest segment: 256 KiB, some 33,000 entries.
const SEGMENT_LINES: u32 = 4096;
/// Segments of the largest size that are made room for at once: 4 MiB.
const SEGMENTS: u32 = 16;
/// A segment is grown when it is fuller than this many of a thousand slots.
const FULL_PER_MILLE: u64 = 860;
/// How full a segment is made by [`Index::reserve`].
const RESERVED_PER_MILLE: u64 = 805;
/// The deepest directory: the bits of the hash that it uses are not those of lines.
const DEPTH_MAX: u32 = 16;

/// One line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    rows: [u32; SLOTS],
    tags: [u16; SLOTS],
    /// Slots in use, from the first.
    used: u8,
    /// Whether an entry went past this line because it was full.
    passed: bool,
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    const EMPTY: Self = Self { rows: [0; SLOTS], tags: [0; SLOTS], used: 0, passed: false };

    /// The slots in use with this tag, a bit for each.
    #[inline(always)]
    fn matches(&self, tag: u16) -> u32 {
        let mut mask = 0;
        for (slot, &own) in self.tags.iter().enumerate() {
            mask |= u32::from(own == tag) << slot;
        }
        mask & ((1 << self.used) - 1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    arena: u32,
    start: u32,
    lines: u32,
    used: u32,
    /// How many bits of the hash its entries share.
    depth: u32,
}

/// A multimap from hashes to rows; callers keep it a map.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    arenas: Vec<Vec<Line>>,
    /// The arena that the next large segment is cut from, and how much of it is used up.
    open: Option<(u32, u32)>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            segments: vec![Segment { arena: 0, start: 0, lines: 1, used: 0, depth: 0 }],
            arenas: vec![vec![Line::EMPTY]],
            open: None,
            len: 0,
        }
    }
}

/// The home of a hash within a segment, and the tag that it is known by there.
#[inline(always)]
fn home(hash: u64, lines: u32) -> u32 {
    let spread = u64::from((hash >> 16) as u32);
    ((spread * u64::from(lines)) >> 32) as u32
}

impl Index {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let lines: usize = self.arenas.iter().map(Vec::len).sum();
        lines * size_of::<Line>()
            + self.segments.len() * size_of::<Segment>()
            + self.directory.len() * size_of::<u32>()
    }

    #[inline(always)]
    fn segment(&self, hash: u64) -> &Segment {
        let place = hash.checked_shr(64 - self.depth).unwrap_or(0) as usize;
        &self.segments[self.directory[place] as usize]
    }

    /// Asks for the line that a lookup of this hash will read.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        let segment = self.segment(hash);
        let line = segment.start + home(hash, segment.lines);
        prefetch(&self.arenas[segment.arena as usize][line as usize]);
    }

    /// A row that is probably the one of this hash, to be asked for ahead of the lookup.
    #[inline(always)]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        let segment = self.segment(hash);
        let line = segment.start + home(hash, segment.lines);
        let line = &self.arenas[segment.arena as usize][line as usize];
        let mask = line.matches(hash as u16);
        (mask != 0).then(|| line.rows[mask.trailing_zeros() as usize])
    }

    /// The row of a hash for which `same` holds.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let segment = self.segment(hash);
        let lines = &self.arenas[segment.arena as usize];
        let mut at = home(hash, segment.lines);
        loop {
            let line = &lines[(segment.start + at) as usize];
            let mut mask = line.matches(hash as u16);
            while mask != 0 {
                let row = line.rows[mask.trailing_zeros() as usize];
                if same(row) {
                    return Some(row);
                }
                mask &= mask - 1;
            }
            if !line.passed {
                return None;
            }
            at += 1;
            if at == segment.lines {
                at = 0;
            }
        }
    }

    /// Adds an entry. `hash_of` gives the hash of a row that was added before, for when entries
    /// have to move.
    #[inline(always)]
    pub(crate) fn insert(&mut self, hash: u64, row: u32, hash_of: impl Fn(u32) -> u64) {
        loop {
            let place = hash.checked_shr(64 - self.depth).unwrap_or(0) as usize;
            let number = self.directory[place] as usize;
            let segment = &mut self.segments[number];
            let slots = u64::from(segment.lines) * SLOTS as u64;
            if (u64::from(segment.used) + 1) * 1000 <= slots * FULL_PER_MILLE {
                segment.used += 1;
                let (start, count) = (segment.start, segment.lines);
                let arena = &mut self.arenas[segment.arena as usize];
                put(&mut arena[start as usize..(start + count) as usize], hash, row);
                self.len += 1;
                return;
            }
            self.grow(number, &hash_of);
        }
    }

    /// Makes the entry of a hash lead to another row.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some((line, slot)) = self.entry(hash, old) {
            line.rows[slot] = new;
        }
    }

    /// Removes the entry of a row, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, row: u32) {
        let Some((line, slot)) = self.entry(hash, row) else { return };
        line.used -= 1;
        let last = usize::from(line.used);
        line.rows[slot] = line.rows[last];
        line.tags[slot] = line.tags[last];
        let place = hash.checked_shr(64 - self.depth).unwrap_or(0) as usize;
        self.segments[self.directory[place] as usize].used -= 1;
        self.len -= 1;
    }

    fn entry(&mut self, hash: u64, row: u32) -> Option<(&mut Line, usize)> {
        let segment = *self.segment(hash);
        let lines = &mut self.arenas[segment.arena as usize];
        let mut at = home(hash, segment.lines);
        loop {
            let line = &lines[(segment.start + at) as usize];
            let mut mask = line.matches(hash as u16);
            while mask != 0 {
                let slot = mask.trailing_zeros() as usize;
                if line.rows[slot] == row {
                    return Some((&mut lines[(segment.start + at) as usize], slot));
                }
                mask &= mask - 1;
            }
            if !line.passed {
                return None;
            }
            at = (at + 1) % segment.lines;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, number: usize, hash_of: &dyn Fn(u32) -> u64) {
        let old = self.segments[number];
        let range = old.start as usize..(old.start + old.lines) as usize;
        let lines = &self.arenas[old.arena as usize][range.clone()];
        let entries: Vec<(u64, u32)> = lines
            .iter()
            .flat_map(|line| &line.rows[..usize::from(line.used)])
            .map(|&row| (hash_of(row), row))
            .collect();
        if old.lines < SEGMENT_LINES || old.depth >= DEPTH_MAX {
            // A small segment owns its arena.
            let lines = old.lines.saturating_mul(2);
            let mut arena = vec![Line::EMPTY; lines as usize];
            entries.iter().for_each(|&(hash, row)| put(&mut arena, hash, row));
            let own = self.arenas.len();
            if old.start == 0 && self.arenas[old.arena as usize].len() == old.lines as usize {
                self.arenas[old.arena as usize] = arena;
                self.segments[number].lines = lines;
            } else {
                self.arenas.push(arena);
                let segment = &mut self.segments[number];
                (segment.arena, segment.start, segment.lines) = (own as u32, 0, lines);
            }
            return;
        }
        let depth = old.depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&number| [number; 2]).collect();
            self.depth = depth;
        }
        let (arena, start) = self.room(old.lines);
        self.arenas[old.arena as usize][range.clone()].fill(Line::EMPTY);
        let twin = start as usize..(start + old.lines) as usize;
        let mut moved = 0;
        for (hash, row) in entries {
            if (hash >> (64 - depth)) & 1 == 1 {
                put(&mut self.arenas[arena as usize][twin.clone()], hash, row);
                moved += 1;
            } else {
                put(&mut self.arenas[old.arena as usize][range.clone()], hash, row);
            }
        }
        let segment = &mut self.segments[number];
        segment.used -= moved;
        segment.depth = depth;
        let second = self.segments.len() as u32;
        self.segments.push(Segment { arena, start, lines: old.lines, used: moved, depth });
        // Entries of the directory that led to the old segment are one run; its upper half moves.
        let run: Vec<usize> = (0..self.directory.len())
            .filter(|&place| self.directory[place] as usize == number)
            .collect();
        for &place in &run[run.len() / 2..] {
            self.directory[place] = second;
        }
    }

    /// An arena that has so many lines free, and where.
    fn room(&mut self, lines: u32) -> (u32, u32) {
        match &mut self.open {
            Some((arena, used))
                if *used as usize + lines as usize <= self.arenas[*arena as usize].len() =>
            {
                let start = *used;
                *used += lines;
                (*arena, start)
            }
            _ => {
                let arena = self.arenas.len() as u32;
                self.arenas.push(empty_lines((lines * SEGMENTS) as usize));
                self.open = Some((arena, lines));
                (arena, 0)
            }
        }
    }

    /// Makes room for so many entries in all, in one piece of memory that is touched here. An
    /// index that has entries already is left to grow by itself.
    pub(crate) fn reserve(&mut self, entries: usize) {
        if self.len > 0 || entries <= SLOTS {
            return;
        }
        let lines_all = (entries as u64 * 1000).div_ceil(RESERVED_PER_MILLE * SLOTS as u64);
        let mut depth = 0;
        while depth < DEPTH_MAX && (lines_all >> depth) > u64::from(SEGMENT_LINES) {
            depth += 1;
        }
        let count = 1_u32 << depth;
        let Ok(lines) = u32::try_from(lines_all.div_ceil(u64::from(count))) else { return };
        let Some(total) = count.checked_mul(lines) else { return };
        self.arenas = vec![empty_lines(total as usize)];
        self.directory = (0..count).collect();
        self.segments = (0..count)
            .map(|number| Segment { arena: 0, start: number * lines, lines, used: 0, depth })
            .collect();
        self.depth = depth;
    }
}

/// So many empty lines.
fn empty_lines(count: usize) -> Vec<Line> {
    let mut lines = Vec::with_capacity(count);
    ask_for_large_pages(&lines);
    lines.resize(count, Line::EMPTY);
    lines
}

/// Adds an entry to lines that have room.
#[inline(always)]
fn put(lines: &mut [Line], hash: u64, row: u32) {
    let count = lines.len();
    let mut at = home(hash, count as u32) as usize;
    loop {
        let line = &mut lines[at];
        let slot = usize::from(line.used);
        if slot < SLOTS {
            line.rows[slot] = row;
            line.tags[slot] = hash as u16;
            line.used += 1;
            return;
        }
        line.passed = true;
        at += 1;
        if at == count {
            at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn hash_of(key: u64) -> u64 {
        let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        (product as u64) ^ ((product >> 64) as u64)
    }

    #[test]
    fn a_hundred_thousand_rows_are_found_whether_reserved_or_grown() {
        for reserved in [0, 5, 1_000, 100_000, 400_000] {
            let mut index = Index::default();
            index.reserve(reserved);
            for row in 0..100_000_u32 {
                let hash = hash_of(row.into());
                assert_eq!(index.find(hash, |other| other == row), None);
                index.insert(hash, row, |row| hash_of(row.into()));
            }
            assert_eq!(index.len(), 100_000);
            for row in 0..100_000_u32 {
                assert_eq!(index.find(hash_of(row.into()), |other| other == row), Some(row));
            }
            for row in (0..100_000_u32).step_by(3) {
                index.remove(hash_of(row.into()), row);
            }
            for row in 0..100_000_u32 {
                let found = index.find(hash_of(row.into()), |other| other == row);
                assert_eq!(found.is_some(), row % 3 != 0, "{row}");
            }
        }
    }

    #[test]
    fn a_reserve_for_so_many_holds_so_many_in_eight_bytes_each() {
        for entries in [1_000_usize, 50_000, 1_234_567] {
            let mut index = Index::default();
            index.reserve(entries);
            let before = index.bytes();
            for row in 0..entries as u32 {
                index.insert(hash_of(row.into()), row, |row| hash_of(row.into()));
            }
            let (bytes, grown) = (index.bytes(), index.bytes() - before);
            assert!(grown <= before / 20, "{entries}: grew by {grown} of {before}");
            assert!(bytes < entries * 84 / 10 + 8192, "{entries}: {bytes}");
        }
    }

    #[test]
    fn rows_that_share_every_bit_of_their_hash_are_told_apart() {
        let mut index = Index::default();
        for row in 0..2_000_u32 {
            index.insert(7, row, |_| 7);
        }
        for row in 0..2_000_u32 {
            assert_eq!(index.find(7, |other| other == row), Some(row));
        }
        assert_eq!(index.find(7, |_| false), None);
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0..4_u8, 0..300_u64), 0..2_000),
            coarse in any::<bool>(),
        ) {
            // Coarse hashes collide in line and tag.
            let hash = |key: u64| if coarse { hash_of(key % 3) } else { hash_of(key) };
            let mut keys: Vec<u64> = Vec::new();
            let (mut index, mut model) = (Index::default(), BTreeMap::<u64, u32>::new());
            for (step, key) in steps {
                let found = index.find(hash(key), |row| keys[row as usize] == key);
                prop_assert_eq!(found, model.get(&key).copied());
                match (step, found) {
                    (0 | 1, None) => {
                        let row = keys.len() as u32;
                        keys.push(key);
                        index.insert(hash(key), row, |row| hash(keys[row as usize]));
                        model.insert(key, row);
                    }
                    (2, Some(row)) => {
                        index.remove(hash(key), row);
                        model.remove(&key);
                    }
                    (3, Some(row)) => {
                        let new = keys.len() as u32;
                        keys.push(key);
                        index.replace(hash(key), row, new);
                        model.insert(key, new);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }
}
