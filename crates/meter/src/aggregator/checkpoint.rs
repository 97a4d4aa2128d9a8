//! The content of an aggregator as columns, and back.
//!
//! Meters with their events, and the positions that were applied, are kept. What is there to answer
//! quickly (identifiers, sums by hour, the winners of windows) follows from the events and is made
//! again.

use super::events::Events;
use super::usage::{Event, MeterState};
use super::{Aggregator, Position};
use crate::columns::{ColumnError, StringColumn};
use crate::{DedupePolicy, EventTimeWindow, Formula, MeterConfig};
use counterfoil_core::{Decimal12, Id, Timestamp, kind};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The layout of a checkpoint in words; what wrote one and what reads it must have the same.
pub const CHECKPOINT_LAYOUT: &str = "meter 1; rkyv 0.8 le p32; positions [u64]; meters [id; names; \
    formula u8; window u8; active u8; identifiers, customers {text, ends u32}; customer_of [u32]; \
    times [i64]; values [i128]; received [i64]; positions, cancelled [u64]]";

/// What an aggregator holds at one moment, taken without copying it: to be written while the
/// aggregator goes on.
#[derive(Debug, Clone)]
pub struct Capture {
    positions: Vec<Position>,
    meters: Vec<(Id<kind::Meter>, MeterConfig, bool, Events)>,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Columns {
    positions: Vec<u64>,
    meters: Vec<MeterColumns>,
}

#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct MeterColumns {
    id: String,
    /// Event name, key of the customer, key of the value.
    names: [String; 3],
    formula: u8,
    window: u8,
    active: u8,
    identifiers: StringColumn,
    customers: StringColumn,
    customer_of: Vec<u32>,
    times: Vec<i64>,
    values: Vec<i128>,
    received: Vec<i64>,
    positions: Vec<u64>,
    /// The position at which each was cancelled; 0 where it was not.
    cancelled: Vec<u64>,
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
    /// [`CheckpointError`] beyond what 32-bit offsets reach: 2 GiB in all.
    pub fn encode(&self) -> Result<AlignedVec, CheckpointError> {
        let mut columns = Columns {
            positions: self.positions.iter().map(|position| position.0).collect(),
            ..Columns::default()
        };
        for (id, config, active, events) in &self.meters {
            columns.meters.push(meter_columns(id, config, *active, events)?);
        }
        rkyv::to_bytes::<rancor::Error>(&columns).map_err(CheckpointError::because)
    }
}

fn meter_columns(
    id: &Id<kind::Meter>,
    config: &MeterConfig,
    active: bool,
    events: &Events,
) -> Result<MeterColumns, CheckpointError> {
    let names = [&config.event_name, &config.customer_payload_key, &config.value_payload_key];
    let mut columns = MeterColumns {
        id: id.as_str().to_owned(),
        names: names.map(String::clone),
        formula: match config.formula {
            Formula::Sum => 0,
            Formula::Count => 1,
            Formula::Last => 2,
        },
        window: match config.event_time_window {
            None => 0,
            Some(EventTimeWindow::Hour) => 1,
            Some(EventTimeWindow::Day) => 2,
        },
        active: u8::from(active),
        ..MeterColumns::default()
    };
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events.iter() {
        let next = u32::try_from(known.len()).map_err(CheckpointError::because)?;
        let customer = *known.entry(&event.customer).or_insert_with(|| {
            columns.customers.push(&event.customer);
            next
        });
        if !columns.identifiers.has_room_for(event.identifier.len()) {
            return Err(CheckpointError::because("too many identifiers"));
        }
        columns.identifiers.push(&event.identifier);
        columns.customer_of.push(customer);
        columns.times.push(event.time);
        columns.values.push(event.value.trillionths());
        columns.received.push(event.received_at.unix());
        columns.positions.push(event.position.0);
        columns.cancelled.push(event.cancelled.map_or(0, |position| position.0));
    }
    Ok(columns)
}

impl Aggregator {
    /// What the aggregator holds now. The events are shared, not copied.
    #[must_use]
    pub fn capture(&self) -> Capture {
        let meters = self.meters.iter().map(|(id, state)| {
            (id.clone(), state.config.clone(), state.active, state.events.clone())
        });
        Capture { positions: self.positions.clone(), meters: meters.collect() }
    }

    /// The aggregator of a checkpoint, under any policy. The bytes may be anything; what is
    /// allocated is bounded by their length.
    ///
    /// # Errors
    /// [`CheckpointError`] that says what is wrong.
    pub fn from_checkpoint(bytes: &[u8], policy: DedupePolicy) -> Result<Self, CheckpointError> {
        let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        let columns = rkyv::from_bytes::<Columns, rancor::Error>(&aligned)
            .map_err(CheckpointError::because)?;
        drop(aligned);
        let mut aggregator = Self::new(policy);
        aggregator.positions = columns.positions.into_iter().map(Position).collect();
        for own in columns.meters {
            let id = Id::new(&own.id).map_err(CheckpointError::because)?;
            aggregator.define(id.clone(), config(&own)?).map_err(CheckpointError::because)?;
            if let Some(state) = aggregator.meters.get_mut(&id) {
                let state = Arc::make_mut(state);
                state.active = own.active != 0;
                fill(state, &own, policy)?;
            }
        }
        Ok(aggregator)
    }
}

fn config(own: &MeterColumns) -> Result<MeterConfig, CheckpointError> {
    let [event_name, customer_payload_key, value_payload_key] = own.names.clone();
    Ok(MeterConfig {
        event_name,
        formula: match own.formula {
            0 => Formula::Sum,
            1 => Formula::Count,
            2 => Formula::Last,
            _ => return Err(CheckpointError::because("an unknown formula")),
        },
        event_time_window: match own.window {
            0 => None,
            1 => Some(EventTimeWindow::Hour),
            2 => Some(EventTimeWindow::Day),
            _ => return Err(CheckpointError::because("an unknown window")),
        },
        customer_payload_key,
        value_payload_key,
    })
}

/// Takes the events in again in their order, and each cancellation after the events of its
/// position, as it came.
fn fill(
    state: &mut MeterState,
    own: &MeterColumns,
    policy: DedupePolicy,
) -> Result<(), CheckpointError> {
    let (identifiers, customers) = (own.identifiers.checked()?, own.customers.checked()?);
    let customers: Vec<Arc<str>> = customers.iter().map(Arc::from).collect();
    let rows = own.times.len();
    let lengths = [
        identifiers.len(),
        own.customer_of.len(),
        own.values.len(),
        own.received.len(),
        own.positions.len(),
        own.cancelled.len(),
    ];
    if lengths != [rows; 6] {
        return Err(CheckpointError::because("its columns differ in length"));
    }
    let mut cancelled: Vec<(Position, usize)> = (0..)
        .zip(&own.cancelled)
        .filter(|(_, at)| **at > 0)
        .map(|(ordinal, at)| (Position(*at), ordinal))
        .collect();
    cancelled.sort_unstable();
    let mut cancelled = cancelled.into_iter().peekable();
    let fields = own.customer_of.iter().zip(&own.times).zip(&own.values);
    let origins = own.received.iter().zip(&own.positions);
    let mut received_last = Timestamp::MIN;
    for (identifier, (((customer, time), value), (received, position))) in
        identifiers.iter().zip(fields.zip(origins))
    {
        let position = Position(*position);
        while let Some((at, ordinal)) = cancelled.next_if(|(at, _)| *at < position) {
            state.cancel_event(ordinal, at);
        }
        let customer = usize::try_from(*customer).ok().and_then(|index| customers.get(index));
        let received_at = Timestamp::from_unix(*received).map_err(CheckpointError::because)?;
        received_last = received_last.max(received_at);
        state.take_event(Event {
            identifier: Arc::from(identifier),
            customer: Arc::clone(customer.ok_or_else(|| CheckpointError::because("no customer"))?),
            time: *time,
            value: Decimal12::from_trillionths(*value),
            received_at,
            position,
            cancelled: None,
        });
    }
    for (at, ordinal) in cancelled {
        state.cancel_event(ordinal, at);
    }
    state.forget(received_last, policy);
    Ok(())
}
