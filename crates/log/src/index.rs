//! Where records are: by number, by stream and by time.
//!
//! The rows of the active segment are kept in memory, those of a sealed one are in its footer.

use crate::{Lsn, RecordKind, limits::INDEX_STRIDE_BYTES, record::RecordView};

/// Where a batch begins: one every so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceRow {
    /// Its first record.
    pub(crate) first: Lsn,
    pub(crate) offset: u64,
    /// Bytes of the record stream before it.
    pub(crate) stream: u64,
    /// Least time of the records from there up to the next row.
    pub(crate) at_min: i64,
}

/// That a record has an entry in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamRow {
    /// What [`stream_hash`] gives for the key of the stream. Only a hint: keys may share it.
    pub(crate) key: u64,
    pub(crate) lsn: Lsn,
}

/// The first 8 bytes of the BLAKE3 hash of a stream key, as a number.
pub(crate) fn stream_hash(key: &str) -> u64 {
    let hash = blake3::hash(key.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}

/// What the rows were at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsMark {
    places: usize,
    last: Option<PlaceRow>,
    streams: usize,
    through: Lsn,
}

/// The rows of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) places: Vec<PlaceRow>,
    /// In the order of the records.
    pub(crate) streams: Vec<StreamRow>,
    /// The last record that the rows know of; zero where they know of none.
    pub(crate) through: Lsn,
}

impl Rows {
    /// Takes note of a batch whose records are known to be whole.
    pub(crate) fn batch(&mut self, first: Lsn, offset: u64, stream: u64, records: &[u8]) {
        self.begin_batch(first, offset, stream);
        let mut rest = records;
        while let Some(record) = RecordView::trusted(rest) {
            self.record(&record);
            rest = rest.get(record.bytes.len()..).unwrap_or_default();
        }
    }

    /// Takes note of the batch that begins with `first`, unless the last noted one is near.
    pub(crate) fn begin_batch(&mut self, first: Lsn, offset: u64, stream: u64) {
        let near = self
            .places
            .last()
            .is_some_and(|row| offset < row.offset.saturating_add(INDEX_STRIDE_BYTES));
        if !near {
            self.places.push(PlaceRow { first, offset, stream, at_min: i64::MAX });
        }
    }

    /// Takes note of the record that follows.
    pub(crate) fn record(&mut self, record: &RecordView<'_>) {
        let lsn = record.lsn();
        self.through = lsn;
        if let Some(row) = self.places.last_mut() {
            row.at_min = row.at_min.min(record.at());
        }
        if record.kind() == RecordKind::Note {
            return;
        }
        let from = self.streams.len();
        for key in record.keys().filter(|key| !key.is_empty()) {
            let row = StreamRow { key: stream_hash(key), lsn };
            let known = self.streams.get(from..).unwrap_or_default();
            // Most records have few entries; in one that has many, doubles are taken out later.
            if known.iter().rev().take(8).all(|known| *known != row) {
                self.streams.push(row);
            }
        }
    }

    /// What there is now.
    pub(crate) fn mark(&self) -> RowsMark {
        RowsMark {
            places: self.places.len(),
            last: self.places.last().copied(),
            streams: self.streams.len(),
            through: self.through,
        }
    }

    /// Forgets what was noted since the mark.
    pub(crate) fn rewind(&mut self, mark: RowsMark) {
        self.places.truncate(mark.places);
        if let (Some(row), Some(last)) = (self.places.last_mut(), mark.last) {
            *row = last;
        }
        self.streams.truncate(mark.streams);
        self.through = mark.through;
    }

    /// The stream index as it stands in a footer.
    pub(crate) fn sorted_streams(&self) -> Vec<StreamRow> {
        let mut streams = self.streams.clone();
        streams.sort_unstable();
        streams.dedup();
        streams
    }
}

/// A batch at or before the one that holds `lsn`.
pub(crate) fn locate(places: &[PlaceRow], lsn: Lsn) -> Option<&PlaceRow> {
    let after = places.partition_point(|row| row.first <= lsn);
    places.get(after.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_since_a_mark_is_forgotten() {
        for begun in 0..3 {
            let mut rows = Rows::default();
            for n in 0..begun {
                rows.begin_batch(Lsn(n + 1), n * INDEX_STRIDE_BYTES, n);
                rows.streams.push(StreamRow { key: n, lsn: Lsn(n + 1) });
                rows.through = Lsn(n + 1);
            }
            let (before, mark) = (rows.clone(), rows.mark());
            for (lsn, offset) in [(8, 2 * INDEX_STRIDE_BYTES - 16), (9, 4 * INDEX_STRIDE_BYTES)] {
                rows.begin_batch(Lsn(lsn), offset, 7);
                if let Some(row) = rows.places.last_mut() {
                    row.at_min = 5;
                }
                rows.streams.push(StreamRow { key: 4, lsn: Lsn(lsn) });
                rows.through = Lsn(lsn);
            }
            rows.rewind(mark);
            assert_eq!(rows, before, "{begun}");
        }
    }

    #[test]
    fn a_record_is_found_at_or_after_its_place() {
        let mut rows = Rows::default();
        assert_eq!(locate(&rows.places, Lsn(1)), None);
        let stride = INDEX_STRIDE_BYTES;
        for (lsn, offset) in [(1, 64), (5, 100), (9, 64 + stride), (12, 70 + stride)] {
            rows.begin_batch(Lsn(lsn), offset, 0);
        }
        for (lsn, expected) in [(0, 64), (1, 64), (8, 64), (9, 64 + stride), (99, 64 + stride)] {
            let found = locate(&rows.places, Lsn(lsn)).map(|row| row.offset);
            assert_eq!(found, Some(expected), "{lsn}");
        }
    }
}
