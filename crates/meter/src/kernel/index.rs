//! From a hash to the row of a table: what the aggregator finds identifiers, hours and names by.
//!
//! An index holds no key, only 15 bits of each hash beside the row; whether a row is the one that
//! is looked for is asked of the table that has it. Ten entries share one line of the cache, so a
//! lookup costs one miss. Entries that find their line full go to the next one. Lines are grouped
//! in segments of one size, which a directory finds by the first bits of the hash: the only
//! segment is doubled while it is small, and later a full one is split in two, so that growth never
//! moves more than one segment at a time.
#![expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "places come from the index itself: lines and slots are taken modulo their number"
)]

#[cfg(target_arch = "x86_64")]
use super::memory::equal_words;
use super::memory::{ask_for_large_pages, prefetch};

/// Entries of a line.
const SLOTS: usize = 10;
/// Lines of the largest segment: 256 KiB, some 33,000 entries.
const SEGMENT_LINES: u32 = 4096;
/// Lines of an arena, which segments that came by splitting are cut from: 2 MiB.
const ARENA_LINES: u32 = 8 * SEGMENT_LINES;
/// A segment is grown when it is fuller than this many of a thousand slots.
const FULL_PER_MILLE: u64 = 860;
/// How full a segment is made by [`Index::reserve`].
const RESERVED_PER_MILLE: u64 = 805;
/// The deepest directory: the bits of the hash that it uses are not those of lines.
const DEPTH_MAX: u32 = 16;

/// One line of the cache: ten tags of 16 bits, then how many there are and whether an entry went
/// past because there were ten, then the rows.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    /// The last four bytes are the count and the mark.
    tags: [u64; 3],
    rows: [u32; SLOTS],
}

const _: () = assert!(size_of::<Line>() == 64);

const COUNT_SHIFT: u32 = 32;
const PASSED: u64 = 1 << 48;

/// What an entry is known by in its line: never zero, which is what a free slot has.
#[inline(always)]
fn tag_of(hash: u64) -> u64 {
    (hash & 0xffff) | 1
}

impl Line {
    const EMPTY: Self = Self { tags: [0; 3], rows: [0; SLOTS] };

    #[inline(always)]
    fn used(&self) -> usize {
        (self.tags[2] >> COUNT_SHIFT) as usize & 0xf
    }

    #[inline(always)]
    fn passed(&self) -> bool {
        self.tags[2] & PASSED != 0
    }

    /// The slots with this tag, a bit for each.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn matches(&self, tag: u64) -> u32 {
        // The last word has two tags, then count and mark.
        equal_words(self.tags, tag as u16) & 0x3ff
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn matches(&self, tag: u64) -> u32 {
        self.matches_one_by_one(tag)
    }

    /// The same in plain steps.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn matches_one_by_one(&self, tag: u64) -> u32 {
        (0..SLOTS).fold(0, |found, slot| {
            let own = self.tags[slot / 4] >> (slot % 4 * 16) & 0xffff;
            found | u32::from(own == tag) << slot
        })
    }

    /// Adds an entry to a line that has room.
    #[inline(always)]
    fn push(&mut self, tag: u64, row: u32) {
        let slot = self.used();
        self.tags[slot / 4] |= tag << (slot % 4 * 16);
        self.tags[2] += 1 << COUNT_SHIFT;
        self.rows[slot] = row;
    }

    fn remove(&mut self, slot: usize) {
        let last = self.used() - 1;
        let tag = self.tags[last / 4] >> (last % 4 * 16) & 0xffff;
        self.tags[slot / 4] &= !(0xffff << (slot % 4 * 16));
        self.tags[slot / 4] |= tag << (slot % 4 * 16);
        self.tags[last / 4] &= !(0xffff << (last % 4 * 16));
        self.rows[slot] = self.rows[last];
        self.tags[2] -= 1 << COUNT_SHIFT;
    }
}

/// The slot of the first match.
#[inline(always)]
fn slot_of(matches: u32) -> usize {
    matches.trailing_zeros() as usize % 16
}

/// A multimap from hashes to rows; callers keep it a map.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// For the first bits of a hash the number of its segment.
    directory: Vec<u32>,
    /// How far a hash is shifted to be a place in the directory.
    shift: u32,
    /// Lines of each segment.
    lines: u32,
    segments: Vec<Segment>,
    /// The lines that were there first: those of the only segment, or what was reserved.
    base: Vec<Line>,
    /// Arenas of the same size, one after the other.
    more: Vec<Vec<Line>>,
    /// Grows when lines move: a [`Spot`] is good until then.
    moves: u32,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Its entries.
    used: u32,
    /// Entries from which on it has to grow; none while it has to be laid out again.
    limit: u32,
    /// How many bits of the hash they share.
    depth: u32,
    /// Entries that were removed since it was last laid out.
    removed: u32,
}

impl Segment {
    fn of(lines: u32, used: u32, depth: u32) -> Self {
        Self { used, limit: full(lines), depth, removed: 0 }
    }
}

/// Where a hash belongs: good until lines move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    line: u32,
    segment: u32,
}

impl Spot {
    /// Where no hash belongs.
    pub(crate) const NONE: Self = Self { line: u32::MAX, segment: u32::MAX };
}

impl Default for Index {
    fn default() -> Self {
        Self {
            directory: vec![0; 2],
            shift: 63,
            lines: 1,
            segments: vec![Segment::of(1, 0, 0)],
            base: vec![Line::EMPTY],
            more: Vec::new(),
            moves: 0,
        }
    }
}

/// The home of a hash within its segment.
#[inline(always)]
fn home(hash: u64, lines: u32) -> u32 {
    let spread = u64::from((hash >> 16) as u32);
    ((spread * u64::from(lines)) >> 32) as u32
}

/// How many entries a segment of so many lines may have.
fn full(lines: u32) -> u32 {
    let slots = u64::from(lines) * SLOTS as u64;
    (slots * FULL_PER_MILLE / 1000) as u32
}

impl Index {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.used as usize).sum()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let lines = self.base.len() + self.more.iter().map(Vec::capacity).sum::<usize>();
        lines * size_of::<Line>()
            + self.segments.len() * size_of::<Segment>()
            + self.directory.len() * 4
    }

    #[inline(always)]
    fn line(&self, number: u32) -> &Line {
        let number = number as usize;
        match self.base.get(number) {
            Some(line) => line,
            None => {
                let number = number - self.base.len();
                &self.more[number / ARENA_LINES as usize][number % ARENA_LINES as usize]
            }
        }
    }

    #[inline(always)]
    fn line_mut(&mut self, number: u32) -> &mut Line {
        line_mut(&mut self.base, &mut self.more, number)
    }

    /// The number of the segment of a hash.
    #[inline(always)]
    fn segment(&self, hash: u64) -> u32 {
        self.directory[(hash >> self.shift) as usize]
    }

    /// The first line of the segment of a hash.
    #[inline(always)]
    fn start(&self, hash: u64) -> u32 {
        self.segment(hash) * self.lines
    }

    /// Grows when lines move.
    #[inline(always)]
    pub(crate) fn moves(&self) -> u32 {
        self.moves
    }

    /// Where a hash belongs.
    #[inline(always)]
    pub(crate) fn spot(&self, hash: u64) -> Spot {
        let segment = self.segment(hash);
        Spot { line: segment * self.lines + home(hash, self.lines), segment }
    }

    /// Asks for the line of a spot.
    #[inline(always)]
    pub(crate) fn prefetch(&self, spot: Spot) {
        prefetch(self.line(spot.line));
    }

    /// A row that is probably the one of this hash, to be asked for ahead of the lookup.
    #[inline(always)]
    pub(crate) fn candidate(&self, spot: Spot, hash: u64) -> Option<u32> {
        let line = self.line(spot.line);
        let matches = line.matches(tag_of(hash));
        (matches != 0).then(|| line.rows[slot_of(matches)])
    }

    /// The row of a hash for which `same` holds, from its spot on.
    #[inline(always)]
    pub(crate) fn find_at(
        &self,
        spot: Spot,
        hash: u64,
        mut same: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let line = self.line(spot.line);
        let mut matches = line.matches(tag_of(hash));
        while matches != 0 {
            let row = line.rows[slot_of(matches)];
            if same(row) {
                return Some(row);
            }
            matches &= matches - 1;
        }
        if !line.passed() {
            return None;
        }
        self.find_beyond(hash, &mut same)
    }

    #[cold]
    fn find_beyond(&self, hash: u64, same: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let (start, first) = (self.start(hash), self.spot(hash).line);
        let mut at = first;
        loop {
            at = next(start, at, self.lines);
            let line = self.line(at);
            let mut matches = line.matches(tag_of(hash));
            while matches != 0 {
                let row = line.rows[slot_of(matches)];
                if same(row) {
                    return Some(row);
                }
                matches &= matches - 1;
            }
            if !line.passed() || at == first {
                return None;
            }
        }
    }

    /// The row of a hash for which `same` holds.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.find_at(self.spot(hash), hash, same)
    }

    /// Adds an entry. `hash_of` gives the hash of a row that was added before, for when entries
    /// have to move.
    pub(crate) fn insert(&mut self, hash: u64, row: u32, hash_of: impl Fn(u32) -> u64) {
        self.insert_at(self.spot(hash), hash, row, hash_of);
    }

    /// The same, from the spot of the hash on.
    #[inline(always)]
    pub(crate) fn insert_at(
        &mut self,
        spot: Spot,
        hash: u64,
        row: u32,
        hash_of: impl Fn(u32) -> u64,
    ) {
        let segment = &mut self.segments[spot.segment as usize];
        if segment.used < segment.limit {
            segment.used += 1;
            let line = line_mut(&mut self.base, &mut self.more, spot.line);
            if line.used() < SLOTS {
                return line.push(tag_of(hash), row);
            }
            let start = spot.segment * self.lines;
            return put(&mut self.base, &mut self.more, start, self.lines, hash, row);
        }
        self.insert_after_growth(hash, row, &hash_of);
    }

    #[cold]
    #[inline(never)]
    fn insert_after_growth(&mut self, hash: u64, row: u32, hash_of: &dyn Fn(u32) -> u64) {
        loop {
            let spot = self.spot(hash);
            let segment = &mut self.segments[spot.segment as usize];
            if segment.limit == 0 {
                self.lay_out_again(spot.segment, hash_of);
            } else if segment.used < segment.limit {
                segment.used += 1;
                let start = spot.segment * self.lines;
                return put(&mut self.base, &mut self.more, start, self.lines, hash, row);
            } else {
                self.grow(hash, hash_of);
            }
        }
    }

    /// Makes the entry of a hash lead to another row.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some((line, slot)) = self.entry(hash, old) {
            self.line_mut(line).rows[slot] = new;
        }
    }

    /// Removes the entry of a row, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, row: u32) {
        let Some((line, slot)) = self.entry(hash, row) else { return };
        self.line_mut(line).remove(slot);
        let segment = self.segment(hash);
        let segment = &mut self.segments[segment as usize];
        segment.used -= 1;
        segment.removed += 1;
        if segment.removed as usize > self.lines as usize * SLOTS {
            segment.limit = 0;
        }
    }

    fn entry(&self, hash: u64, row: u32) -> Option<(u32, usize)> {
        let start = self.start(hash);
        let first = start + home(hash, self.lines);
        let mut at = first;
        loop {
            let line = self.line(at);
            let mut matches = line.matches(tag_of(hash));
            while matches != 0 {
                let slot = slot_of(matches);
                if line.rows[slot] == row && slot < line.used() {
                    return Some((at, slot));
                }
                matches &= matches - 1;
            }
            if !line.passed() {
                return None;
            }
            at = next(start, at, self.lines);
            if at == first {
                return None;
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, hash: u64, hash_of: &dyn Fn(u32) -> u64) {
        self.moves = self.moves.wrapping_add(1);
        let number = self.segment(hash);
        let start = number * self.lines;
        let Segment { used, depth, .. } = self.segments[number as usize];
        if (self.segments.len() == 1 && self.lines < SEGMENT_LINES) || depth >= DEPTH_MAX {
            return self.double(hash_of);
        }
        let depth = depth + 1;
        while 64 - self.shift < depth {
            self.directory = self.directory.iter().flat_map(|&number| [number; 2]).collect();
            self.shift -= 1;
        }
        let twin = self.segments.len() as u32;
        let second = twin * self.lines;
        self.make_room(second + self.lines);
        let entries = self.take_out(start, hash_of);
        let mut moved = 0;
        for (hash, row) in entries {
            let upper = (hash >> (64 - depth)) & 1 == 1;
            moved += u32::from(upper);
            let start = if upper { second } else { start };
            put(&mut self.base, &mut self.more, start, self.lines, hash, row);
        }
        let used = used - moved;
        self.segments[number as usize] = Segment::of(self.lines, used, depth);
        self.segments.push(Segment::of(self.lines, moved, depth));
        // Entries of the directory that led to the old segment are one run; its upper half moves.
        let first = (hash >> (64 - depth) >> 1 << 1) << (64 - depth) >> self.shift;
        let half = 1_usize << (64 - self.shift - depth);
        let upper = first as usize + half..first as usize + 2 * half;
        self.directory[upper].fill(twin);
    }

    /// Empties a segment; what was in it.
    fn take_out(&mut self, start: u32, hash_of: &dyn Fn(u32) -> u64) -> Vec<(u64, u32)> {
        let mut entries = Vec::new();
        for number in start..start + self.lines {
            let line = self.line_mut(number);
            entries.extend(line.rows[..line.used()].iter().map(|&row| (hash_of(row), row)));
            *line = Line::EMPTY;
        }
        entries
    }

    /// Lays a segment out again, so that lines which are full no more are gone past no more.
    #[cold]
    fn lay_out_again(&mut self, number: u32, hash_of: &dyn Fn(u32) -> u64) {
        self.moves = self.moves.wrapping_add(1);
        let start = number * self.lines;
        for (hash, row) in self.take_out(start, hash_of) {
            put(&mut self.base, &mut self.more, start, self.lines, hash, row);
        }
        let Segment { used, depth, .. } = self.segments[number as usize];
        self.segments[number as usize] = Segment::of(self.lines, used, depth);
    }

    /// Makes lines up to a number.
    fn make_room(&mut self, lines: u32) {
        // The only segment may have been smaller than those of an arena.
        while self.base.len() + self.more.len() * (ARENA_LINES as usize) < lines as usize {
            self.more.push(empty_lines(ARENA_LINES as usize));
        }
    }

    /// Gives every segment twice the lines, all in one piece: for the only one while it is small.
    fn double(&mut self, hash_of: &dyn Fn(u32) -> u64) {
        let mut rows = Vec::with_capacity(self.len());
        for number in 0..self.segments.len() as u32 * self.lines {
            let line = self.line(number);
            rows.extend_from_slice(&line.rows[..line.used()]);
        }
        self.lines *= 2;
        for segment in &mut self.segments {
            *segment = Segment::of(self.lines, segment.used, segment.depth);
        }
        self.base = empty_lines(self.segments.len() * self.lines as usize);
        self.more.clear();
        for row in rows {
            let hash = hash_of(row);
            let start = self.start(hash);
            put(&mut self.base, &mut self.more, start, self.lines, hash, row);
        }
    }

    /// Makes room for so many entries in all, in one piece of memory that is touched here. An
    /// index that has entries already is left to grow by itself.
    pub(crate) fn reserve(&mut self, entries: usize) {
        if self.len() > 0 || entries <= SLOTS {
            return;
        }
        let lines_all = (entries as u64 * 1000).div_ceil(RESERVED_PER_MILLE * SLOTS as u64);
        let mut depth = 1;
        while depth < DEPTH_MAX && (lines_all >> depth) > u64::from(SEGMENT_LINES) {
            depth += 1;
        }
        let count = 1_u32 << depth;
        let Ok(lines) = u32::try_from(lines_all.div_ceil(u64::from(count))) else { return };
        let Some(total) = count.checked_mul(lines) else { return };
        self.base = empty_lines(total as usize);
        self.more.clear();
        self.directory = (0..count).collect();
        self.segments = vec![Segment::of(lines, 0, depth); count as usize];
        self.shift = 64 - depth;
        self.lines = lines;
        self.moves = self.moves.wrapping_add(1);
    }
}

#[inline(always)]
fn next(start: u32, line: u32, lines: u32) -> u32 {
    if line + 1 == start + lines { start } else { line + 1 }
}

#[inline(always)]
fn line_mut<'a>(base: &'a mut [Line], more: &'a mut [Vec<Line>], number: u32) -> &'a mut Line {
    let (number, first) = (number as usize, base.len());
    if number < first {
        return &mut base[number];
    }
    let number = number - first;
    &mut more[number / ARENA_LINES as usize][number % ARENA_LINES as usize]
}

/// So many empty lines.
fn empty_lines(count: usize) -> Vec<Line> {
    let mut lines = Vec::with_capacity(count);
    ask_for_large_pages(&lines);
    lines.resize(count, Line::EMPTY);
    lines
}

/// Adds an entry to a segment that has room.
fn put(base: &mut [Line], more: &mut [Vec<Line>], start: u32, lines: u32, hash: u64, row: u32) {
    let mut at = start + home(hash, lines);
    loop {
        let line = line_mut(base, more, at);
        if line.used() < SLOTS {
            line.push(tag_of(hash), row);
            return;
        }
        line.tags[2] |= PASSED;
        at = next(start, at, lines);
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
    fn tags_are_found_as_one_by_one() {
        for used in 0..=SLOTS {
            let mut line = Line::EMPTY;
            let tag = |slot: usize| tag_of(hash_of(slot as u64 % 7) >> 3);
            (0..used).for_each(|slot| line.push(tag(slot), slot as u32));
            line.tags[2] |= PASSED;
            for other in 0..9 {
                let sought = tag(other);
                assert_eq!(line.matches(sought), line.matches_one_by_one(sought), "{used}");
            }
            assert_eq!(line.matches(tag(0)) & 1, u32::from(used > 0));
        }
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
    fn a_window_of_entries_that_moves_on_goes_past_few_full_lines() {
        let mut index = Index::default();
        index.reserve(20_000);
        let hash = |row: u32| hash_of(row.into());
        for row in 0..1_000_000_u32 {
            index.insert(hash(row), row, hash);
            if row >= 20_000 {
                index.remove(hash(row - 20_000), row - 20_000);
            }
        }
        assert_eq!(index.len(), 20_000);
        assert!((980_000..1_000_000).all(|row| index.find(hash(row), |own| own == row).is_some()));
        let passed = index.base.iter().filter(|line| line.passed()).count();
        assert!(passed * 100 < index.base.len() * 75, "{passed} of {}", index.base.len());
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
