//! Segment files: their names, their header, and reading them through a window.
//!
//! Segments are numbered from 1 without gaps. A segment is a header block of 4096 bytes and
//! batches, one directly after the other, each at a multiple of 16 bytes. The last segment may
//! have zeros after its last batch, space written ahead; every other one ends with a footer (see
//! [`footer`](crate::footer)).
//!
//! The header block is a header (see [`header`](crate::header)) and the state of the hash tree
//! over all records before the segment, so that one segment is enough to go on:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 12 | magic `CFLSEGM1`, checksum of the first 64 bytes |
//! | 12 | 4 | format version, 2 |
//! | 16 | 8 | number of the first record |
//! | 24 | 8 | length of the segment before, footer included; 0 if there is none |
//! | 32 | 8 | stream position: bytes of all records before the first one |
//! | 40 | 16 | book id |
//! | 56 | 4 | length of the state of the hash tree |
//! | 60 | 4 | CRC-32C over bytes 64..4096 |
//! | 64 | | state of the hash tree (see [`tree`](crate::tree)) |
//! | | | zeros up to byte 4096 |

use std::{io, sync::Arc};

use crate::{
    Frontier, Lsn,
    buffer::BLOCK_BYTES,
    bytes::{Fields, is_zero, narrow, put, wide},
    error::DamageReason,
    header::{self, BookId, HEADER_BYTES, Owner, Place},
    manifest::FORMAT_VERSION,
    storage::StorageFile,
    sum,
};

pub(crate) const MAGIC: [u8; 8] = *b"CFLSEGM1";
/// [`BLOCK_BYTES`] as an offset: where the first batch begins.
pub(crate) const BATCHES_AT: u64 = 4096;
/// Where in the header the checksum of the rest of the block stands.
const BLOCK_CHECKSUM_AT: usize = 60;

const _: () = assert!(
    HEADER_BYTES + Frontier::ENCODED_BYTES_MAX <= BLOCK_BYTES,
    "the longest state of the hash tree fits the header block"
);

const SUFFIX: &str = ".seg";
const DIGITS: usize = 10;

/// The file name of a segment: ten digits and `.seg`.
pub(crate) fn segment_name(number: u32) -> String {
    format!("{number:0DIGITS$}{SUFFIX}")
}

/// The number of a segment file; `None` for a file that is none.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number: u32 = digits.parse().ok()?;
    (number > 0 && segment_name(number) == name).then_some(number)
}

/// What the header block of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) first: Lsn,
    /// Length in bytes of the segment before.
    pub(crate) previous_end: u64,
    pub(crate) book: BookId,
    /// The state of the hash tree over all records before the first.
    pub(crate) frontier: Frontier,
}

/// The first 64 bytes of a header block: enough to know where a segment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentStart {
    pub(crate) first: Lsn,
    pub(crate) previous_end: u64,
    /// Bytes of the record stream before the first record.
    pub(crate) stream: u64,
    pub(crate) book: BookId,
    state_len: usize,
    block_crc: u32,
}

impl SegmentStart {
    pub(crate) fn decode(bytes: &[u8], number: u32) -> Result<Self, DamageReason> {
        let place = Place { segment: number, offset: 0 };
        let mut fields = header::unseal(Owner::STATED, place, MAGIC, bytes)?;
        if fields.u32() != Some(FORMAT_VERSION) {
            return Err(DamageReason::HeaderForm("unknown format version"));
        }
        let cut = DamageReason::HeaderCut;
        Ok(Self {
            first: Lsn(fields.u64().ok_or(cut)?),
            previous_end: fields.u64().ok_or(cut)?,
            stream: fields.u64().ok_or(cut)?,
            book: fields.array().ok_or(cut)?,
            state_len: fields.len32().ok_or(cut)?,
            block_crc: fields.u32().ok_or(cut)?,
        })
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self, number: u32) -> Vec<u8> {
        let state = self.frontier.encode();
        let mut block = vec![0; BLOCK_BYTES];
        put(&mut block, HEADER_BYTES, &state);
        let block_crc = sum::crc32c(block.get(HEADER_BYTES..).unwrap_or_default());
        // Bounded by the size of the block.
        let state_len = u32::try_from(state.len()).unwrap_or(u32::MAX);
        let fields: [&[u8]; 7] = [
            &FORMAT_VERSION.to_le_bytes(),
            &self.first.0.to_le_bytes(),
            &self.previous_end.to_le_bytes(),
            &self.frontier.stream_len().to_le_bytes(),
            &self.book,
            &state_len.to_le_bytes(),
            &block_crc.to_le_bytes(),
        ];
        let place = Place { segment: number, offset: 0 };
        put(&mut block, 0, &header::seal(Owner::STATED, place, MAGIC, &fields));
        block
    }

    /// Reads a header block.
    pub(crate) fn decode(bytes: &[u8], number: u32) -> Result<Self, DamageReason> {
        let start = SegmentStart::decode(bytes, number)?;
        let rest = bytes.get(HEADER_BYTES..BLOCK_BYTES).ok_or(DamageReason::HeaderCut)?;
        if start.block_crc != sum::crc32c(rest) {
            return Err(DamageReason::HeaderChecksum);
        }
        let state = DamageReason::HeaderForm("the state of the hash tree is none");
        let mut rest = Fields(rest);
        let encoded = rest.take(start.state_len).ok_or(state)?;
        let frontier = Frontier::decode(encoded).ok_or(state)?;
        if frontier.stream_len() != start.stream {
            return Err(state);
        }
        if !is_zero(rest.0) {
            return Err(DamageReason::HeaderForm("a reserved byte is not zero"));
        }
        let SegmentStart { first, previous_end, book, .. } = start;
        Ok(Self { first, previous_end, book, frontier })
    }
}

/// Makes the checksums of a changed header block right again: for hostile bytes.
pub(crate) fn reseal(block: &mut [u8], number: u32) {
    let rest = block.get(HEADER_BYTES..BLOCK_BYTES).map(sum::crc32c);
    if let Some(header) = block.get_mut(..HEADER_BYTES) {
        if let Some(crc) = rest {
            put(header, BLOCK_CHECKSUM_AT, &crc.to_le_bytes());
        }
        header::reseal(Owner::STATED, Place { segment: number, offset: 0 }, header);
    }
}

/// Reads a file through one buffer, so that walking over small batches costs few system calls.
pub(crate) struct Window {
    file: Arc<dyn StorageFile>,
    /// Bytes of the file that may be read: never more than it has, so that no length found in it
    /// makes the buffer larger than the file.
    limit: u64,
    /// Memory for bytes of the file. It does not shrink, since to grow again it would be zeroed.
    buffer: Vec<u8>,
    /// How many bytes of it were read, from `start` on.
    filled: usize,
    start: u64,
    read_ahead: usize,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn StorageFile>, limit: u64, read_ahead: usize) -> Self {
        Self { file, limit, buffer: Vec::new(), filled: 0, start: 0, read_ahead }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// More of the file may be read from now on.
    pub(crate) fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// All of the file, as long as it is now, may be read from now on.
    pub(crate) fn raise_limit_to_end(&mut self) -> io::Result<()> {
        let len = self.file.len()?;
        self.raise_limit(len);
        Ok(())
    }

    /// `len` bytes from `offset` on; `None` beyond the limit.
    pub(crate) fn get(&mut self, offset: u64, len: usize) -> io::Result<Option<&[u8]>> {
        match offset.checked_add(wide(len)) {
            Some(end) if end <= self.limit => {}
            _ => return Ok(None),
        }
        if self.held(offset, len).is_none() {
            self.fill(offset, len)?;
        }
        Ok(self.held(offset, len))
    }

    /// As [`Window::get`], where what stands before it, down to `floor`, will be wanted next.
    pub(crate) fn get_back(
        &mut self,
        offset: u64,
        len: usize,
        floor: u64,
    ) -> io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(wide(len));
        if end <= self.limit && self.held(offset, len).is_none() {
            let from = end.saturating_sub(wide(self.read_ahead)).max(floor).min(offset);
            self.fill(from, narrow(end.saturating_sub(from)))?;
        }
        self.get(offset, len)
    }

    /// `len` bytes from `offset` on, if no more has to be read for them.
    pub(crate) fn held(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let at = narrow(offset.checked_sub(self.start)?);
        self.buffer.get(..self.filled)?.get(at..at.checked_add(len)?)
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let rest = narrow(self.limit.saturating_sub(offset));
        let wanted = len.max(self.read_ahead).min(rest);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.start = offset;
        // What an error leaves in the buffer was not read.
        self.filled = 0;
        let memory = self.buffer.get_mut(..wanted).unwrap_or_default();
        self.filled = self.file.read_at(memory, offset)?;
        if self.filled < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Where the last byte from `offset` on that is not zero ends; `offset` if all are zero.
    pub(crate) fn content_end(&mut self, offset: u64) -> io::Result<u64> {
        let (mut at, mut end) = (offset, offset);
        while at < self.limit {
            let rest = narrow(self.limit.saturating_sub(at));
            let len = self.read_ahead.min(rest);
            let bytes = self.get(at, len)?.unwrap_or_default();
            if !is_zero(bytes)
                && let Some(last) = bytes.iter().rposition(|byte| *byte != 0)
            {
                end = at.saturating_add(wide(last)).saturating_add(1);
            }
            at = at.saturating_add(wide(len));
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemStorage, storage::Storage};

    #[test]
    fn names_and_numbers_go_both_ways() {
        for (number, name) in [(1, "0000000001.seg"), (u32::MAX, "4294967295.seg")] {
            assert_eq!(segment_name(number), name);
            assert_eq!(segment_number(name), Some(number));
        }
        for name in [
            "1.seg",
            "0000000000.seg",
            "+000000001.seg",
            "0000000001",
            "9999999999.seg",
            "LOCK",
            "",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_block_is_read_as_it_was_written_and_bound_to_its_number() {
        for len in [0, 5, 1024, 1025, 70_000] {
            let mut frontier = Frontier::default();
            frontier.update(&vec![3; len], &mut |_| ());
            let header = SegmentHeader { first: Lsn(8), previous_end: 77, book: [5; 16], frontier };
            let block = header.encode(4);
            assert_eq!(block.len(), BLOCK_BYTES);
            assert_eq!(SegmentHeader::decode(&block, 4), Ok(header.clone()));
            assert_eq!(SegmentHeader::decode(&block, 5), Err(DamageReason::HeaderChecksum));
            for bit in (0..block.len() * 8).step_by(3) {
                let mut block = block.clone();
                block[bit / 8] ^= 1 << (bit % 8);
                assert!(SegmentHeader::decode(&block, 4).is_err(), "bit {bit} of {len}");
            }
            let mut longer = block.clone();
            put(&mut longer, 56, &u32::MAX.to_le_bytes());
            reseal(&mut longer, 4);
            let refused = SegmentHeader::decode(&longer, 4);
            let state = "the state of the hash tree is none";
            assert_eq!(refused, Err(DamageReason::HeaderForm(state)));
        }
    }

    #[test]
    fn a_window_reads_any_range_within_its_limit() {
        let storage = MemStorage::new();
        let file = storage.create("f").unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let mut window = Window::new(Arc::from(file), 200, 16);
        for (offset, len) in [(0, 4), (2, 20), (100, 100), (199, 1), (200, 0), (8, 8)] {
            let at = usize::try_from(offset).unwrap();
            assert_eq!(window.get(offset, len).unwrap(), Some(&bytes[at..at + len]));
        }
        for (offset, len) in [(199, 2), (201, 0), (u64::MAX, 1)] {
            assert_eq!(window.get(offset, len).unwrap(), None);
        }
        window.raise_limit(256);
        // What an earlier and longer read left in the memory of the window is not read again.
        for (offset, len) in [(250, 6), (0, 200), (200, 5), (220, 30)] {
            let at = usize::try_from(offset).unwrap();
            assert_eq!(window.get(offset, len).unwrap(), Some(&bytes[at..at + len]));
        }
    }

    #[test]
    fn the_end_of_content_is_the_last_byte_that_is_not_zero() {
        for (bytes, offset, expected) in [
            (vec![0; 100], 0, 0),
            (vec![0; 100], 40, 40),
            ([vec![1; 50], vec![0; 50]].concat(), 0, 50),
            ([vec![0; 99], vec![1]].concat(), 10, 100),
            ([vec![1; 10], vec![0; 90]].concat(), 10, 10),
        ] {
            let storage = MemStorage::new();
            let file = storage.create("f").unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let mut window = Window::new(Arc::from(file), wide(bytes.len()), 16);
            assert_eq!(window.content_end(offset).unwrap(), expected, "{bytes:?} from {offset}");
        }
    }
}
