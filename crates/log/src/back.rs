//! Reading durable records against their order.

use std::{fmt, sync::Arc};

use crate::{
    Lsn,
    batch::{BatchCursor, BatchHeader, Frame, frame_at},
    catalog::damaged,
    error::{DamageReason, ReadError},
    group::Extent,
    header::Place,
    limits::READ_BACK_BYTES,
    read::{Source, failed, window},
    record::{Record, RecordRef, RecordView},
    segment::Window,
};

/// The durable records from some number down to the first.
///
/// After an error it yields `None` for good. It holds its own reference to the log and may be sent
/// to another thread.
pub struct RecordsBack {
    source: Arc<dyn Source>,
    /// The record to be yielded next.
    next: Lsn,
    segment: Option<Open>,
    failed: bool,
}

/// A segment that is read.
struct Open {
    number: u32,
    window: Window,
    /// Batches before the one that is read, back to a place that the index knows.
    before: Vec<(u64, BatchHeader)>,
    batch: Option<Batch>,
}

/// A batch that is read.
struct Batch {
    first: Lsn,
    /// Where its records begin, and where the last one ends.
    bounds: Vec<u64>,
}

impl RecordsBack {
    pub(crate) fn new(source: Arc<dyn Source>, from: Lsn) -> Self {
        Self { source, next: from, segment: None, failed: false }
    }

    fn read_next(&mut self) -> Result<Option<RecordRef<'_>>, ReadError> {
        self.failed = true;
        let durable = self.source.extent()?;
        let lsn = self.next.min(durable.last);
        if lsn == Lsn::ZERO {
            self.failed = false;
            return Ok(None);
        }
        self.next = lsn.previous();
        let Self { source, segment, failed, .. } = self;
        let record = read(&**source, segment, lsn, durable)?;
        *failed = false;
        Ok(Some(record))
    }

    /// A record that is durable, best one before the last that was read.
    pub(crate) fn at(&mut self, lsn: Lsn, durable: Extent) -> Result<RecordRef<'_>, ReadError> {
        read(&*self.source, &mut self.segment, lsn, durable)
    }
}

fn read<'o>(
    source: &dyn Source,
    open: &'o mut Option<Open>,
    lsn: Lsn,
    durable: Extent,
) -> Result<RecordRef<'o>, ReadError> {
    let known = open.take().filter(|open| open.is_before(lsn));
    let mut segment = match known {
        Some(open) => open,
        None => Open::find(source, lsn, durable)?,
    };
    segment.enter(lsn)?;
    open.insert(segment).record(lsn)
}

impl Open {
    /// Whether a record lies in the batch that is read, or in those before it that are known.
    fn is_before(&self, lsn: Lsn) -> bool {
        let first = self.batch.as_ref().map(|batch| batch.first);
        let first = self.before.first().map(|(_, header)| header.first).or(first);
        let last = match &self.batch {
            Some(batch) => batch.last(),
            None => self.before.last().map_or(Lsn::ZERO, |(_, header)| header.last()),
        };
        first.is_some_and(|first| first <= lsn) && lsn <= last
    }

    /// Lists the batches from the nearest place that the index knows to the one of a record.
    fn find(source: &dyn Source, lsn: Lsn, durable: Extent) -> Result<Self, ReadError> {
        let mut place = source.catalog().locate(lsn)?;
        let number = place.segment;
        let mut window = window(source, number, durable, READ_BACK_BYTES)?;
        let mut before: Vec<(u64, BatchHeader)> = Vec::new();
        let owner = source.catalog().owner();
        loop {
            let found = frame_at(&mut window, owner, place).map_err(failed(number))?;
            let due = before.last().map(|(_, header)| header.last().next());
            let reason = match found {
                Frame::Batch(header)
                    if due.map_or(header.first <= lsn, |due| due == header.first) =>
                {
                    before.push((place.offset, header));
                    if header.last() >= lsn {
                        return Ok(Self { number, window, before, batch: None });
                    }
                    place.offset = place.offset.saturating_add(header.frame_len());
                    continue;
                }
                Frame::Batch(header) => {
                    DamageReason::FirstLsn { found: header.first, expected: due.unwrap_or(lsn) }
                }
                Frame::End | Frame::Footer(_) => DamageReason::EndsEarly { synced: durable.last },
                Frame::Broken(reason) => reason,
            };
            return Err(damaged(number, place.offset, reason));
        }
    }

    /// Goes to the batch of a record, which is known, and checks it.
    fn enter(&mut self, lsn: Lsn) -> Result<(), ReadError> {
        if self.batch.as_ref().is_some_and(|batch| batch.first <= lsn) {
            return Ok(());
        }
        self.batch = None;
        while let Some((offset, header)) = self.before.pop() {
            if header.first <= lsn {
                let place = Place { segment: self.number, offset };
                self.batch = Some(Batch::list(header, place, &mut self.window)?);
                break;
            }
        }
        Ok(())
    }

    fn record(&mut self, lsn: Lsn) -> Result<RecordRef<'_>, ReadError> {
        let bounds = self.batch.as_ref().and_then(|batch| batch.bounds_of(lsn));
        let Some((floor, start, end)) = bounds else {
            return Err(damaged(self.number, 0, DamageReason::RecordLength));
        };
        let len = crate::bytes::narrow(end.saturating_sub(start));
        let bytes = self.window.get_back(start, len, floor).map_err(failed(self.number))?;
        match RecordView::parse(bytes.unwrap_or_default(), lsn) {
            Ok((view, _)) => Ok(RecordRef(view)),
            Err(reason) => Err(damaged(self.number, start, reason)),
        }
    }
}

impl Batch {
    /// Checks a batch, so that each record is bound to it, and lists where they are.
    fn list(header: BatchHeader, place: Place, window: &mut Window) -> Result<Self, ReadError> {
        let mut cursor = BatchCursor::new(header, place.offset);
        let proven = cursor.prove(window).map_err(failed(place.segment))?;
        proven.map_err(|reason| damaged(place.segment, place.offset, reason))?;
        let mut bounds = vec![cursor.offset()];
        while !cursor.is_done() {
            let at = cursor.offset();
            let skipped = cursor.skip(window).map_err(failed(place.segment))?;
            skipped.map_err(|reason| damaged(place.segment, at, reason))?;
            bounds.push(cursor.offset());
        }
        Ok(Self { first: header.first, bounds })
    }

    fn last(&self) -> Lsn {
        let records = self.bounds.len().saturating_sub(1);
        self.first.plus(crate::bytes::wide(records)).previous()
    }

    /// Where the batch begins that a record is in, and where the record begins and ends.
    fn bounds_of(&self, lsn: Lsn) -> Option<(u64, u64, u64)> {
        let index = usize::try_from(lsn.0.checked_sub(self.first.0)?).ok()?;
        let end = self.bounds.get(index.checked_add(1)?)?;
        Some((*self.bounds.first()?, *self.bounds.get(index)?, *end))
    }
}

impl Iterator for RecordsBack {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.read_next() {
            Ok(found) => found.map(|record| Ok(record.to_record())),
            Err(error) => Some(Err(error)),
        }
    }
}

impl fmt::Debug for RecordsBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordsBack").field("next", &self.next).finish_non_exhaustive()
    }
}
