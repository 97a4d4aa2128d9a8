//! Where records are: a place every so many bytes, in memory.

use crate::{Lsn, header::Place, limits::INDEX_STRIDE_BYTES};

/// Places of batches in rising order, at least [`INDEX_STRIDE_BYTES`] apart within a segment.
#[derive(Debug, Default)]
pub(crate) struct Index {
    batches: Vec<(Lsn, Place)>,
}

impl Index {
    /// Takes note of the batch that begins with `first`, unless the last noted one is near.
    pub(crate) fn add(&mut self, first: Lsn, place: Place) {
        let near = self.batches.last().is_some_and(|(_, last)| {
            last.segment == place.segment
                && place.offset < last.offset.saturating_add(INDEX_STRIDE_BYTES)
        });
        if !near {
            self.batches.push((first, place));
        }
    }

    /// A batch at or before the one that holds `lsn`; `None` in an empty log.
    pub(crate) fn locate(&self, lsn: Lsn) -> Option<Place> {
        let after = self.batches.partition_point(|(first, _)| *first <= lsn);
        self.batches.get(after.saturating_sub(1)).map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32, offset: u64) -> Place {
        Place { segment, offset }
    }

    #[test]
    fn a_record_is_found_at_or_after_its_place() {
        let mut index = Index::default();
        assert_eq!(index.locate(Lsn(1)), None);
        let stride = INDEX_STRIDE_BYTES;
        for (lsn, segment, offset) in
            [(1, 1, 64), (5, 1, 100), (9, 1, 64 + stride), (12, 1, 70 + stride), (20, 2, 64)]
        {
            index.add(Lsn(lsn), place(segment, offset));
        }
        for (lsn, expected) in [
            (0, place(1, 64)),
            (1, place(1, 64)),
            (8, place(1, 64)),
            (9, place(1, 64 + stride)),
            (19, place(1, 64 + stride)),
            (20, place(2, 64)),
            (99, place(2, 64)),
        ] {
            assert_eq!(index.locate(Lsn(lsn)), Some(expected), "{lsn}");
        }
    }
}
