//! The hash tree of the running log: it takes in the records of each batch, in order.

use crate::Frontier;

/// Small pieces are gathered up to this, since large ones are hashed several times as fast.
const PIECE_BYTES: usize = 128 << 10;

/// The state of the hash tree at the end of the log, and what it gave since the segment began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    frontier: Frontier,
    /// Bytes of the stream that the frontier has not taken in yet.
    gathered: Vec<u8>,
    /// Chaining values of the groups that ended in the segment, in order.
    groups: Vec<[u8; 32]>,
}

impl Chain {
    /// Goes on where a segment begins.
    pub(crate) fn new(frontier: Frontier) -> Self {
        Self { frontier, gathered: Vec::new(), groups: Vec::new() }
    }

    /// Takes in the records that follow, as they stand in their batch.
    pub(crate) fn take(&mut self, records: &[u8]) {
        if self.gathered.is_empty() && records.len() >= PIECE_BYTES {
            self.hash(records);
            return;
        }
        self.gathered.extend_from_slice(records);
        if self.gathered.len() >= PIECE_BYTES {
            self.settle();
        }
    }

    /// The state after all that was taken in.
    pub(crate) fn settle(&mut self) -> &Frontier {
        let gathered = std::mem::take(&mut self.gathered);
        self.hash(&gathered);
        self.gathered = gathered;
        self.gathered.clear();
        &self.frontier
    }

    /// Bytes of the record stream that were taken in.
    pub(crate) fn stream_len(&self) -> u64 {
        self.frontier.stream_len().saturating_add(crate::bytes::wide(self.gathered.len()))
    }

    /// Chaining values of the groups that ended since the segment began, in order. All are there
    /// after [`Chain::settle`].
    pub(crate) fn groups(&self) -> &[[u8; 32]] {
        &self.groups
    }

    /// The next segment begins here.
    pub(crate) fn begin_segment(&mut self) {
        self.settle();
        self.groups.clear();
    }

    fn hash(&mut self, bytes: &[u8]) {
        let groups = &mut self.groups;
        self.frontier.update(bytes, &mut |group| groups.push(group.cv));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pieces_give_the_hash_of_the_whole_and_its_groups() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut groups = Vec::new();
        Frontier::default().update(&bytes, &mut |group| groups.push(group.cv));
        for size in [16, 4096, 100_000, 300_000, 700_000] {
            let mut chain = Chain::default();
            for piece in bytes.chunks(size) {
                chain.take(piece);
            }
            assert_eq!(chain.stream_len(), 700_000);
            assert_eq!(chain.settle().root(), *blake3::hash(&bytes).as_bytes(), "{size}");
            assert_eq!(chain.groups(), groups);
            chain.begin_segment();
            assert_eq!(chain.groups(), [[0; 32]; 0]);
        }
    }
}
