//! Rows that are added and never removed, in chunks: growth moves none of them, and what is read
//! at random lies on large pages where the system has them.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a row number that was given stays valid, and there are at most 2^32 rows"
)]

use super::memory::ask_for_large_pages;
use std::ops::{Index, IndexMut};

const CHUNK_BITS: usize = 18;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Rows by number.
#[derive(Debug, Clone)]
pub(crate) struct Rows<T> {
    /// Each but the last is full.
    chunks: Vec<Vec<T>>,
    /// Empty chunks whose memory was touched.
    spare: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), spare: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Rows<T> {
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> Option<&T> {
        self.chunks.get(row >> CHUNK_BITS)?.get(row & (CHUNK - 1))
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, row: T) {
        if self.len & (CHUNK - 1) == 0 && self.len >> CHUNK_BITS == self.chunks.len() {
            self.add_chunk();
        }
        self.chunks[self.len >> CHUNK_BITS].push(row);
        self.len += 1;
    }

    #[cold]
    fn add_chunk(&mut self) {
        let next = self.spare.pop().unwrap_or_else(|| {
            // Whole chunks from the second on: what is small stays small.
            let mut chunk = Vec::new();
            if !self.chunks.is_empty() {
                chunk.reserve_exact(CHUNK);
                ask_for_large_pages(&chunk);
            }
            chunk
        });
        self.chunks.push(next);
    }

    /// Makes room for so many rows and touches the memory, where there are none yet.
    pub(crate) fn reserve(&mut self, rows: usize, empty: T) {
        if self.len > 0 || !self.spare.is_empty() {
            return;
        }
        let mut left = rows;
        while left > 0 {
            let room = left.min(CHUNK);
            let mut chunk = Vec::new();
            chunk.reserve_exact(room);
            ask_for_large_pages(&chunk);
            chunk.resize(room, empty);
            chunk.clear();
            self.spare.push(chunk);
            left -= room;
        }
        // The one that is not whole is taken last.
        self.spare.reverse();
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().chain(&self.spare);
        chunks.map(Vec::capacity).sum::<usize>() * size_of::<T>()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T> Index<u32> for Rows<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, row: u32) -> &T {
        let row = row as usize;
        &self.chunks[row >> CHUNK_BITS][row & (CHUNK - 1)]
    }
}

impl<T> IndexMut<u32> for Rows<T> {
    #[inline(always)]
    fn index_mut(&mut self, row: u32) -> &mut T {
        let row = row as usize;
        &mut self.chunks[row >> CHUNK_BITS][row & (CHUNK - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_they_were_put() {
        for room in [0, 3, CHUNK - 1, 2 * CHUNK + 5] {
            let mut rows = Rows::default();
            rows.reserve(room, 0);
            for row in 0..2 * CHUNK + 5 {
                rows.push(row);
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
