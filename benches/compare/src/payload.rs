//! What is written: records of which everyone can tell afterwards whether all of them are there.

use crc_fast::crc32_iscsi;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 256;

/// One record, to whoever stores it nothing but bytes.
pub type Record = [u8; RECORD_BYTES];

/// The records of one thread, in order. They begin with the thread's number and their own, and go
/// on with bytes that do not compress.
pub struct Source {
    thread: u64,
    next: u64,
    filler: Record,
}

impl Source {
    /// The records of thread `thread` from the first on.
    pub fn new(thread: u64) -> Self {
        let mut filler = [0; RECORD_BYTES];
        fill(&mut filler, thread);
        Self { thread, next: 0, filler }
    }

    /// The next record.
    pub fn record(&mut self) -> Record {
        let mut record = self.filler;
        record[..8].copy_from_slice(&self.thread.to_le_bytes());
        record[8..16].copy_from_slice(&self.next.to_le_bytes());
        self.next += 1;
        record
    }

    /// What a store must hold that has taken every record handed out so far.
    pub fn total(&self) -> Total {
        let mut again = Self::new(self.thread);
        let mut total = Total::default();
        for _ in 0..self.next {
            total.add(&again.record());
        }
        total
    }
}

/// Fills `bytes` with a sequence that depends on `seed` alone (SplitMix64).
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// Number and checksum of records, in whatever order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub records: u64,
    sum: u64,
}

impl Total {
    /// Counts a record.
    pub fn add(&mut self, record: &[u8]) {
        // The checksum of the second half makes the sum of 64 bits; a sum is blind to order.
        let (head, rest) = record.split_at(record.len() / 2);
        let hash = u64::from(crc32_iscsi(record)) << 32 | u64::from(crc32_iscsi(rest));
        self.sum = self.sum.wrapping_add(hash ^ head.len() as u64);
        self.records += 1;
    }

    /// Counts what another counted.
    pub fn join(&mut self, other: Self) {
        self.records += other.records;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}
