//! Taking events in: each finds its place among the identifiers, then counts.
//!
//! Rows go through in windows. In a window, identifiers are placed first, each in the part of the
//! events that is its own, then the events are added up, each in the part of its customer. Within
//! a part things happen in the order of the rows, so several threads, each with some of the parts,
//! leave the same as one.

use super::judge::{Bench, Seat, exists};
use super::{Aggregator, Epoch, Meter, Position, admit::check_length, remembers};
use crate::block::{BlockBuilder, Columns};
use crate::columns::Row;
use crate::kernel::events::{self, Event, EventNo, Events, PARTS};
use crate::kernel::identity::{Customer, Identifier, Key};
use crate::kernel::index::Spot;
use crate::kernel::usage::{self, Arrival};
use crate::value::Amount;
use crate::{Admission, AdmitContext, DedupePolicy, EventColumns, EventRefusal, Outcome};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

/// Rows whose memory is asked for at once.
const STAGE: usize = 64;
/// Rows of a window: their events stay in the cache between the two halves.
const WINDOW: usize = 1 << 11;
/// With several threads, which have to be started for each half.
const WINDOW_SHARED: usize = 1 << 17;

/// The numbers of customers end here; what is above says why a row has none.
pub(super) const CUSTOMERS_MAX: u32 = (1 << 31) - 3;
/// Set beside the number of a customer that has one and does not exist.
const GONE: u32 = 1 << 31;
/// A customer that has no number and does not exist.
const UNKNOWN: u32 = u32::MAX - 1;
/// A dimension is missing or cannot be kept.
const UNBUCKETED: u32 = u32::MAX - 2;
/// No customer was named.
const UNNAMED: u32 = u32::MAX;

/// In place of the number of an event: what became of the row instead.
const REFUSED: u32 = EventNo::NONE.0;
const DUPLICATE: u32 = REFUSED - 1;
const CONFLICT: u32 = REFUSED - 2;

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
        let position = position.max(self.position());
        if !columns.has_identifiers() {
            let mut admission = self.admit(columns, ctx);
            if let Some(block) = &admission.block {
                admission.alerts = self.apply(position, block);
            }
            return admission;
        }
        let rows = columns.len();
        let bench = Bench::new(self, &columns, ctx);
        let mut numbered = self.number_customers(&columns, ctx);
        if bench.is_dimensioned() {
            numbered = numbered.and_then(|own| self.number_buckets(&columns, &bench, own));
        }
        let mut admission = Admission::new(ctx, rows);
        let room = numbered.is_some() && self.has_room_for(rows);
        let epoch = room.then(|| self.begin(position, ctx.now)).flatten();
        let (Some(customers), Some(epoch)) = (numbered, epoch) else {
            (0..rows).for_each(|row| admission.refuse(row, EventRefusal::Full));
            return admission;
        };
        let judged = Judged { columns, bench };
        let placed = self.take_rows(&judged, &customers, epoch);
        self.report(&judged, &customers, &placed, ctx, &mut admission);
        if admission.taken == 0 {
            self.epochs.pop();
        }
        self.forget(ctx.now);
        admission.alerts = self.notice(&judged, &placed, &[]);
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
    ) -> Option<Vec<u32>> {
        self.calls = self.calls.wrapping_add(1);
        let rows = columns.len();
        let mut numbers = Vec::with_capacity(rows);
        let mut places = [0; STAGE];
        for start in (0..rows).step_by(STAGE) {
            let stage = start..rows.min(start.saturating_add(STAGE));
            for (place, row) in places.iter_mut().zip(stage.clone()) {
                if let Some(customer) = columns.customer_of(row) {
                    *place = self.customers.place(customer);
                    self.customers.prefetch(*place);
                }
            }
            for (&place, row) in places.iter().zip(stage) {
                let customer = columns.customer_of(row);
                if let Some(Customer::Number(number)) = customer
                    && let Some(number) = self.customers.find_number(place, number)
                    && self.is_known(number)
                {
                    numbers.push(number);
                    continue;
                }
                numbers.push(match customer {
                    None => UNNAMED,
                    Some(customer) => self.number_customer(place, customer, ctx)?,
                });
            }
        }
        Some(numbers)
    }

    /// Whether the caller has said in this call that a customer exists.
    #[inline(always)]
    fn is_known(&self, number: u32) -> bool {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.known_in.get(at) == Some(&self.calls)
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
        mut numbers: Vec<u32>,
    ) -> Option<Vec<u32>> {
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
        Some(numbers)
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

    /// Takes rows in; what became of each.
    pub(super) fn take_rows<R: Rows>(
        &mut self,
        rows: &R,
        customers: &[u32],
        epoch: u32,
    ) -> Vec<AtomicU32> {
        let len = customers.len();
        let mut placed = Vec::new();
        placed.resize_with(len, || AtomicU32::new(REFUSED));
        let threads = if len > WINDOW { self.threads } else { 1 };
        let window = if threads > 1 { WINDOW_SHARED } else { WINDOW };
        let Self { policy, key, meters, epochs, events, usage, .. } = self;
        let placing =
            Placing { rows, customers, placed: &placed, policy: *policy, key: *key, epochs, epoch };
        for start in (0..len).step_by(window) {
            let range = start..len.min(start.saturating_add(window));
            each_share(&mut events.parts, threads, |first, parts| {
                placing.place(first, parts, range.clone());
            });
            let adding = Adding { events, meters, placed: &placed };
            each_share(usage, threads, |first, parts| adding.add(first, parts, range.clone()));
        }
        placed
    }

    /// Says what became of each row.
    fn report(
        &mut self,
        judged: &Judged<'_>,
        customers: &[u32],
        placed: &[AtomicU32],
        ctx: &AdmitContext<'_>,
        admission: &mut Admission,
    ) {
        let columns = &judged.columns;
        let mut block = ctx.block.then(|| Logging::new(self, columns, ctx, placed.len()));
        let mut taken = vec![0_u64; judged.bench.names()];
        for (row, placed) in placed.iter().enumerate() {
            match placed.load(Relaxed) {
                DUPLICATE => admission.count(Outcome::Duplicate),
                CONFLICT => admission.count(Outcome::Conflict),
                REFUSED => {
                    let customer = customers.get(row).copied().unwrap_or(UNNAMED);
                    let cause = judged.cause(row, customer);
                    admission.refuse(row, cause.unwrap_or(EventRefusal::Full));
                }
                number => {
                    if let Some(taken) = taken.get_mut(columns.name_of(row)) {
                        *taken = taken.wrapping_add(1);
                    }
                    admission.note(Outcome::Taken);
                    if let Some(block) = &mut block {
                        block.push(self, columns, row, EventNo(number));
                    }
                }
            }
        }
        for (name, taken) in taken.into_iter().enumerate() {
            admission.taken = admission.taken.saturating_add(taken);
            let meter = judged.bench.meter(name).map(usize::from);
            if let Some(meter) = meter.and_then(|meter| self.meters.get_mut(meter)) {
                meter.taken = meter.taken.saturating_add(taken);
            }
        }
        if let Some(Logging { block, customers, .. }) = block {
            self.codes = customers;
            admission.block = block.finish();
        }
    }
}

/// Gives each thread its share of the parts, and the number of the first of them.
#[expect(clippy::disallowed_methods, reason = "threads that end here, and change no answer")]
fn each_share<T: Send>(parts: &mut [T], threads: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if threads <= 1 {
        return work(0, parts);
    }
    let share = parts.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let mut shares = (0..).step_by(share).zip(parts.chunks_mut(share));
        let own = shares.next();
        for (first, parts) in shares {
            let work = &work;
            scope.spawn(move || work(first, parts));
        }
        if let Some((first, parts)) = own {
            work(first, parts);
        }
    });
}

/// Where rows come from: a batch that is judged, or a block that was.
pub(super) trait Rows: Sync {
    /// The meter of a row.
    fn meter(&self, row: usize) -> Option<u16>;
    /// The identifier of a row.
    fn identifier(&self, row: usize) -> Option<Identifier<'_>>;
    /// The same as text, where it is one that is no number.
    fn text(&self, row: usize) -> Option<&str>;
    /// Time and millionths of a row, if nothing speaks against it.
    fn judge(&self, row: usize, customer: u32) -> Option<(i64, i64)>;
    /// The value of a row that is no millionths.
    fn wide(&self, row: usize) -> i128;
    /// Whether a row repeats an event; `None` where that is not asked, as a block is history.
    fn repeats(&self, row: usize, customer: u32, event: &Event, value: i128) -> Option<bool>;
}

/// A batch that is judged.
struct Judged<'a> {
    columns: EventColumns<'a>,
    bench: Bench,
}

impl Judged<'_> {
    fn seat(&self, row: usize) -> Result<Seat, EventRefusal> {
        self.bench.seat(self.columns.name_of(row))
    }

    /// Why a row was refused.
    fn cause(&self, row: usize, customer: u32) -> Option<EventRefusal> {
        let seat = match self.seat(row) {
            Ok(seat) => seat,
            Err(cause) => return Some(cause),
        };
        if let Some(Err(cause)) = self.columns.identifier_of(row).map(check_length) {
            return Some(cause);
        }
        if customer == UNBUCKETED {
            let (name, dimensions) = (self.columns.name_of(row), self.columns.dimensions());
            return self.bench.tuple(name, dimensions, row).err();
        }
        self.verdict(seat, &self.columns.row(row), customer).err()
    }

    #[inline(never)]
    fn judge_in_full(&self, row: usize, customer: u32) -> Option<(i64, i64)> {
        let verdict = self.verdict(self.seat(row).ok()?, &self.columns.row(row), customer);
        verdict.ok().map(|(time, amount)| (time, amount.units))
    }

    fn verdict(
        &self,
        seat: Seat,
        row: &Row<'_>,
        customer: u32,
    ) -> Result<(i64, Amount), EventRefusal> {
        match customer {
            UNNAMED => return Err(EventRefusal::NoCustomer),
            // Which of its dimensions is to blame, `cause` says.
            UNBUCKETED => return Err(EventRefusal::MissingDimension { place: 0 }),
            GONE.. => return Err(EventRefusal::CustomerNotFound),
            _ => {}
        }
        Ok((self.bench.time(row)?, seat.amount(row)?))
    }
}

impl Rows for Judged<'_> {
    #[inline(always)]
    fn meter(&self, row: usize) -> Option<u16> {
        self.bench.meter(self.columns.name_of(row))
    }

    #[inline(always)]
    fn identifier(&self, row: usize) -> Option<Identifier<'_>> {
        let identifier = self.columns.identifier_of(row)?;
        check_length(identifier).ok().map(|()| identifier)
    }

    #[inline(always)]
    fn text(&self, row: usize) -> Option<&str> {
        self.columns.text_of(row)
    }

    #[inline(always)]
    fn judge(&self, row: usize, customer: u32) -> Option<(i64, i64)> {
        // Nearly all of a large batch: a time and a value that need no second look.
        if let Some((time, units)) = self.columns.plain(row)
            && customer < GONE
            && self.bench.takes_plain(self.columns.name_of(row), time)
        {
            return Some((time, units));
        }
        self.judge_in_full(row, customer)
    }

    #[cold]
    fn wide(&self, row: usize) -> i128 {
        let amount = self.seat(row).and_then(|seat| seat.amount(&self.columns.row(row)));
        amount.map_or(0, Amount::trillionths)
    }

    fn repeats(&self, row: usize, customer: u32, event: &Event, value: i128) -> Option<bool> {
        let seat = self.seat(row).ok()?;
        let row = self.columns.row(row);
        let number = if customer < UNBUCKETED { customer & !GONE } else { customer };
        Some(
            number == event.subject
                && row.time.is_none_or(|given| given.nanos() == event.time)
                && seat.amount(&row).is_ok_and(|amount| amount.trillionths() == value),
        )
    }
}

/// A block, with the numbers that its meters have here.
pub(super) struct Logged<'a> {
    pub(super) columns: &'a Columns,
    pub(super) meters: Vec<Option<u16>>,
}

impl Rows for Logged<'_> {
    #[inline(always)]
    fn meter(&self, row: usize) -> Option<u16> {
        self.meters.get(self.columns.meter_code(row)).copied().flatten()
    }

    #[inline(always)]
    fn identifier(&self, row: usize) -> Option<Identifier<'_>> {
        self.columns.identifier(row)
    }

    #[inline(always)]
    fn text(&self, row: usize) -> Option<&str> {
        self.columns.text(row)
    }

    #[inline(always)]
    fn judge(&self, row: usize, _: u32) -> Option<(i64, i64)> {
        Some((self.columns.time(row)?, self.columns.units(row)?))
    }

    #[cold]
    fn wide(&self, row: usize) -> i128 {
        self.columns.amount(row).map_or(0, Amount::trillionths)
    }

    fn repeats(&self, _: usize, _: u32, _: &Event, _: i128) -> Option<bool> {
        None
    }
}

/// The first half: identifiers find their places, and events are kept.
struct Placing<'a, R> {
    rows: &'a R,
    customers: &'a [u32],
    placed: &'a [AtomicU32],
    policy: DedupePolicy,
    key: Key,
    epochs: &'a [Epoch],
    epoch: u32,
}

impl<R: Rows> Placing<'_, R> {
    /// Places the rows whose identifiers belong to some of the parts.
    #[expect(clippy::indexing_slicing, reason = "the count stays below the length of a stage")]
    fn place(&self, first: usize, parts: &mut [events::Part], range: Range<usize>) {
        let (mut next, end) = (range.start, range.end);
        let mut rows = [0; STAGE];
        let mut meters = [0; STAGE];
        let mut identifiers = [[0; 2]; STAGE];
        let mut places = [0; STAGE];
        let mut spots = [(Spot::default(), 0); STAGE];
        while next < end {
            let mut count = 0_usize;
            while count < STAGE && next < end {
                let row = next;
                next = next.wrapping_add(1);
                let (Some(meter), Some(given)) = (self.rows.meter(row), self.rows.identifier(row))
                else {
                    continue;
                };
                let identifier = self.key.identifier(meter, given);
                let place = self.key.place(identifier);
                let Some(part) = part_of(first, parts, place) else { continue };
                rows[count] = row;
                meters[count] = meter;
                identifiers[count] = identifier;
                places[count] = place;
                spots[count] = part.spot(place);
                count = count.wrapping_add(1);
            }
            for at in 0..count {
                let (row, meter, place) = (rows[at], meters[at], places[at]);
                if let Some(part) = part_of(first, parts, place) {
                    self.place_one(part, row, meter, identifiers[at], place, spots[at]);
                }
            }
        }
    }

    #[inline(always)]
    fn place_one(
        &self,
        part: &mut events::Part,
        row: usize,
        meter: u16,
        identifier: [u64; 2],
        place: u64,
        spot: (Spot, u32),
    ) {
        let (Some(&customer), Some(placed)) = (self.customers.get(row), self.placed.get(row))
        else {
            return;
        };
        let before = part.find_at(spot, place, identifier);
        if let Some(repeats) = before.and_then(|before| self.repeats(part, before, row, customer)) {
            placed.store(if repeats { DUPLICATE } else { CONFLICT }, Relaxed);
            return;
        }
        let Some((time, units)) = self.rows.judge(row, customer) else { return };
        let text = self.rows.text(row);
        let number = part.push(place, before, |event| {
            event.identifier = identifier;
            event.time = time;
            event.units = units;
            event.subject = customer;
            event.epoch = self.epoch;
            event.row = u32::try_from(row).unwrap_or(u32::MAX);
            event.meter = meter;
            event.flags = if text.is_some() { Event::TEXT } else { 0 };
        });
        if let Some(text) = text {
            part.note_text(text);
        }
        if units == events::WIDE {
            part.note_wide(self.rows.wide(row));
        }
        placed.store(number.0, Relaxed);
    }

    /// Whether a row repeats the event that has its identifier; `None` where that is forgotten.
    #[cold]
    fn repeats(
        &self,
        part: &events::Part,
        before: EventNo,
        row: usize,
        customer: u32,
    ) -> Option<bool> {
        let (event, value) = part.get(before)?;
        if !remembers(self.policy, self.epochs, event.epoch, self.now()?) {
            return None;
        }
        self.rows.repeats(row, customer, event, value)
    }

    fn now(&self) -> Option<counterfoil_core::Timestamp> {
        let epoch = usize::try_from(self.epoch).ok()?;
        Some(self.epochs.get(epoch)?.received_at)
    }
}

#[inline(always)]
fn part_of(first: usize, parts: &mut [events::Part], place: u64) -> Option<&mut events::Part> {
    parts.get_mut(Events::part_of(place).wrapping_sub(first))
}

/// The second half: events are added up.
struct Adding<'a> {
    events: &'a Events,
    meters: &'a [Meter],
    placed: &'a [AtomicU32],
}

impl Adding<'_> {
    /// Adds up the rows whose customers belong to some of the parts.
    fn add(&self, first: usize, parts: &mut [usage::Part], range: Range<usize>) {
        let mut arrivals = [Arrival::NONE; STAGE];
        let mut rows = range;
        loop {
            let mut count = 0_usize;
            let own = rows.by_ref().filter_map(|row| self.arrival(first, parts.len(), row));
            for (slot, arrival) in arrivals.iter_mut().zip(own) {
                *slot = arrival;
                count = count.saturating_add(1);
            }
            usage::take(parts, first, self.events, arrivals.get(..count).unwrap_or_default());
            if count < STAGE {
                return;
            }
        }
    }

    #[inline(always)]
    fn arrival(&self, first: usize, parts: usize, row: usize) -> Option<Arrival<'_>> {
        let number = EventNo(self.placed.get(row)?.load(Relaxed));
        if number.0 >= CONFLICT {
            return None;
        }
        let event = self.events.get(number)?;
        let part = usage::part_of(event.subject);
        if parts != PARTS && (part < first || part >= first.wrapping_add(parts)) {
            return None;
        }
        let lanes = self.meters.get(usize::from(event.meter))?.lanes;
        Some(Arrival { number, event, lanes })
    }
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
