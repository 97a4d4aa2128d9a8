//! The bytes of one file: as processes see them, as they are on disk, and what lies between.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::random::SimRandom;

/// What a disk writes as a whole, in bytes: a sector is old or new, never both.
pub const SECTOR_BYTES: usize = 512;
/// What a system writes back as a whole, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// A change that is not synced.
#[derive(Clone, Debug)]
enum Change {
    Bytes { at: usize, bytes: Arc<[u8]> },
    Len(usize),
}

/// The pieces of `unit` bytes that a range touches.
fn units(range: &Range<usize>, unit: usize) -> Range<usize> {
    let first = range.start.checked_div(unit).unwrap_or(0);
    let end = if range.is_empty() { first } else { range.end.div_ceil(unit) };
    first..end
}

fn unit_range(index: usize, unit: usize) -> Range<usize> {
    let start = index.saturating_mul(unit);
    start..start.saturating_add(unit)
}

impl Change {
    /// The bytes it touches, in a file that has at most `len`.
    fn range(&self, len: usize) -> Range<usize> {
        match self {
            Self::Bytes { at, bytes } => *at..at.saturating_add(bytes.len()),
            Self::Len(cut) => *cut..len.max(*cut),
        }
    }

    /// Lays the change over those sectors of `content` for which `reached` says so. The content
    /// keeps at least its length: how long the file is, is decided elsewhere.
    fn lay(&self, content: &mut Vec<u8>, mut reached: impl FnMut(usize) -> bool) {
        let range = self.range(content.len());
        if content.len() < range.end {
            content.resize(range.end, 0);
        }
        for sector in units(&range, SECTOR_BYTES) {
            if !reached(sector) {
                continue;
            }
            let whole = unit_range(sector, SECTOR_BYTES);
            let piece = whole.start.max(range.start)..whole.end.min(range.end);
            let offset = piece.start.saturating_sub(range.start);
            let Some(slot) = content.get_mut(piece) else { continue };
            match self {
                Self::Len(_) => slot.fill(0),
                Self::Bytes { bytes, .. } => {
                    let end = offset.saturating_add(slot.len());
                    slot.copy_from_slice(bytes.get(offset..end).unwrap_or_default());
                }
            }
        }
    }

    /// The length of a file of `len` bytes after this.
    fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Bytes { .. } => len.max(self.range(0).end),
            Self::Len(cut) => *cut,
        }
    }
}

/// How much of the unsynced changes a power loss leaves.
enum Loss {
    /// The first so many changes, and of the next one every sector below some.
    Prefix { changes: usize, torn: usize },
    /// Of every sector a version of its own.
    Any { seed: u64 },
    /// All but that one sector keeps an older version.
    AllBut { sector: usize, changes: usize },
    /// Nothing but that one sector.
    Only { sector: usize },
}

impl Loss {
    fn choose(random: &mut SimRandom, changes: usize, touched: &[usize]) -> Self {
        let sector = random.pick(touched).copied().unwrap_or(0);
        let some = random.index(changes.saturating_add(1));
        match random.below(8) {
            0 => Self::Prefix { changes: 0, torn: 0 },
            1 => Self::Prefix { changes, torn: 0 },
            2 | 3 => Self::Prefix { changes: some, torn: sector },
            4 => Self::AllBut { sector, changes: random.index(changes) },
            5 => Self::Only { sector },
            _ => Self::Any { seed: random.next_u64() },
        }
    }

    /// How many of `all` changes a sector has seen.
    fn seen(&self, sector: usize, all: usize) -> usize {
        match self {
            Self::Prefix { changes, torn } => changes.saturating_add(usize::from(sector < *torn)),
            Self::Any { seed } => {
                let mixed = seed ^ u64::try_from(sector).unwrap_or(0).wrapping_mul(0x9e37_79b9);
                SimRandom::new(mixed).index(all.saturating_add(1))
            }
            Self::AllBut { sector: other, changes } if sector == *other => *changes,
            Self::AllBut { .. } => all,
            Self::Only { sector: other } => {
                if sector == *other {
                    all
                } else {
                    0
                }
            }
        }
    }
}

/// A file without its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// As processes see it.
    seen: Arc<Vec<u8>>,
    /// As it is on disk if nothing unsynced came there.
    synced: Arc<Vec<u8>>,
    /// What was done since the last sync, in order.
    changes: Vec<Change>,
    /// Pages that a failed sync left marked as clean though they never reached the disk. A sync
    /// passes over them; writing to one makes all of it dirty again.
    lost: BTreeSet<usize>,
    /// What sectors held on disk before they were last synced with other bytes.
    former: Arc<BTreeMap<usize, Vec<u8>>>,
}

impl Inode {
    /// A file that is on disk.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        let bytes = Arc::new(bytes);
        Self { seen: Arc::clone(&bytes), synced: bytes, ..Self::default() }
    }

    /// As processes see it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.seen
    }

    /// As it is on disk if nothing unsynced came there.
    pub(super) fn bytes_synced(&self) -> &[u8] {
        &self.synced
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        let seen = Arc::make_mut(&mut self.seen);
        let mut range = at..at.saturating_add(bytes.len());
        if seen.len() < range.end {
            seen.resize(range.end, 0);
        }
        if let Some(slot) = seen.get_mut(range.clone()) {
            slot.copy_from_slice(bytes);
        }
        for page in units(&range.clone(), PAGE_BYTES) {
            if self.lost.remove(&page) {
                let whole = unit_range(page, PAGE_BYTES);
                range = range.start.min(whole.start)..range.end.max(whole.end.min(seen.len()));
            }
        }
        let bytes = seen.get(range.clone()).unwrap_or_default().into();
        self.changes.push(Change::Bytes { at: range.start, bytes });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        Arc::make_mut(&mut self.seen).resize(len, 0);
        self.changes.push(Change::Len(len));
    }

    /// The sectors that changes since the last sync touched.
    fn touched(&self) -> Vec<usize> {
        let len = self.len_max();
        let sectors =
            self.changes.iter().flat_map(|change| units(&change.range(len), SECTOR_BYTES));
        let sectors: BTreeSet<usize> = sectors.collect();
        sectors.into_iter().collect()
    }

    /// The most bytes the file had since the last sync.
    fn len_max(&self) -> usize {
        let lens = self.changes.iter().scan(self.synced.len(), |len, change| {
            *len = change.len_after(*len);
            Some(*len)
        });
        lens.max().unwrap_or(0).max(self.synced.len())
    }

    /// All that was done is on disk, but for what an earlier failure lost.
    pub(super) fn sync(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        self.reach(|_| true, true);
    }

    /// Says that it failed: some pages reached the disk, and all are clean. A length that grew with
    /// pages that did not is as lost as they are; one that shrank is still to be synced, for a file
    /// system whose own records fail goes out of service.
    pub(super) fn fail_sync(&mut self, random: &mut SimRandom) {
        let none = random.one_in(2);
        let seed = random.next_u64();
        let page_reached = |page: usize| {
            !none && SimRandom::new(seed ^ u64::try_from(page).unwrap_or(0)).one_in(2)
        };
        let sectors_per_page = PAGE_BYTES.checked_div(SECTOR_BYTES).unwrap_or(1);
        let page_of = |sector: usize| sector.checked_div(sectors_per_page).unwrap_or(0);
        let pages: BTreeSet<usize> = self.touched().into_iter().map(page_of).collect();
        self.lost.extend(pages.into_iter().filter(|page| !page_reached(*page)));
        self.reach(|sector| page_reached(page_of(sector)), random.one_in(2));
        if self.seen.len() < self.synced.len() {
            self.changes.push(Change::Len(self.seen.len()));
        }
    }

    fn reach(&mut self, mut reached: impl FnMut(usize) -> bool, with_len: bool) {
        let touched = self.touched();
        let before = Arc::clone(&self.synced);
        let synced = Arc::make_mut(&mut self.synced);
        let mut len = synced.len();
        for change in &self.changes {
            change.lay(synced, &mut reached);
            len = change.len_after(len);
        }
        synced.resize(if with_len { len } else { before.len() }, 0);
        for sector in touched {
            let range = unit_range(sector, SECTOR_BYTES);
            let (old, new) = (sector_of(&before, &range), sector_of(synced, &range));
            if old != new {
                Arc::make_mut(&mut self.former).insert(sector, old);
            }
        }
        self.changes.clear();
    }

    /// What is left of the file when the power went.
    pub(super) fn after_power_loss(&self, random: &mut SimRandom) -> Self {
        let loss = Loss::choose(random, self.changes.len(), &self.touched());
        let all = self.changes.len();
        let mut content = self.synced.to_vec();
        let kept_len = match loss {
            Loss::Any { .. } => random.index(all.saturating_add(1)),
            Loss::Prefix { changes, .. } => changes.saturating_add(random.index(2)),
            _ => loss.seen(usize::MAX, all),
        };
        let mut len = content.len();
        for (index, change) in self.changes.iter().enumerate() {
            change.lay(&mut content, |sector| index < loss.seen(sector, all));
            if index < kept_len {
                len = change.len_after(len);
            }
        }
        content.resize(len, 0);
        Self { former: Arc::clone(&self.former), ..Self::synced(content) }
    }

    /// What a process sees after the system dropped clean pages from memory.
    pub(super) fn after_eviction(&self) -> Self {
        let mut file = self.clone();
        let seen = Arc::make_mut(&mut file.seen);
        for page in &self.lost {
            let range = unit_range(*page, PAGE_BYTES);
            let on_disk = self.synced.get(range.start..).unwrap_or_default();
            let slot = seen.get_mut(range.start..).unwrap_or_default();
            for (to, from) in
                slot.iter_mut().zip(on_disk.iter().chain(std::iter::repeat(&0))).take(PAGE_BYTES)
            {
                *to = *from;
            }
        }
        file.lost.clear();
        file
    }

    /// Number of sectors.
    pub(super) fn sectors(&self) -> usize {
        self.seen.len().div_ceil(SECTOR_BYTES)
    }

    /// A sector as processes see it, shorter at the end of the file.
    pub(super) fn sector(&self, sector: usize) -> &[u8] {
        let start = sector.saturating_mul(SECTOR_BYTES).min(self.seen.len());
        let end = start.saturating_add(SECTOR_BYTES).min(self.seen.len());
        self.seen.get(start..end).unwrap_or_default()
    }

    /// What a sector held before; zeros where it never held anything else.
    pub(super) fn sector_former(&self, sector: usize) -> Vec<u8> {
        self.former.get(&sector).cloned().unwrap_or_else(|| vec![0; SECTOR_BYTES])
    }

    /// Sectors of which an older version is known.
    pub(super) fn sectors_with_former(&self) -> Vec<usize> {
        self.former.keys().copied().collect()
    }

    /// Puts bytes on the disk past every rule: how a disk fails. What is beyond the end is left out.
    pub(super) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        for copy in [&mut self.seen, &mut self.synced] {
            let copy = Arc::make_mut(copy);
            let slot = copy.get_mut(at..).unwrap_or_default();
            for (to, from) in slot.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
    }
}

fn sector_of(bytes: &[u8], range: &Range<usize>) -> Vec<u8> {
    let start = range.start.min(bytes.len());
    let mut sector = bytes.get(start..range.end.min(bytes.len())).unwrap_or_default().to_vec();
    sector.resize(SECTOR_BYTES, 0);
    sector
}
