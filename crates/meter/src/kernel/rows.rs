//! Rows that are added and never removed: growth moves none of them but the first few, and what is
//! read at random lies on large pages where the system has them.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a row number that was given stays valid, and there are at most 2^32 rows"
)]

use super::memory::{ask_for_large_pages, prefetch};
use std::ops::{Index, IndexMut};

/// Rows that are kept in one piece where nothing was reserved.
const BASE: usize = 1 << 14;
const CHUNK: usize = 1 << 16;
/// How many rows ahead the memory of the next one is asked for.
const AHEAD: usize = 3;

/// Rows by number.
#[derive(Debug, Clone)]
pub(crate) struct Rows<T> {
    /// The first rows: as many as were reserved.
    base: Vec<T>,
    base_rows: usize,
    /// Each but the last is full.
    more: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { base: Vec::new(), base_rows: BASE, more: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Rows<T> {
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> Option<&T> {
        match self.base.get(row) {
            Some(found) => Some(found),
            None => {
                let row = row.checked_sub(self.base_rows)?;
                self.more.get(row / CHUNK)?.get(row % CHUNK)
            }
        }
    }

    /// Adds a row, to be filled where it lies: made elsewhere and copied, it would wait until all
    /// that was written before is in the cache.
    #[inline(always)]
    pub(crate) fn push(&mut self, empty: &T, fill: impl FnOnce(&mut T)) {
        if self.len < self.base_rows {
            self.base.push(*empty);
            if let Some(row) = self.base.last_mut() {
                fill(row);
            }
            if let Some(ahead) = self.base.spare_capacity_mut().get(AHEAD) {
                prefetch(ahead);
            }
        } else {
            self.push_beyond(*empty);
            if let Some(row) = self.more.last_mut().and_then(|chunk| chunk.last_mut()) {
                fill(row);
            }
        }
        self.len += 1;
    }

    #[inline(never)]
    fn push_beyond(&mut self, row: T) {
        let full = self.more.last().is_none_or(|chunk| chunk.len() == CHUNK);
        if full {
            let mut chunk = Vec::new();
            chunk.reserve_exact(CHUNK);
            ask_for_large_pages(&chunk);
            self.more.push(chunk);
        }
        if let Some(chunk) = self.more.last_mut() {
            chunk.push(row);
        }
    }

    /// Makes room for so many rows and touches the memory, where there are none yet.
    pub(crate) fn reserve(&mut self, rows: usize, empty: T) {
        if self.len > 0 || rows <= BASE {
            return;
        }
        self.base = Vec::new();
        self.base.reserve_exact(rows);
        ask_for_large_pages(&self.base);
        self.base.resize(rows, empty);
        self.base.clear();
        self.base_rows = rows;
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let more: usize = self.more.iter().map(Vec::capacity).sum();
        (self.base.capacity() + more) * size_of::<T>()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.base.iter().chain(self.more.iter().flatten())
    }
}

impl<T: Copy> Index<u32> for Rows<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, row: u32) -> &T {
        let row = row as usize;
        match self.base.get(row) {
            Some(found) => found,
            None => {
                let row = row - self.base_rows;
                &self.more[row / CHUNK][row % CHUNK]
            }
        }
    }
}

impl<T: Copy> IndexMut<u32> for Rows<T> {
    #[inline(always)]
    fn index_mut(&mut self, row: u32) -> &mut T {
        let row = row as usize;
        if row < self.base.len() {
            return &mut self.base[row];
        }
        let row = row - self.base_rows;
        &mut self.more[row / CHUNK][row % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_they_were_put() {
        for room in [0, 3, CHUNK - 1, 2 * CHUNK + 5, 3 * CHUNK] {
            let mut rows = Rows::default();
            rows.reserve(room, 0);
            for row in 0..2 * CHUNK + 5 {
                rows.push(&0, |own| *own = row);
            }
            assert_eq!(rows.len(), 2 * CHUNK + 5);
            assert!(rows.iter().copied().eq(0..2 * CHUNK + 5));
            rows[7] += 1;
            assert_eq!((rows[7], rows[CHUNK as u32]), (8, CHUNK));
            assert_eq!(rows.get(2 * CHUNK + 5), None);
            assert_eq!(rows.get(2 * CHUNK + 4), Some(&(2 * CHUNK + 4)));
        }
    }
}
