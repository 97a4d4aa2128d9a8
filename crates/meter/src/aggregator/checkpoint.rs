//! The content of an aggregator as columns, and back.
//!
//! Meters with their events, customers, and the positions that were applied, are kept. What is
//! there to answer quickly (the indexes, the sums) follows from the events and is made again.
//!
//! A checkpoint is a row of archives, each after its length in 8 bytes and on a multiple of 16:
//! the head, then the events in order of receipt, a million to an archive.

use super::alerts::{Alert, Alerts, Tally};
use super::restore::Run;
use super::take::number_of;
use super::{Aggregator, AlertStatus, Epoch, Meter, Position};
use crate::columns::{ColumnError, StringColumn};
use crate::kernel::events::{Event, EventNo, Events, WIDE};
use crate::kernel::identity::{Customer, Identifier, Key};
use crate::kernel::names::Names;
use crate::kernel::usage::{self, Arrival, Arriving};
use crate::value::{Amount, MAGNITUDE_END};
use crate::{DedupePolicy, EventTimeWindow, Formula, MeterConfig};
use counterfoil_core::{Decimal12, Id, Timestamp};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::collections::BTreeSet;
use std::fmt;

/// The layout of a checkpoint in words; what wrote one and what reads it must have the same.
pub const CHECKPOINT_LAYOUT: &str = "meter 5; rkyv 0.8 le p32; archives [len u64; pad to 16]; head \
    {positions [u64]; received [i64]; meters [id; names; dimensions; formula u8; also [u8]; \
    window u8; active u8]; customers {text, ends u32}; bucket_rows, bucket_customers, \
    bucket_ends [u32]; bucket_values {text, ends u32}; \
    alerts [id; meter u16; gte i128; customer u32; status u8; since u32; fired [u32]; \
    fired_values [i128]; fired_positions [u64]; slots [u32]; tallies [i128]; beside [i64]]; \
    events u64}; events {epochs, rows [u32]; meters [u16]; customers [u32]; times, units [i64]; \
    wide_rows [u32]; wide [i128]; numbers [u128]; text_rows [u32]; texts {text, ends u32}; cancelled_rows, cancelled_epochs, corrected_rows, corrected_epochs \
    [u32]; corrected_values [i128]}";

/// Events of an archive.
const EVENTS: usize = 1 << 20;
const ALIGN: usize = 16;

/// What an aggregator holds at one moment, taken without copying its events: to be written while
/// the aggregator goes on.
#[derive(Debug, Clone)]
pub struct Capture {
    key: Key,
    epochs: Vec<Epoch>,
    meters: Vec<Meter>,
    customers: Names,
    events: Events,
    alerts: Alerts,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Head {
    positions: Vec<u64>,
    received: Vec<i64>,
    meters: Vec<MeterColumns>,
    /// Customers by number; empty where the number is a bucket's.
    customers: StringColumn,
    bucket_rows: Vec<u32>,
    bucket_customers: Vec<u32>,
    /// Where the values of each bucket end.
    bucket_ends: Vec<u32>,
    bucket_values: StringColumn,
    alerts: Vec<AlertColumns>,
    /// How many events follow.
    events: u64,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct MeterColumns {
    id: String,
    /// Event name, key of the customer, key of the value.
    names: [String; 3],
    dimensions: Vec<String>,
    formula: u8,
    also: Vec<u8>,
    window: u8,
    active: u8,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct AlertColumns {
    id: String,
    meter: u16,
    gte: i128,
    /// A number, or the largest where each customer is watched.
    customer: u32,
    status: u8,
    since: u32,
    /// The customers that it went off for, with usage and position then.
    fired: Vec<u32>,
    fired_values: Vec<i128>,
    fired_positions: Vec<u64>,
    /// The customers that it counted something of, and what.
    slots: Vec<u32>,
    tallies: Vec<i128>,
    beside: Vec<i64>,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(super) struct EventRows {
    pub(super) epochs: Vec<u32>,
    pub(super) rows: Vec<u32>,
    pub(super) meters: Vec<u16>,
    pub(super) customers: Vec<u32>,
    pub(super) times: Vec<i64>,
    /// Millionths; the smallest number where the value is in `wide`.
    pub(super) units: Vec<i64>,
    pub(super) wide_rows: Vec<u32>,
    pub(super) wide: Vec<i128>,
    /// Identifiers; 0 where they are texts.
    pub(super) numbers: Vec<u128>,
    pub(super) text_rows: Vec<u32>,
    pub(super) texts: StringColumn,
    pub(super) cancelled_rows: Vec<u32>,
    pub(super) cancelled_epochs: Vec<u32>,
    /// A row for each correction; values above are those that events came with.
    pub(super) corrected_rows: Vec<u32>,
    pub(super) corrected_epochs: Vec<u32>,
    pub(super) corrected_values: Vec<i128>,
}

/// A checkpoint that cannot be written, or bytes that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint of meters: {reason}")]
pub struct CheckpointError {
    reason: String,
}

impl CheckpointError {
    fn because(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl From<ColumnError> for CheckpointError {
    fn from(error: ColumnError) -> Self {
        Self::because(error)
    }
}

impl Capture {
    /// The bytes, to be read by [`Aggregator::from_checkpoint`].
    ///
    /// # Errors
    /// [`CheckpointError`] where the texts of a million identifiers, or those of all customers,
    /// are beyond what 32-bit offsets reach: 2 GiB.
    pub fn encode(&self) -> Result<AlignedVec, CheckpointError> {
        let mut bytes = AlignedVec::new();
        append(&mut bytes, &archive(&self.head()?)?);
        let mut rows = EventRows::default();
        for (number, event) in self.events.in_order() {
            self.push(&mut rows, number, event)?;
            if rows.times.len() == EVENTS {
                append(&mut bytes, &archive(&rows)?);
                rows = EventRows::default();
            }
        }
        if !rows.times.is_empty() {
            append(&mut bytes, &archive(&rows)?);
        }
        Ok(bytes)
    }

    fn head(&self) -> Result<Head, CheckpointError> {
        let mut head = Head {
            positions: self.epochs.iter().map(|epoch| epoch.position.0).collect(),
            received: self.epochs.iter().map(|epoch| epoch.received_at.unix()).collect(),
            meters: self.meters.iter().map(MeterColumns::of).collect(),
            alerts: self.alerts.iter().map(AlertColumns::of).collect(),
            events: u64::try_from(self.events.len()).unwrap_or(u64::MAX),
            ..Head::default()
        };
        let short = || CheckpointError::because("too many customers");
        for (row, name) in (0_u32..).zip(self.customers.iter()) {
            let (text, bucket) = match name {
                Ok(customer) => (customer.to_text(), None),
                Err(bucket) => (String::new(), Some(bucket)),
            };
            if !head.customers.has_room_for(text.len()) {
                return Err(short());
            }
            head.customers.push(&text);
            let Some((customer, values)) = bucket else { continue };
            for value in values {
                if !head.bucket_values.has_room_for(value.len()) {
                    return Err(short());
                }
                head.bucket_values.push(value);
            }
            head.bucket_rows.push(row);
            head.bucket_customers.push(customer);
            head.bucket_ends
                .push(u32::try_from(head.bucket_values.ends.len()).map_err(|_| short())?);
        }
        Ok(head)
    }

    fn push(
        &self,
        rows: &mut EventRows,
        number: EventNo,
        event: &Event,
    ) -> Result<(), CheckpointError> {
        let row = u32::try_from(rows.times.len()).map_err(CheckpointError::because)?;
        match self.events.text(number) {
            Some(text) => {
                if !rows.texts.has_room_for(text.len()) {
                    return Err(CheckpointError::because("too much text in identifiers"));
                }
                rows.numbers.push(0);
                rows.text_rows.push(row);
                rows.texts.push(text);
            }
            None => rows.numbers.push(self.key.number(event.meter, event.identifier)),
        }
        let mut units = event.units;
        let mut came_with = self.events.value(number, event);
        if let [(_, first), later @ ..] = self.events.corrections(number) {
            units = Amount::of(Decimal12::from_trillionths(*first)).units;
            let values = later.iter().map(|&(_, value)| value).chain([came_with]);
            for (&(epoch, _), value) in self.events.corrections(number).iter().zip(values) {
                rows.corrected_rows.push(row);
                rows.corrected_epochs.push(epoch);
                rows.corrected_values.push(value);
            }
            came_with = *first;
        }
        if units == WIDE {
            rows.wide_rows.push(row);
            rows.wide.push(came_with);
        }
        if let Some(epoch) = self.events.cancelled_at(number) {
            rows.cancelled_rows.push(row);
            rows.cancelled_epochs.push(epoch);
        }
        rows.epochs.push(event.epoch);
        rows.rows.push(event.row);
        rows.meters.push(event.meter);
        rows.customers.push(event.subject);
        rows.times.push(event.time);
        rows.units.push(units);
        Ok(())
    }
}

fn archive<T>(value: &T) -> Result<AlignedVec, CheckpointError>
where
    T: for<'a> rkyv::Serialize<
            rkyv::api::high::HighSerializer<
                AlignedVec,
                rkyv::ser::allocator::ArenaHandle<'a>,
                rancor::Error,
            >,
        >,
{
    rkyv::to_bytes::<rancor::Error>(value).map_err(CheckpointError::because)
}

fn append(bytes: &mut AlignedVec, archive: &[u8]) {
    let len = u64::try_from(archive.len()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&[0; ALIGN - 8]);
    bytes.extend_from_slice(archive);
    let rest = archive.len().next_multiple_of(ALIGN).saturating_sub(archive.len());
    bytes.extend_from_slice([0; ALIGN].get(..rest).unwrap_or_default());
}

/// Takes the first archive off bytes.
fn split<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, CheckpointError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let short = || CheckpointError::because("it ends within an archive");
    let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let (_, rest) = rest.split_first_chunk::<{ ALIGN - 8 }>().ok_or_else(short)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(CheckpointError::because)?;
    let archive = rest.get(..len).ok_or_else(short)?;
    let whole = len.checked_next_multiple_of(ALIGN).ok_or_else(short)?;
    *bytes = rest.get(whole..).ok_or_else(short)?;
    Ok(Some(archive))
}

fn aligned(archive: &[u8]) -> AlignedVec {
    let mut aligned = AlignedVec::with_capacity(archive.len());
    aligned.extend_from_slice(archive);
    aligned
}

impl Aggregator {
    /// What the aggregator holds now. The events are shared, not copied.
    #[must_use]
    pub fn capture(&self) -> Capture {
        Capture {
            key: self.key,
            epochs: self.epochs.clone(),
            meters: self.meters.clone(),
            customers: self.customers.clone(),
            events: self.events.without_indexes(),
            alerts: self.alerts.clone(),
        }
    }

    /// The aggregator of a checkpoint, under any policy. The bytes may be anything; what is
    /// allocated is bounded by their length.
    ///
    /// # Errors
    /// [`CheckpointError`] that says what is wrong.
    pub fn from_checkpoint(bytes: &[u8], policy: DedupePolicy) -> Result<Self, CheckpointError> {
        Self::new(policy).restored(bytes)
    }

    /// An aggregator without meters, filled with what a checkpoint holds: for one that has a key of
    /// its own.
    ///
    /// # Errors
    /// As [`Aggregator::from_checkpoint`].
    pub fn restored(mut self, mut bytes: &[u8]) -> Result<Self, CheckpointError> {
        let head = split(&mut bytes)?.ok_or_else(|| CheckpointError::because("it is empty"))?;
        let head = rkyv::from_bytes::<Head, rancor::Error>(&aligned(head))
            .map_err(CheckpointError::because)?;
        self.read_head(&head)?;
        let mut adjusted = Vec::new();
        let mut last = None;
        while let Some(archive) = split(&mut bytes)? {
            let rows = rkyv::from_bytes::<EventRows, rancor::Error>(&aligned(archive))
                .map_err(CheckpointError::because)?;
            self.read_events(&rows, &mut last, &mut adjusted)?;
        }
        if u64::try_from(self.events.len()) != Ok(head.events) {
            return Err(CheckpointError::because("it has not as many events as it says"));
        }
        // Stable: corrections of one epoch stay in their order, and come before cancellations.
        adjusted.sort_by_key(|own| (own.epoch, own.value.is_none()));
        for Adjusted { number, epoch, value } in adjusted {
            match value {
                Some(value) => self.correct_event(number, epoch, value),
                None => self.cancel_event(number, epoch),
            }
        }
        if let Some(now) = self.epochs.iter().map(|epoch| epoch.received_at).max() {
            self.forget(now);
        }
        Ok(self)
    }

    fn read_head(&mut self, head: &Head) -> Result<(), CheckpointError> {
        if head.positions.len() != head.received.len() || !head.positions.is_sorted() {
            return Err(CheckpointError::because("its positions are not in order"));
        }
        for (&position, &received) in head.positions.iter().zip(&head.received) {
            let received_at = Timestamp::from_unix(received).map_err(CheckpointError::because)?;
            self.epochs.push(Epoch { position: Position(position), received_at });
        }
        for own in &head.meters {
            let id = Id::new(&own.id).map_err(CheckpointError::because)?;
            self.define(id.clone(), own.config()?).map_err(CheckpointError::because)?;
            if own.active == 0 {
                self.deactivate(&id).map_err(CheckpointError::because)?;
            }
        }
        let mut buckets = head.buckets()?.into_iter().peekable();
        for (number, customer) in head.customers.checked()?.iter().enumerate() {
            let bucket = buckets.next_if(|bucket| usize::try_from(bucket.row) == Ok(number));
            let given = match bucket {
                Some(Bucket { customer, .. }) if self.customers.get(customer).is_none() => {
                    return Err(CheckpointError::because("a bucket is no customer's"));
                }
                Some(Bucket { customer, values, .. }) => {
                    self.customers.intern_bucket(customer, &values)
                }
                None => self.customers.intern(Customer::of(customer)),
            };
            if given.and_then(|given| usize::try_from(given).ok()) != Some(number) {
                return Err(CheckpointError::because("it lists a customer twice"));
            }
        }
        if buckets.next().is_some() {
            return Err(CheckpointError::because("its buckets are not in order"));
        }
        head.alerts.iter().try_for_each(|own| self.read_alert(own))
    }

    fn read_alert(&mut self, own: &AlertColumns) -> Result<(), CheckpointError> {
        let wrong = || CheckpointError::because("an alert is not as one can be");
        let id = Id::new(&own.id).map_err(CheckpointError::because)?;
        let customer = (own.customer != u32::MAX).then_some(own.customer);
        let customers = own.fired.iter().chain(&own.slots).copied().chain(customer);
        let known = customers.into_iter().all(|own| self.customers.get(own).is_some());
        let meter = self.meter(own.meter).ok_or_else(wrong)?;
        let can = meter.config.formula != Formula::WeightedSum && own.gte > 0;
        let begun = usize::try_from(own.since).is_ok_and(|since| since <= self.epochs.len());
        if !known || !can || !begun || self.alerts.get(&id).is_some() || !own.is_even() {
            return Err(wrong());
        }
        let gte = Decimal12::from_trillionths(own.gte);
        let mut alert = Alert::new(id, own.meter, gte, own.since);
        alert.customer = customer;
        alert.status = AlertStatus::of_code(own.status).ok_or_else(wrong)?;
        let tallies = own.tallies.iter().zip(&own.beside);
        for (&customer, (&value, &beside)) in own.slots.iter().zip(tallies) {
            let (_, slot) = alert.slots.of(customer).ok_or_else(wrong)?;
            slot.tally = Tally { value, beside, any: true };
        }
        let fired = own.fired_values.iter().zip(&own.fired_positions);
        for (&customer, (&value, &position)) in own.fired.iter().zip(fired) {
            let value = Decimal12::from_trillionths(value);
            alert.fired.insert(customer, (value, Position(position)));
            if alert.status != AlertStatus::Archived {
                alert.slots.of(customer).ok_or_else(wrong)?.1.fired = true;
            }
        }
        self.alerts.add(alert);
        Ok(())
    }

    /// Takes the events of an archive in, which continue those `last` received.
    fn read_events(
        &mut self,
        rows: &EventRows,
        last: &mut Option<u64>,
        adjusted: &mut Vec<Adjusted>,
    ) -> Result<(), CheckpointError> {
        rows.check(self.epochs.len(), self.customers.len(), self.meters.len())?;
        if !self.has_room_for(rows.times.len()) {
            return Err(CheckpointError::because("it has more events than there are numbers"));
        }
        let texts = rows.texts.checked()?;
        for (&epoch, &row) in rows.epochs.iter().zip(&rows.rows) {
            let receipt = u64::from(epoch) << 32 | u64::from(row);
            if last.is_some_and(|last| receipt <= last) {
                return Err(CheckpointError::because("its events are not in order of receipt"));
            }
            *last = Some(receipt);
        }
        let mut numbers = Vec::with_capacity(rows.times.len());
        for run in rows.epochs.chunk_by(|one, next| one == next) {
            let start = numbers.len();
            let run = Run { rows, texts, range: start..start.saturating_add(run.len()) };
            self.read_run(&run, &mut numbers)?;
        }
        let number_of = |row: u32| usize::try_from(row).ok().and_then(|row| numbers.get(row));
        let corrected = rows.corrected_epochs.iter().zip(&rows.corrected_values);
        for (&row, (&epoch, &value)) in rows.corrected_rows.iter().zip(corrected) {
            let value = Some(Decimal12::from_trillionths(value));
            adjusted.extend(number_of(row).map(|&number| Adjusted { number, epoch, value }));
        }
        for (&row, &epoch) in rows.cancelled_rows.iter().zip(&rows.cancelled_epochs) {
            adjusted.extend(number_of(row).map(|&number| Adjusted { number, epoch, value: None }));
        }
        Ok(())
    }

    /// Takes the events of an epoch in; their numbers.
    fn read_run(
        &mut self,
        run: &Run<'_>,
        numbers: &mut Vec<EventNo>,
    ) -> Result<(), CheckpointError> {
        let Run { rows, texts, range } = run;
        let none = || CheckpointError::because("an event belongs nowhere");
        let place = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        if run.is_dense()
            && let Some(&epoch) = rows.epochs.get(range.start)
        {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.subjects.clear();
            scratch.subjects.resize(run.len(), u32::MAX);
            self.take_rows(run, &mut scratch, epoch);
            for &row in rows.rows.get(range.clone()).unwrap_or_default() {
                let placed = scratch.placed.get(place(row)).and_then(number_of);
                numbers.push(placed.ok_or_else(none)?);
            }
            self.scratch = scratch;
            return Ok(());
        }
        for row in range.clone() {
            let row = u32::try_from(row).map_err(CheckpointError::because)?;
            let text = rows.text_rows.binary_search(&row).ok().and_then(|text| texts.get(text));
            let wide = rows.wide_rows.binary_search(&row).ok();
            let wide = wide.and_then(|wide| rows.wide.get(wide).copied());
            let event = rows.event(row, self.key, text).ok_or_else(none)?;
            numbers.push(self.read_event(event, text, wide)?);
        }
        Ok(())
    }

    fn read_event(
        &mut self,
        event: Event,
        text: Option<&str>,
        wide: Option<i128>,
    ) -> Result<EventNo, CheckpointError> {
        let place = self.key.place(event.identifier);
        let none = || CheckpointError::because("an event belongs nowhere");
        let part = self.events.parts.get_mut(Events::part_of(place)).ok_or_else(none)?;
        let spot = part.spot(place);
        let before = part.find_at(spot, place, event.identifier);
        let number = part.push(spot, place, before, |own| *own = event);
        if let Some(text) = text {
            part.note_text(text);
        }
        if let Some(value) = wide {
            part.note_wide(value);
        }
        let meter = self.meters.get_mut(usize::from(event.meter)).ok_or_else(none)?;
        meter.taken = meter.taken.saturating_add(1);
        let arriving = Arriving { epoch: event.epoch, lanes: &self.lanes, events: &self.events };
        if let Some(part) = self.usage.get_mut(usage::part_of(event.subject)) {
            part.take(arriving, &[Arrival::of(number, &event)]);
        }
        Ok(number)
    }
}

/// A bucket of a checkpoint.
struct Bucket<'a> {
    row: u32,
    customer: u32,
    values: Vec<&'a str>,
}

/// A cancellation, or a correction with its value.
struct Adjusted {
    number: EventNo,
    epoch: u32,
    value: Option<Decimal12>,
}

impl Head {
    fn buckets(&self) -> Result<Vec<Bucket<'_>>, CheckpointError> {
        let values: Vec<&str> = self.bucket_values.checked()?.iter().collect();
        let ends: Vec<usize> =
            self.bucket_ends.iter().filter_map(|&end| usize::try_from(end).ok()).collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let rows = self.bucket_rows.iter().zip(&self.bucket_customers);
        let of = |((&row, &customer), (start, &end)): ((&u32, &u32), (usize, &usize))| {
            let values = values.get(start..end)?.to_vec();
            Some(Bucket { row, customer, values })
        };
        let buckets: Vec<Bucket<'_>> = rows.zip(starts.zip(&ends)).filter_map(of).collect();
        let lengths = [self.bucket_rows.len(), self.bucket_customers.len(), self.bucket_ends.len()];
        match lengths == [buckets.len(); 3] && ends.last().is_none_or(|&end| end == values.len()) {
            true => Ok(buckets),
            false => Err(CheckpointError::because("its buckets do not fit one another")),
        }
    }
}

impl EventRows {
    /// Whether every row is there in every column and names what there is.
    fn check(&self, epochs: usize, customers: usize, meters: usize) -> Result<(), CheckpointError> {
        let rows = self.times.len();
        let lengths = [
            self.epochs.len(),
            self.rows.len(),
            self.meters.len(),
            self.customers.len(),
            self.units.len(),
            self.numbers.len(),
        ];
        let fit = lengths == [rows; 6]
            && self.wide_rows.len() == self.wide.len()
            && self.text_rows.len() == self.texts.ends.len()
            && self.cancelled_rows.len() == self.cancelled_epochs.len()
            && self.corrected_rows.len() == self.corrected_epochs.len()
            && self.corrected_rows.len() == self.corrected_values.len();
        if !fit {
            return Err(CheckpointError::because("its columns differ in length"));
        }
        self.check_few()?;
        let below = |code: u32, names: usize| usize::try_from(code).is_ok_and(|code| code < names);
        if self.corrected_values.iter().any(|value| value.unsigned_abs() >= MAGNITUDE_END) {
            return Err(CheckpointError::because("a corrected value is out of range"));
        }
        let adjusted = self.cancelled_epochs.iter().chain(&self.corrected_epochs);
        let known = self.epochs.iter().chain(adjusted).all(|&own| below(own, epochs))
            && self.customers.iter().all(|&own| below(own, customers))
            && self.meters.iter().all(|&own| usize::from(own) < meters);
        match known {
            true => Ok(()),
            false => Err(CheckpointError::because("an event names what is not there")),
        }
    }

    /// Whether the columns of few rows are in order, and name rows.
    fn check_few(&self) -> Result<(), CheckpointError> {
        let rows = self.times.len();
        let place = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let once = [&self.text_rows, &self.wide_rows, &self.cancelled_rows];
        let all = once.into_iter().chain([&self.corrected_rows]);
        let named = all.clone().all(|own| own.last().is_none_or(|&last| place(last) < rows));
        let ordered = once.into_iter().all(|own| own.is_sorted_by(|one, next| one < next));
        if !named || !ordered || !self.corrected_rows.is_sorted() {
            return Err(CheckpointError::because("a column of few rows is not in order"));
        }
        let is_wide = |&row: &u32| self.units.get(place(row)) == Some(&WIDE);
        let wide = self.units.iter().filter(|&&units| units == WIDE).count();
        let large = |value: &i128| value.unsigned_abs() >= MAGNITUDE_END;
        if wide != self.wide_rows.len()
            || !self.wide_rows.iter().all(is_wide)
            || self.wide.iter().any(large)
        {
            return Err(CheckpointError::because("a value is out of range"));
        }
        Ok(())
    }

    fn event(&self, row: u32, key: Key, text: Option<&str>) -> Option<Event> {
        let at = usize::try_from(row).ok()?;
        let meter = *self.meters.get(at)?;
        let identifier = text.map_or_else(
            || self.numbers.get(at).copied().map(Identifier::Number),
            |text| Some(Identifier::Text(text)),
        );
        Some(Event {
            identifier: key.identifier(meter, identifier?),
            time: *self.times.get(at)?,
            units: *self.units.get(at)?,
            subject: *self.customers.get(at)?,
            epoch: *self.epochs.get(at)?,
            row: *self.rows.get(at)?,
            meter,
            flags: if text.is_some() { Event::TEXT } else { 0 },
        })
    }
}

impl AlertColumns {
    fn of(alert: &Alert) -> Self {
        let slots = || alert.slots.rows.iter().filter(|slot| slot.tally.any);
        Self {
            id: alert.id.as_str().to_owned(),
            meter: alert.meter,
            gte: alert.gte.trillionths(),
            customer: alert.customer.unwrap_or(u32::MAX),
            status: alert.status.code(),
            since: alert.since,
            fired: alert.fired.keys().copied().collect(),
            fired_values: alert.fired.values().map(|(value, _)| value.trillionths()).collect(),
            fired_positions: alert.fired.values().map(|(_, position)| position.0).collect(),
            slots: slots().map(|slot| slot.customer).collect(),
            tallies: slots().map(|slot| slot.tally.value).collect(),
            beside: slots().map(|slot| slot.tally.beside).collect(),
        }
    }

    /// Whether columns are as long as they have to be.
    fn is_even(&self) -> bool {
        let (fired, slots) = (self.fired.len(), self.slots.len());
        [self.fired_values.len(), self.fired_positions.len()] == [fired; 2]
            && [self.tallies.len(), self.beside.len()] == [slots; 2]
    }
}

impl MeterColumns {
    fn of(meter: &Meter) -> Self {
        let config = &meter.config;
        let names = [&config.event_name, &config.customer_payload_key, &config.value_payload_key];
        Self {
            id: meter.id.as_str().to_owned(),
            names: names.map(String::clone),
            dimensions: config.dimensions.clone(),
            formula: config.formula.code(),
            also: config.also.iter().map(|&formula| formula.code()).collect(),
            window: EventTimeWindow::code(config.event_time_window),
            active: u8::from(meter.active),
        }
    }

    fn config(&self) -> Result<MeterConfig, CheckpointError> {
        let [event_name, customer_payload_key, value_payload_key] = self.names.clone();
        let also: Result<BTreeSet<Formula>, _> =
            self.also.iter().map(|&code| formula(code)).collect();
        Ok(MeterConfig {
            event_name,
            formula: formula(self.formula)?,
            also: also?,
            event_time_window: EventTimeWindow::of_code(self.window)
                .ok_or_else(|| CheckpointError::because("an unknown window"))?,
            dimensions: self.dimensions.clone(),
            customer_payload_key,
            value_payload_key,
        })
    }
}

fn formula(code: u8) -> Result<Formula, CheckpointError> {
    Formula::of_code(code).ok_or_else(|| CheckpointError::because("an unknown formula"))
}
