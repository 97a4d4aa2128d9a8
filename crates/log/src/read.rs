//! Reading durable records in order, while others append.

use std::{fmt, io, sync::Arc};

use crate::{
    Lsn,
    batch::{BatchCursor, Frame, frame_at},
    bytes::narrow,
    catalog::{Catalog, damaged},
    error::{Damage, DamageReason, IoError, LogError, ReadError},
    group::{Extent, Shared},
    header::Place,
    limits::{LOOKUP_BYTES, READ_AHEAD_BYTES, WHOLE_BATCH_BYTES_MAX},
    record::{Record, RecordRef},
    segment::{BATCHES_AT, Window, segment_name},
    shelf::Shelf,
    storage::{Access, Storage},
};

/// A book that records are read from: how far it goes, and where in it they are.
pub(crate) trait Source: Send + Sync {
    /// How far may be read.
    fn extent(&self) -> Result<Extent, LogError>;

    /// Where records are.
    fn catalog(&self) -> &Catalog;

    /// The files of the book, with what is known of an archive.
    fn shelf(&self) -> &Shelf;

    /// The damage behind what may be read. What is open for writing has none.
    fn damage(&self) -> Option<Damage> {
        None
    }
}

impl Source for Shared {
    fn extent(&self) -> Result<Extent, LogError> {
        self.durable()
    }

    fn catalog(&self) -> &Catalog {
        self.catalog()
    }

    fn shelf(&self) -> &Shelf {
        self.shelf()
    }
}

/// What may be read of a segment: all of it, or of the active one what is durable.
pub(crate) fn window(
    source: &dyn Source,
    segment: u32,
    durable: Extent,
    read_ahead: usize,
) -> Result<Window, ReadError> {
    let name = segment_name(segment);
    let file = source.shelf().open(&name, Access::Read).map_err(IoError::at("open", &name))?;
    let limit = if segment == durable.end.segment {
        durable.end.offset
    } else {
        file.len().map_err(IoError::at("read", &name))?
    };
    Ok(Window::new(Arc::from(file), limit, read_ahead))
}

/// The durable records from some number on, in order.
///
/// After the last durable record it yields `None`, and goes on once more are durable. After an
/// error it yields `None` for good. It holds its own reference to the log and may be sent to
/// another thread.
pub struct Records {
    source: Arc<dyn Source>,
    /// The record to be yielded next.
    next: Lsn,
    position: Option<Position>,
    read_ahead: usize,
    failed: bool,
}

/// Where reading has come to.
struct Position {
    /// Where the next batch begins.
    place: Place,
    window: Window,
    /// The batch that is being read.
    batch: Option<BatchCursor>,
}

impl Records {
    pub(crate) fn new(source: Arc<dyn Source>, from: Lsn) -> Self {
        let next = from.max(Lsn::ZERO.next());
        Self { source, next, position: None, read_ahead: READ_AHEAD_BYTES, failed: false }
    }

    /// For records that are not one directly after the other.
    pub(crate) fn here_and_there(source: Arc<dyn Source>) -> Self {
        Self { read_ahead: LOOKUP_BYTES, ..Self::new(source, Lsn::ZERO) }
    }

    /// Goes to a record, from where it is if the index knows of no nearer place.
    pub(crate) fn seek(&mut self, lsn: Lsn) -> Result<(), ReadError> {
        if let Some(position) = self.position.as_mut().filter(|_| lsn != self.next) {
            let near = self.source.catalog().locate(lsn)?;
            let at = position.place;
            let nearer = (near.segment, near.offset) > (at.segment, at.offset);
            if lsn < self.next || (nearer && near.segment != at.segment) {
                self.position = None;
            } else if nearer {
                position.place = near;
                position.batch = None;
            }
        }
        self.next = lsn;
        Ok(())
    }

    /// Reads one durable record.
    pub(crate) fn lookup(source: Arc<dyn Source>, lsn: Lsn) -> Result<Record, ReadError> {
        let durable = source.extent()?.last;
        let not_durable = ReadError::NotDurable { lsn, durable };
        if lsn == Lsn::ZERO || lsn > durable {
            return Err(not_durable);
        }
        let mut records = Self::here_and_there(source);
        records.next = lsn;
        let record = records.read_next()?.map(RecordRef::to_record);
        record.ok_or(not_durable)
    }

    /// The next record in the buffer that it was read into, which saves copying it: as the iterator
    /// otherwise.
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>, ReadError>> {
        if self.failed {
            return None;
        }
        match self.read_next() {
            Ok(found) => found.map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    pub(crate) fn read_next(&mut self) -> Result<Option<RecordRef<'_>>, ReadError> {
        self.failed = true;
        let durable = self.source.extent()?;
        if self.next > durable.last {
            if let Some(damage) = self.source.damage() {
                return Err(ReadError::Damaged(damage));
            }
            self.failed = false;
            return Ok(None);
        }
        let mut position = match self.position.take() {
            Some(position) => position,
            None => self.locate(durable)?,
        };
        while !position.reaches(self.next)? {
            self.enter_batch(&mut position, durable)?;
        }
        let record = self.position.insert(position).record()?;
        self.failed = false;
        self.next = self.next.next();
        Ok(Some(record))
    }

    /// Starts at the nearest known place at or before the next record.
    fn locate(&self, durable: Extent) -> Result<Position, ReadError> {
        let place = self.source.catalog().locate(self.next)?;
        let window = window(&*self.source, place.segment, durable, self.read_ahead)?;
        Ok(Position { place, window, batch: None })
    }

    /// Moves to the next batch, which a durable record is in or behind.
    fn enter_batch(&self, position: &mut Position, durable: Extent) -> Result<(), ReadError> {
        let failed = |place: Place| {
            move |error| ReadError::from(IoError::at("read", &segment_name(place.segment))(error))
        };
        if position.place.segment == durable.end.segment {
            position.window.raise_limit(durable.end.offset);
        } else if position.place.offset >= position.window.limit() {
            // It may have grown between the last look at it and being sealed.
            position.window.raise_limit_to_end().map_err(failed(position.place))?;
        }
        let place = position.place;
        let reason = match frame_at(&mut position.window, self.source.catalog().owner(), place)
            .map_err(failed(place))?
        {
            Frame::Batch(header) if header.first <= self.next => {
                position.place.offset = place.offset.saturating_add(header.frame_len());
                position.batch = None;
                if header.last() < self.next {
                    return Ok(());
                }
                let len = narrow(header.frame_len());
                if len <= WHOLE_BATCH_BYTES_MAX {
                    // Once, and not up to where the window ends, and then from its start again.
                    position.window.get(place.offset, len).map_err(failed(place))?;
                }
                let cursor = BatchCursor::new(header, place.offset);
                match cursor.prove(&mut position.window).map_err(failed(place))? {
                    Ok(()) => {
                        position.batch = Some(cursor);
                        return Ok(());
                    }
                    Err(reason) => reason,
                }
            }
            Frame::Batch(header) => {
                DamageReason::FirstLsn { found: header.first, expected: self.next }
            }
            Frame::Footer(_) if place.segment < durable.end.segment => {
                let segment = place.segment.saturating_add(1);
                let window = window(&*self.source, segment, durable, self.read_ahead)?;
                let place = Place { segment, offset: BATCHES_AT };
                *position = Position { place, window, batch: None };
                return Ok(());
            }
            Frame::End | Frame::Footer(_) => DamageReason::EndsEarly { synced: durable.last },
            Frame::Broken(reason) => reason,
        };
        Err(damaged(place.segment, place.offset, reason))
    }
}

impl Position {
    /// Goes to record `lsn`, if the batch that is being read holds it.
    fn reaches(&mut self, lsn: Lsn) -> Result<bool, ReadError> {
        let Self { place, window, batch } = self;
        let Some(cursor) = batch else { return Ok(false) };
        while cursor.next_lsn() < lsn && !cursor.is_done() {
            let at = cursor.offset();
            let skipped = cursor.skip(window).map_err(failed(place.segment))?;
            skipped.map_err(|reason| damaged(place.segment, at, reason))?;
        }
        if cursor.is_done() {
            *batch = None;
        }
        Ok(batch.is_some())
    }

    /// The record that [`Position::reaches`] went to.
    fn record(&mut self) -> Result<RecordRef<'_>, ReadError> {
        let Self { place, window, batch } = self;
        let missing = DamageReason::RecordLength;
        let Some(cursor) = batch else {
            return Err(damaged(place.segment, place.offset, missing));
        };
        let at = cursor.offset();
        let view = cursor.advance(window).map_err(failed(place.segment))?;
        match view {
            Ok(Some(view)) => Ok(RecordRef(view)),
            Ok(None) => Err(damaged(place.segment, at, missing)),
            Err(reason) => Err(damaged(place.segment, at, reason)),
        }
    }
}

pub(crate) fn failed(segment: u32) -> impl Fn(io::Error) -> IoError {
    move |error| IoError::at("read", &segment_name(segment))(error)
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_ref()?.map(RecordRef::to_record))
    }
}
