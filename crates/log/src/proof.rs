//! Proofs that one record is in a book, checked with a receipt and nothing else.
//!
//! A proof has the 1 KiB chunks of the record stream that the record touches, and the chaining
//! values of the subtrees of the hash tree beside them, from left to right. With them the head is
//! computed again. Its size is that of the record, at most 2 KiB of what stands around it in its
//! first and last chunk, and at most 32 bytes for each of twice the levels of the tree: 54 in the
//! longest stream, 20 in one of a gigabyte.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `CFLPROF1` |
//! | 8 | 8 | number of the last record of the receipt |
//! | 16 | 8 | bytes of the stream of the receipt, `n` |
//! | 24 | 8 | number of the record |
//! | 32 | 8 | position of the record in the stream, `p` |
//! | 40 | 4 | length of the record with its padding, `r` |
//! | 44 | 4 | number of chaining values, `k` |
//! | 48 | | chunks: the stream from `p` down to, and from `p + r` up to, a multiple of 1024, or `n` |
//! | | 32 × k | chaining values |

use std::ops::Range;

use blake3::hazmat::{
    ChainingValue, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::{
    Lsn, Receipt, Record,
    bytes::{ALIGN, Fields, narrow, wide},
    error::DamageReason,
    limits::RECORD_BYTES_MAX,
    record::{RECORD_HEADER_BYTES, RecordRef, RecordView, resum},
    tree::{CHUNK_BYTES, GROUP_BYTES, STREAM_BYTES_MAX, subtree_cv},
};

const MAGIC: [u8; 8] = *b"CFLPROF1";
/// Bytes before the chunks.
const FIXED_BYTES: usize = 48;
/// More chaining values than any proof has: two for each level of the tree.
const SIBLINGS_MAX: usize = 128;

/// That one record is in a book, for whoever has a [`Receipt`] of the book.
///
/// It holds the bytes of the record, and those of its neighbours in the first and the last chunk of
/// 1024 bytes that it touches: **at most 1023 bytes of the stream before the record and as many
/// after it are disclosed with it**. Personal payloads in them are encrypted, amounts and names of
/// streams are not.
///
/// A proof shows that these bytes stand at this place of the stream, and that they are a whole
/// record. That a record *begins* there is the word of whoever made the proof: somebody who chose
/// the payload of another record byte for byte could have hidden in it what looks like a record.
/// Where payloads come from strangers, compare [`Proof::position`] with that of a proof from the
/// book's keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    receipt_lsn: Lsn,
    lsn: Lsn,
    cover: Cover,
    /// The stream over `cover.chunks`.
    chunks: Vec<u8>,
    siblings: Vec<ChainingValue>,
}

/// Why a proof does not prove its record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The bytes are not those of a proof.
    #[error("not a proof: {0}")]
    Form(&'static str),
    /// The proof was made for another receipt.
    #[error("the proof is for the receipt at record {found}, not for that at record {expected}")]
    OtherReceipt {
        /// The record of the receipt that the proof was made for.
        found: Lsn,
        /// The record of the receipt given.
        expected: Lsn,
    },
    /// The head that follows from the proof is not that of the receipt.
    #[error("the proof does not lead to the head of the receipt")]
    Head,
    /// The record is not a whole one.
    #[error("what is proven is not a record: {0}")]
    Record(DamageReason),
    /// A record of this number cannot stand at this place of the stream.
    #[error("record {lsn} cannot stand at byte {position} of the stream of the receipt")]
    Place {
        /// The number of the record.
        lsn: Lsn,
        /// Where it is said to stand.
        position: u64,
    },
}

impl Proof {
    /// Checks the proof with the receipt, and returns the record that is proven.
    ///
    /// # Errors
    /// [`ProofError`] where proof and receipt do not belong together, or either was changed.
    pub fn check(&self, receipt: &Receipt) -> Result<Record, ProofError> {
        let Self { cover, lsn, .. } = self;
        if (self.receipt_lsn, cover.stream) != (receipt.lsn, receipt.stream_bytes) {
            let (found, expected) = (self.receipt_lsn, receipt.lsn);
            return Err(ProofError::OtherReceipt { found, expected });
        }
        if self.root()? != receipt.head {
            return Err(ProofError::Head);
        }
        let record = cover.record_in(&self.chunks).unwrap_or_default();
        let (view, len) = RecordView::parse(record, *lsn).map_err(ProofError::Record)?;
        let place = ProofError::Place { lsn: *lsn, position: cover.record.start };
        if len != record.len() || !cover.may_hold(*lsn, receipt.lsn) {
            return Err(place);
        }
        Ok(RecordRef(view).to_record())
    }

    /// The number of the record that it is about. What it says is not proven before
    /// [`Proof::check`].
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Where the record begins in the record stream.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.cover.record.start
    }

    /// The record of the receipt that it was made for.
    #[must_use]
    pub fn receipt_lsn(&self) -> Lsn {
        self.receipt_lsn
    }

    /// The proof as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let record_len = self.cover.record.end.saturating_sub(self.cover.record.start);
        // The bounds on a record and on the levels of the tree keep these from saturating.
        let record_len = u32::try_from(record_len).unwrap_or(u32::MAX);
        let siblings = u32::try_from(self.siblings.len()).unwrap_or(u32::MAX);
        let fields: [&[u8]; 9] = [
            &MAGIC,
            &self.receipt_lsn.0.to_le_bytes(),
            &self.cover.stream.to_le_bytes(),
            &self.lsn.0.to_le_bytes(),
            &self.cover.record.start.to_le_bytes(),
            &record_len.to_le_bytes(),
            &siblings.to_le_bytes(),
            &self.chunks,
            self.siblings.as_flattened(),
        ];
        fields.concat()
    }

    /// Reads what [`Proof::encode`] wrote. Whether it proves anything, [`Proof::check`] says.
    ///
    /// # Errors
    /// [`ProofError::Form`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        let cut = ProofError::Form("it ends early");
        let mut fields = Fields(bytes);
        if fields.take(MAGIC.len()) != Some(&MAGIC[..]) {
            return Err(ProofError::Form("it does not begin as a proof does"));
        }
        let mut fixed =
            Fields(fields.take(FIXED_BYTES.saturating_sub(MAGIC.len())).ok_or(cut.clone())?);
        let mut next = || fixed.u64().ok_or(ProofError::Form("it ends early"));
        let (receipt_lsn, stream, lsn, position) = (Lsn(next()?), next()?, Lsn(next()?), next()?);
        let record_len = fixed.len32().ok_or(cut.clone())?;
        let siblings = fixed.len32().ok_or(cut.clone())?;
        let cover = Cover::new(stream, position, record_len)
            .ok_or(ProofError::Form("the record is not within the stream"))?;
        if siblings > SIBLINGS_MAX {
            return Err(ProofError::Form("it has too many chaining values"));
        }
        let chunks = fields.take(cover.chunks_len()).ok_or(cut.clone())?.to_vec();
        let values = siblings.saturating_mul(size_of::<ChainingValue>());
        let (siblings, _) = fields.take(values).ok_or(cut)?.as_chunks();
        if !fields.0.is_empty() {
            return Err(ProofError::Form("something follows its end"));
        }
        Ok(Self { receipt_lsn, lsn, cover, chunks, siblings: siblings.to_vec() })
    }

    /// Makes the proof of the record at `position`, from a stream that goes as far as the receipt.
    pub(crate) fn build<N: Nodes>(
        nodes: &mut N,
        receipt: &Receipt,
        lsn: Lsn,
        position: u64,
        record_len: usize,
    ) -> Result<Option<Self>, N::Error> {
        let Some(cover) = Cover::new(receipt.stream_bytes, position, record_len) else {
            return Ok(None);
        };
        let chunks = nodes.bytes(cover.chunks.start, cover.chunks_len())?;
        let mut siblings = Vec::new();
        cover.root(&chunks, &mut |beside| {
            let cv = subtree(nodes, beside)?;
            siblings.push(cv);
            Ok(cv)
        })?;
        Ok(Some(Self { receipt_lsn: receipt.lsn, lsn, cover, chunks, siblings }))
    }

    /// A receipt with which the proof checks, if it holds a record: for hostile bytes.
    pub(crate) fn claimed_receipt(&self) -> Option<Receipt> {
        let (lsn, stream_bytes) = (self.receipt_lsn, self.cover.stream);
        Some(Receipt { lsn, stream_bytes, head: self.root().ok()? })
    }

    /// Makes the checksum of the record right: for hostile bytes.
    pub(crate) fn heal(&mut self) {
        let at = narrow(self.cover.record.start.saturating_sub(self.cover.chunks.start));
        self.chunks.get_mut(at..).and_then(resum);
    }

    /// The head that follows from the proof.
    fn root(&self) -> Result<[u8; 32], ProofError> {
        let mut siblings = self.siblings.iter();
        let mut next = |_| siblings.next().copied().ok_or(ProofError::Head);
        let root = self.cover.root(&self.chunks, &mut next)?;
        if siblings.next().is_some() { Err(ProofError::Head) } else { Ok(root) }
    }
}

/// A record in a stream, and the chunks that it touches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cover {
    /// Length of the stream.
    stream: u64,
    record: Range<u64>,
    chunks: Range<u64>,
}

impl Cover {
    /// `None` for a record that cannot stand there.
    fn new(stream: u64, position: u64, record_len: usize) -> Option<Self> {
        let end = position.checked_add(wide(record_len))?;
        let aligned = position.is_multiple_of(wide(ALIGN)) && record_len.is_multiple_of(ALIGN);
        // The longest record with its padding is no longer than the limit, which is aligned.
        let fits = (RECORD_HEADER_BYTES..=RECORD_BYTES_MAX).contains(&record_len);
        if !aligned || !fits || end > stream || stream > STREAM_BYTES_MAX {
            return None;
        }
        let first = position.saturating_sub(position % CHUNK_BYTES);
        let last = end.checked_next_multiple_of(CHUNK_BYTES)?.min(stream);
        Some(Self { stream, record: position..end, chunks: first..last })
    }

    fn chunks_len(&self) -> usize {
        narrow(self.chunks.end.saturating_sub(self.chunks.start))
    }

    fn record_in<'a>(&self, chunks: &'a [u8]) -> Option<&'a [u8]> {
        let at = narrow(self.record.start.saturating_sub(self.chunks.start));
        let len = narrow(self.record.end.saturating_sub(self.record.start));
        chunks.get(at..at.checked_add(len)?)
    }

    /// Whether there is room for the records before and after this one, and none for others.
    fn may_hold(&self, lsn: Lsn, last: Lsn) -> bool {
        let room = |records: u64, bytes: u64| match bytes.checked_div(wide(RECORD_HEADER_BYTES)) {
            Some(most) => records <= most && (records == 0) == (bytes == 0),
            None => false,
        };
        let (Some(before), Some(after)) = (lsn.0.checked_sub(1), last.0.checked_sub(lsn.0)) else {
            return false;
        };
        let behind = self.stream.saturating_sub(self.record.end);
        room(before, self.record.start) && room(after, behind)
    }

    /// The root of the tree over the stream: computed from the bytes of the chunks, and of the
    /// subtrees beside them from left to right as they are asked for.
    fn root<E>(
        &self,
        chunks: &[u8],
        beside: &mut impl FnMut(Range<u64>) -> Result<ChainingValue, E>,
    ) -> Result<[u8; 32], E> {
        if self.chunks == (0..self.stream) {
            return Ok(blake3::hash(chunks).into());
        }
        let (left, right) = halves(0..self.stream);
        let left = self.node(left, chunks, beside)?;
        let right = self.node(right, chunks, beside)?;
        Ok(merge_subtrees_root(&left, &right, Mode::Hash).into())
    }

    fn node<E>(
        &self,
        range: Range<u64>,
        chunks: &[u8],
        beside: &mut impl FnMut(Range<u64>) -> Result<ChainingValue, E>,
    ) -> Result<ChainingValue, E> {
        if range.end <= self.chunks.start || range.start >= self.chunks.end {
            return beside(range);
        }
        if range.start >= self.chunks.start && range.end <= self.chunks.end {
            let at = narrow(range.start.saturating_sub(self.chunks.start));
            let end = narrow(range.end.saturating_sub(self.chunks.start));
            return Ok(subtree_cv(range.start, chunks.get(at..end).unwrap_or_default()));
        }
        let (left, right) = halves(range);
        let left = self.node(left, chunks, beside)?;
        let right = self.node(right, chunks, beside)?;
        Ok(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }
}

/// The two subtrees of a subtree of more than one chunk.
fn halves(range: Range<u64>) -> (Range<u64>, Range<u64>) {
    let len = range.end.saturating_sub(range.start);
    let middle =
        range.start.saturating_add(left_subtree_len(len.max(CHUNK_BYTES.saturating_add(1))));
    (range.start..middle, middle..range.end)
}

/// A stored stream: its bytes, and what is known of its hash tree.
pub(crate) trait Nodes {
    type Error;

    /// `len` bytes of the stream from `at` on.
    fn bytes(&mut self, at: u64, len: usize) -> Result<Vec<u8>, Self::Error>;

    /// The chaining value of a subtree, where it is stored.
    fn known(&mut self, range: &Range<u64>) -> Result<Option<ChainingValue>, Self::Error>;

    /// Whether more is known of the first part of a subtree than of the rest.
    fn is_cut(&self, range: &Range<u64>) -> bool;
}

/// The chaining value of a subtree that is not the root: from what is stored, else from the bytes.
fn subtree<N: Nodes>(nodes: &mut N, range: Range<u64>) -> Result<ChainingValue, N::Error> {
    if let Some(cv) = nodes.known(&range)? {
        return Ok(cv);
    }
    let len = range.end.saturating_sub(range.start);
    if len <= CHUNK_BYTES || (len <= GROUP_BYTES && !nodes.is_cut(&range)) {
        return Ok(subtree_cv(range.start, &nodes.bytes(range.start, narrow(len))?));
    }
    let (left, right) = halves(range);
    let (left, right) = (subtree(nodes, left)?, subtree(nodes, right)?);
    Ok(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

/// The hash of the first `len` bytes of a stream.
pub(crate) fn prefix_hash<N: Nodes>(nodes: &mut N, len: u64) -> Result<[u8; 32], N::Error> {
    if len <= CHUNK_BYTES {
        return Ok(blake3::hash(&nodes.bytes(0, narrow(len))?).into());
    }
    let (left, right) = halves(0..len);
    let (left, right) = (subtree(nodes, left)?, subtree(nodes, right)?);
    Ok(merge_subtrees_root(&left, &right, Mode::Hash).into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        NewEvent, NewRecord, RecordKind,
        fuzz::check_hostile_proof,
        record::{BatchMemory, EncodedRecord},
        tree::{Frontier, GroupCv},
    };
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// A stream in memory, and where its records end.
    #[derive(Default)]
    pub(crate) struct Stream {
        bytes: Vec<u8>,
        ends: Vec<usize>,
        frontier: Frontier,
        groups: Vec<GroupCv>,
        /// How many bytes were asked for.
        read: usize,
    }

    impl Stream {
        pub(crate) fn push(&mut self, body: usize) {
            let n = wide(self.ends.len()) + 1;
            let event = NewEvent {
                stream: format!("customer/{n}").into(),
                stream_version: n,
                type_id: 1,
                schema: 1,
                body: vec![u8::try_from(n % 256).unwrap(); body],
                personal: vec![],
            };
            let record =
                NewRecord { at: 7, kind: RecordKind::Events, meta: vec![], events: vec![event] };
            let mut encoded = EncodedRecord::new(&record, |_| BatchMemory::default()).unwrap();
            encoded.number(Lsn(n));
            let bytes = encoded.bytes();
            self.bytes.extend_from_slice(bytes);
            self.frontier.update(bytes, &mut |group| self.groups.push(group));
            self.ends.push(self.bytes.len());
        }

        pub(crate) fn of(bodies: &[usize]) -> Self {
            let mut stream = Self::default();
            bodies.iter().for_each(|body| stream.push(*body));
            stream
        }

        /// Where record `n` stands.
        fn place(&self, n: usize) -> Range<usize> {
            let start = if n == 1 { 0 } else { self.ends[n - 2] };
            start..self.ends[n - 1]
        }

        pub(crate) fn receipt(&mut self, n: usize) -> Receipt {
            let len = if n == 0 { 0 } else { self.ends[n - 1] };
            let head = prefix_hash(self, wide(len)).unwrap();
            assert_eq!(head, *blake3::hash(&self.bytes[..len]).as_bytes());
            Receipt { lsn: Lsn(wide(n)), stream_bytes: wide(len), head }
        }

        pub(crate) fn prove(&mut self, n: usize, receipt: &Receipt) -> Proof {
            let place = self.place(n);
            let (at, len) = (wide(place.start), place.len());
            Proof::build(self, receipt, Lsn(wide(n)), at, len).unwrap().unwrap()
        }
    }

    impl Nodes for Stream {
        type Error = Infallible;

        fn bytes(&mut self, at: u64, len: usize) -> Result<Vec<u8>, Infallible> {
            self.read += len;
            let at = narrow(at);
            Ok(self.bytes[at..at + len].to_vec())
        }

        fn known(&mut self, range: &Range<u64>) -> Result<Option<ChainingValue>, Infallible> {
            let whole = range.end - range.start == GROUP_BYTES;
            let group = self.groups.get(narrow(range.start / GROUP_BYTES)).filter(|_| whole);
            Ok(group.map(|group| group.cv))
        }

        fn is_cut(&self, range: &Range<u64>) -> bool {
            range.contains(&100_000)
        }
    }

    #[test]
    fn every_record_is_proven_from_every_receipt_behind_it() {
        let mut stream = Stream::of(&[0, 900, 2000, 16, 1, 1023, 40, 70_000, 5, 5, 5, 3000]);
        for last in 1..=stream.ends.len() {
            let receipt = stream.receipt(last);
            for n in 1..=last {
                let proof = stream.prove(n, &receipt);
                let decoded = Proof::decode(&proof.encode()).unwrap();
                assert_eq!(decoded, proof);
                assert_eq!(decoded.position(), wide(stream.place(n).start));
                let record = decoded.check(&receipt).unwrap();
                assert_eq!(record.lsn, Lsn(wide(n)));
                assert_eq!(&*record.events[0].stream, format!("customer/{n}"));
                let stored = &stream.bytes[stream.place(n)];
                assert_eq!(
                    RecordRef(RecordView::parse(stored, record.lsn).unwrap().0).to_record(),
                    record
                );
            }
        }
    }

    #[test]
    fn every_changed_bit_of_a_proof_or_receipt_is_noticed() {
        // A short proof, one with values on both sides, and the only record of a stream.
        for (bodies, n) in [(&[10, 10, 10][..], 2), (&[3000, 400, 100, 9000], 2), (&[5], 1)] {
            let mut stream = Stream::of(bodies);
            let receipt = stream.receipt(bodies.len());
            let proof = stream.prove(n, &receipt);
            assert!(proof.check(&receipt).is_ok());
            let bytes = proof.encode();
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let checked = Proof::decode(&changed).and_then(|proof| proof.check(&receipt));
                assert!(checked.is_err(), "bit {bit} of {} bytes", bytes.len());
            }
            for bit in 0..64 {
                let lsn = Receipt { lsn: Lsn(receipt.lsn.0 ^ 1 << bit), ..receipt };
                let stream_bytes = receipt.stream_bytes ^ 1 << bit;
                let length = Receipt { stream_bytes, ..receipt };
                for changed in [lsn, length] {
                    assert!(matches!(proof.check(&changed), Err(ProofError::OtherReceipt { .. })));
                }
            }
            for bit in 0..256 {
                let mut changed = receipt;
                changed.head[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(proof.check(&changed), Err(ProofError::Head));
            }
        }
    }

    #[test]
    fn a_proof_for_one_receipt_fails_on_another() {
        let mut stream = Stream::of(&[100; 40]);
        let receipts: Vec<Receipt> = (20..=40).map(|n| stream.receipt(n)).collect();
        for (i, made_for) in receipts.iter().enumerate() {
            let proof = stream.prove(7, made_for);
            for (j, receipt) in receipts.iter().enumerate() {
                assert_eq!(proof.check(receipt).is_ok(), i == j, "{i} on {j}");
            }
        }
        // Another book whose stream is just as long.
        let mut other = Stream::of(&[&[101; 5][..], &[100; 35]].concat());
        let receipt = other.receipt(40);
        assert_eq!(receipt.stream_bytes, receipts[20].stream_bytes);
        assert_eq!(stream.prove(7, &receipt).check(&receipt), Err(ProofError::Head));
    }

    #[test]
    fn a_record_of_another_number_or_place_is_refused() {
        let mut stream = Stream::of(&[100; 12]);
        let receipt = stream.receipt(12);
        let proof = stream.prove(5, &receipt);
        // The number of the record is in its bytes.
        let claims = Proof { lsn: Lsn(6), ..proof.clone() };
        let found = DamageReason::RecordLsn { found: Lsn(5), expected: Lsn(6) };
        assert_eq!(claims.check(&receipt), Err(ProofError::Record(found)));
        // A number that cannot stand there, in a stream that has it all the same.
        let place = stream.place(2);
        let (at, len) = (wide(place.start), place.len());
        for lsn in 1..=13 {
            let record = &mut stream.bytes[place.clone()];
            record[8..16].copy_from_slice(&u64::to_le_bytes(lsn));
            assert!(resum(record).is_some());
            let receipt = stream.receipt(12);
            let proof = Proof::build(&mut stream, &receipt, Lsn(lsn), at, len).unwrap().unwrap();
            // Before it there is room for one to six records of at least 32 bytes.
            let expected = match lsn {
                2..=7 => Ok(()),
                _ => Err(ProofError::Place { lsn: Lsn(lsn), position: at }),
            };
            assert_eq!(len, 192);
            assert_eq!(proof.check(&receipt).map(|_| ()), expected, "{lsn}");
        }
    }

    #[test]
    fn the_fuzz_target_takes_true_proofs_and_changed_ones() {
        let mut stream = Stream::of(&[40, 900, 2000, 100, 70_000, 5]);
        let receipt = stream.receipt(6);
        for n in 1..=6 {
            let bytes = stream.prove(n, &receipt).encode();
            for how in 0..4 {
                let mut input = [&[how][..], &bytes].concat();
                check_hostile_proof(&input);
                for at in (1..input.len()).step_by(1 + input.len() / 100) {
                    for bit in [0, 3, 7] {
                        input[at] ^= 1 << bit;
                        check_hostile_proof(&input);
                        check_hostile_proof(&input[..at]);
                        input[at] ^= 1 << bit;
                    }
                }
            }
        }
    }

    #[test]
    fn a_proof_is_short_and_made_from_few_bytes() {
        let mut stream = Stream::of(&[200; 60_000]);
        let receipt = stream.receipt(60_000);
        for n in [1, 2, 4711, 30_000, 59_999, 60_000] {
            stream.read = 0;
            let proof = stream.prove(n, &receipt);
            let levels = usize::try_from(receipt.stream_bytes.ilog2()).unwrap() - 9;
            assert!(proof.siblings.len() <= 2 * levels, "{} values", proof.siblings.len());
            assert!(proof.encode().len() < 4096, "{} bytes", proof.encode().len());
            // Its own group, and the last one, which is not whole.
            assert!(stream.read <= 3 * 65_536, "{} bytes", stream.read);
            assert!(proof.check(&receipt).is_ok());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_record_of_any_stream_is_proven(
            bodies in prop::collection::vec(
                prop_oneof![8 => 0_usize..300, 2 => 300_usize..5000, 1 => 50_000_usize..200_000],
                1..40,
            ),
            last: prop::sample::Index,
        ) {
            let mut stream = Stream::of(&bodies);
            let last = last.index(bodies.len()) + 1;
            let receipt = stream.receipt(last);
            for n in 1..=last {
                let proof = Proof::decode(&stream.prove(n, &receipt).encode()).unwrap();
                prop_assert_eq!(proof.check(&receipt).unwrap().lsn, Lsn(wide(n)));
            }
        }

        #[test]
        fn hostile_bytes_prove_nothing_and_harm_nothing(
            how: u8,
            fields in prop::array::uniform4(prop_oneof![0_u64..5000, any::<u64>()]),
            lens in prop::array::uniform2(prop_oneof![0_u32..200, any::<u32>()]),
            rest in prop::collection::vec(any::<u8>(), 0..3000),
        ) {
            let fields = fields.map(u64::to_le_bytes).concat();
            let lens = lens.map(|len| (len / 16 * 16).to_le_bytes()).concat();
            check_hostile_proof(&[&[how][..], &MAGIC, &fields, &lens, &rest].concat());
            check_hostile_proof(&rest);
        }

        #[test]
        fn proofs_with_a_changed_byte_fail(
            bodies in prop::collection::vec(0_usize..3000, 1..30),
            n: prop::sample::Index,
            at: prop::sample::Index,
            change in 1_u8..,
        ) {
            let mut stream = Stream::of(&bodies);
            let receipt = stream.receipt(bodies.len());
            let mut bytes = stream.prove(n.index(bodies.len()) + 1, &receipt).encode();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(Proof::decode(&bytes).and_then(|proof| proof.check(&receipt)).is_err());
        }
    }
}
