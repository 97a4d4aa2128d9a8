//! The first phase of ingest: judging events against what was applied so far. Changes nothing.

use super::Aggregator;
use super::usage::MeterState;
use crate::block::BlockBuilder;
use crate::columns::{Row, Value};
use crate::value::{ValueError, check_value, parse_value};
use crate::{
    Admission, AdmitContext, Block, CancelError, DedupePolicy, EventColumns, EventRefusal, Formula,
    MeterEvent, Outcome,
};
use counterfoil_core::{Decimal12, EventTime, Timestamp, limits};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Aggregator {
    /// Judges the events of a batch, in order (rule 12.2). The first event with an identifier
    /// wins, within the batch and against all that was applied; later ones are duplicates,
    /// whatever else is wrong with them. A refused event leaves its identifier free.
    ///
    /// The block has to be applied before the next batch is judged: until then nothing remembers
    /// its identifiers.
    #[must_use]
    pub fn admit(&self, columns: EventColumns<'_>, ctx: &AdmitContext<'_>) -> Admission {
        let rows = (0..columns.len()).map(|row| columns.row(row));
        self.admit_rows(columns.event_name(), rows, ctx)
    }

    /// Judges one event, its customer and value found in the payload under the keys of the meter
    /// that takes its name.
    #[must_use]
    pub fn admit_event(&self, event: &MeterEvent, ctx: &AdmitContext<'_>) -> Admission {
        let row = match self.named(&event.event_name) {
            Some((_, meter)) => event.row(&meter.config),
            None => Row::default(),
        };
        self.admit_rows(&event.event_name, std::iter::once(row), ctx)
    }

    fn admit_rows<'a>(
        &'a self,
        event_name: &str,
        rows: impl ExactSizeIterator<Item = Row<'a>>,
        ctx: &AdmitContext<'_>,
    ) -> Admission {
        let mut admission = Admission::new(ctx, rows.len());
        let (id, meter) = match self.named(event_name) {
            Some((id, meter)) if meter.active => (id, meter),
            other => {
                let cause = match other {
                    Some(_) => EventRefusal::ArchivedMeter,
                    None => EventRefusal::NoMeter,
                };
                (0..rows.len()).for_each(|row| admission.refuse(row, cause));
                return admission;
            }
        };
        let mut intake = Intake {
            meter,
            policy: self.policy,
            ctx,
            bounds: TimeBounds::around(ctx.now),
            block: BlockBuilder::new(id, ctx.now),
            taken: BTreeMap::new(),
            magnitude: meter.magnitude,
        };
        for (index, row) in rows.enumerate() {
            match intake.judge(row) {
                Ok(outcome) => admission.count(outcome),
                Err(cause) => admission.refuse(index, cause),
            }
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
        let (id, meter) = self
            .named(event_name)
            .ok_or_else(|| CancelError::NoMeter { event_name: event_name.to_owned() })?;
        let named = || identifier.to_owned();
        let event = meter.first_with(identifier, now, self.policy).ok_or_else(|| {
            let event_name = event_name.to_owned();
            CancelError::Unknown { event_name, identifier: named(), policy: self.policy }
        })?;
        if event.cancelled.is_some() {
            return Err(CancelError::Cancelled { identifier: named() });
        }
        let received_at = event.received_at;
        if now.seconds_since(received_at) > limits::METER_CANCEL_SECONDS_MAX {
            return Err(CancelError::TooLate { identifier: named(), received_at });
        }
        let mut block = Block::new(id, now);
        block.push_cancelled(identifier);
        Ok(block)
    }
}

/// The times that are accepted, both ends included (point 60).
struct TimeBounds {
    oldest: Timestamp,
    newest: Timestamp,
    nanos: std::ops::RangeInclusive<i64>,
}

impl TimeBounds {
    fn around(now: Timestamp) -> Self {
        let past = limits::METER_EVENT_PAST_SECONDS_MAX.saturating_neg();
        let oldest = now.checked_add_seconds(past).unwrap_or(Timestamp::MIN);
        let future = limits::METER_EVENT_FUTURE_SECONDS_MAX;
        let newest = now.checked_add_seconds(future).unwrap_or(Timestamp::MAX);
        let nanos = EventTime::clamped(oldest).nanos()..=EventTime::clamped(newest).nanos();
        Self { oldest, newest, nanos }
    }

    fn check(&self, time: EventTime) -> Result<EventTime, EventRefusal> {
        if time.nanos() < *self.nanos.start() {
            return Err(EventRefusal::TimestampTooFarInPast { time, oldest: self.oldest });
        }
        if time.nanos() > *self.nanos.end() {
            return Err(EventRefusal::TimestampInFuture { time, newest: self.newest });
        }
        Ok(time)
    }
}

/// One batch on its way in.
struct Intake<'a, 'c> {
    meter: &'a MeterState,
    policy: DedupePolicy,
    ctx: &'c AdmitContext<'c>,
    bounds: TimeBounds,
    block: BlockBuilder<'a>,
    /// The identifiers of the block, each with its place in there.
    taken: BTreeMap<Cow<'a, str>, usize>,
    /// What [`MeterState::magnitude`] will be.
    magnitude: u128,
}

impl<'a> Intake<'a, '_> {
    fn judge(&mut self, row: Row<'a>) -> Result<Outcome, EventRefusal> {
        if let Some(identifier) = row.identifier {
            if identifier.len() > limits::METER_IDENTIFIER_BYTES_MAX {
                return Err(EventRefusal::IdentifierTooLong { bytes: identifier.len() });
            }
            if let Some(same) = self.repeats_first(identifier, &row) {
                return Ok(if same { Outcome::Duplicate } else { Outcome::Conflict });
            }
        }
        let customer = self.customer(&row)?;
        let time = self.time(&row)?;
        let value = self.value(&row)?;
        let magnitude = self.magnitude.saturating_add(value.trillionths().unsigned_abs());
        if i128::try_from(magnitude).is_err() {
            return Err(EventRefusal::SumTooLarge);
        }
        self.magnitude = magnitude;
        let place = self.block.block().len();
        let identifier = match row.identifier {
            Some(identifier) => Cow::Borrowed(identifier),
            None => Cow::Owned(self.free_identifier()),
        };
        self.block.push(&identifier, customer, time, value);
        self.taken.insert(identifier, place);
        Ok(Outcome::Taken)
    }

    fn customer(&self, row: &Row<'a>) -> Result<&'a str, EventRefusal> {
        let customer = row.customer;
        if customer.is_empty() {
            return Err(EventRefusal::NoCustomer);
        }
        // The length first: no customer has an id that long, and blocks stay bounded.
        if customer.len() > limits::ID_BYTES_MAX || !self.ctx.customers.exists(customer) {
            return Err(EventRefusal::CustomerNotFound);
        }
        Ok(customer)
    }

    fn time(&self, row: &Row<'_>) -> Result<EventTime, EventRefusal> {
        let now = self.ctx.now;
        match row.time {
            Some(time) => self.bounds.check(time),
            None => EventTime::from_timestamp(now)
                .map_err(|_| EventRefusal::TimestampNotRepresentable { now }),
        }
    }

    fn value(&self, row: &Row<'_>) -> Result<Decimal12, EventRefusal> {
        if self.meter.config.formula == Formula::Count {
            return Ok(Decimal12::ZERO);
        }
        let value = match row.value {
            Value::Absent | Value::Text("") => return Err(EventRefusal::NoValue),
            Value::Text(text) => parse_value(text),
            Value::Decimal(value) => check_value(value),
        };
        value.map_err(|error| match error {
            ValueError::Malformed => EventRefusal::InvalidValue,
            ValueError::TooManyDigits => EventRefusal::ValueTooManyDigits,
        })
    }

    /// Whether a row repeats the event that used its identifier first, or only the identifier;
    /// `None` where that is free. A time that was not given is not compared: a retry does not know
    /// when its first try arrived.
    fn repeats_first(&self, identifier: &str, row: &Row<'_>) -> Option<bool> {
        let repeats = |customer: &str, time: EventTime, value: Decimal12| {
            row.customer == customer
                && row.time.is_none_or(|given| given == time)
                && self.value(row) == Ok(value)
        };
        if let Some(&place) = self.taken.get(identifier) {
            let first = self.block.block().event(place)?;
            return Some(repeats(first.customer, first.time, first.value));
        }
        let first = self.meter.first_with(identifier, self.ctx.now, self.policy)?;
        Some(repeats(&first.customer, EventTime::from_nanos(first.time), first.value))
    }

    /// An identifier for an event that came without: the number it has among the meter's events,
    /// or the next that is free.
    fn free_identifier(&self) -> String {
        let mut number = self.meter.events.len().saturating_add(self.block.block().len());
        loop {
            number = number.saturating_add(1);
            let candidate = format!("mtrevt_{number}");
            let used = self.taken.contains_key(candidate.as_str())
                || self.meter.first_with(&candidate, self.ctx.now, self.policy).is_some();
            if !used {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MeterConfig, Position};
    use counterfoil_core::{Code, Id};
    use std::sync::Arc;

    #[test]
    fn a_sum_that_could_overflow_refuses_the_event() {
        let id = Id::derived(1);
        let mut meters = Aggregator::default();
        meters.define(id.clone(), MeterConfig::new("calls", Formula::Sum)).unwrap();
        // As if so many events had been taken that this much is left.
        let left = 5 * Decimal12::SCALE.unsigned_abs();
        let state = Arc::make_mut(meters.meters.get_mut(&id).unwrap());
        state.magnitude = i128::MAX.unsigned_abs() - left;
        let mut batch = crate::EventBatch::new("calls");
        for (identifier, value) in [("a", "-3"), ("b", "2.000000000001"), ("c", "2"), ("d", "-1")] {
            batch.push(Some(identifier), Some("cus_1"), None, Some(value)).unwrap();
        }
        let now = Timestamp::from_unix(1_742_040_000).unwrap();
        let anyone = |_: &str| true;
        let admission = meters.admit(batch.columns(), &AdmitContext::new(now, &anyone));
        let refused: Vec<_> = admission.refused.iter().map(|r| (r.index, r.code())).collect();
        assert_eq!(refused, [(1, Code::AmountTooLarge), (3, Code::AmountTooLarge)]);
        meters.apply(Position(1), &admission.block.unwrap());
        assert_eq!(meters.meters.get(&id).unwrap().magnitude, i128::MAX.unsigned_abs());
    }
}
