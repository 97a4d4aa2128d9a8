//! What handles, tickets and lent threads share: judging, and the way of a block to the disk.
//!
//! A call judges under the lock of the kernel and puts its record into the *outbox*, in the order
//! of positions. Whoever waits *leads* if nobody does: it judges the single events that have
//! gathered, encodes and appends what is in the outbox, and waits for the log, while others take
//! events in, gather, or wait for the leader. One sync so serves all.
//!
//! Locks are taken in this order: `leading` alone or before the brief ones; `judging`, `kernel`,
//! then the brief ones; `outlet`, then the brief ones. Brief are `gathering` and `outbox`.

use super::gather::{Gathering, Judged, Results, SingleEvent};
use super::record::Fact;
use super::{StoreError, StoreOptions};
use crate::{Admission, AdmitContext, Aggregator, Customers, EventColumns, Position};
use counterfoil_core::Timestamp;
use counterfoil_log::{Durability, Log, LogError, Lsn, limits::RECORD_BYTES_MAX};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};

/// Bytes of text that a single event may have.
const EVENT_BYTES_MAX: usize = 64 << 10;
/// Records in the outbox from which on a call that adds one helps to append them.
const OUTBOX_HELP: usize = 2;

pub(super) struct Inner {
    pub(super) log: Log,
    customers: Arc<dyn Customers + Send + Sync>,
    pub(super) options: StoreOptions,
    kernel: RwLock<Kernel>,
    gathering: Mutex<Gathering>,
    /// Held while gathered events are judged, so that this happens in their order; the memory of
    /// those before.
    judging: Mutex<Gathering>,
    outbox: Mutex<VecDeque<Outgoing>>,
    outlet: Mutex<Appended>,
    /// Whether somebody leads.
    leading: Mutex<bool>,
    /// Signalled when somebody has led.
    led: Condvar,
    /// Signalled when there is something to do for a lent thread that rests.
    work: Condvar,
    resting: AtomicUsize,
    ended: AtomicBool,
    synced: AtomicU64,
    buffered: AtomicU64,
    /// Events that were given and are not on disk.
    queued: AtomicU64,
    /// Events that ever came to the disk.
    settled: AtomicU64,
    fault: OnceLock<StoreError>,
    pub(super) checkpointing: Mutex<()>,
}

/// The meters, and how far the records go that made them.
pub(super) struct Kernel {
    pub(super) meters: Aggregator,
    /// The last record given a number.
    pub(super) last: u64,
    /// Its time.
    pub(super) at: i64,
    /// The most dimensions that a meter keeps.
    dimensions: usize,
}

impl Kernel {
    pub(super) fn new(meters: Aggregator, last: u64, at: i64) -> Self {
        let dimensions = meters.meters().map(|(_, config, _)| config.dimensions.len()).max();
        Self { meters, last, at, dimensions: dimensions.unwrap_or(0) }
    }

    /// Takes note of a meter.
    pub(super) fn note(&mut self, fact: &Fact) {
        if let Fact::Defined(_, config) = fact {
            self.dimensions = self.dimensions.max(config.dimensions.len());
        }
    }
}

/// A record that waits to be appended.
struct Outgoing {
    position: u64,
    at: i64,
    events: u64,
    fact: Fact,
}

/// How far the log was appended to: the last record, and all events up to it.
#[derive(Clone, Copy, Default)]
struct Appended {
    position: u64,
    events: u64,
}

impl Inner {
    pub(super) fn new(log: Log, kernel: Kernel, options: StoreOptions) -> Self {
        let last = kernel.last;
        Self {
            log,
            customers: Arc::clone(&options.customers),
            options,
            kernel: RwLock::new(kernel),
            gathering: Mutex::default(),
            judging: Mutex::default(),
            outbox: Mutex::default(),
            outlet: Mutex::new(Appended { position: last, events: 0 }),
            leading: Mutex::new(false),
            led: Condvar::new(),
            work: Condvar::new(),
            resting: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            synced: AtomicU64::new(last),
            buffered: AtomicU64::new(last),
            queued: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            fault: OnceLock::new(),
            checkpointing: Mutex::default(),
        }
    }

    // Faults

    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Ends all use of the store; the first error stays, and is returned.
    pub(super) fn fail(&self, error: StoreError) -> StoreError {
        self.fault.get_or_init(|| error).clone()
    }

    /// The same for what the log did not say itself.
    fn give_up(&self, reason: &str) -> StoreError {
        self.fail(self.log.poison(reason).into())
    }

    fn panicked<T>(&self, _: PoisonError<T>) -> StoreError {
        self.give_up("a thread panicked in the middle of a change")
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, StoreError> {
        mutex.lock().map_err(|error| self.panicked(error))
    }

    pub(super) fn read(&self) -> Result<RwLockReadGuard<'_, Kernel>, StoreError> {
        self.check()?;
        self.kernel.read().map_err(|error| self.panicked(error))
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, Kernel>, StoreError> {
        self.check()?;
        self.kernel.write().map_err(|error| self.panicked(error))
    }

    // Taking in

    /// Judges a batch; what must be on disk before it is acknowledged.
    pub(super) fn ingest(
        &self,
        columns: EventColumns<'_>,
        now: Timestamp,
        outcomes: bool,
        wait: bool,
    ) -> Result<(u64, Admission), StoreError> {
        self.make_room(columns.len(), wait)?;
        let judged = self.judge(columns, now, outcomes)?;
        self.wake()?;
        self.help()?;
        Ok(judged)
    }

    fn judge(
        &self,
        columns: EventColumns<'_>,
        now: Timestamp,
        outcomes: bool,
    ) -> Result<(u64, Admission), StoreError> {
        let ctx =
            AdmitContext { outcomes, ..AdmitContext::new(now, &*self.customers).with_block() };
        let events = u64::try_from(columns.len()).unwrap_or(u64::MAX);
        let mut kernel = self.write()?;
        let bytes = columns.block_bytes_max(kernel.dimensions);
        if bytes > RECORD_BYTES_MAX {
            self.queued.fetch_sub(events, Ordering::Relaxed);
            return Err(too_large(bytes, RECORD_BYTES_MAX));
        }
        let position = Position(kernel.last.saturating_add(1));
        let mut admission = kernel.meters.take(position, columns, &ctx);
        match admission.block.take() {
            Some(block) => self.post(&mut kernel, now, events, Fact::Block(block))?,
            None => drop(self.queued.fetch_sub(events, Ordering::Relaxed)),
        }
        // A duplicate is acknowledged when the event is on disk that it repeats.
        Ok((kernel.last, admission))
    }

    /// Puts a record into the outbox, under the lock of the kernel.
    fn post(
        &self,
        kernel: &mut Kernel,
        now: Timestamp,
        events: u64,
        fact: Fact,
    ) -> Result<(), StoreError> {
        let position = kernel.last.saturating_add(1);
        let outgoing = Outgoing { position, at: now.unix(), events, fact };
        self.lock(&self.outbox)?.push_back(outgoing);
        (kernel.last, kernel.at) = (position, now.unix());
        Ok(())
    }

    /// Makes a change that is not about new events; what must be on disk before it is
    /// acknowledged. What was submitted before is judged before.
    pub(super) fn change(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Aggregator, Position) -> Result<Fact, StoreError>,
    ) -> Result<u64, StoreError> {
        self.flush()?;
        let mut kernel = self.write()?;
        let position = Position(kernel.last.saturating_add(1));
        let fact = change(&mut kernel.meters, position)?;
        kernel.note(&fact);
        self.post(&mut kernel, now, 0, fact)?;
        drop(kernel);
        self.wake()?;
        Ok(position.0)
    }

    /// Adds a single event to those that wait to be judged.
    pub(super) fn submit(
        &self,
        event: &SingleEvent<'_>,
        now: Timestamp,
        wait: bool,
    ) -> Result<(Arc<Results>, usize), StoreError> {
        if event.text_bytes() > EVENT_BYTES_MAX {
            return Err(too_large(event.text_bytes(), EVENT_BYTES_MAX));
        }
        self.make_room(1, wait)?;
        let (place, full) = loop {
            let mut gathering = self.lock(&self.gathering)?;
            if gathering.takes(now) {
                let place = gathering.push(event, now);
                break (place, gathering.is_full());
            }
            drop(gathering);
            self.flush()?;
        };
        if full {
            self.flush()?;
        }
        self.wake()?;
        Ok(place)
    }

    /// Judges the single events that have gathered, as one block.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.check()?;
        let mut judging = self.lock(&self.judging)?;
        {
            let mut gathering = self.lock(&self.gathering)?;
            if gathering.len() == 0 {
                return Ok(());
            }
            std::mem::swap(&mut *gathering, &mut *judging);
        }
        let names = judging.names();
        let columns = judging.columns(&names);
        let columns = columns.map_err(|error| self.give_up(&error.to_string()))?;
        let now = judging.now().unwrap_or(Timestamp::MIN);
        let (position, admission) = self.judge(columns, now, true)?;
        drop(names);
        let Admission { outcomes, refused, .. } = admission;
        let outcomes = outcomes.unwrap_or_default();
        judging.results().set(Judged { position, outcomes, refused });
        judging.clear();
        Ok(())
    }

    /// Counts events in, and waits for room if it must.
    fn make_room(&self, events: usize, wait: bool) -> Result<(), StoreError> {
        let (events, max) =
            (u64::try_from(events).unwrap_or(u64::MAX), self.options.queued_events_max);
        loop {
            self.check()?;
            let more = |queued: u64| {
                let then = queued.saturating_add(events);
                (queued == 0 || then <= max).then_some(then)
            };
            let room = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            let Err(queued) = room else { return Ok(()) };
            if !wait {
                return Err(StoreError::Full { queued, events, max });
            }
            let has_room = || more(self.queued.load(Ordering::Relaxed)).is_some();
            self.advance(self.options.durability, has_room)?;
        }
    }

    // To the disk

    /// Encodes and appends what is in the outbox.
    fn drain(&self) -> Result<Appended, StoreError> {
        let mut outlet = self.lock(&self.outlet)?;
        while self.append_next(&mut outlet)? {}
        Ok(*outlet)
    }

    /// Appends one record where several wait and nobody else appends.
    fn help(&self) -> Result<(), StoreError> {
        if self.lock(&self.outbox)?.len() <= OUTBOX_HELP {
            return Ok(());
        }
        let Ok(mut outlet) = self.outlet.try_lock() else { return Ok(()) };
        self.append_next(&mut outlet).map(drop)
    }

    fn append_next(&self, outlet: &mut Appended) -> Result<bool, StoreError> {
        self.check()?;
        let next = self.lock(&self.outbox)?.pop_front();
        let Some(Outgoing { position, at, events, fact }) = next else { return Ok(false) };
        let record = fact.encode(at).map_err(|error| self.give_up(&error.to_string()))?;
        drop(fact);
        let lsn = self.log.append(&record).map_err(|error| match error {
            LogError::Poisoned { .. } | LogError::Closed => self.fail(error.into()),
            refused => self.give_up(&refused.to_string()),
        })?;
        if lsn != Lsn(position) {
            return Err(self.give_up(&format!("record {lsn} was to be {position}")));
        }
        *outlet = Appended { position, events: outlet.events.saturating_add(events) };
        Ok(true)
    }

    /// How far the records are on disk, or with the system.
    pub(super) fn reached(&self, durability: Durability) -> u64 {
        match durability {
            Durability::Synced => self.synced.load(Ordering::Acquire),
            Durability::Buffered => self.buffered.load(Ordering::Acquire),
        }
    }

    /// Returns when a record, and every one before it, is on disk, or with the system.
    pub(super) fn wait(&self, position: u64, durability: Durability) -> Result<(), StoreError> {
        while self.reached(durability) < position {
            self.check()?;
            self.advance(durability, || self.reached(durability) >= position)?;
        }
        Ok(())
    }

    /// Leads, or waits for whoever does, unless that was enough.
    pub(super) fn advance(
        &self,
        durability: Durability,
        enough: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let mut leading = self.lock(&self.leading)?;
        if enough() {
            return Ok(());
        }
        if *leading {
            let woken = self.led.wait(leading);
            return woken.map(drop).map_err(|error| self.panicked(error));
        }
        *leading = true;
        drop(leading);
        let _led = Lead(self);
        self.lead(durability)
    }

    fn lead(&self, durability: Durability) -> Result<(), StoreError> {
        self.flush()?;
        let Appended { position, events } = self.drain()?;
        if position > 0 {
            let lsn = Lsn(position);
            let waited = match durability {
                Durability::Synced => self.log.wait(lsn).map(drop),
                Durability::Buffered => self.log.wait_buffered(lsn).map(drop),
            };
            waited.map_err(|error| self.fail(error.into()))?;
        }
        if durability == Durability::Synced {
            self.synced.fetch_max(position, Ordering::AcqRel);
        }
        self.buffered.fetch_max(position, Ordering::AcqRel);
        let before = self.settled.fetch_max(events, Ordering::Relaxed);
        self.queued.fetch_sub(events.saturating_sub(before), Ordering::Relaxed);
        Ok(())
    }

    // Lent threads

    /// Wakes a lent thread that rests.
    fn wake(&self) -> Result<(), StoreError> {
        if self.resting.load(Ordering::SeqCst) > 0 {
            let _leading = self.lock(&self.leading)?;
            self.work.notify_one();
        }
        Ok(())
    }

    /// Leads whenever there is something to do, until the store ends.
    pub(super) fn lend(&self) -> Result<(), StoreError> {
        while !self.ended.load(Ordering::SeqCst) {
            self.check()?;
            let mut leading = self.lock(&self.leading)?;
            if *leading {
                drop(self.led.wait(leading));
                continue;
            }
            // Whoever adds something looks at the number of those that rest after that, and they
            // at what there is after they have counted themselves: one of the two is seen.
            self.resting.fetch_add(1, Ordering::SeqCst);
            let rests = !self.ended.load(Ordering::SeqCst)
                && self.lock(&self.gathering)?.len() == 0
                && self.lock(&self.outbox)?.is_empty();
            if rests {
                drop(self.work.wait(leading));
                self.resting.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            self.resting.fetch_sub(1, Ordering::SeqCst);
            *leading = true;
            drop(leading);
            let _led = Lead(self);
            self.lead(self.options.durability)?;
        }
        Ok(())
    }

    /// Sends lent threads home.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let leading = self.leading.lock();
        self.work.notify_all();
        self.led.notify_all();
        drop(leading);
    }
}

/// Somebody leads, until this is dropped.
struct Lead<'a>(&'a Inner);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Only a flag is set under this lock.
        *self.0.leading.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.led.notify_all();
    }
}

pub(super) fn too_large(bytes: usize, max: usize) -> StoreError {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    StoreError::TooLarge { bytes: wide(bytes), max: wide(max) }
}
