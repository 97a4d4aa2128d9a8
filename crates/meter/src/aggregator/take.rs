//! Taking events in: each finds its place among the identifiers, then counts.
//!
//! Rows go through in windows. In a window, identifiers are placed first, each in the part of the
//! events that is its own, then the events are added up, each in the part of its customer. Within
//! a part things happen in the order of the rows, so several threads, each with some of the parts,
//! leave the same as one.

use super::judge::{Bench, exists};
use super::place::{AHEAD, Placing, Worker};
use super::rows::{Judged, Rows};
use super::{Aggregator, Position};
use crate::block::BlockBuilder;
use crate::kernel::events::{self, EventNo, PARTS};
use crate::kernel::identity::Customer;
use crate::kernel::names::Names;
use crate::kernel::usage::Arriving;
use crate::value::Amount;
use crate::{Admission, AdmitContext, CustomerIds, EventColumns, EventRefusal, Outcome};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

/// Rows of a window: their events stay in the cache between the two halves.
const WINDOW: usize = 1 << 12;
/// With several threads, which have to be started for each half.
const WINDOW_SHARED: usize = 1 << 15;

/// The numbers of customers end here; what is above says why a row has none.
pub(super) const CUSTOMERS_MAX: u32 = (1 << 31) - 3;
/// Set beside the number of a customer that has one and does not exist.
pub(super) const GONE: u32 = 1 << 31;
/// A customer that has no number and does not exist.
const UNKNOWN: u32 = u32::MAX - 1;
/// A dimension is missing or cannot be kept.
pub(super) const UNBUCKETED: u32 = u32::MAX - 2;
/// No customer was named.
pub(super) const UNNAMED: u32 = u32::MAX;

/// In place of the number of an event: what became of the row instead.
const REFUSED: u32 = EventNo::NONE.0;
pub(super) const DUPLICATE: u32 = REFUSED - 1;
pub(super) const CONFLICT: u32 = REFUSED - 2;

/// In place of a meter, where a row names none that takes events or has no identifier that may be.
pub(super) const NO_METER: u16 = u16::MAX;
/// In place of the number of a customer that was not looked up yet.
const UNSOUGHT: u32 = u32::MAX - 3;

/// Memory that is kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The customer or bucket of each row.
    pub(super) subjects: Vec<u32>,
    /// What became of each row.
    pub(super) placed: Vec<AtomicU32>,
    /// One for each thread.
    workers: Vec<Worker>,
    /// The customer of each code.
    coded: Vec<u32>,
}

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Scratch {
    pub(super) fn bytes(&self) -> usize {
        let rows = [self.subjects.capacity(), self.placed.capacity(), self.coded.capacity()];
        let rows = rows.iter().sum::<usize>();
        let workers = self.workers.iter().map(Worker::bytes).sum::<usize>();
        rows.saturating_mul(4).saturating_add(workers)
    }
}

/// A batch on its way in.
pub(crate) struct Taking<'a> {
    judged: Judged<'a>,
    scratch: Scratch,
    epoch: u32,
    /// The first row that was not taken in yet.
    next: usize,
}

/// The event that a row became.
pub(super) fn number_of(placed: &AtomicU32) -> Option<EventNo> {
    Some(EventNo(placed.load(Relaxed))).filter(|number| number.0 < CONFLICT)
}

impl Aggregator {
    /// Judges events as [`Aggregator::admit`] does and takes them in at once. The block of what
    /// was taken is made where [`AdmitContext::with_block`] asks for it.
    ///
    /// A position below the last one is the position of the last one.
    pub fn take(
        &mut self,
        position: Position,
        columns: EventColumns<'_>,
        ctx: &AdmitContext<'_>,
    ) -> Admission {
        let mut taking = match self.begin_taking(position, columns, ctx) {
            Ok(taking) => taking,
            Err(admission) => return admission,
        };
        while self.go_on_taking(&mut taking) {}
        self.end_taking(taking, ctx)
    }

    /// Begins to take events in. Until the end, whatever is read at a cut before their position is
    /// what it was before. An admission where that was all.
    #[expect(clippy::result_large_err, reason = "it is what the caller returns at once")]
    pub(crate) fn begin_taking<'a>(
        &mut self,
        position: Position,
        columns: EventColumns<'a>,
        ctx: &AdmitContext<'_>,
    ) -> Result<Taking<'a>, Admission> {
        let position = position.max(self.position());
        if !columns.has_identifiers() {
            let mut admission = self.admit(columns, ctx);
            if let Some(block) = &admission.block {
                admission.alerts = self.apply(position, block);
            }
            return Err(admission);
        }
        let rows = columns.len();
        let bench = Bench::new(self, &columns, ctx);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut numbered = self.number_customers(&columns, ctx, &mut scratch);
        if bench.is_dimensioned() {
            numbered = numbered
                .and_then(|()| self.number_buckets(&columns, &bench, &mut scratch.subjects));
        }
        let room = numbered.is_some() && self.has_room_for(rows);
        let Some(epoch) = room.then(|| self.begin(position, ctx.now)).flatten() else {
            self.scratch = scratch;
            let mut admission = Admission::new(ctx, rows);
            (0..rows).for_each(|row| admission.refuse(row, EventRefusal::Full));
            return Err(admission);
        };
        self.make_ready(&mut scratch);
        Ok(Taking { judged: Judged::new(columns, bench), scratch, epoch, next: 0 })
    }

    /// Takes in the next rows, some thousand; `false` once there are no more.
    pub(crate) fn go_on_taking(&mut self, taking: &mut Taking<'_>) -> bool {
        let Taking { judged, scratch, epoch, next } = taking;
        *next = self.take_window(judged, scratch, *epoch, *next);
        *next < scratch.subjects.len()
    }

    /// Says what became of events that were all taken in.
    pub(crate) fn end_taking(&mut self, taking: Taking<'_>, ctx: &AdmitContext<'_>) -> Admission {
        let Taking { judged, mut scratch, .. } = taking;
        self.count_taken(&scratch);
        let mut admission = Admission::new(ctx, scratch.subjects.len());
        self.report(&judged, &mut scratch, ctx, &mut admission);
        if admission.taken == 0 {
            self.epochs.pop();
        }
        self.forget(ctx.now);
        admission.alerts = self.notice(&judged, &scratch.placed, &[]);
        self.scratch = scratch;
        admission
    }

    /// Whether there are numbers for so many more events, wherever they belong.
    pub(super) fn has_room_for(&self, rows: usize) -> bool {
        self.events.parts.iter().all(|part| part.has_room_for(rows))
    }

    /// The number of the customer of each row.
    fn number_customers(
        &mut self,
        columns: &EventColumns<'_>,
        ctx: &AdmitContext<'_>,
        scratch: &mut Scratch,
    ) -> Option<()> {
        // The largest stands for a call that never was.
        self.calls = self.calls.wrapping_add(1) % u32::MAX;
        let Scratch { subjects, coded, .. } = scratch;
        subjects.clear();
        subjects.reserve(columns.len());
        match columns.customers() {
            CustomerIds::Numbers(numbers) => {
                self.number_numbers(numbers, ctx, subjects)?;
            }
            CustomerIds::Coded { ids, codes } => {
                coded.clear();
                coded.resize(ids.len(), UNSOUGHT);
                for &code in codes {
                    let code = usize::try_from(code).ok()?;
                    let known = coded.get_mut(code)?;
                    if *known == UNSOUGHT {
                        *known = self.number_text(ids.get(code)?, ctx)?;
                    }
                    subjects.push(*known);
                }
            }
            CustomerIds::Texts(texts) => {
                for text in texts.iter() {
                    subjects.push(self.number_text(text, ctx)?);
                }
            }
        }
        Some(())
    }

    /// The numbers of some customers that are numbers themselves.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the ring is as long as what its index is cut to")]
    fn number_numbers(
        &mut self,
        customers: &[u64],
        ctx: &AdmitContext<'_>,
        subjects: &mut Vec<u32>,
    ) -> Option<()> {
        let mut ring = [0; AHEAD];
        let ask = |names: &Names, place: &mut u64, customer: u64| {
            *place = names.place(Customer::Number(customer));
            names.prefetch_recent(*place);
        };
        let begun = ring.iter_mut().zip(customers);
        begun.for_each(|(place, &customer)| ask(&self.customers, place, customer));
        for (nth, &customer) in customers.iter().enumerate() {
            let place = ring[nth % AHEAD];
            if let Some(&next) = customers.get(nth.wrapping_add(AHEAD)) {
                ask(&self.customers, &mut ring[nth % AHEAD], next);
            }
            let recent = self.customers.recent(place, customer);
            subjects.push(match recent.customer == customer && recent.call == self.calls {
                true => recent.number,
                false => self.number_number(place, customer, ctx)?,
            });
        }
        Some(())
    }

    /// The number of a customer that this call did not name just before.
    #[inline(never)]
    fn number_number(&mut self, place: u64, customer: u64, ctx: &AdmitContext<'_>) -> Option<u32> {
        let recent = self.customers.recent(place, customer);
        let number = match recent.customer == customer && recent.number != UNNAMED {
            true if ctx.customers.exists_number(customer) => recent.number,
            true => return Some(recent.number | GONE),
            false => self.number_customer(place, Customer::Number(customer), ctx)?,
        };
        if number < GONE {
            self.customers.remember(place, customer, number, self.calls);
        }
        Some(number)
    }

    fn number_text(&mut self, text: &str, ctx: &AdmitContext<'_>) -> Option<u32> {
        if text.is_empty() {
            return Some(UNNAMED);
        }
        let customer = Customer::of(text);
        self.number_customer(self.customers.place(customer), customer, ctx)
    }

    #[inline(never)]
    fn number_customer(
        &mut self,
        place: u64,
        customer: Customer<'_>,
        ctx: &AdmitContext<'_>,
    ) -> Option<u32> {
        if let Some(number) = self.customers.find_at(place, customer) {
            let at = usize::try_from(number).ok()?;
            if self.known_in.get(at) == Some(&self.calls) {
                return Some(number);
            }
            if !exists(ctx, customer) {
                return Some(number | GONE);
            }
            self.note_known(at);
            return Some(number);
        }
        if !exists(ctx, customer) {
            return Some(UNKNOWN);
        }
        let number = self.customers.intern_at(place, customer)?;
        self.note_known(usize::try_from(number).ok()?);
        (number < CUSTOMERS_MAX).then_some(number)
    }

    /// The numbers of the buckets of the rows that have dimensions, in place of their customers'.
    #[cold]
    fn number_buckets(
        &mut self,
        columns: &EventColumns<'_>,
        bench: &Bench,
        numbers: &mut [u32],
    ) -> Option<()> {
        for (row, number) in numbers.iter_mut().enumerate() {
            let name = columns.name_of(row);
            let dimensioned = bench.seat(name).is_ok_and(|seat| seat.dimensioned);
            if !dimensioned || *number >= UNBUCKETED {
                continue;
            }
            let tuple = bench.tuple(name, columns.dimensions(), row);
            *number = match (tuple, *number & GONE) {
                (Ok(tuple), 0) => self
                    .customers
                    .intern_bucket(*number, tuple.values())
                    .filter(|&bucket| bucket < CUSTOMERS_MAX)?,
                (Ok(tuple), _) => {
                    let bucket = self.customers.find_bucket(*number & !GONE, tuple.values());
                    bucket.map_or(UNKNOWN, |bucket| bucket | GONE)
                }
                (Err(_), 0) => UNBUCKETED,
                (Err(_), _) => UNKNOWN,
            };
        }
        Some(())
    }

    fn note_known(&mut self, customer: usize) {
        if customer >= self.known_in.len() {
            // A call that never was.
            self.known_in.resize(customer.saturating_add(1), self.calls.wrapping_sub(1));
        }
        if let Some(known) = self.known_in.get_mut(customer) {
            *known = self.calls;
        }
    }

    /// Takes rows in, whose customers are in the scratch; what became of each is there then.
    pub(super) fn take_rows<R: Rows>(&mut self, rows: &R, scratch: &mut Scratch, epoch: u32) {
        self.make_ready(scratch);
        let mut next = 0;
        while next < scratch.subjects.len() {
            next = self.take_window(rows, scratch, epoch, next);
        }
        self.count_taken(scratch);
    }

    /// Makes the scratch ready for rows whose customers are in it.
    fn make_ready(&self, scratch: &mut Scratch) {
        let Scratch { subjects, placed, workers, .. } = scratch;
        let len = subjects.len();
        placed.truncate(len);
        placed.iter_mut().for_each(|placed| *placed.get_mut() = REFUSED);
        placed.resize_with(len, || AtomicU32::new(REFUSED));
        // What the others have is of another call.
        workers.resize_with(PARTS.div_ceil(self.share_of(len)), Worker::default);
        for Worker { counts, .. } in &mut *workers {
            counts.taken.clear();
            counts.taken.resize(self.meters.len(), 0);
            (counts.duplicates, counts.conflicts) = (0, 0);
        }
    }

    /// Parts that each thread has of so many rows.
    fn share_of(&self, rows: usize) -> usize {
        PARTS.div_ceil(if rows > WINDOW { self.threads.max(1) } else { 1 })
    }

    /// Takes in a window of the rows, from one on; the first row behind it.
    fn take_window<R: Rows>(
        &mut self,
        rows: &R,
        scratch: &mut Scratch,
        epoch: u32,
        start: usize,
    ) -> usize {
        let Scratch { subjects, placed, workers, .. } = scratch;
        let share = self.share_of(subjects.len());
        let window = if share < PARTS { WINDOW_SHARED } else { WINDOW };
        let range = start..subjects.len().min(start.saturating_add(window));
        let Self { policy, key, lanes, epochs, events, usage, .. } = self;
        let (subjects, placed) = (&**subjects, &**placed);
        let placing = Placing { rows, subjects, placed, policy: *policy, key: *key, epochs, epoch };
        let shares = events.parts.chunks_mut(share).zip(workers.iter_mut());
        each_share(shares.enumerate(), |(nth, (parts, worker))| {
            placing.place(nth.wrapping_mul(share), parts, worker, range.clone());
        });
        let arriving = Arriving { epoch, lanes, events };
        let workers = &workers[..];
        let shares = usage.chunks_mut(share);
        each_share(shares.enumerate(), |(nth, parts)| {
            for (number, part) in (nth.wrapping_mul(share)..).zip(parts) {
                let arrivals = workers.iter().filter_map(|own| own.arrivals.get(number));
                arrivals.for_each(|some| part.take(arriving, some));
            }
        });
        range.end
    }

    /// Counts what was taken to its meters.
    fn count_taken(&mut self, scratch: &Scratch) {
        for Worker { counts, .. } in &scratch.workers {
            for (meter, taken) in self.meters.iter_mut().zip(&counts.taken) {
                meter.taken = meter.taken.saturating_add(*taken);
            }
        }
    }

    /// Says what became of each row.
    fn report(
        &mut self,
        judged: &Judged<'_>,
        scratch: &mut Scratch,
        ctx: &AdmitContext<'_>,
        admission: &mut Admission,
    ) {
        let columns = &judged.columns;
        let Scratch { subjects, placed, workers, .. } = scratch;
        for Worker { counts, .. } in &*workers {
            let taken = counts.taken.iter().sum::<u64>();
            let repeated = counts.duplicates.saturating_add(counts.conflicts);
            admission.taken = admission.taken.saturating_add(taken);
            admission.duplicates = admission.duplicates.saturating_add(repeated);
            admission.conflicts = admission.conflicts.saturating_add(counts.conflicts);
        }
        let judged_all = admission.taken.saturating_add(admission.duplicates);
        let refused = u64::try_from(placed.len()) != Ok(judged_all);
        if !refused && !ctx.outcomes && !ctx.block {
            return;
        }
        let mut block = ctx.block.then(|| Logging::new(self, columns, ctx, placed.len()));
        for (row, placed) in placed.iter().enumerate() {
            match placed.load(Relaxed) {
                DUPLICATE => admission.note(Outcome::Duplicate),
                CONFLICT => admission.note(Outcome::Conflict),
                REFUSED => {
                    let customer = subjects.get(row).copied().unwrap_or(UNNAMED);
                    let cause = judged.cause(row, customer);
                    admission.refuse(row, cause.unwrap_or(EventRefusal::Full));
                }
                number => {
                    admission.note(Outcome::Taken);
                    if let Some(block) = &mut block {
                        block.push(self, columns, row, EventNo(number));
                    }
                }
            }
        }
        if let Some(Logging { block, customers, .. }) = block {
            self.codes = customers;
            admission.block = block.finish();
        }
    }
}

/// Gives each thread a share; the first is this one's.
#[expect(clippy::disallowed_methods, reason = "threads that end here, and change no answer")]
fn each_share<T: Send>(mut shares: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    let Some(own) = shares.next() else { return };
    let mut shares = shares.peekable();
    if shares.peek().is_none() {
        return work(own);
    }
    thread::scope(|scope| {
        for share in shares {
            let work = &work;
            scope.spawn(move || work(share));
        }
        work(own);
    });
}

/// The block of what is taken.
struct Logging {
    block: BlockBuilder,
    meters: Vec<Option<u16>>,
    /// The code of each customer and bucket of the aggregator, by number, and the call that it is
    /// of: kept from call to call, as there may be many more of them than a block has rows.
    customers: Vec<(u32, u32)>,
    call: u32,
}

impl Logging {
    fn new(
        of: &mut Aggregator,
        columns: &EventColumns<'_>,
        ctx: &AdmitContext<'_>,
        rows: usize,
    ) -> Self {
        let numbers = columns.numbers();
        let mut block = match of.spare.take() {
            Some(spare) => BlockBuilder::again(spare, ctx.now, numbers),
            None => BlockBuilder::new(ctx.now, numbers),
        };
        block.reserve(rows);
        Self {
            block,
            meters: vec![None; of.meters.len()],
            customers: std::mem::take(&mut of.codes),
            call: of.calls,
        }
    }

    #[inline(always)]
    fn push(&mut self, of: &Aggregator, columns: &EventColumns<'_>, row: usize, number: EventNo) {
        let Some(event) = of.events.get(number) else { return };
        let (Some(identifier), Some(customer)) =
            (columns.identifier_of(row), columns.customer_of(row))
        else {
            return;
        };
        let meter = match self.meters.get_mut(usize::from(event.meter)) {
            Some(Some(code)) => *code,
            Some(code) => match of.meter(event.meter) {
                Some(meter) => *code.insert(self.block.meter(&meter.id)),
                None => return,
            },
            None => return,
        };
        let at = usize::try_from(event.subject).unwrap_or(usize::MAX);
        let code = match self.customers.get(at) {
            Some(&(call, code)) if call == self.call => code,
            _ => self.add(of, event.subject, customer),
        };
        let wide = if event.units == events::WIDE { of.events.value(number, event) } else { 0 };
        let amount = Amount { units: event.units, wide };
        self.block.push(meter, identifier, code, event.time, amount);
    }

    /// The code of a customer or bucket that the block does not have yet.
    fn add(&mut self, of: &Aggregator, subject: u32, customer: Customer<'_>) -> u32 {
        let owner = of.customers.customer_of(subject);
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        if of.customers.len() > self.customers.len() {
            // A call that never was.
            self.customers.resize(of.customers.len(), (self.call.wrapping_sub(1), 0));
        }
        let mut code = match self.customers.get(place(owner)) {
            Some(&(call, code)) if call == self.call => code,
            _ => self.block.customer(customer),
        };
        if let Some(own) = self.customers.get_mut(place(owner)) {
            *own = (self.call, code);
        }
        if owner != subject {
            code = self.block.bucket(code, of.customers.values_of(subject));
            if let Some(own) = self.customers.get_mut(place(subject)) {
                *own = (self.call, code);
            }
        }
        code
    }
}
