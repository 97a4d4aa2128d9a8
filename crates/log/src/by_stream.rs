//! Reading the durable records of one stream, in their order or against it, and finding a time.
//!
//! The stream index names records by a hash of the key, which is only a hint: the record is read and
//! the key compared. What the rows in memory do not know of yet is looked at record by record.

use std::{collections::VecDeque, fmt, sync::Arc};

use crate::{
    Lsn, Records, RecordsBack,
    error::ReadError,
    group::Extent,
    index::stream_hash,
    read::Source,
    record::{Record, RecordRef},
};

/// The durable records that have an entry in one stream, from some number on or down from it.
///
/// On from a number it goes on once more are durable, as [`Records`] does. After an error it yields
/// `None` for good. It holds its own reference to the log and may be sent to another thread.
pub struct StreamRecords {
    source: Arc<dyn Source>,
    key: Box<str>,
    hash: u64,
    walk: Walk,
    /// The record from which on, or down from which, the index was not asked yet.
    next: Lsn,
    /// What the index named and was not looked at yet.
    hits: VecDeque<Lsn>,
    failed: bool,
}

enum Walk {
    On(Box<Records>),
    Back(Box<RecordsBack>),
}

impl StreamRecords {
    pub(crate) fn on(source: Arc<dyn Source>, key: &str, from: Lsn) -> Self {
        let walk = Walk::On(Box::new(Records::here_and_there(Arc::clone(&source))));
        Self::new(source, key, walk, from.max(Lsn::ZERO.next()))
    }

    pub(crate) fn back(source: Arc<dyn Source>, key: &str, from: Lsn) -> Self {
        let walk = Walk::Back(Box::new(RecordsBack::new(Arc::clone(&source), from)));
        Self::new(source, key, walk, from)
    }

    fn new(source: Arc<dyn Source>, key: &str, walk: Walk, next: Lsn) -> Self {
        let (hash, key) = (stream_hash(key), key.into());
        Self { source, key, hash, walk, next, hits: VecDeque::new(), failed: false }
    }

    fn read_next(&mut self) -> Result<Option<Record>, ReadError> {
        let durable = self.source.extent()?;
        loop {
            while let Some(lsn) = self.hits.pop_front() {
                let record = match &mut self.walk {
                    Walk::On(records) => {
                        records.seek(lsn)?;
                        records.read_next()?
                    }
                    Walk::Back(records) => Some(records.at(lsn, durable)?),
                };
                let asked = |record: &RecordRef<'_>| {
                    !self.key.is_empty() && record.events().any(|event| event.stream == &*self.key)
                };
                if let Some(record) = record.filter(asked) {
                    return Ok(Some(record.to_record()));
                }
            }
            if !self.ask(durable)? {
                return Ok(None);
            }
        }
    }

    /// Asks the index about the records that come next; `false` where there are none.
    fn ask(&mut self, durable: Extent) -> Result<bool, ReadError> {
        match &self.walk {
            Walk::On(_) => {
                if self.next > durable.last {
                    let damage = self.source.damage().map(ReadError::Damaged);
                    return damage.map_or(Ok(false), Err);
                }
                let wanted = self.next..=durable.last;
                let span = self.source.catalog().span(self.hash, self.next, &wanted)?;
                self.hits.extend(span.hits);
                self.next = span.through.min(durable.last).next();
            }
            Walk::Back(_) => {
                self.next = self.next.min(durable.last);
                if self.next == Lsn::ZERO {
                    return Ok(false);
                }
                let wanted = Lsn::ZERO..=self.next;
                let span = self.source.catalog().span(self.hash, self.next, &wanted)?;
                self.hits.extend(span.hits.into_iter().rev());
                self.next = span.first.previous();
            }
        }
        Ok(true)
    }
}

/// The last durable record whose time is not after `at`, where times never go back.
pub(crate) fn find_time(source: &Arc<dyn Source>, at: i64) -> Result<Lsn, ReadError> {
    let durable = source.extent()?.last;
    let from = source.catalog().before_time(at, durable)?.unwrap_or(Lsn::ZERO.next());
    let mut found = from.previous().min(durable);
    let mut records = Records::here_and_there(Arc::clone(source));
    records.seek(from)?;
    while found < durable {
        match records.read_next()? {
            Some(record) if record.at() <= at => found = record.lsn(),
            _ => break,
        }
    }
    Ok(found)
}

impl Iterator for StreamRecords {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read_next();
        self.failed = read.is_err();
        read.transpose()
    }
}

impl fmt::Debug for StreamRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, next) = (&self.key, &self.next);
        f.debug_struct("StreamRecords")
            .field("key", key)
            .field("next", next)
            .finish_non_exhaustive()
    }
}
