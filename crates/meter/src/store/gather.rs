//! Single events of many threads on their way into one block.

use crate::columns::StringColumn;
use crate::{
    ColumnError, CustomerIds, EventColumns, EventNames, EventRefusal, Identifiers, Outcome,
    RefusedEvent, Values,
};
use counterfoil_core::{Decimal12, EventTime, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Events that are judged together at most.
const EVENTS_MAX: usize = 8_192;
/// Bytes of text that are judged together, and one event more.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// A unit in trillionths.
const ONE: u128 = 1_000_000_000_000;
/// Event names that are remembered from one block to the next.
const NAMES_MAX: usize = 1_024;

/// One event, borrowed: what [`MeterStore::submit`](super::MeterStore::submit) takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleEvent<'a> {
    event_name: &'a str,
    customer: &'a str,
    identifier: Identifier<'a>,
    time: Option<EventTime>,
    value: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identifier<'a> {
    Generated,
    Text(&'a str),
    Number(u128),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Absent,
    Text(&'a str),
    Decimal(Decimal12),
}

impl<'a> SingleEvent<'a> {
    /// An event of a customer that happens when it is received, with an identifier that is
    /// generated, and without a value.
    #[must_use]
    pub const fn new(event_name: &'a str, customer: &'a str) -> Self {
        let (identifier, value) = (Identifier::Generated, Value::Absent);
        Self { event_name, customer, identifier, time: None, value }
    }

    /// The same with an identifier, without which a retry counts twice. An empty one is none.
    #[must_use]
    pub const fn identifier(mut self, identifier: &'a str) -> Self {
        self.identifier = Identifier::Text(identifier);
        self
    }

    /// The same with a number as identifier: that whose text is its 32 hexadecimal digits.
    #[must_use]
    pub const fn number(mut self, identifier: u128) -> Self {
        self.identifier = Identifier::Number(identifier);
        self
    }

    /// The same at a time.
    #[must_use]
    pub const fn at(mut self, time: EventTime) -> Self {
        self.time = Some(time);
        self
    }

    /// The same with a value as text, in the grammar of [`Values::Text`].
    #[must_use]
    pub const fn value(mut self, value: &'a str) -> Self {
        self.value = Value::Text(value);
        self
    }

    /// The same with a number as value.
    #[must_use]
    pub const fn decimal(mut self, value: Decimal12) -> Self {
        self.value = Value::Decimal(value);
        self
    }

    /// Bytes of its text.
    pub(super) fn text_bytes(&self) -> usize {
        let identifier = match self.identifier {
            Identifier::Text(text) => text.len(),
            _ => 32,
        };
        let value = match self.value {
            Value::Text(text) => text.len(),
            _ => 32,
        };
        let names = self.event_name.len().saturating_add(self.customer.len());
        names.saturating_add(identifier).saturating_add(value)
    }
}

/// What became of the events of one block: set once they are judged.
#[derive(Debug, Default)]
pub(super) struct Results(OnceLock<Judged>);

#[derive(Debug)]
pub(super) struct Judged {
    /// What must be on disk before any of them is acknowledged.
    pub(super) position: u64,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) refused: Vec<RefusedEvent>,
}

impl Results {
    pub(super) fn get(&self) -> Option<&Judged> {
        self.0.get()
    }

    pub(super) fn set(&self, judged: Judged) {
        // Whoever judges a block has taken it out, so nobody else does.
        drop(self.0.set(judged));
    }
}

impl Judged {
    /// What became of an event, and why it was refused where it was.
    pub(super) fn outcome(&self, row: usize) -> (Outcome, Option<EventRefusal>) {
        let outcome = self.outcomes.get(row).copied().unwrap_or(Outcome::Refused);
        let place = self.refused.binary_search_by_key(&row, |refused| refused.index);
        let refused = place.ok().and_then(|place| self.refused.get(place));
        (outcome, refused.map(|refused| refused.cause))
    }
}

/// Events that wait to be judged, all received in the same second.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    now: Option<Timestamp>,
    names: Vec<String>,
    codes_by_name: BTreeMap<String, u16>,
    codes: Vec<u16>,
    identifiers: StringColumn,
    customers: StringColumn,
    times: Vec<i64>,
    values: StringColumn,
    results: Arc<Results>,
}

impl Gathering {
    /// When its events were received; `None` where there is none.
    pub(super) const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn is_full(&self) -> bool {
        let text = self.identifiers.text.len().saturating_add(self.customers.text.len());
        self.len() >= EVENTS_MAX || text.saturating_add(self.values.text.len()) >= TEXT_BYTES_MAX
    }

    /// Whether an event that is received now may be judged together with the others.
    pub(super) fn takes(&self, now: Timestamp) -> bool {
        !self.is_full() && self.now.is_none_or(|own| own == now)
    }

    /// Adds an event that it takes; where its result will be.
    pub(super) fn push(
        &mut self,
        event: &SingleEvent<'_>,
        now: Timestamp,
    ) -> (Arc<Results>, usize) {
        let row = self.len();
        self.now = Some(now);
        let code = self.code(event.event_name);
        self.codes.push(code);
        match event.identifier {
            Identifier::Generated => self.identifiers.push(""),
            Identifier::Text(text) => self.identifiers.push(text),
            Identifier::Number(number) => {
                self.identifiers.push_written(format_args!("{number:032x}"))
            }
        }
        self.customers.push(event.customer);
        // The one time that means "when received" is too old to be taken, and so is the next.
        let earliest = EventColumns::RECEIPT_TIME.saturating_add(1);
        let nanos =
            event.time.map_or(EventColumns::RECEIPT_TIME, |time| time.nanos().max(earliest));
        self.times.push(nanos);
        match event.value {
            Value::Absent => self.values.push(""),
            Value::Text(text) => self.values.push(text),
            Value::Decimal(value) => {
                let sign = if value.trillionths() < 0 { "-" } else { "" };
                let size = value.trillionths().unsigned_abs();
                let (whole, rest) = (size / ONE, size % ONE);
                self.values.push_written(format_args!("{sign}{whole}.{rest:012}"));
            }
        }
        (Arc::clone(&self.results), row)
    }

    fn code(&mut self, name: &str) -> u16 {
        if let Some(code) = self.codes_by_name.get(name) {
            return *code;
        }
        // There are at most as many as are remembered, and one for each event.
        let code = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.names.push(name.to_owned());
        self.codes_by_name.insert(name.to_owned(), code);
        code
    }

    /// The event names, for [`Gathering::columns`].
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// The events for the kernel.
    pub(super) fn columns<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> Result<EventColumns<'a>, ColumnError> {
        EventColumns::of(
            EventNames::Coded { names, codes: &self.codes },
            Identifiers::Texts(self.identifiers.as_strings()),
            CustomerIds::Texts(self.customers.as_strings()),
            Some(&self.times),
            Values::Text(self.values.as_strings()),
        )
    }

    pub(super) fn results(&self) -> &Results {
        &self.results
    }

    /// Removes all events and keeps the memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.now = None;
        self.codes.clear();
        self.identifiers.clear();
        self.customers.clear();
        self.times.clear();
        self.values.clear();
        if self.names.len() > NAMES_MAX {
            self.names.clear();
            self.codes_by_name.clear();
        }
        self.results = Arc::default();
    }
}
