//! The first phase of ingest: judging events against what was applied so far. Changes nothing.

use super::judge::{Bench, Seat, exists};
use super::{Aggregator, remembers};
use crate::block::BlockBuilder;
use crate::columns::Row;
use crate::dimensions::Tuple;
use crate::kernel::events::Events;
use crate::kernel::identity::{Customer, Identifier};
use crate::kernel::index::Index;
use crate::value::Amount;
use crate::{Admission, AdmitContext, EventColumns, EventRefusal, MeterEvent, Outcome};
use counterfoil_core::limits;

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
                let (name, dimensions) = (columns.name_of(row), columns.dimensions());
                let seat = intake.bench.seat(name);
                let tuple = match seat {
                    Ok(Seat { dimensioned: true, .. }) => {
                        Some(intake.bench.tuple(name, dimensions, row))
                    }
                    _ => None,
                };
                intake.take(&mut admission, row, seat, columns.row(row), tuple.as_ref());
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
        let seat = self.seat(&event.event_name);
        let bench = Bench::around(ctx.now, vec![seat]);
        let mut intake = Intake::new(self, ctx, bench, (false, false), 1);
        match self.named(&event.event_name) {
            Some((_, meter)) => {
                let config = &meter.config;
                let dimensioned = !config.dimensions.is_empty();
                let tuple = dimensioned.then(|| Tuple::of_event(event, config));
                intake.take(&mut admission, 0, seat, event.row(config), tuple.as_ref());
            }
            None => admission.refuse(0, EventRefusal::NoMeter),
        }
        admission.block = intake.block.finish();
        admission
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
    /// The buckets of the batch.
    bucket_index: Index,
    buckets: Vec<Bucket<'a>>,
    room: bool,
}

#[derive(Clone, Copy)]
struct Taken {
    identifier: [u64; 2],
    /// The code of the customer or bucket.
    subject: u32,
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

/// A bucket of the batch.
#[derive(Clone, Copy)]
struct Bucket<'a> {
    customer: usize,
    hash: u64,
    tuple: Tuple<'a>,
    number: Option<u32>,
    code: Option<u32>,
}

/// Whose an event is: the place of the customer in the batch, and that of the bucket.
#[derive(Clone, Copy, Default)]
struct Subject {
    customer: Option<usize>,
    bucket: Option<usize>,
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
            bucket_index: Index::default(),
            buckets: Vec::new(),
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
    fn take(
        &mut self,
        admission: &mut Admission,
        index: usize,
        seat: Result<Seat, EventRefusal>,
        row: Row<'a>,
        tuple: Option<&Result<Tuple<'a>, EventRefusal>>,
    ) {
        match seat.and_then(|seat| self.judge(seat, row, tuple)) {
            Ok(outcome) => admission.count(outcome),
            Err(cause) => admission.refuse(index, cause),
        }
    }

    #[inline(always)]
    fn judge(
        &mut self,
        seat: Seat,
        row: Row<'a>,
        tuple: Option<&Result<Tuple<'a>, EventRefusal>>,
    ) -> Result<Outcome, EventRefusal> {
        let customer = row.customer.map(|customer| self.customer(customer));
        let bucket = match (customer, tuple) {
            (Some(customer), Some(Ok(tuple))) => Some(self.bucket(customer, tuple)),
            _ => None,
        };
        let subject = Subject { customer, bucket };
        let (identifier, key) = match row.identifier {
            Some(identifier) => {
                check_length(identifier)?;
                let key = self.of.key.identifier(seat.meter, identifier);
                if let Some(same) = self.repeats_first(seat, key, &row, subject) {
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
        if let Some(Err(cause)) = tuple {
            return Err(*cause);
        }
        let (time, amount) = (self.bench.time(&row)?, seat.amount(&row)?);
        if !self.room {
            return Err(EventRefusal::Full);
        }
        let meter = self.meter_code(seat.meter);
        let customer = self.customer_code(place, known);
        let subject = bucket.map_or(customer, |bucket| self.bucket_code(bucket, customer));
        let identifier = match &identifier {
            Ok(identifier) => *identifier,
            Err(text) => Identifier::Text(text),
        };
        self.block.push(meter, identifier, subject, time, amount);
        self.note(Taken { identifier: key, subject, time, amount });
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

    /// The place of a bucket among those of the batch.
    fn bucket(&mut self, customer: usize, tuple: &Tuple<'a>) -> usize {
        let names = &self.of.customers;
        let own = u64::try_from(customer).unwrap_or(u64::MAX);
        let hash = names.bucket_place(own, tuple.values());
        let at = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let buckets = &self.buckets;
        let same = |row| {
            let same = |bucket: &Bucket<'_>| {
                bucket.customer == customer && bucket.tuple.values() == tuple.values()
            };
            buckets.get(at(row)).is_some_and(same)
        };
        if let Some(row) = self.bucket_index.find(hash, same) {
            return at(row);
        }
        let row = self.buckets.len();
        let known = self.customers.get(customer).and_then(|known| known.number);
        let number = known.and_then(|known| names.find_bucket(known, tuple.values()));
        self.buckets.push(Bucket { customer, hash, tuple: *tuple, number, code: None });
        let buckets = &self.buckets;
        self.bucket_index.insert(hash, u32::try_from(row).unwrap_or(u32::MAX), |row| {
            buckets.get(at(row)).map_or(0, |bucket| bucket.hash)
        });
        row
    }

    fn bucket_code(&mut self, place: usize, customer: u32) -> u32 {
        let Some(bucket) = self.buckets.get_mut(place) else { return customer };
        match bucket.code {
            Some(code) => code,
            None => {
                let values = bucket.tuple.values().iter().copied();
                *bucket.code.insert(self.block.bucket(customer, values))
            }
        }
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
        subject: Subject,
    ) -> Option<bool> {
        let (of, place) = (self.of, self.of.key.place(key));
        let (own, code) = if seat.dimensioned {
            let bucket = subject.bucket.and_then(|place| self.buckets.get(place));
            bucket.map_or((None, None), |bucket| (bucket.number, bucket.code))
        } else {
            let known = subject.customer.and_then(|place| self.customers.get(place));
            known.map_or((None, None), |known| (known.number, known.code))
        };
        let repeats = |same_subject: bool, time: i64, value: i128| {
            same_subject
                && row.time.is_none_or(|given| given.nanos() == time)
                && seat.amount(row).is_ok_and(|amount| amount.trillionths() == value)
        };
        let at = |row: u32| usize::try_from(row).ok().and_then(|row| self.taken.get(row));
        let same = |row| at(row).is_some_and(|taken| taken.identifier == key);
        if let Some(taken) = self.taken_index.find(place, same).and_then(at) {
            let same = code == Some(taken.subject);
            return Some(repeats(same, taken.time, taken.amount.trillionths()));
        }
        let number = of.events.parts.get(Events::part_of(place))?.find(place, key)?;
        let first = of.events.get(number)?;
        if !remembers(of.policy, &of.epochs, first.epoch, self.ctx.now) {
            return None;
        }
        let same = own == Some(first.subject);
        Some(repeats(same, first.time, of.events.value_at(number, first, 0)))
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
