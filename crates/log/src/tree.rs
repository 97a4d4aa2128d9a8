//! The hash tree over the record stream, as a state that can be stored and taken up again.
//!
//! The head of a stream is its plain BLAKE3 hash, which any tool computes. BLAKE3 is a binary tree
//! over chunks of 1024 bytes, and its inner nodes do not change while the stream grows: all that is
//! needed to go on is the chaining values of the complete subtrees on the left, largest first, and
//! the bytes of the last chunk. The last chunk is never hashed ahead, not even when it is full:
//! only the end of the stream decides whether it, or what it is merged into, is the root.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | length of the stream, `n` |
//! | 8 | 32 × k | chaining values, one for each one-bit of `(n - 1) / 1024`, largest subtree first |
//! | 8 + 32 k | 0 to 1024 | the last chunk: `n - 1024 × ((n - 1) / 1024)` bytes |
//!
//! An empty stream is eight zero bytes. There is no checksum: whoever stores the state has one.

use blake3::{
    CHUNK_LEN, Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use crate::bytes::{Fields, narrow, wide};

/// Bytes of a group: the size of the subtrees whose chaining values are kept in segments.
pub const GROUP_BYTES: u64 = 65_536;
/// Bytes of a chunk, a leaf of the tree.
pub(crate) const CHUNK_BYTES: u64 = 1_024;
const CHUNKS_OF_GROUP: u64 = GROUP_BYTES / CHUNK_BYTES;
/// Length of a stream that no log reaches. What claims to be longer is not read.
pub(crate) const STREAM_BYTES_MAX: u64 = 1 << 62;

/// The chaining value of a group: [`GROUP_BYTES`] bytes of the stream, from a multiple of it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCv {
    /// Which group: it begins at byte `index * GROUP_BYTES` of the stream.
    pub index: u64,
    /// Its chaining value, as an inner node.
    pub cv: [u8; 32],
}

/// The state of the hash of a stream: it goes on where it was stored.
///
/// ```
/// use counterfoil_log::Frontier;
///
/// let mut frontier = Frontier::default();
/// frontier.update(b"counter", &mut |_| ());
/// let mut again = Frontier::decode(&frontier.encode()).unwrap();
/// again.update(b"foil", &mut |_| ());
/// assert_eq!(again.root(), *blake3::hash(b"counterfoil").as_bytes());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    stream_len: u64,
    /// Of the complete subtrees before the last chunk, largest first.
    stack: Vec<ChainingValue>,
    /// The last chunk, 1 to 1024 bytes; empty in an empty stream.
    tail: Vec<u8>,
}

impl Frontier {
    /// Bytes of the stream so far.
    #[must_use]
    pub fn stream_len(&self) -> u64 {
        self.stream_len
    }

    /// Goes on with `bytes`, and hands over the chaining value of each group that ends in them, in
    /// order. Large pieces are hashed several times as fast as small ones.
    pub fn update(&mut self, bytes: &[u8], groups: &mut impl FnMut(GroupCv)) {
        let start = self.stream_len;
        let mut settled = |group: GroupCv| {
            // One that ended where the stream ended was handed over then.
            if group_end(group.index) > start {
                groups(group);
            }
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = CHUNK_LEN.saturating_sub(self.tail.len());
            if self.tail.is_empty() && rest.len() > CHUNK_LEN {
                // On a boundary of chunks: the largest subtree that leaves a byte for the tail.
                let len = subtree_len(self.stream_len, rest.len());
                let (subtree, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                self.push(subtree_cv(self.stream_len, subtree), wide(len), &mut settled);
                self.stream_len = self.stream_len.saturating_add(wide(len));
                rest = after;
            } else if room == 0 {
                let at = self.stream_len.saturating_sub(wide(self.tail.len()));
                let cv = subtree_cv(at, &self.tail);
                self.tail.clear();
                self.push_at(at, cv, CHUNK_BYTES, &mut settled);
            } else {
                let (piece, after) = rest.split_at_checked(room).unwrap_or((rest, &[]));
                self.tail.extend_from_slice(piece);
                self.stream_len = self.stream_len.saturating_add(wide(piece.len()));
                rest = after;
            }
        }
        if self.stream_len > start
            && let Some(group) = self.group_at_end()
        {
            groups(group);
        }
    }

    /// The hash of the stream so far.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let Some((first, others)) = self.stack.split_first() else {
            return blake3::hash(&self.tail).into();
        };
        let at = self.stream_len.saturating_sub(wide(self.tail.len()));
        let tail = subtree_cv(at, &self.tail);
        let merge = |right, left| merge_subtrees_non_root(left, &right, Mode::Hash);
        let right = others.iter().rev().fold(tail, merge);
        merge_subtrees_root(first, &right, Mode::Hash).into()
    }

    /// The state as bytes, at most [`Frontier::ENCODED_BYTES_MAX`] of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::encoded_len(self.stream_len));
        bytes.extend_from_slice(&self.stream_len.to_le_bytes());
        bytes.extend_from_slice(self.stack.as_flattened());
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// The most bytes that an encoded state has, with the longest stream.
    pub const ENCODED_BYTES_MAX: usize = 8 + 32 * 52 + CHUNK_LEN;

    /// Bytes of the encoded state of a stream of `stream_len` bytes.
    #[must_use]
    pub fn encoded_len(stream_len: u64) -> usize {
        let (subtrees, tail) = shape(stream_len);
        let stack = subtrees.saturating_mul(size_of::<ChainingValue>());
        size_of::<u64>().saturating_add(stack).saturating_add(tail)
    }

    /// Reads what [`Frontier::encode`] wrote; `None` for bytes that it does not write. Whether the
    /// chaining values are those of any stream cannot be seen.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let stream_len = fields.u64().filter(|len| *len <= STREAM_BYTES_MAX)?;
        if bytes.len() != Self::encoded_len(stream_len) {
            return None;
        }
        let (subtrees, tail) = shape(stream_len);
        let stack = fields.take(subtrees.checked_mul(size_of::<ChainingValue>())?)?;
        let (stack, _) = stack.as_chunks();
        Some(Self { stream_len, stack: stack.to_vec(), tail: fields.take(tail)?.to_vec() })
    }

    /// The complete subtrees before the last chunk: where each begins, its length, and its
    /// chaining value.
    pub(crate) fn subtrees(&self) -> impl Iterator<Item = (u64, u64, ChainingValue)> {
        let chunks = self.stream_len.saturating_sub(1) / CHUNK_BYTES;
        let lens = (0..u64::BITS).rev().filter_map(move |bit| {
            let len = 1_u64.checked_shl(bit)?;
            (chunks & len != 0).then_some(len.saturating_mul(CHUNK_BYTES))
        });
        let mut at = 0_u64;
        lens.zip(&self.stack).map(move |(len, cv)| {
            let start = at;
            at = at.saturating_add(len);
            (start, len, *cv)
        })
    }

    /// The last chunk of the stream, 1 to 1024 bytes; empty in an empty stream.
    pub(crate) fn last_chunk(&self) -> &[u8] {
        &self.tail
    }

    fn push(&mut self, cv: ChainingValue, len: u64, settled: &mut impl FnMut(GroupCv)) {
        self.push_at(self.stream_len, cv, len, settled);
    }

    /// Puts a complete subtree that begins at `at` on the stack, and merges it with those on its
    /// left that have its size. More of the stream follows it, so none of them is the root.
    fn push_at(
        &mut self,
        at: u64,
        mut cv: ChainingValue,
        mut len: u64,
        settled: &mut impl FnMut(GroupCv),
    ) {
        let mut at = at;
        loop {
            if len == GROUP_BYTES {
                settled(GroupCv { index: at / GROUP_BYTES, cv });
            }
            // A subtree whose start is an odd multiple of its length is a right child.
            let is_right = at.checked_div(len).is_some_and(|position| position & 1 == 1);
            match self.stack.pop_if(|_| is_right) {
                Some(left) => cv = merge_subtrees_non_root(&left, &cv, Mode::Hash),
                None => break,
            }
            at = at.saturating_sub(len);
            len = len.saturating_mul(2);
        }
        self.stack.push(cv);
    }

    /// The group that ends where the stream ends, if one does.
    fn group_at_end(&self) -> Option<GroupCv> {
        if self.stream_len == 0 || !self.stream_len.is_multiple_of(GROUP_BYTES) {
            return None;
        }
        // All but the last chunk of the group: subtrees of 32, 16, 8, 4, 2 chunks and 1.
        let levels = narrow(CHUNKS_OF_GROUP.ilog2().into());
        let chunk = subtree_cv(self.stream_len.saturating_sub(CHUNK_BYTES), &self.tail);
        let merge = |right, left| merge_subtrees_non_root(left, &right, Mode::Hash);
        let cv = self.stack.iter().rev().take(levels).fold(chunk, merge);
        let index = (self.stream_len / GROUP_BYTES).saturating_sub(1);
        Some(GroupCv { index, cv })
    }
}

/// Where a group ends in the stream.
fn group_end(index: u64) -> u64 {
    index.saturating_add(1).saturating_mul(GROUP_BYTES)
}

/// The number of complete subtrees before the last chunk of a stream, and the length of that chunk.
fn shape(stream_len: u64) -> (usize, usize) {
    let chunks = stream_len.saturating_sub(1) / CHUNK_BYTES;
    let tail = stream_len.saturating_sub(chunks.saturating_mul(CHUNK_BYTES));
    (narrow(chunks.count_ones().into()), narrow(tail))
}

/// The length of the largest subtree, at most a group, that begins at `at`, a boundary of chunks,
/// and is shorter than `rest`, which is more than a chunk.
fn subtree_len(at: u64, rest: usize) -> usize {
    let room = wide(rest).saturating_sub(1).min(GROUP_BYTES);
    let fits = 1_u64.checked_shl(room.ilog2()).unwrap_or(CHUNK_BYTES);
    let aligned = 1_u64.checked_shl(at.trailing_zeros()).unwrap_or(GROUP_BYTES);
    narrow(fits.min(aligned).max(CHUNK_BYTES))
}

/// The chaining value of a subtree that begins at `at`, a boundary of chunks, and is not the root.
pub(crate) fn subtree_cv(at: u64, bytes: &[u8]) -> ChainingValue {
    Hasher::new().set_input_offset(at).update(bytes).finalize_non_root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
    }

    fn hash(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    fn expected_groups(bytes: &[u8]) -> Vec<GroupCv> {
        let size = usize::try_from(GROUP_BYTES).unwrap();
        let whole = bytes.chunks_exact(size).zip(0..);
        whole
            .map(|(group, i)| GroupCv { index: i, cv: subtree_cv(i * GROUP_BYTES, group) })
            .collect()
    }

    /// Hashes in the given pieces, storing and reading the state between any two of them.
    fn check(bytes: &[u8], cuts: &[usize]) {
        let mut frontier = Frontier::default();
        let mut groups = Vec::new();
        let (mut at, mut cuts) = (0, cuts.to_vec());
        cuts.push(bytes.len());
        cuts.sort_unstable();
        for cut in cuts {
            frontier.update(&bytes[at..cut], &mut |group| groups.push(group));
            at = cut;
            assert_eq!(frontier.stream_len(), wide(at));
            assert_eq!(frontier.root(), hash(&bytes[..at]), "at {at}");
            assert_eq!(groups, expected_groups(&bytes[..at]), "at {at}");
            let encoded = frontier.encode();
            assert!(encoded.len() <= Frontier::ENCODED_BYTES_MAX);
            assert_eq!(encoded.len(), Frontier::encoded_len(wide(at)));
            assert_eq!(Frontier::decode(&encoded).as_ref(), Some(&frontier));
            for (start, len, cv) in frontier.subtrees() {
                let (start_at, len) =
                    (usize::try_from(start).unwrap(), usize::try_from(len).unwrap());
                assert_eq!(cv, subtree_cv(start, &bytes[start_at..start_at + len]));
            }
            let settled: u64 = frontier.subtrees().map(|(_, len, _)| len).sum();
            assert_eq!(settled, wide(at).saturating_sub(1) / 1024 * 1024);
        }
    }

    #[test]
    fn the_root_is_the_plain_hash_at_every_length_around_a_boundary() {
        let bytes = stream(5 * 65_536 + 1);
        for boundary in [0, 1024, 2048, 3072, 4096, 65_536, 131_072, 196_608, 5 * 65_536] {
            for len in [boundary - 1, boundary, boundary + 1, boundary + 1023, boundary + 1025] {
                let Ok(len) = usize::try_from(len) else { continue };
                let len = len.min(bytes.len());
                check(&bytes[..len], &[]);
                check(&bytes[..len], &[len / 2, len / 3]);
            }
        }
    }

    #[test]
    fn every_split_of_a_short_stream_in_two_gives_the_same() {
        let bytes = stream(4100);
        for cut in 0..=bytes.len() {
            check(&bytes, &[cut]);
        }
    }

    #[test]
    fn byte_by_byte_gives_the_same() {
        let bytes = stream(65_536 + 2000);
        let mut frontier = Frontier::default();
        let mut groups = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            frontier.update(&[*byte], &mut |group| groups.push((at, group)));
        }
        assert_eq!(frontier.root(), hash(&bytes));
        // As soon as the group is complete, and once.
        assert_eq!(groups, [(65_535, expected_groups(&bytes)[0])]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_split_of_any_stream_gives_the_same(
            len in 0_usize..400_000,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            align in prop::sample::select(vec![1_usize, 16, 1024, 65_536]),
        ) {
            let bytes = stream(len);
            let cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(len + 1) / align * align).collect();
            check(&bytes, &cuts);
        }

        #[test]
        fn hostile_states_are_refused_or_go_on(
            len in prop_oneof![0_u64..200_000, any::<u64>()],
            more in prop::collection::vec(any::<u8>(), 0..3000),
            extra in 0_usize..3,
        ) {
            let mut bytes = len.to_le_bytes().to_vec();
            bytes.resize(Frontier::encoded_len(len) + extra, 7);
            let decoded = Frontier::decode(&bytes);
            prop_assert_eq!(decoded.is_some(), extra == 0 && len <= STREAM_BYTES_MAX);
            if let Some(mut frontier) = decoded {
                frontier.update(&more, &mut |_| ());
                let _ = frontier.root();
            }
            prop_assert!(Frontier::decode(&more).is_none_or(|state| state.encode() == more));
        }
    }

    #[test]
    fn the_longest_state_fits() {
        assert_eq!(Frontier::encoded_len(STREAM_BYTES_MAX), Frontier::ENCODED_BYTES_MAX);
        let longest = (0..=62).map(|bit| Frontier::encoded_len(1 << bit)).max();
        assert_eq!(longest, Some(Frontier::ENCODED_BYTES_MAX));
        assert_eq!(Frontier::decode(&[]), None);
        assert_eq!(Frontier::decode(&[0; 7]), None);
        assert_eq!(Frontier::decode(&[0; 8]), Some(Frontier::default()));
    }
}
