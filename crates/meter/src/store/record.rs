//! The records of a store, as bytes and back.
//!
//! A record has one entry without a stream. Its type says what it is, its schema which form:
//!
//! | kind | type | schema | body |
//! |---|---:|---:|---|
//! | block | 1 | 1 | a [`Block`], as [`Block::encode`] writes it: events, or cancellations |
//! | note | 2 | 1 | a meter is defined |
//! | note | 3 | 1 | a meter is deactivated: its id |
//! | note | 4 | 1 | a meter is activated again: its id |
//! | note | 5 | 1 | an alert is defined |
//! | note | 6 | 1 | an alert is activated: its id |
//! | note | 7 | 1 | an alert is deactivated: its id |
//! | note | 8 | 1 | an alert is archived: its id |
//!
//! The body of the definition of a meter, little-endian:
//!
//! | bytes | what |
//! |---:|---|
//! | 4, n | id: length, UTF-8 |
//! | 4, n | event name |
//! | 4, n | key of the customer in a payload |
//! | 4, n | key of the value |
//! | 1 | formula |
//! | 1 | window: 0 none, 1 hour, 2 day |
//! | 1, n | what is kept besides: number, a formula each, ascending |
//! | 1 | number of dimensions |
//! | 4, n | the name of each |
//!
//! That of an alert:
//!
//! | bytes | what |
//! |---:|---|
//! | 4, n | id |
//! | 4, n | id of the meter |
//! | 16 | the threshold in trillionths, signed |
//! | 1 | 1 where one customer is watched, 0 where each |
//! | 4, n | that customer; empty where each |
//!
//! Formulas: 0 sum, 1 count, 2 last, 3 largest, 4 smallest, 5 average, 6 unique count, 7 weighted
//! sum.

use crate::{
    AlertStatus, Block, BlockError, EventTimeWindow, Formula, MeterConfig, UsageThreshold,
};
use counterfoil_core::{Decimal12, Id, Kind, kind};
use counterfoil_log::{EventRef, NewEvent, NewRecord, RecordKind, RecordRef};

const BLOCK: u16 = 1;
const DEFINED: u16 = 2;
const DEACTIVATED: u16 = 3;
const REACTIVATED: u16 = 4;
const ALERT_DEFINED: u16 = 5;
const ALERT_ACTIVATED: u16 = 6;
const ALERT_DEACTIVATED: u16 = 7;
const ALERT_ARCHIVED: u16 = 8;
const SCHEMA: u16 = 1;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every fact is a block")]
pub(super) enum Fact {
    Block(Block),
    Defined(Id<kind::Meter>, MeterConfig),
    Deactivated(Id<kind::Meter>),
    Reactivated(Id<kind::Meter>),
    AlertDefined(Id<kind::Alert>, UsageThreshold),
    AlertChanged(Id<kind::Alert>, AlertStatus),
}

impl Fact {
    /// The record of it, in the memory of one before.
    pub(super) fn encode_into(&self, at: i64, record: &mut NewRecord) -> Result<(), BlockError> {
        record.at = at;
        if record.events.is_empty() {
            record.events.push(NewEvent {
                stream: "".into(),
                stream_version: 0,
                type_id: 0,
                schema: SCHEMA,
                body: Vec::new(),
                personal: Vec::new(),
            });
        }
        let Some(event) = record.events.first_mut() else { return Ok(()) };
        let own = |text: &str| text.as_bytes().to_vec();
        (record.kind, event.type_id) = match self {
            Self::Block(_) => (RecordKind::Block, BLOCK),
            Self::Defined(..) => (RecordKind::Note, DEFINED),
            Self::Deactivated(_) => (RecordKind::Note, DEACTIVATED),
            Self::Reactivated(_) => (RecordKind::Note, REACTIVATED),
            Self::AlertDefined(..) => (RecordKind::Note, ALERT_DEFINED),
            Self::AlertChanged(_, AlertStatus::Active) => (RecordKind::Note, ALERT_ACTIVATED),
            Self::AlertChanged(_, AlertStatus::Inactive) => (RecordKind::Note, ALERT_DEACTIVATED),
            Self::AlertChanged(_, AlertStatus::Archived) => (RecordKind::Note, ALERT_ARCHIVED),
        };
        match self {
            Self::Block(block) => return block.encode_into(&mut event.body),
            Self::Defined(meter, config) => event.body = definition(meter, config),
            Self::Deactivated(meter) | Self::Reactivated(meter) => {
                event.body = own(meter.as_str());
            }
            Self::AlertDefined(alert, threshold) => {
                event.body = alert_definition(alert, threshold);
            }
            Self::AlertChanged(alert, _) => event.body = own(alert.as_str()),
        }
        Ok(())
    }

    /// An empty record, to be filled.
    pub(super) const fn new_record() -> NewRecord {
        NewRecord { at: 0, kind: RecordKind::Note, meta: Vec::new(), events: Vec::new() }
    }

    /// What a record says, or what is wrong with it.
    pub(super) fn decode(record: RecordRef<'_>) -> Result<Self, String> {
        let mut entries = record.events();
        let (Some(entry), None) = (entries.next(), entries.next()) else {
            return Err("it has not one entry".to_owned());
        };
        Self::of_entry(record.kind(), entry)
    }

    fn of_entry(kind: RecordKind, entry: EventRef<'_>) -> Result<Self, String> {
        let EventRef { stream, type_id, schema, body, .. } = entry;
        if !stream.is_empty() || schema != SCHEMA {
            return Err(format!("type {type_id} of schema {schema}, in stream {stream:?}"));
        }
        match (kind, type_id) {
            (RecordKind::Block, BLOCK) => {
                Block::decode(body).map(Self::Block).map_err(|error| error.to_string())
            }
            (RecordKind::Note, DEFINED) => {
                let mut rest = body;
                let read = defined(&mut rest).filter(|_| rest.is_empty());
                let (meter, config) = read.ok_or("a definition that is malformed")?;
                Ok(Self::Defined(meter, config))
            }
            (RecordKind::Note, DEACTIVATED) => id(body).map(Self::Deactivated),
            (RecordKind::Note, REACTIVATED) => id(body).map(Self::Reactivated),
            (RecordKind::Note, ALERT_DEFINED) => {
                let mut rest = body;
                let read = alert_defined(&mut rest).filter(|_| rest.is_empty());
                let (alert, threshold) = read.ok_or("an alert that is malformed")?;
                Ok(Self::AlertDefined(alert, threshold))
            }
            (RecordKind::Note, ALERT_ACTIVATED) => changed(body, AlertStatus::Active),
            (RecordKind::Note, ALERT_DEACTIVATED) => changed(body, AlertStatus::Inactive),
            (RecordKind::Note, ALERT_ARCHIVED) => changed(body, AlertStatus::Archived),
            _ => Err(format!("type {type_id} in a record of kind {kind:?}")),
        }
    }
}

fn changed(body: &[u8], status: AlertStatus) -> Result<Fact, String> {
    id(body).map(|alert| Fact::AlertChanged(alert, status))
}

fn id<K: Kind>(body: &[u8]) -> Result<Id<K>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    Id::new(text).map_err(|error| error.to_string())
}

fn definition(meter: &Id<kind::Meter>, config: &MeterConfig) -> Vec<u8> {
    let mut body = Vec::new();
    let MeterConfig { event_name, customer_payload_key, value_payload_key, .. } = config;
    for text in [meter.as_str(), event_name, customer_payload_key, value_payload_key] {
        put(&mut body, text);
    }
    let window = EventTimeWindow::code(config.event_time_window);
    body.extend_from_slice(&[config.formula.code(), window]);
    // There are eight formulas.
    body.push(u8::try_from(config.also.len()).unwrap_or(u8::MAX));
    body.extend(config.also.iter().map(|&formula| formula.code()));
    // A meter keeps ten at most.
    body.push(u8::try_from(config.dimensions.len()).unwrap_or(u8::MAX));
    config.dimensions.iter().for_each(|name| put(&mut body, name));
    body
}

fn alert_definition(alert: &Id<kind::Alert>, threshold: &UsageThreshold) -> Vec<u8> {
    let mut body = Vec::new();
    let UsageThreshold { meter, gte, customer } = threshold;
    put(&mut body, alert.as_str());
    put(&mut body, meter.as_str());
    body.extend_from_slice(&gte.trillionths().to_le_bytes());
    body.push(u8::from(customer.is_some()));
    put(&mut body, customer.as_deref().unwrap_or_default());
    body
}

fn alert_defined(rest: &mut &[u8]) -> Option<(Id<kind::Alert>, UsageThreshold)> {
    let alert = Id::new(text(rest)?).ok()?;
    let meter = Id::new(text(rest)?).ok()?;
    let (gte, tail) = rest.split_first_chunk::<16>()?;
    let (one, tail) = tail.split_first()?;
    *rest = tail;
    let gte = Decimal12::from_trillionths(i128::from_le_bytes(*gte));
    let customer = match (one, text(rest)?) {
        (0, "") => None,
        (1, customer) => Some(customer.to_owned()),
        _ => return None,
    };
    Some((alert, UsageThreshold { meter, gte, customer }))
}

fn put(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(text.as_bytes());
}

fn defined(rest: &mut &[u8]) -> Option<(Id<kind::Meter>, MeterConfig)> {
    let id = Id::new(text(rest)?).ok()?;
    let event_name = text(rest)?.to_owned();
    let customer_payload_key = text(rest)?.to_owned();
    let value_payload_key = text(rest)?.to_owned();
    let ([formula, window, also], tail) = rest.split_first_chunk::<3>()?;
    let (also, tail) = tail.split_at_checked(usize::from(*also))?;
    let (dimensions, tail) = tail.split_first()?;
    *rest = tail;
    let dimensions = (0..*dimensions).map(|_| text(rest).map(str::to_owned));
    let dimensions = dimensions.collect::<Option<Vec<String>>>()?;
    let config = MeterConfig {
        event_name,
        formula: Formula::of_code(*formula)?,
        also: also.iter().map(|&code| Formula::of_code(code)).collect::<Option<_>>()?,
        event_time_window: EventTimeWindow::of_code(*window)?,
        customer_payload_key,
        value_payload_key,
        dimensions,
    };
    Some((id, config))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (len, tail) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (text, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(fact: &Fact) -> NewRecord {
        let mut record = Fact::new_record();
        fact.encode_into(7, &mut record).unwrap();
        record
    }

    fn read(record: &NewRecord) -> Result<Fact, String> {
        let NewEvent { type_id, schema, body, .. } = &record.events[0];
        let entry = EventRef {
            stream: &record.events[0].stream,
            stream_version: 0,
            type_id: *type_id,
            schema: *schema,
            body,
            personal: &[],
        };
        Fact::of_entry(record.kind, entry)
    }

    fn facts() -> Vec<Fact> {
        let id = || Id::new("mtr_é").unwrap();
        let mut facts = vec![Fact::Deactivated(id()), Fact::Reactivated(id())];
        let alert = || Id::new("alrt_é").unwrap();
        for customer in [None, Some(String::new()), Some("cus_é".to_owned())] {
            let gte = Decimal12::from_trillionths(-7 << 80);
            let threshold = UsageThreshold { meter: id(), gte, customer };
            facts.push(Fact::AlertDefined(alert(), threshold));
        }
        for status in [AlertStatus::Active, AlertStatus::Inactive, AlertStatus::Archived] {
            facts.push(Fact::AlertChanged(alert(), status));
        }
        for formula in Formula::ALL {
            let mut config = MeterConfig::new("calls", formula).also(Formula::Last);
            config.also.insert(formula);
            config.value_payload_key = String::new();
            config.dimensions = vec!["model".to_owned(), "région".to_owned()];
            facts.push(Fact::Defined(id(), config.clone()));
            for window in [EventTimeWindow::Hour, EventTimeWindow::Day] {
                let config = config.clone().with_event_time_window(window);
                facts.push(Fact::Defined(id(), config));
            }
        }
        facts
    }

    #[test]
    fn a_fact_survives_its_bytes() {
        // One record after the other in the same memory.
        let mut record = Fact::new_record();
        for fact in facts() {
            fact.encode_into(7, &mut record).unwrap();
            assert_eq!(read(&record), Ok(fact));
        }
    }

    #[test]
    fn what_no_store_wrote_is_refused() {
        let facts = facts();
        let [deactivated, _, each, _, one, .., defined] = &facts[..] else { panic!() };
        type Damage = fn(&mut NewRecord);
        let cases: [Damage; 7] = [
            |record| record.events[0].schema = 2,
            |record| record.events[0].type_id = 10,
            |record| record.events[0].type_id = BLOCK,
            |record| record.events[0].stream = "customer:1".into(),
            |record| record.kind = RecordKind::Block,
            |record| record.events[0].body.push(0xff),
            |record| record.events[0].body.clear(),
        ];
        for fact in [deactivated, each, one, defined] {
            for (case, damage) in cases.iter().enumerate() {
                let mut record = encode(fact);
                damage(&mut record);
                assert!(read(&record).is_err(), "{case} of {fact:?}");
            }
        }
        for whole in [each, one, defined].map(encode) {
            for len in 0..whole.events[0].body.len() {
                let mut record = whole.clone();
                record.events[0].body.truncate(len);
                assert!(read(&record).is_err(), "{len} bytes");
            }
        }
    }
}
