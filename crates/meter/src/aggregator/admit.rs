//! The first phase of ingest: judging events against what was applied so far. Changes nothing.

use super::judge::{Bench, Seat, exists};
use super::{Aggregator, remembers};
use crate::block::BlockBuilder;
use crate::columns::Row;
use crate::kernel::events::Events;
use crate::kernel::identity::{Customer, Identifier};
use crate::kernel::index::Index;
use crate::value::Amount;
use crate::{
    Admission, AdmitContext, Block, CancelError, EventColumns, EventRefusal, MeterEvent, Outcome,
};
use counterfoil_core::{Timestamp, limits};

/// Rows whose memory is asked for at once.
const STAGE: usize = 64;

impl Aggregator {
    /// Judges the events of a batch, in order (rule 12.2). The first event with an identifier
    /// wins, within the batch and against all that was applied; later ones are duplicates,
    /// whatever else is wrong with them. A refused event leaves its identifier free.
    ///
    /// The block has to be applied before the next batch is judged: until then nothing remembers
    /// its identifiers.
    #[must_use]
    pub fn admit(&self, columns: EventColumns<'_>, ctx: &AdmitContext<'_>) -> Admission {
        let bench = Bench::new(self, &columns, ctx);
        let rows = columns.len();
        let mut intake = Intake::new(self, ctx, bench, columns.numbers(), rows);
        let mut admission = Admission::new(ctx, rows);
        for start in (0..rows).step_by(STAGE) {
            let stage = start..rows.min(start.saturating_add(STAGE));
            for row in stage.clone() {
                intake.prefetch(columns.name_of(row), columns.identifier_of(row));
            }
            for row in stage {
                intake.take(&mut admission, row, columns.name_of(row), columns.row(row));
            }
        }
        admission.block = intake.block.finish();
        admission
    }

    /// Judges one event, its customer and value found in the payload under the keys of the meter
    /// that takes its name.
    #[must_use]
    pub fn admit_event(&self, event: &MeterEvent, ctx: &AdmitContext<'_>) -> Admission {
        let mut admission = Admission::new(ctx, 1);
        let bench = Bench::around(ctx.now, vec![self.seat(&event.event_name)]);
        let mut intake = Intake::new(self, ctx, bench, (false, false), 1);
        match self.named(&event.event_name) {
            Some((_, meter)) => intake.take(&mut admission, 0, 0, event.row(&meter.config)),
            None => admission.refuse(0, EventRefusal::NoMeter),
        }
        admission.block = intake.block.finish();
        admission
    }

    /// Judges the cancellation of an event (rule 12.4): possible once, within 24 hours of its
    /// receipt, the last second inclusive. The identifier stays used. The meter may be inactive.
    ///
    /// # Errors
    /// A [`CancelError`] that says why not.
    pub fn admit_cancel(
        &self,
        event_name: &str,
        identifier: &str,
        now: Timestamp,
    ) -> Result<Block, CancelError> {
        let (number, meter) = self
            .named(event_name)
            .ok_or_else(|| CancelError::NoMeter { event_name: event_name.to_owned() })?;
        let named = || identifier.to_owned();
        let key = self.key.identifier(number, Identifier::Text(identifier));
        let place = self.key.place(key);
        let part = self.events.parts.get(Events::part_of(place));
        let event = part.and_then(|part| part.find(place, key));
        let event = event.and_then(|number| self.events.get(number));
        let event = event
            .filter(|event| remembers(self.policy, &self.epochs, event.epoch, now))
            .ok_or_else(|| CancelError::Unknown {
                event_name: event_name.to_owned(),
                identifier: named(),
                policy: self.policy,
            })?;
        if event.is_cancelled() {
            return Err(CancelError::Cancelled { identifier: named() });
        }
        let epoch = usize::try_from(event.epoch).ok().and_then(|epoch| self.epochs.get(epoch));
        let received_at = epoch.map_or(now, |epoch| epoch.received_at);
        if now.seconds_since(received_at) > limits::METER_CANCEL_SECONDS_MAX {
            return Err(CancelError::TooLate { identifier: named(), received_at });
        }
        Ok(Block::cancelling(&meter.id, identifier, now))
    }
}

/// One batch on its way into a block.
struct Intake<'a, 'c> {
    of: &'a Aggregator,
    ctx: &'c AdmitContext<'c>,
    bench: Bench,
    block: BlockBuilder,
    /// The code that the block has for a meter, by the meter's number.
    meters: Vec<Option<u16>>,
    /// The identifiers of the block, by place, and each with its row there.
    taken_index: Index,
    taken: Vec<Taken>,
    /// The customers of the batch.
    customer_index: Index,
    customers: Vec<Known<'a>>,
    room: bool,
}

#[derive(Clone, Copy)]
struct Taken {
    identifier: [u64; 2],
    customer: u32,
    time: i64,
    amount: Amount,
}

/// A customer of the batch.
#[derive(Clone, Copy)]
struct Known<'a> {
    customer: Customer<'a>,
    exists: bool,
    /// The number that the aggregator has for it.
    number: Option<u32>,
    /// The code that the block has for it.
    code: Option<u32>,
}

impl<'a, 'c> Intake<'a, 'c> {
    fn new(
        of: &'a Aggregator,
        ctx: &'c AdmitContext<'c>,
        bench: Bench,
        numbers: (bool, bool),
        rows: usize,
    ) -> Self {
        let mut block = BlockBuilder::new(ctx.now, numbers);
        block.reserve(rows);
        let mut taken_index = Index::default();
        taken_index.reserve(rows);
        Self {
            of,
            ctx,
            bench,
            block,
            meters: vec![None; of.meters.len()],
            taken_index,
            taken: Vec::with_capacity(rows),
            customer_index: Index::default(),
            customers: Vec::new(),
            room: of.has_room_for(rows),
        }
    }

    /// Asks for the memory of an identifier.
    #[inline(always)]
    fn prefetch(&self, name: usize, identifier: Option<Identifier<'_>>) {
        if let (Ok(seat), Some(identifier)) = (self.bench.seat(name), identifier) {
            let place = self.of.key.place(self.of.key.identifier(seat.meter, identifier));
            if let Some(part) = self.of.events.parts.get(Events::part_of(place)) {
                part.spot(place);
            }
        }
    }

    #[inline(always)]
    fn take(&mut self, admission: &mut Admission, index: usize, name: usize, row: Row<'a>) {
        match self.bench.seat(name).and_then(|seat| self.judge(seat, row)) {
            Ok(outcome) => admission.count(outcome),
            Err(cause) => admission.refuse(index, cause),
        }
    }

    #[inline(always)]
    fn judge(&mut self, seat: Seat, row: Row<'a>) -> Result<Outcome, EventRefusal> {
        let customer = row.customer.map(|customer| self.customer(customer));
        let (identifier, key) = match row.identifier {
            Some(identifier) => {
                check_length(identifier)?;
                let key = self.of.key.identifier(seat.meter, identifier);
                if let Some(same) = self.repeats_first(seat, key, &row, customer) {
                    return Ok(if same { Outcome::Duplicate } else { Outcome::Conflict });
                }
                (Ok(identifier), key)
            }
            None => {
                let text = self.free_identifier(seat.meter);
                let key = self.of.key.identifier(seat.meter, Identifier::Text(&text));
                (Err(text), key)
            }
        };
        let place = customer.ok_or(EventRefusal::NoCustomer)?;
        let known = self.customers.get(place).copied().ok_or(EventRefusal::NoCustomer)?;
        if !known.exists {
            return Err(EventRefusal::CustomerNotFound);
        }
        let (time, amount) = (self.bench.time(&row)?, seat.amount(&row)?);
        if !self.room {
            return Err(EventRefusal::Full);
        }
        let (meter, customer) = (self.meter_code(seat.meter), self.customer_code(place, known));
        let identifier = match &identifier {
            Ok(identifier) => *identifier,
            Err(text) => Identifier::Text(text),
        };
        self.block.push(meter, identifier, customer, time, amount);
        self.note(Taken { identifier: key, customer, time, amount });
        Ok(Outcome::Taken)
    }

    fn note(&mut self, taken: Taken) {
        let row = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        self.taken.push(taken);
        let (key, rows) = (self.of.key, &self.taken);
        self.taken_index.insert(key.place(taken.identifier), row, |row| {
            let row = usize::try_from(row).ok().and_then(|row| rows.get(row));
            row.map_or(0, |row| key.place(row.identifier))
        });
    }

    /// The place of a customer among those of the batch.
    #[inline(always)]
    fn customer(&mut self, customer: Customer<'a>) -> usize {
        let place = self.of.customers.place(customer);
        let at = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let customers = &self.customers;
        let same = |row| customers.get(at(row)).is_some_and(|known| known.customer == customer);
        match self.customer_index.find(place, same) {
            Some(row) => at(row),
            None => self.add_customer(place, customer),
        }
    }

    fn add_customer(&mut self, place: u64, customer: Customer<'a>) -> usize {
        let row = self.customers.len();
        self.customers.push(Known {
            customer,
            exists: exists(self.ctx, customer),
            number: self.of.customers.find_at(place, customer),
            code: None,
        });
        let (names, customers) = (&self.of.customers, &self.customers);
        self.customer_index.insert(place, u32::try_from(row).unwrap_or(u32::MAX), |row| {
            let row = usize::try_from(row).ok().and_then(|row| customers.get(row));
            row.map_or(0, |known| names.place(known.customer))
        });
        row
    }

    fn customer_code(&mut self, place: usize, known: Known<'a>) -> u32 {
        known.code.unwrap_or_else(|| {
            let code = self.block.customer(known.customer);
            if let Some(known) = self.customers.get_mut(place) {
                known.code = Some(code);
            }
            code
        })
    }

    fn meter_code(&mut self, meter: u16) -> u16 {
        let Some(code) = self.meters.get_mut(usize::from(meter)) else { return 0 };
        match (*code, self.of.meter(meter)) {
            (Some(code), _) => code,
            (None, Some(meter)) => *code.insert(self.block.meter(&meter.id)),
            (None, None) => 0,
        }
    }

    /// Whether a row repeats the event that used its identifier first, or only the identifier;
    /// `None` where that is free. A time that was not given is not compared: a retry does not know
    /// when its first try arrived.
    #[inline(always)]
    fn repeats_first(
        &self,
        seat: Seat,
        key: [u64; 2],
        row: &Row<'_>,
        customer: Option<usize>,
    ) -> Option<bool> {
        let (of, place) = (self.of, self.of.key.place(key));
        let known = customer.and_then(|place| self.customers.get(place));
        let repeats = |same_customer: bool, time: i64, value: i128| {
            same_customer
                && row.time.is_none_or(|given| given.nanos() == time)
                && seat.amount(row).is_ok_and(|amount| amount.trillionths() == value)
        };
        let at = |row: u32| usize::try_from(row).ok().and_then(|row| self.taken.get(row));
        let same = |row| at(row).is_some_and(|taken| taken.identifier == key);
        if let Some(taken) = self.taken_index.find(place, same).and_then(at) {
            let same = known.is_some_and(|known| known.code == Some(taken.customer));
            return Some(repeats(same, taken.time, taken.amount.trillionths()));
        }
        let number = of.events.parts.get(Events::part_of(place))?.find(place, key)?;
        let first = of.events.get(number)?;
        if !remembers(of.policy, &of.epochs, first.epoch, self.ctx.now) {
            return None;
        }
        let same = known.is_some_and(|known| known.number == Some(first.subject));
        Some(repeats(same, first.time, of.events.value(number, first)))
    }

    /// An identifier for an event that came without: the number it has among the meter's events,
    /// or the next that is free.
    fn free_identifier(&self, meter: u16) -> String {
        let taken = self.of.meter(meter).map_or(0, |meter| meter.taken);
        let rows = u64::try_from(self.block.block().len()).unwrap_or(u64::MAX);
        let mut number = taken.saturating_add(rows);
        loop {
            number = number.saturating_add(1);
            let candidate = format!("mtrevt_{number}");
            let key = self.of.key.identifier(meter, Identifier::Text(&candidate));
            if !self.is_used(key) {
                return candidate;
            }
        }
    }

    fn is_used(&self, key: [u64; 2]) -> bool {
        let (of, place) = (self.of, self.of.key.place(key));
        let at = |row: u32| usize::try_from(row).ok().and_then(|row| self.taken.get(row));
        let same = |row| at(row).is_some_and(|taken| taken.identifier == key);
        let number = || of.events.parts.get(Events::part_of(place))?.find(place, key);
        let first = || of.events.get(number()?);
        self.taken_index.find(place, same).is_some()
            || first()
                .is_some_and(|event| remembers(of.policy, &of.epochs, event.epoch, self.ctx.now))
    }
}

/// Whether an identifier may be as long as it is.
#[inline(always)]
pub(super) fn check_length(identifier: Identifier<'_>) -> Result<(), EventRefusal> {
    match identifier {
        Identifier::Text(text) if text.len() > limits::METER_IDENTIFIER_BYTES_MAX => {
            Err(EventRefusal::IdentifierTooLong { bytes: text.len() })
        }
        _ => Ok(()),
    }
}
