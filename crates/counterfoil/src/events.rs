//! Following the events of a book.

use crate::codec;
use crate::engine::Engine;
use crate::error::{BookError, Error};
use crate::keys::Keys;
use counterfoil_billing::customer::CustomerId;
use counterfoil_core::Timestamp;
use counterfoil_log::{Lsn, ReadError, Record, RecordRef, Records};
use counterfoil_meter::Block;
use counterfoil_model::Event;
use std::collections::BTreeSet;
use std::time::Duration;

/// What one record of the book holds: all that one command, or one item of due work, did.
#[derive(Debug, Clone)]
pub struct BookRecord {
    /// Its position; to go on after it, ask for [`Lsn::next`].
    pub lsn: Lsn,
    /// The time of the book when it was written.
    pub at: Timestamp,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The customers whose personal data the events had, and have no longer: it was erased.
    pub erased: BTreeSet<CustomerId>,
    /// The usage that was taken in.
    pub usage: Option<Block>,
}

impl BookRecord {
    /// A record of the log, read.
    pub(crate) fn decoded(record: Result<Record, ReadError>, keys: &Keys) -> Result<Self, Error> {
        let record = record?;
        Self::of(record.lsn, codec::decode(&record, keys))
    }

    /// The same for whoever has no keys: what is personal is left out.
    pub(crate) fn without_keys(record: Record) -> Result<Self, Error> {
        let read = Self::decoded(Ok(record), &Keys::none());
        read.map(|read| Self { erased: BTreeSet::new(), ..read })
    }

    fn decode(record: RecordRef<'_>, keys: &Keys) -> Result<Self, Error> {
        Self::of(record.lsn(), codec::decode_ref(record, keys))
    }

    fn of(lsn: Lsn, decoded: Result<codec::Decoded, BookError>) -> Result<Self, Error> {
        let decoded = decoded.map_err(Error::from)?;
        let codec::Decoded { at, events, erased, block, .. } = decoded;
        Ok(Self { lsn, at, events, erased, usage: block })
    }
}

/// The records of a book from a position on, as far as they are on disk. It ends where the book
/// ends for now, and can be asked again later: an outbox keeps the position it has seen.
#[derive(Debug)]
pub struct Events {
    engine: Engine,
    records: Records,
}

impl Engine {
    /// The events of the book from a position on, as far as they are on disk; see [`Events`].
    #[must_use]
    pub fn events(&self, from: Lsn) -> Events {
        Events { engine: self.clone(), records: self.records(from) }
    }

    /// The records from a position back to the first; those that are not on disk yet are left out.
    pub fn events_back(&self, from: Lsn) -> impl Iterator<Item = Result<BookRecord, Error>> {
        let records = self.log().read_back(from);
        records.map(|record| BookRecord::decoded(record, self.keys()))
    }

    /// The records from a position on that have an event of a stream, such as `customer:ID` or
    /// `catalog`, as far as they are on disk. An index names them, so that no others are read.
    ///
    /// ```
    /// use counterfoil::{CreateCustomer, Engine, Lsn, NoPayments, Timestamp};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let book = Engine::in_memory();
    /// book.advance_to(Timestamp::parse("2024-01-01T00:00:00Z")?, &mut NoPayments)?;
    /// book.customers().create(CreateCustomer::default())?;
    /// let ada = book.customers().create(CreateCustomer::default())?;
    /// let stream = format!("customer:{}", ada.id);
    ///
    /// let of_ada = book.events_of(&stream, Lsn(1)).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(of_ada.iter().map(|record| record.lsn).collect::<Vec<_>>(), [book.durable()]);
    /// let last = book.events_of_back(&stream, book.durable()).next().unwrap()?;
    /// assert_eq!(last.events, of_ada[0].events);
    /// # Ok(())
    /// # }
    /// ```
    pub fn events_of(
        &self,
        stream: &str,
        from: Lsn,
    ) -> impl Iterator<Item = Result<BookRecord, Error>> {
        let records = self.log().read_stream(stream, from);
        records.map(|record| BookRecord::decoded(record, self.keys()))
    }

    /// The same, from a position back to the first.
    pub fn events_of_back(
        &self,
        stream: &str,
        from: Lsn,
    ) -> impl Iterator<Item = Result<BookRecord, Error>> {
        let records = self.log().read_stream_back(stream, from);
        records.map(|record| BookRecord::decoded(record, self.keys()))
    }
}

impl Events {
    /// The next record, waiting for it where there is none yet; none when the time is over.
    ///
    /// # Errors
    /// [`Error::Read`] where a record cannot be read, [`Error::Log`] where the disk failed.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<BookRecord>, Error> {
        let seen = self.engine.durable();
        if let Some(record) = self.next() {
            return record.map(Some);
        }
        self.engine.wait_beyond(seen, timeout)?;
        self.next().transpose()
    }
}

impl Iterator for Events {
    type Item = Result<BookRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next_ref()?.map_err(Error::from);
        Some(record.and_then(|record| BookRecord::decode(record, self.engine.keys())))
    }
}
