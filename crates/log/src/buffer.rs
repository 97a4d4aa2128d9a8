//! Memory for writing whole blocks: it begins at a multiple of the block size, so that the disk can
//! take it from where it is.

/// Bytes of a block: what the log writes begins and ends at multiples of this, in the file and in
/// memory. Every usual disk and file system writes such blocks directly.
pub(crate) const BLOCK_BYTES: usize = 4 << 10;

/// Bytes in memory that begin at a multiple of [`BLOCK_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct BlockBuffer {
    /// What comes before `start` is not used: a vector begins where the allocator says.
    bytes: Vec<u8>,
    start: usize,
}

impl BlockBuffer {
    /// Zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut bytes = vec![0; len.saturating_add(BLOCK_BYTES)];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        bytes.truncate(start.saturating_add(len));
        Self { bytes, start }
    }

    /// Room for so many bytes, wherever it begins: for what will be copied to its place.
    pub(crate) fn unaligned(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), start: 0 }
    }

    /// Whether it begins at a multiple of [`BLOCK_BYTES`].
    pub(crate) fn is_aligned(&self) -> bool {
        self.bytes().as_ptr().align_offset(BLOCK_BYTES) == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    /// Cuts off what is longer, or adds zeros.
    pub(crate) fn resize(&mut self, len: usize) {
        self.reserve(len.saturating_sub(self.len()));
        self.bytes.resize(self.start.saturating_add(len), 0);
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// The vector behind it, to add up to so many bytes to.
    pub(crate) fn vec(&mut self, more: usize) -> &mut Vec<u8> {
        self.reserve(more);
        &mut self.bytes
    }

    /// Moves the bytes from `from` on to `to`.
    pub(crate) fn shift(&mut self, from: usize, to: usize) {
        let len = self.len();
        let moved = len.saturating_sub(from);
        self.resize(len.max(to.saturating_add(moved)));
        let bytes = self.bytes_mut();
        if from <= len {
            bytes.copy_within(from..len, to);
        }
        self.resize(to.saturating_add(moved));
    }

    /// Makes room. The memory moves to where there is some, and its start with it.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity().saturating_sub(self.bytes.len()) >= more {
            return;
        }
        let len = self.len();
        let wanted = len.saturating_add(more).max(len.saturating_mul(2)).max(BLOCK_BYTES);
        let blocks = wanted.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(wanted);
        let mut bytes: Vec<u8> = Vec::with_capacity(blocks.saturating_add(BLOCK_BYTES));
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        bytes.resize(start, 0);
        bytes.extend_from_slice(self.bytes());
        *self = Self { bytes, start };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(buffer: &BlockBuffer, expected: &[u8]) {
        assert_eq!(buffer.bytes(), expected);
        assert_eq!(buffer.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
    }

    #[test]
    fn bytes_keep_their_alignment_while_they_grow_and_move() {
        let mut buffer = BlockBuffer::default();
        assert_eq!((buffer.len(), buffer.bytes()), (0, &[][..]));
        let mut expected = Vec::new();
        for round in 1..40_u8 {
            let piece = vec![round; usize::from(round) * 97];
            buffer.extend(&piece);
            expected.extend_from_slice(&piece);
            check(&buffer, &expected);
        }
        buffer.shift(100, 5_000);
        let mut moved = vec![0; 5_000];
        moved.extend_from_slice(&expected[100..]);
        assert_eq!(&buffer.bytes()[5_000..], &moved[5_000..]);
        buffer.shift(5_000, 0);
        check(&buffer, &expected[100..]);
        buffer.resize(3);
        buffer.resize(9_000);
        expected = expected[100..103].to_vec();
        expected.resize(9_000, 0);
        check(&buffer, &expected);
        check(&BlockBuffer::zeroed(70_000), &[0; 70_000]);
    }
}
