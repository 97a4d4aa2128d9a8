//! Single events as columns: what the kernel judges, filled row by row.
//!
//! Columns are as narrow as their rows allow: identifiers are numbers until the first text, values
//! millionths until the first that is none.

use super::gather::{Identifier, SingleEvent, Value};
use crate::columns::StringColumn;
use crate::dimensions::RowDimensions;
use crate::kernel::events::WIDE;
use crate::value::{Amount, parse_value};
use crate::{ColumnError, CustomerIds, EventColumns, EventNames, Identifiers, Values};
use counterfoil_core::Decimal12;
use std::collections::BTreeMap;

/// Events that are gathered together at most.
const EVENTS_MAX: usize = 4_096;
/// Bytes of text that are gathered together, and one event more.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Events of several shards that are judged together at most.
const TOGETHER_MAX: usize = 16_384;
/// Event names, and names of dimensions, that are remembered from one block to the next.
const NAMES_MAX: usize = 1_024;
const DIMENSION_NAMES_MAX: usize = 64;
/// A unit in trillionths.
const ONE: u128 = 1_000_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Rows {
    names: Vec<String>,
    codes_by_name: BTreeMap<String, u16>,
    codes: Vec<u16>,
    identifiers: IdentifierColumn,
    customers: StringColumn,
    times: Vec<i64>,
    values: ValueColumn,
    dimensions: RowDimensions,
    /// The codes here of the names of other rows.
    translated: Vec<u16>,
}

impl Rows {
    pub(super) const fn len(&self) -> usize {
        self.times.len()
    }

    fn text_bytes(&self) -> usize {
        let identifiers = self.identifiers.texts.text.len();
        let text = identifiers.saturating_add(self.customers.text.len());
        let text = text.saturating_add(self.values.texts.text.len());
        text.saturating_add(self.dimensions.text_bytes())
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= EVENTS_MAX || self.text_bytes() >= TEXT_BYTES_MAX
    }

    /// Whether there are columns for the dimensions of an event.
    pub(super) fn takes(&self, event: &SingleEvent<'_>) -> bool {
        let names = self.dimensions.names().len();
        event.dimensions.is_empty()
            || names.saturating_add(event.dimensions.len()) <= DIMENSION_NAMES_MAX
            || self.len() == 0
    }

    /// Whether other rows may be judged together with these.
    pub(super) fn has_room_for(&self, other: &Self) -> bool {
        let names = self.dimensions.names().len().saturating_add(other.dimensions.names().len());
        let all = self.len().saturating_add(other.len());
        let text = self.text_bytes().saturating_add(other.text_bytes());
        self.len() == 0
            || all <= TOGETHER_MAX
                && names <= DIMENSION_NAMES_MAX
                && text <= TEXT_BYTES_MAX.saturating_mul(2)
    }

    pub(super) fn push(&mut self, event: &SingleEvent<'_>) {
        let rows = self.len();
        let code = self.code(event.event_name);
        self.codes.push(code);
        self.identifiers.push(event.identifier);
        self.customers.push(event.customer);
        // The one time that means "when received" is too old to be taken, and so is the next.
        let earliest = EventColumns::RECEIPT_TIME.saturating_add(1);
        let nanos =
            event.time.map_or(EventColumns::RECEIPT_TIME, |time| time.nanos().max(earliest));
        self.times.push(nanos);
        self.values.push(event.value);
        self.dimensions.push_named(rows, event.dimensions);
    }

    fn code(&mut self, name: &str) -> u16 {
        // Where there are few of them, comparing is quicker than any search.
        let near = self.names.iter().take(16).position(|own| own == name);
        let known = near.and_then(|place| u16::try_from(place).ok());
        if let Some(code) = known.or_else(|| self.codes_by_name.get(name).copied()) {
            return code;
        }
        // There are at most as many as are remembered, and one for each event.
        let code = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.names.push(name.to_owned());
        self.codes_by_name.insert(name.to_owned(), code);
        code
    }

    /// Adds all rows of others.
    pub(super) fn append(&mut self, other: &Self) {
        let rows = self.len();
        let mut translated = std::mem::take(&mut self.translated);
        translated.clear();
        translated.extend(other.names.iter().map(|name| self.code(name)));
        let code = |&code: &u16| translated.get(usize::from(code)).copied().unwrap_or_default();
        self.codes.extend(other.codes.iter().map(code));
        self.translated = translated;
        self.identifiers.append(&other.identifiers);
        self.customers.append(&other.customers);
        self.times.extend_from_slice(&other.times);
        self.values.append(&other.values);
        self.dimensions.append(rows, &other.dimensions, other.len());
    }

    /// The event names, for [`Rows::columns`].
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// The events for the kernel.
    pub(super) fn columns<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> Result<EventColumns<'a>, ColumnError> {
        let columns = EventColumns::of(
            EventNames::Coded { names, codes: &self.codes },
            self.identifiers.columns(),
            CustomerIds::Texts(self.customers.as_strings()),
            Some(&self.times),
            self.values.columns(),
        );
        columns.map(|columns| columns.with_row_dimensions(&self.dimensions))
    }

    /// Removes all events and keeps the memory for the next ones.
    pub(super) fn clear(&mut self) {
        self.codes.clear();
        self.identifiers.clear();
        self.customers.clear();
        self.times.clear();
        self.values.clear();
        if self.names.len() > NAMES_MAX {
            self.names.clear();
            self.codes_by_name.clear();
        }
        if self.dimensions.names().len() > DIMENSION_NAMES_MAX / 2 {
            self.dimensions = RowDimensions::default();
        }
        self.dimensions.clear();
    }
}

/// Identifiers: numbers, until there is one that is none.
#[derive(Debug, Default)]
struct IdentifierColumn {
    textual: bool,
    numbers: Vec<u128>,
    texts: StringColumn,
}

impl IdentifierColumn {
    #[inline]
    fn push(&mut self, identifier: Identifier<'_>) {
        match identifier {
            Identifier::Number(number) if !self.textual => return self.numbers.push(number),
            _ => self.become_textual(),
        }
        match identifier {
            Identifier::Generated => self.texts.push(""),
            Identifier::Text(text) => self.texts.push(text),
            Identifier::Number(number) => self.texts.push_written(format_args!("{number:032x}")),
        }
    }

    fn become_textual(&mut self) {
        self.textual = true;
        for number in self.numbers.drain(..) {
            self.texts.push_written(format_args!("{number:032x}"));
        }
    }

    fn append(&mut self, other: &Self) {
        if !self.textual && !other.textual {
            return self.numbers.extend_from_slice(&other.numbers);
        }
        self.become_textual();
        for &number in &other.numbers {
            self.texts.push_written(format_args!("{number:032x}"));
        }
        self.texts.append(&other.texts);
    }

    const fn columns(&self) -> Identifiers<'_> {
        match self.textual {
            true => Identifiers::Texts(self.texts.as_strings()),
            false => Identifiers::Numbers(self.numbers.as_slice()),
        }
    }

    fn clear(&mut self) {
        self.textual = false;
        self.numbers.clear();
        self.texts.clear();
    }
}

/// Values: millionths, or else decimals, or, where there is one that is absent or malformed, texts.
#[derive(Debug, Default)]
struct ValueColumn {
    width: Width,
    units: Vec<i64>,
    decimals: Vec<Decimal12>,
    texts: StringColumn,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    #[default]
    Units,
    Decimals,
    Texts,
}

impl ValueColumn {
    #[inline]
    fn push(&mut self, value: Value<'_>) {
        let decimal = match value {
            Value::Absent => None,
            Value::Decimal(value) => Some(value),
            // What the kernel would read in it.
            Value::Text(text) => parse_value(text).ok(),
        };
        let Some(decimal) = decimal else {
            self.widen(Width::Texts);
            return self.texts.push(if let Value::Text(text) = value { text } else { "" });
        };
        self.push_decimal(decimal);
    }

    #[inline]
    fn push_decimal(&mut self, value: Decimal12) {
        let Amount { units, .. } = Amount::of(value);
        if units == WIDE {
            self.widen(Width::Decimals);
        }
        match self.width {
            Width::Units => self.units.push(units),
            Width::Decimals => self.decimals.push(value),
            Width::Texts => push_text(&mut self.texts, value),
        }
    }

    fn widen(&mut self, width: Width) {
        if self.width >= width {
            return;
        }
        self.width = width;
        let Self { units, decimals, texts, .. } = self;
        let narrow = units.drain(..).map(|units| Amount { units, wide: 0 }.trillionths());
        decimals.extend(narrow.map(Decimal12::from_trillionths));
        if width == Width::Texts {
            decimals.drain(..).for_each(|value| push_text(texts, value));
        }
    }

    fn append(&mut self, other: &Self) {
        self.widen(other.width);
        if self.width == Width::Units {
            return self.units.extend_from_slice(&other.units);
        }
        for &units in &other.units {
            let value = Amount { units, wide: 0 }.trillionths();
            self.push_decimal(Decimal12::from_trillionths(value));
        }
        other.decimals.iter().for_each(|&value| self.push_decimal(value));
        self.texts.append(&other.texts);
    }

    const fn columns(&self) -> Values<'_> {
        match self.width {
            Width::Units => Values::Units { units: self.units.as_slice(), digits: 6 },
            Width::Decimals => Values::Decimals(self.decimals.as_slice()),
            Width::Texts => Values::Text(self.texts.as_strings()),
        }
    }

    fn clear(&mut self) {
        self.width = Width::Units;
        self.units.clear();
        self.decimals.clear();
        self.texts.clear();
    }
}

/// Appends a value as the text that it would have been given as.
fn push_text(texts: &mut StringColumn, value: Decimal12) {
    let sign = if value.trillionths() < 0 { "-" } else { "" };
    let size = value.trillionths().unsigned_abs();
    let (whole, rest) = (size / ONE, size % ONE);
    texts.push_written(format_args!("{sign}{whole}.{rest:012}"));
}
