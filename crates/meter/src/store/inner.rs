//! What handles, tickets and lent threads share: judging, and the way of a block to the disk.
//!
//! A call judges under the lock of the kernel and puts its record into the *outbox*, in the order
//! of positions. Whoever waits *leads* if nobody does: it judges the single events that have
//! gathered, encodes and appends what is in the outbox, and waits for the log, while others take
//! events in, gather, or wait for the leader. One sync so serves all.
//!
//! Locks are taken in this order: `leading` alone or before the brief ones; `judging`, the gate,
//! then the brief ones; `outlet`, then the brief ones. Brief are the shards and `outbox`.

use super::bugs::{Bug, planted};
use super::gate::{Entry, Gate, Panicked, Whole};
use super::gather::{Gathering, Results, SHARDS, Shards, SingleEvent};
use super::record::Fact;
use super::rows::Rows;
use super::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, PlainMutex,
    RwLockReadGuard,
};
use super::{StoreError, StoreOptions};
use crate::{Admission, AdmitContext, Aggregator, Block, Customers, EventColumns, Position};
use counterfoil_core::Timestamp;
use counterfoil_log::{Durability, Log, LogError, Lsn, NewRecord, limits::RECORD_BYTES_MAX};
use std::collections::VecDeque;
use std::sync::{Arc, LockResult, PoisonError};

/// Bytes of text that a single event may have.
const EVENT_BYTES_MAX: usize = 64 << 10;
/// Blocks whose memory is kept.
const SPARES_MAX: usize = 4;
/// Records in the outbox from which on a call that adds one helps to append them.
const OUTBOX_HELP: usize = 2;

pub(super) struct Inner {
    pub(super) log: Log,
    customers: Arc<dyn Customers + Send + Sync>,
    pub(super) options: StoreOptions,
    gate: Gate,
    shards: Shards,
    /// Held while gathered events are judged, so that this happens in their order.
    judging: Mutex<Judging>,
    outbox: Mutex<VecDeque<Outgoing>>,
    outlet: Mutex<Outlet>,
    /// The memory of blocks that were appended, for blocks to come.
    spares: PlainMutex<Vec<Block>>,
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
    fault: Fault,
    pub(super) checkpointing: PlainMutex<()>,
}

/// The first error, which stays.
struct Fault {
    is_set: AtomicBool,
    first: Mutex<Option<StoreError>>,
}

/// Events that were gathered and are being judged, and the memory of those before.
struct Judging {
    /// What was taken out of each shard.
    taken_out: Vec<Gathering>,
    /// Those that are judged together.
    together: Rows,
}

/// The meters, and how far the records go that made them.
pub(super) struct Kernel {
    pub(super) meters: Aggregator,
    /// The last record given a number. Whatever is read up to it is whole.
    pub(super) last: u64,
    /// Its time.
    pub(super) at: i64,
    /// The most dimensions that a meter keeps.
    dimensions: usize,
    #[cfg(feature = "spill")]
    pub(super) spilling: Option<super::spilling::Spilling>,
}

impl Kernel {
    pub(super) fn new(meters: Aggregator, last: u64, at: i64) -> Self {
        let dimensions = meters.meters().map(|(_, config, _)| config.dimensions.len()).max();
        Self {
            meters,
            last,
            at,
            dimensions: dimensions.unwrap_or(0),
            #[cfg(feature = "spill")]
            spilling: None,
        }
    }

    /// Moves events out of memory where there are more than is asked for.
    pub(super) fn spill(&mut self) {
        #[cfg(feature = "spill")]
        if let Some(spilling) = &mut self.spilling {
            spilling.spill(&mut self.meters);
        }
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

/// What appends.
struct Outlet {
    appended: Appended,
    /// The last record, whose memory is used again.
    record: NewRecord,
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
            gate: Gate::new(kernel),
            shards: Shards::new(),
            judging: Mutex::new(Judging::new()),
            outbox: Mutex::new(VecDeque::new()),
            outlet: Mutex::new(Outlet {
                appended: Appended { position: last, events: 0 },
                record: Fact::new_record(),
            }),
            spares: PlainMutex::default(),
            leading: Mutex::new(false),
            led: Condvar::new(),
            work: Condvar::new(),
            resting: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            synced: AtomicU64::new(last),
            buffered: AtomicU64::new(last),
            queued: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            fault: Fault { is_set: AtomicBool::new(false), first: Mutex::new(None) },
            checkpointing: PlainMutex::default(),
        }
    }

    // Faults

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.fault.is_set.load(Ordering::Acquire) {
            return Ok(());
        }
        self.fault.first().clone().map_or(Ok(()), Err)
    }

    /// Ends all use of the store; the first error stays, and is returned. Called without the lock
    /// on `leading`.
    pub(super) fn fail(&self, error: StoreError) -> StoreError {
        let first = self.fault.first().get_or_insert(error).clone();
        self.fault.is_set.store(true, Ordering::Release);
        // Who waits for the leader is woken by it; a lent thread that rests, by nobody else.
        if !planted(Bug::RestNotEnded) {
            let leading = self.leading();
            self.work.notify_all();
            drop(leading);
        }
        first
    }

    /// The same for what the log did not say itself.
    fn give_up(&self, reason: &str) -> StoreError {
        self.fail(self.log.poison(reason).into())
    }

    fn panicked(&self) -> StoreError {
        self.give_up("a thread panicked in the middle of a change")
    }

    fn unlocked<T>(&self, locked: LockResult<T>) -> Result<T, StoreError> {
        // The error still has the lock.
        locked.map_err(drop).map_err(|()| self.panicked())
    }

    /// Whether somebody leads. Only a flag is set under this lock, so it is whole whoever panics.
    fn leading(&self) -> MutexGuard<'_, bool> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, StoreError> {
        self.unlocked(mutex.lock())
    }

    /// The meters for reading at a cut.
    pub(super) fn look(&self) -> Result<RwLockReadGuard<'_, Kernel>, StoreError> {
        self.check()?;
        self.gate.look().map_err(|Panicked| self.panicked())
    }

    /// The meters as they are between two calls.
    pub(super) fn whole(&self) -> Result<Whole<'_>, StoreError> {
        self.check()?;
        self.gate.whole().map_err(|Panicked| self.panicked())
    }

    fn enter(&self) -> Result<Entry<'_>, StoreError> {
        self.check()?;
        self.gate.enter().map_err(|Panicked| self.panicked())
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
        self.wake();
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
        let mut entry = self.enter()?;
        let kernel = &mut *entry.kernel;
        let bytes = columns.block_bytes_max(kernel.dimensions);
        if bytes > RECORD_BYTES_MAX {
            self.queued.fetch_sub(events, Ordering::Relaxed);
            return Err(too_large(bytes, RECORD_BYTES_MAX));
        }
        let position = Position(kernel.last.saturating_add(1));
        kernel.meters.lend(self.spare());
        let mut admission = match kernel.meters.begin_taking(position, columns, &ctx) {
            Err(admission) => admission,
            Ok(mut taking) => {
                while entry.kernel.meters.go_on_taking(&mut taking) {
                    entry = entry.pause();
                }
                entry = entry.pause();
                entry.kernel.meters.end_taking(taking, &ctx)
            }
        };
        let kernel = &mut *entry.kernel;
        kernel.spill();
        match admission.block.take() {
            Some(block) => self.post(kernel, now, events, Fact::Block(block))?,
            None => drop(self.queued.fetch_sub(events, Ordering::Relaxed)),
        }
        // A duplicate is acknowledged when the event is on disk that it repeats.
        let nothing_new = planted(Bug::DuplicateNotAwaited) && admission.taken == 0;
        Ok((if nothing_new { 0 } else { kernel.last }, admission))
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
        let mut entry = self.enter()?;
        let kernel = &mut *entry.kernel;
        let position = Position(kernel.last.saturating_add(1));
        let fact = change(&mut kernel.meters, position)?;
        kernel.note(&fact);
        self.post(kernel, now, 0, fact)?;
        drop(entry);
        self.wake();
        Ok(position.0)
    }

    /// Adds a single event to those that wait to be judged.
    pub(super) fn submit(
        &self,
        shard: usize,
        event: &SingleEvent<'_>,
        now: Timestamp,
        wait: bool,
    ) -> Result<(Arc<Results>, usize), StoreError> {
        if event.text_bytes() > EVENT_BYTES_MAX {
            return Err(too_large(event.text_bytes(), EVENT_BYTES_MAX));
        }
        self.make_room(1, wait)?;
        let place = loop {
            let mut gathering = self.shard(shard)?;
            if gathering.takes(event, now) {
                break gathering.push(event, now);
            }
            drop(gathering);
            self.flush()?;
        };
        self.wake();
        Ok(place)
    }

    fn shard(&self, place: usize) -> Result<MutexGuard<'_, Gathering>, StoreError> {
        match self.shards.lock(place) {
            Some(gathering) => self.unlocked(gathering),
            None => Err(self.give_up("there is no such shard")),
        }
    }

    /// Judges the single events that have gathered, those of one second as one block.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.check()?;
        let mut judging = self.lock(&self.judging)?;
        if planted(Bug::FlushedOutOfOrder) {
            drop(judging);
            return self.judge_gathered(&mut Judging::new());
        }
        self.judge_gathered(&mut judging)
    }

    /// The same by whoever holds `judging`.
    fn judge_gathered(&self, judging: &mut Judging) -> Result<(), StoreError> {
        let Judging { taken_out, together } = judging;
        for (place, own) in taken_out.iter_mut().enumerate() {
            let mut gathering = self.shard(place)?;
            if gathering.now().is_some() {
                std::mem::swap(&mut *gathering, own);
            }
            if planted(Bug::ClearedUnderASecondLock) && own.now().is_some() {
                drop(gathering);
                self.shard(place)?.forget();
            }
        }
        while let Some(first) = taken_out.iter().position(|own| own.now().is_some()) {
            self.judge_together(taken_out, first, together)?;
        }
        Ok(())
    }

    /// Judges the events of a shard, and with them those of others after it that were received in
    /// the same second and have room with them.
    fn judge_together(
        &self,
        taken_out: &mut [Gathering],
        first: usize,
        together: &mut Rows,
    ) -> Result<(), StoreError> {
        let Some((own, others)) =
            taken_out.get_mut(first..).and_then(<[Gathering]>::split_first_mut)
        else {
            return Ok(());
        };
        let Some(now) = own.now() else { return Ok(()) };
        let joins = |other: &Gathering, rows: &Rows| {
            other.now() == Some(now) && rows.has_room_for(&other.rows)
        };
        if !others.iter().any(|other| joins(other, &own.rows)) {
            let (position, admission) = self.judge_rows(&own.rows, now)?;
            own.settle(position, 0, &admission);
            return Ok(());
        }
        together.clear();
        together.append(&own.rows);
        let mut joined = vec![(own, 0)];
        for other in others {
            if joins(other, together) {
                let row = together.len();
                together.append(&other.rows);
                joined.push((other, row));
            }
        }
        let (position, admission) = self.judge_rows(together, now)?;
        for (gathering, row) in joined {
            gathering.settle(position, row, &admission);
        }
        Ok(())
    }

    fn judge_rows(&self, rows: &Rows, now: Timestamp) -> Result<(u64, Admission), StoreError> {
        let names = rows.names();
        let columns = rows.columns(&names);
        let columns = columns.map_err(|error| self.give_up(&error.to_string()))?;
        self.judge(columns, now, true)
    }

    /// Counts events in, and waits for room if it must.
    fn make_room(&self, events: usize, wait: bool) -> Result<(), StoreError> {
        let (events, max) =
            (u64::try_from(events).unwrap_or(u64::MAX), self.options.queued_events_max);
        loop {
            self.check()?;
            let fits = |queued: u64| queued == 0 || queued.saturating_add(events) <= max;
            // Added first and looked at then: that is quicker where many threads do so.
            let queued = self.queued.fetch_add(events, Ordering::Relaxed);
            if fits(queued) {
                return Ok(());
            }
            self.queued.fetch_sub(events, Ordering::Relaxed);
            if !wait {
                return Err(StoreError::Full { queued, events, max });
            }
            let has_room = || fits(self.queued.load(Ordering::Relaxed));
            self.advance(self.options.durability, has_room)?;
        }
    }

    // To the disk

    /// Encodes and appends what is in the outbox.
    fn drain(&self) -> Result<Appended, StoreError> {
        let mut outlet = self.lock(&self.outlet)?;
        while self.append_next(&mut outlet)? {}
        Ok(outlet.appended)
    }

    /// Appends one record where several wait and nobody else appends.
    fn help(&self) -> Result<(), StoreError> {
        if self.lock(&self.outbox)?.len() <= OUTBOX_HELP {
            return Ok(());
        }
        let Ok(mut outlet) = self.outlet.try_lock() else { return Ok(()) };
        self.append_next(&mut outlet).map(drop)
    }

    fn append_next(&self, outlet: &mut Outlet) -> Result<bool, StoreError> {
        self.check()?;
        let next = self.lock(&self.outbox)?.pop_front();
        let Some(Outgoing { position, at, events, fact }) = next else { return Ok(false) };
        let Outlet { appended, record } = outlet;
        let encoded = fact.encode_into(at, record);
        encoded.map_err(|error| self.give_up(&error.to_string()))?;
        if let Fact::Block(block) = fact {
            self.keep(block);
        }
        let lsn = self.log.append(&*record).map_err(|error| match error {
            LogError::Poisoned { .. } | LogError::Closed => self.fail(error.into()),
            refused => self.give_up(&refused.to_string()),
        })?;
        if lsn != Lsn(position) {
            return Err(self.give_up(&format!("record {lsn} was to be {position}")));
        }
        *appended = Appended { position, events: appended.events.saturating_add(events) };
        Ok(true)
    }

    /// Keeps the memory of a block that is of no more use.
    fn keep(&self, block: Block) {
        // Only memory is under this lock.
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES_MAX {
            spares.push(block);
        }
    }

    fn spare(&self) -> Option<Block> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner).pop()
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
        let mut leading = self.leading();
        if enough() {
            return Ok(());
        }
        if *leading {
            drop(self.led.wait(leading));
            return Ok(());
        }
        *leading = true;
        drop(leading);
        let _led = Lead(self);
        self.lead(durability)
    }

    fn lead(&self, durability: Durability) -> Result<(), StoreError> {
        self.flush()?;
        let Appended { position, events } = self.drain()?;
        if planted(Bug::AcknowledgedBeforeSync) {
            self.synced.fetch_max(position, Ordering::AcqRel);
        }
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
    fn wake(&self) {
        if self.resting.load(Ordering::SeqCst) > 0 {
            // Between its last look and its rest it has this lock.
            let leading = (!planted(Bug::WokenWithoutLock)).then(|| self.leading());
            self.work.notify_one();
            drop(leading);
        }
    }

    /// Leads whenever there is something to do, until the store ends.
    pub(super) fn lend(&self) -> Result<(), StoreError> {
        while !self.ended.load(Ordering::SeqCst) {
            let mut leading = self.leading();
            if *leading {
                drop(self.led.wait(leading));
                continue;
            }
            // Whoever adds something looks at the number of those that rest after that, and they
            // at what there is after they have counted themselves: one of the two is seen.
            self.resting.fetch_add(1, Ordering::SeqCst);
            let rests = !self.ended.load(Ordering::SeqCst) && self.has_nothing_to_do();
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
        self.check()
    }

    /// Whether nothing gathers or waits to be appended. What cannot be seen is something.
    fn has_nothing_to_do(&self) -> bool {
        let nothing_gathers = self
            .shards
            .lock_each()
            .all(|gathering| gathering.is_ok_and(|gathering| gathering.now().is_none()));
        let nothing_waits = self.outbox.lock().is_ok_and(|outbox| outbox.is_empty());
        !self.fault.is_set.load(Ordering::Acquire) && nothing_gathers && nothing_waits
    }

    /// Sends lent threads home.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let leading = self.leading();
        self.work.notify_all();
        self.led.notify_all();
        drop(leading);
    }
}

impl Judging {
    fn new() -> Self {
        let taken_out = (0..SHARDS).map(|_| Gathering::new()).collect();
        Self { taken_out, together: Rows::default() }
    }
}

impl Fault {
    fn first(&self) -> MutexGuard<'_, Option<StoreError>> {
        // Nothing is done under this lock but this.
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody leads, until this is dropped.
struct Lead<'a>(&'a Inner);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        *self.0.leading() = false;
        if !planted(Bug::LeadNotAnnounced) {
            self.0.led.notify_all();
        }
    }
}

pub(super) fn too_large(bytes: usize, max: usize) -> StoreError {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    StoreError::TooLarge { bytes: wide(bytes), max: wide(max) }
}
