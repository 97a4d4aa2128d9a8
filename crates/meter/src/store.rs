//! Durable metering: the meters, and a log of their own.
//!
//! ```
//! use counterfoil_core::{Id, Period, Timestamp};
//! use counterfoil_log::MemStorage;
//! use counterfoil_meter::store::{MeterStore, SingleEvent, StoreOptions};
//! use counterfoil_meter::{EventBatch, Formula, MeterConfig, Outcome};
//!
//! let (store, _) = MeterStore::open_in(MemStorage::new(), StoreOptions::default())?;
//! let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
//! let calls = Id::new("mtr_calls")?;
//! store.define(calls.clone(), MeterConfig::new("api_call", Formula::Sum), now)?;
//!
//! let mut batch = EventBatch::new("api_call");
//! batch.push(Some("req_1"), Some("cus_ada"), None, Some("2.5"))?;
//! let ticket = store.ingest(batch.columns(), now)?;
//! let single = SingleEvent::new("api_call", "cus_ada").identifier("req_1").value("2.5");
//! let retry = store.submit(&single, now)?;
//! assert_eq!(ticket.wait()?.taken, 1); // on disk
//! assert_eq!(retry.wait()?.outcome, Outcome::Duplicate);
//!
//! let march = Period::new(Timestamp::parse("2025-03-01T00:00:00Z")?, Timestamp::MAX);
//! let usage = store.usage(&calls, "cus_ada", march, store.durable())?;
//! assert_eq!(usage.quantity, "2.5".parse()?);
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is acknowledged
//! A call that takes events in judges them at once, in the order in which calls come, and returns
//! a ticket; many may be held unanswered. [`Ticket::wait`] returns once the record of the batch,
//! and so every one before it, is on disk; also a duplicate is acknowledged only when the event is
//! that it repeats. Single events ([`MeterStore::submit`]) gather while somebody else writes, and
//! are then judged and written together, as one block. One sync serves all who wait.
//!
//! There is no thread behind it: whoever waits writes. Threads can be lent: one that runs
//! [`MeterStore::writer`] writes while others take events in, and one that runs
//! [`MeterStore::hasher`] hashes what is written.
//!
//! # What a reader sees
//! Events count from the moment that they are judged, before they are on disk, so a live check
//! of a limit is never behind. [`MeterStore::position`] is the last record judged,
//! [`MeterStore::durable`] the last one that is known to be on disk. A reading at the cut
//! `durable()` says nothing that a crash could take back, and stays the same for ever, after the
//! store was opened again as well. A reading at [`Position::MAX`] may count what a crash takes
//! back; nobody was told then that it was taken. Single events that still gather count nowhere.
//!
//! Reads share a lock, and hold up none of the others that read. A call that takes events in has it
//! for some two thousand events at a time, and lets in who waits before it goes on; a question about
//! one customer takes about a microsecond. However far such a call has come, a reading sees its
//! batch whole or not at all, as it is at a cut, and [`Position::MAX`] means the last record that is
//! whole. Only [`MeterStore::is_within`] counts what was judged of a batch under way.
//! [`MeterStore::usage_by_customer`] reads some customers at a time, all of them at one cut.
//! [`MeterStore::read`] sees the meters between two calls, and holds ingest up while it runs.
//!
//! # When something fails
//! After an error of the disk every call returns the same [`StoreError::Poisoned`]. Opening the
//! store again finds all that was acknowledged, and besides whole records that were not, or none.
//! A client that sends again what was not acknowledged, under the same identifiers, has it counted
//! once.

#[cfg(feature = "planted-bugs")]
pub mod bugs;
#[cfg(not(feature = "planted-bugs"))]
mod bugs;
mod error;
mod gate;
mod gather;
mod inner;
mod open;
mod record;
mod rows;
#[cfg(feature = "spill")]
mod spilling;
mod sync;
mod ticket;

pub use error::{StoreCheckpointError, StoreError, StoreOpenError};
pub use gather::SingleEvent;
pub use open::{Checkpoint, StoreOpened};
pub use ticket::{Ack, EventAck, EventTicket, Relaxed, Ticket};

use crate::aggregator::largest;
use crate::{
    AdjustPolicy, Adjustment, Admission, Aggregator, AlertStatus, AlertTriggered, Anyone, Capacity,
    Customers, DedupePolicy, EventColumns, Grouping, Memory, MeterConfig, Position, Summary,
    UsageReading, UsageThreshold, UsageTotals,
};
use counterfoil_core::{Decimal12, Id, Period, Timestamp, kind};
use counterfoil_log::{Durability, FileStorage, Hasher, LogOptions, Storage};
use gather::{SHARDS, Shards};
use inner::{Inner, too_large};
use open::set_alert;
use record::Fact;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use ticket::Portal;

/// Customers that are read before those who take events in have their turn.
const CUSTOMERS_AT_ONCE: usize = 256;
/// Bytes that the keys of a meter's payload may have together.
const KEY_BYTES_MAX: usize = 64 << 10;

/// How a store is kept. None of it is part of what is on disk, but for what [`LogOptions`] says of
/// the book id: a store may be opened with other options.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// For how long identifiers are remembered.
    pub dedupe: DedupePolicy,
    /// Threads that take a large batch in; see [`Aggregator::threads`].
    pub threads: usize,
    /// A key that those who choose identifiers do not know; see [`Aggregator::with_key`].
    pub key: Option<[u8; 32]>,
    /// Which customers exist; asked under the lock of the kernel, so it must be quick and must not
    /// call the store.
    pub customers: Arc<dyn Customers + Send + Sync>,
    /// Room for all that there will be, made when a store is opened.
    pub capacity: Capacity,
    /// Events that may have been given and not be on disk. Who gives more first helps to write, or
    /// is refused by the calls that do not wait. A single batch may be larger.
    pub queued_events_max: u64,
    /// How far a lent thread, and a call that makes room, bring what waits.
    pub durability: Durability,
    /// Checkpoints that are kept, at least one.
    pub checkpoints_kept: usize,
    /// How the log is kept.
    pub log: LogOptions,
    /// Where events go that are to leave memory; absent: all stay.
    #[cfg(feature = "spill")]
    pub spill: Option<Spill>,
}

/// Events that leave memory for a file, as of [`SpillFile`](crate::SpillFile).
#[cfg(feature = "spill")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spill {
    /// Where the file is made.
    pub directory: std::path::PathBuf,
    /// Events that stay in memory: those that came last.
    pub keep_events: usize,
}

/// What has left memory.
#[cfg(feature = "spill")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Spilled {
    /// Bytes in the file.
    pub bytes: u64,
    /// Why no more does, since the file failed; events stay in memory from there on.
    pub failed: Option<String>,
}

impl Default for StoreOptions {
    /// Identifiers are remembered for 35 days, everybody is a customer, a million events may wait,
    /// two checkpoints are kept, segments have 256 MiB, all events stay in memory.
    fn default() -> Self {
        Self {
            dedupe: DedupePolicy::default(),
            threads: 1,
            key: None,
            customers: Arc::new(Anyone),
            capacity: Capacity::default(),
            queued_events_max: 1 << 20,
            durability: Durability::Synced,
            checkpoints_kept: 2,
            log: LogOptions {
                segment_bytes: 256 << 20,
                pending_bytes_max: 32 << 20,
                ..LogOptions::default()
            },
            #[cfg(feature = "spill")]
            spill: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("dedupe", &self.dedupe)
            .field("threads", &self.threads)
            .field("queued_events_max", &self.queued_events_max)
            .field("durability", &self.durability)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// Meters on a log of their own. A clone is another handle of the same store, for another thread.
/// Dropping the last one without [`MeterStore::close`] is like a crash.
#[derive(Clone)]
pub struct MeterStore {
    handle: Arc<Handle>,
}

/// Sends lent threads home when nobody has the store any more.
struct Handle {
    inner: Arc<Inner>,
    /// What the tickets of each shard hold.
    portals: [Arc<Portal>; SHARDS],
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl MeterStore {
    /// Opens the store in a directory, or creates one, and keeps others out.
    ///
    /// # Errors
    /// [`StoreOpenError`]; nothing is changed then but what a crash had left half done.
    pub fn open(
        path: impl AsRef<Path>,
        options: StoreOptions,
    ) -> Result<(Self, StoreOpened), StoreOpenError> {
        Self::open_in(FileStorage::open(path.as_ref())?, options)
    }

    /// The same in any storage.
    ///
    /// # Errors
    /// As [`MeterStore::open`].
    pub fn open_in(
        storage: impl Storage,
        options: StoreOptions,
    ) -> Result<(Self, StoreOpened), StoreOpenError> {
        let (inner, opened) = open::open(storage, options)?;
        let inner = Arc::new(inner);
        let portals = std::array::from_fn(|_| Arc::new(Portal { inner: Arc::clone(&inner) }));
        Ok((Self { handle: Arc::new(Handle { inner, portals }) }, opened))
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// Makes all that was given durable, closes the log, and lets others open it. A second call
    /// does nothing; every other one is refused then, and tickets are answered.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`].
    pub fn close(&self) -> Result<(), StoreError> {
        self.inner().close()
    }

    // Meters

    /// Adds a meter, active; returns when that is on disk.
    ///
    /// # Errors
    /// As [`Aggregator::define`]; [`StoreError::TooLarge`] for keys of more than 64 KiB.
    pub fn define(
        &self,
        meter: Id<kind::Meter>,
        config: MeterConfig,
        now: Timestamp,
    ) -> Result<Position, StoreError> {
        let MeterConfig { customer_payload_key, value_payload_key, .. } = &config;
        let bytes = customer_payload_key.len().saturating_add(value_payload_key.len());
        if bytes > KEY_BYTES_MAX {
            return Err(too_large(bytes, KEY_BYTES_MAX));
        }
        self.change(now, |meters| {
            meters.define(meter.clone(), config.clone())?;
            Ok(Fact::Defined(meter, config))
        })
    }

    /// Makes a meter refuse events from now on; returns when that is on disk.
    ///
    /// # Errors
    /// As [`Aggregator::deactivate`].
    pub fn deactivate(
        &self,
        meter: &Id<kind::Meter>,
        now: Timestamp,
    ) -> Result<Position, StoreError> {
        self.change(now, |meters| {
            meters.deactivate(meter)?;
            Ok(Fact::Deactivated(meter.clone()))
        })
    }

    /// Makes a meter take events again; returns when that is on disk.
    ///
    /// # Errors
    /// As [`Aggregator::reactivate`].
    pub fn reactivate(
        &self,
        meter: &Id<kind::Meter>,
        now: Timestamp,
    ) -> Result<Position, StoreError> {
        self.change(now, |meters| {
            meters.reactivate(meter)?;
            Ok(Fact::Reactivated(meter.clone()))
        })
    }

    /// Adds an alert, active, on what is received from now on; returns when that is on disk. What a
    /// batch or an adjustment sets off stands in its [`Ack::alerts`], what single events do in
    /// [`MeterStore::triggered_after`].
    ///
    /// # Errors
    /// As [`Aggregator::define_alert`]; [`StoreError::TooLarge`] for a customer of more than 64 KiB.
    pub fn define_alert(
        &self,
        alert: Id<kind::Alert>,
        threshold: UsageThreshold,
        now: Timestamp,
    ) -> Result<Position, StoreError> {
        let bytes = threshold.customer.as_ref().map_or(0, String::len);
        if bytes > KEY_BYTES_MAX {
            return Err(too_large(bytes, KEY_BYTES_MAX));
        }
        self.change(now, |meters| {
            meters.define_alert(alert.clone(), &threshold)?;
            Ok(Fact::AlertDefined(alert, threshold))
        })
    }

    /// Makes an alert watch and lets it go off again for every customer, silences it, or silences
    /// it for ever; returns when that is on disk.
    ///
    /// # Errors
    /// As [`Aggregator::activate_alert`].
    pub fn set_alert(
        &self,
        alert: &Id<kind::Alert>,
        status: AlertStatus,
        now: Timestamp,
    ) -> Result<Position, StoreError> {
        self.change(now, |meters| {
            set_alert(meters, alert, status)?;
            Ok(Fact::AlertChanged(alert.clone(), status))
        })
    }

    /// All alerts by id, archived ones as well, with what each watches.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn alerts(
        &self,
    ) -> Result<Vec<(Id<kind::Alert>, UsageThreshold, AlertStatus)>, StoreError> {
        self.read(|meters| {
            let alerts = meters.alerts();
            alerts.map(|(id, threshold, status)| (id.clone(), threshold, status)).collect()
        })
    }

    /// What went off after a position and is on disk, in the order of positions, with the last
    /// position that was looked at: whoever keeps it and asks from there again is told of each
    /// once. What went off before an alert was last activated is left out.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn triggered_after(
        &self,
        after: Position,
    ) -> Result<(Vec<AlertTriggered>, Position), StoreError> {
        // First: what gets to the disk meanwhile is for the next time.
        let durable = self.durable();
        let mut triggered = self.read(|meters| meters.triggered_after(after))?;
        triggered.retain(|own| own.position <= durable);
        Ok((triggered, durable.max(after)))
    }

    fn change(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Aggregator) -> Result<Fact, StoreError>,
    ) -> Result<Position, StoreError> {
        let position = self.inner().change(now, |meters, _| change(meters))?;
        self.inner().wait(position, Durability::Synced)?;
        Ok(Position(position))
    }

    // Events

    /// Judges a batch and takes it in, and returns a ticket for its acknowledgement. Where too
    /// much waits for the disk, the caller first helps to write.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a batch whose record might be over the bound of the log: then
    /// nothing was taken. [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn ingest(&self, columns: EventColumns<'_>, now: Timestamp) -> Result<Ticket, StoreError> {
        self.take_in(columns, now, false, true)
    }

    /// The same, with what became of every event in [`Ack::outcomes`].
    ///
    /// # Errors
    /// As [`MeterStore::ingest`].
    pub fn ingest_with_outcomes(
        &self,
        columns: EventColumns<'_>,
        now: Timestamp,
    ) -> Result<Ticket, StoreError> {
        self.take_in(columns, now, true, true)
    }

    /// The same as [`MeterStore::ingest`] where there is room.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is none, and then nothing was taken; as
    /// [`MeterStore::ingest`].
    pub fn try_ingest(
        &self,
        columns: EventColumns<'_>,
        now: Timestamp,
    ) -> Result<Ticket, StoreError> {
        self.take_in(columns, now, false, false)
    }

    fn take_in(
        &self,
        columns: EventColumns<'_>,
        now: Timestamp,
        outcomes: bool,
        wait: bool,
    ) -> Result<Ticket, StoreError> {
        let (position, admission) = self.inner().ingest(columns, now, outcomes, wait)?;
        Ok(Ticket::new(self.inner(), position, admission))
    }

    /// Takes a single event, to be judged with those of other threads, and returns a ticket for
    /// its acknowledgement. Events of one thread are judged in its order; a batch that is ingested
    /// meanwhile may come before them. Events of different seconds are judged in different blocks.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for an event of more than 64 KiB of text; otherwise as
    /// [`MeterStore::ingest`].
    pub fn submit(
        &self,
        event: &SingleEvent<'_>,
        now: Timestamp,
    ) -> Result<EventTicket, StoreError> {
        self.submit_to_shard(event, now, true)
    }

    /// The same where there is room.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is none; as [`MeterStore::submit`].
    pub fn try_submit(
        &self,
        event: &SingleEvent<'_>,
        now: Timestamp,
    ) -> Result<EventTicket, StoreError> {
        self.submit_to_shard(event, now, false)
    }

    fn submit_to_shard(
        &self,
        event: &SingleEvent<'_>,
        now: Timestamp,
        wait: bool,
    ) -> Result<EventTicket, StoreError> {
        let place = Shards::own_place();
        let (results, row) = self.inner().submit(place, event, now, wait)?;
        // There are as many of one as of the other.
        let portal = self.handle.portals.get(place).ok_or(StoreError::Closed)?;
        Ok(EventTicket::new(portal, results, row))
    }

    /// Takes an event back (rule 12.4), and returns a ticket for the acknowledgement of that.
    ///
    /// # Errors
    /// As [`Aggregator::admit_cancel`].
    pub fn cancel(
        &self,
        event_name: &str,
        identifier: &str,
        now: Timestamp,
    ) -> Result<Ticket, StoreError> {
        self.adjust(event_name, identifier, Adjustment::Cancel, AdjustPolicy::Day, now)
    }

    /// Takes an event back or gives it another value, as long as a policy allows it, and returns a
    /// ticket for the acknowledgement of that.
    ///
    /// # Errors
    /// As [`Aggregator::admit_adjustment`].
    pub fn adjust(
        &self,
        event_name: &str,
        identifier: &str,
        adjustment: Adjustment,
        policy: AdjustPolicy,
        now: Timestamp,
    ) -> Result<Ticket, StoreError> {
        let mut alerts = Vec::new();
        let position = self.inner().change(now, |meters, position| {
            let block = meters.admit_adjustment(event_name, identifier, adjustment, policy, now)?;
            alerts = meters.apply(position, &block);
            Ok(Fact::Block(block))
        })?;
        Ok(Ticket::new(self.inner(), position, Admission { alerts, ..Admission::default() }))
    }

    /// Makes all that was given durable, single events that gather included; how far that is.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn commit(&self) -> Result<Position, StoreError> {
        self.inner().settle().map(Position)
    }

    // Reading

    /// The last record judged; 0 before any. Single events that gather are behind it.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn position(&self) -> Result<Position, StoreError> {
        Ok(Position(self.inner().look()?.last))
    }

    /// The last record that is known to be on disk: a cut that no crash takes back.
    #[must_use]
    pub fn durable(&self) -> Position {
        Position(self.inner().reached(Durability::Synced))
    }

    /// When the last record was written, as its caller said.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn written_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner().written_at()
    }

    /// Asks the meters anything, at one moment between two calls. Nothing is taken in meanwhile.
    /// `ask` must not call the store.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn read<T>(&self, ask: impl FnOnce(&Aggregator) -> T) -> Result<T, StoreError> {
        Ok(ask(&self.inner().whole()?.kernel.meters))
    }

    /// Asks the meters about what was judged up to a cut, at most [`MeterStore::position`]: `ask`
    /// is given the cut, and must read at it. So every record is seen whole or not at all. `ask`
    /// must not call the store.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn read_at<T>(
        &self,
        cut: Position,
        ask: impl FnOnce(&Aggregator, Position) -> T,
    ) -> Result<T, StoreError> {
        let kernel = self.inner().look()?;
        let last = Position(kernel.last);
        Ok(ask(&kernel.meters, cut.min(last)))
    }

    /// What a customer used on a meter in a period, at a cut: see [`Aggregator::usage`].
    ///
    /// # Errors
    /// [`StoreError::Meter`], [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn usage(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> Result<UsageReading, StoreError> {
        Ok(self.read_at(cut, |meters, cut| meters.usage(meter, customer, period, cut))??)
    }

    /// What every customer used on a meter in a period, at a cut, by customer: see
    /// [`Aggregator::usage_by_customer`]. The meters are read some customers at a time, so that
    /// ingest goes on meanwhile; the cut is one for all.
    ///
    /// # Errors
    /// As [`MeterStore::usage`].
    pub fn usage_by_customer(
        &self,
        meter: &Id<kind::Meter>,
        period: Period,
        cut: Position,
    ) -> Result<BTreeMap<String, UsageReading>, StoreError> {
        let (cut, customers) = self.read_at(cut, |meters, cut| (cut, meters.numbers_on(meter)))?;
        let mut rows = BTreeMap::new();
        for some in customers?.chunks(CUSTOMERS_AT_ONCE) {
            let add =
                |meters: &Aggregator, cut| meters.add_usage(meter, some, period, cut, &mut rows);
            self.read_at(cut, add)??;
        }
        Ok(rows)
    }

    /// The so many customers that used most on a meter in a period, at a cut: see
    /// [`Aggregator::top_customers`]. Read as [`MeterStore::usage_by_customer`] does.
    ///
    /// # Errors
    /// As [`MeterStore::usage`].
    pub fn top_customers(
        &self,
        meter: &Id<kind::Meter>,
        period: Period,
        count: usize,
        cut: Position,
    ) -> Result<Vec<(String, UsageReading)>, StoreError> {
        Ok(largest(self.usage_by_customer(meter, period, cut)?, count))
    }

    /// Sum, count and the rest of a customer's events: see [`Aggregator::totals`].
    ///
    /// # Errors
    /// As [`MeterStore::usage`].
    pub fn totals(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> Result<UsageTotals, StoreError> {
        Ok(self.read_at(cut, |meters, cut| meters.totals(meter, customer, period, cut))??)
    }

    /// Usage by hour or day: see [`Aggregator::summaries`].
    ///
    /// # Errors
    /// [`StoreError::Refused`], [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn summaries(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        grouping: Option<Grouping>,
        cut: Position,
    ) -> Result<Vec<Summary>, StoreError> {
        let ask =
            |meters: &Aggregator, cut| meters.summaries(meter, customer, period, grouping, cut);
        self.read_at(cut, ask)?.map_err(StoreError::Refused)
    }

    /// Whether a customer may use so much more: see [`Aggregator::is_within`]. All that was judged
    /// counts, on disk or not, and of a batch under way what was judged of it.
    ///
    /// # Errors
    /// As [`MeterStore::usage`].
    pub fn is_within(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        more: Decimal12,
        limit: Decimal12,
    ) -> Result<bool, StoreError> {
        let look = self.inner().look()?;
        Ok(look.meters.is_within(meter, customer, period, more, limit)?)
    }

    /// What the meters take of memory.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn memory(&self) -> Result<Memory, StoreError> {
        self.read(Aggregator::memory)
    }

    /// What has left memory; `None` where [`StoreOptions::spill`] asked for nothing.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    #[cfg(feature = "spill")]
    pub fn spilled(&self) -> Result<Option<Spilled>, StoreError> {
        let kernel = self.handle.inner.look()?;
        Ok(kernel.spilling.as_ref().map(spilling::Spilling::spilled))
    }

    // The log

    /// Writes a checkpoint of the meters as they are now, so that the store opens from there, and
    /// removes those that are too old to be kept. Events are taken in meanwhile. `None` where
    /// there is nothing yet. A checkpoint can be removed at any time: the log alone says the same.
    ///
    /// # Errors
    /// [`StoreCheckpointError`]; one that cannot be written harms nothing.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreCheckpointError> {
        self.inner().checkpoint()
    }

    /// Writes space ahead for so many bytes of records: see [`counterfoil_log::Log::reserve`]. An
    /// event takes about 50 bytes in a batch of numbers.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], also where the disk has no such room; [`StoreError::Closed`].
    pub fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        let reserved = self.inner().log.reserve(bytes);
        reserved.map_err(|error| self.inner().fail(error.into()))
    }

    /// What a thread runs that the caller lends for writing: it encodes, writes and syncs what
    /// waits while others take events in.
    #[must_use]
    pub fn writer(&self) -> StoreWriter {
        StoreWriter { inner: Arc::clone(self.inner()) }
    }

    /// What a thread runs that the caller lends for hashing: see [`counterfoil_log::Log::hasher`].
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        self.inner().log.hasher()
    }
}

impl fmt::Debug for MeterStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeterStore").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

/// A thread lent for writing; see [`MeterStore::writer`].
pub struct StoreWriter {
    inner: Arc<Inner>,
}

impl StoreWriter {
    /// Writes whatever waits, and rests in between, until the store is closed or dropped. It has
    /// the store open for as long as it runs.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`].
    pub fn run(self) -> Result<(), StoreError> {
        match self.inner.lend() {
            Err(StoreError::Closed) => Ok(()),
            ended => ended,
        }
    }
}

impl fmt::Debug for StoreWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreWriter").finish_non_exhaustive()
    }
}
