//! Events as they come in: rows, and columns that are only borrowed.

use crate::MeterConfig;
use crate::dimensions::{DimensionColumn, Dimensions, RowDimensions};
use crate::kernel::events::UNIT;
use crate::kernel::identity::{Customer, Identifier, number};
use counterfoil_core::{Decimal12, EventTime};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One meter event as a row (rule 12.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterEvent {
    /// The name that finds the meter.
    pub event_name: String,
    /// What makes it unique within the event name; absent or empty: one is generated, and the
    /// event is never taken for a duplicate.
    #[serde(default)]
    pub identifier: Option<String>,
    /// When the usage happened; absent: when it is received.
    #[serde(default)]
    pub timestamp: Option<EventTime>,
    /// The customer and the value, under the keys that the meter's configuration names.
    #[serde(default)]
    pub payload: BTreeMap<String, String>,
}

impl MeterEvent {
    /// How many dimensions it names: keys of the payload besides those of customer and value.
    pub(crate) fn dimension_count(&self, config: &MeterConfig) -> usize {
        let other = |key: &&String| {
            **key != config.customer_payload_key && **key != config.value_payload_key
        };
        self.payload.keys().filter(other).count()
    }

    /// What the kernel judges, found in the payload under the meter's keys.
    pub(crate) fn row(&self, config: &MeterConfig) -> Row<'_> {
        let field = |key: &str| self.payload.get(key).map(String::as_str);
        let identifier = self.identifier.as_deref().filter(|text| !text.is_empty());
        let customer = field(&config.customer_payload_key).filter(|text| !text.is_empty());
        Row {
            identifier: identifier.map(Identifier::Text),
            customer: customer.map(Customer::of),
            time: self.timestamp,
            value: field(&config.value_payload_key).map_or(Value::Absent, Value::Text),
        }
    }
}

/// One event as the kernel judges it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// `None`: one is generated.
    pub(crate) identifier: Option<Identifier<'a>>,
    /// `None` where none was given.
    pub(crate) customer: Option<Customer<'a>>,
    /// `None`: when it is received.
    pub(crate) time: Option<EventTime>,
    pub(crate) value: Value<'a>,
}

/// A value as it was given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Value<'a> {
    #[default]
    Absent,
    Text(&'a str),
    Decimal(Decimal12),
    /// So many units, and a unit in trillionths.
    Units(i64, i128),
}

/// Columns that do not fit one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// A code that stands for nothing.
    #[error("row {row} of column {column} has code {code}, and there are {names} names")]
    Code {
        /// The column.
        column: &'static str,
        /// The row.
        row: usize,
        /// Its code.
        code: u32,
        /// How many names there are.
        names: usize,
    },
    /// A unit that values are not kept in.
    #[error("values have at most 12 fractional digits, not {digits}")]
    Digits {
        /// The digits that were given.
        digits: u8,
    },
    /// Two columns of one batch differ in length.
    #[error("column {column} has {len} rows, column customers has {customers}")]
    Length {
        /// The column.
        column: &'static str,
        /// Its rows.
        len: usize,
        /// The rows of the customer column.
        customers: usize,
    },
    /// The ends of a string column do not ascend, split a character, or do not end with the text.
    #[error("row {row} of a string column ends at byte {end} of {bytes}, which is no place to end")]
    StringEnd {
        /// The row.
        row: usize,
        /// Where it is said to end.
        end: u32,
        /// Bytes of the column's text.
        bytes: usize,
    },
    /// More rows than one call takes.
    #[error("a batch takes at most {} events", EventColumns::EVENTS_MAX)]
    TooManyEvents,
    /// A string column has more text than its 32-bit ends can say.
    #[error("a string column holds at most {} bytes", u32::MAX)]
    TooLong,
    /// A row of another event name than the batch's.
    #[error("the batch takes events named {expected:?}, this one is named {got:?}")]
    EventName {
        /// The batch's name.
        expected: String,
        /// The row's name.
        got: String,
    },
}

/// A borrowed column of strings: one text, and where each row ends in it (in bytes). Row 0 begins
/// at 0, each further one where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strings<'a> {
    text: &'a str,
    ends: &'a [u32],
}

impl<'a> Strings<'a> {
    /// Checks and takes a column.
    ///
    /// # Errors
    /// [`ColumnError::StringEnd`] where the ends do not ascend, split a character, or leave text
    /// over.
    pub fn new(text: &'a str, ends: &'a [u32]) -> Result<Self, ColumnError> {
        let bytes = text.len();
        let mut start = 0;
        for (row, &end) in ends.iter().enumerate() {
            let refuse = ColumnError::StringEnd { row, end, bytes };
            let Ok(at) = usize::try_from(end) else { return Err(refuse) };
            if at < start || !text.is_char_boundary(at) {
                return Err(refuse);
            }
            start = at;
        }
        if start != bytes {
            let end = ends.last().copied().unwrap_or(0);
            return Err(ColumnError::StringEnd { row: ends.len().saturating_sub(1), end, bytes });
        }
        Ok(Self { text, ends })
    }

    /// How many rows it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all rows.
    #[cfg(feature = "store")]
    pub(crate) const fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether it has no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        let offset = |end: u32| usize::try_from(end).ok();
        let start = match row.checked_sub(1) {
            Some(before) => offset(*self.ends.get(before)?)?,
            None => 0,
        };
        self.text.get(start..offset(*self.ends.get(row)?)?)
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let text = self.text;
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            // A checked column has every such slice.
            let row = text.get(start..end).unwrap_or_default();
            start = end;
            row
        })
    }
}

/// A column of strings that is being built.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub(crate) struct StringColumn {
    pub(crate) text: String,
    pub(crate) ends: Vec<u32>,
}

impl StringColumn {
    /// Whether so many more bytes still fit 32-bit ends.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.text.len().checked_add(bytes).is_some_and(|end| u32::try_from(end).is_ok())
    }

    /// Appends a row that [`Self::has_room_for`] has been asked about.
    pub(crate) fn push(&mut self, row: &str) {
        self.text.push_str(row);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// Appends a row that is written where it will stand.
    pub(crate) fn push_written(&mut self, row: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(row);
        self.push("");
    }

    /// Appends all rows of another column, which [`Self::has_room_for`] has been asked about.
    #[cfg(feature = "store")]
    pub(crate) fn append(&mut self, other: &Self) {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(&other.text);
        self.ends.extend(other.ends.iter().map(|end| end.saturating_add(start)));
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// The column of bytes that may be anything, borrowed.
    pub(crate) fn checked(&self) -> Result<Strings<'_>, ColumnError> {
        Strings::new(&self.text, &self.ends)
    }

    /// The column, borrowed; its ends are right by construction.
    pub(crate) const fn as_strings(&self) -> Strings<'_> {
        Strings { text: self.text.as_str(), ends: self.ends.as_slice() }
    }
}

/// The event names of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventNames<'a> {
    /// One name for all rows.
    One(&'a str),
    /// For each row the place of its name in a list.
    Coded {
        /// The names.
        names: &'a [&'a str],
        /// The place of each row's name.
        codes: &'a [u16],
    },
}

/// The identifiers of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identifiers<'a> {
    /// None is given: each is generated.
    Generated,
    /// As text; an empty row has one generated.
    Texts(Strings<'a>),
    /// As numbers of 128 bits. A number is the identifier whose text is its 32 lower-case
    /// hexadecimal digits.
    Numbers(&'a [u128]),
}

/// The customers of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CustomerIds<'a> {
    /// The id of each row. An empty row names no customer and is refused at admission.
    Texts(Strings<'a>),
    /// For each row the place of its id in a list.
    Coded {
        /// The ids.
        ids: Strings<'a>,
        /// The place of each row's id.
        codes: &'a [u32],
    },
    /// As numbers. A number is the customer whose id is its 16 lower-case hexadecimal digits.
    Numbers(&'a [u64]),
}

impl CustomerIds<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Coded { codes, .. } => codes.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }
}

/// The values of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Values<'a> {
    /// No value: for meters that count.
    Absent,
    /// As text, in the grammar `-?\d{1,15}(\.\d{1,12})?` (point 59).
    Text(Strings<'a>),
    /// As numbers, in the range of that grammar.
    Decimals(&'a [Decimal12]),
    /// As whole numbers of a unit.
    Units {
        /// How many units.
        units: &'a [i64],
        /// Fractional digits of the unit: 6 for millionths, at most 12.
        digits: u8,
    },
}

/// Events as borrowed columns of equal length: what the kernel takes. Nothing is copied or
/// allocated to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventColumns<'a> {
    names: EventNames<'a>,
    identifiers: Identifiers<'a>,
    customers: CustomerIds<'a>,
    times: Option<&'a [i64]>,
    values: Values<'a>,
    /// A unit of [`Values::Units`] in trillionths.
    unit: i128,
    dimensions: Dimensions<'a>,
}

impl<'a> EventColumns<'a> {
    /// In a column of times: the row happened when it is received.
    pub const RECEIPT_TIME: i64 = i64::MIN;
    /// Events that one call takes; more are given in several.
    pub const EVENTS_MAX: usize = 1 << 20;

    /// Checks that the columns of text of one event name fit one another.
    ///
    /// `identifiers`: an empty row, or no column, has one generated. `customers`: an empty row
    /// names none and is refused at admission. `times`: nanoseconds since 1970, or
    /// [`Self::RECEIPT_TIME`]; no column: all of them.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn new(
        event_name: &'a str,
        identifiers: Option<Strings<'a>>,
        customers: Strings<'a>,
        times: Option<&'a [i64]>,
        values: Values<'a>,
    ) -> Result<Self, ColumnError> {
        let identifiers = identifiers.map_or(Identifiers::Generated, Identifiers::Texts);
        let customers = CustomerIds::Texts(customers);
        Self::of(EventNames::One(event_name), identifiers, customers, times, values)
    }

    /// Checks that columns fit one another. `times` as for [`Self::new`].
    ///
    /// # Errors
    /// [`ColumnError::Length`] where one is longer or shorter than `customers`,
    /// [`ColumnError::TooManyEvents`] beyond [`Self::EVENTS_MAX`], [`ColumnError::Code`] for a code
    /// without a name and [`ColumnError::Digits`] for a unit finer than values are kept in.
    pub fn of(
        names: EventNames<'a>,
        identifiers: Identifiers<'a>,
        customers: CustomerIds<'a>,
        times: Option<&'a [i64]>,
        values: Values<'a>,
    ) -> Result<Self, ColumnError> {
        let dimensions = Dimensions::Columns(&[]);
        let columns = Self { names, identifiers, customers, times, values, unit: 1, dimensions };
        columns.check_lengths()?;
        if let EventNames::Coded { names, codes } = names {
            check_codes("event_names", codes.iter().map(|&code| code.into()), names.len())?;
        }
        if let CustomerIds::Coded { ids, codes } = customers {
            check_codes("customers", codes.iter().copied(), ids.len())?;
        }
        let Values::Units { digits, .. } = values else { return Ok(columns) };
        let finer = Decimal12::DIGITS.checked_sub(digits.into());
        let unit = finer.and_then(|finer| u32::try_from(finer).ok());
        let unit = unit.and_then(|finer| 10_i128.checked_pow(finer));
        Ok(Self { unit: unit.ok_or(ColumnError::Digits { digits })?, ..columns })
    }

    /// The same events with their dimensions. A column that no meter of theirs keeps is passed
    /// over; of columns of one name the first is the one.
    ///
    /// # Errors
    /// [`ColumnError::Length`] where one is longer or shorter than `customers`, and
    /// [`ColumnError::Code`] for a code without a value.
    pub fn with_dimensions(
        self,
        dimensions: &'a [DimensionColumn<'a>],
    ) -> Result<Self, ColumnError> {
        let customers = self.len();
        for DimensionColumn { values, codes, .. } in dimensions {
            if codes.len() != customers {
                return Err(ColumnError::Length {
                    column: "dimensions",
                    len: codes.len(),
                    customers,
                });
            }
            check_codes("dimensions", codes.iter().copied(), values.len())?;
        }
        Ok(Self { dimensions: Dimensions::Columns(dimensions), ..self })
    }

    /// The same events with dimensions that were filled row by row.
    #[cfg(feature = "store")]
    pub(crate) const fn with_row_dimensions(self, dimensions: &'a RowDimensions) -> Self {
        Self { dimensions: Dimensions::Rows(dimensions), ..self }
    }

    pub(crate) const fn dimensions(&self) -> Dimensions<'a> {
        self.dimensions
    }

    fn check_lengths(&self) -> Result<(), ColumnError> {
        let lengths = [
            (
                "event_names",
                match self.names {
                    EventNames::One(_) => None,
                    EventNames::Coded { codes, .. } => Some(codes.len()),
                },
            ),
            (
                "identifiers",
                match self.identifiers {
                    Identifiers::Generated => None,
                    Identifiers::Texts(texts) => Some(texts.len()),
                    Identifiers::Numbers(numbers) => Some(numbers.len()),
                },
            ),
            ("times", self.times.map(<[i64]>::len)),
            (
                "values",
                match self.values {
                    Values::Absent => None,
                    Values::Text(column) => Some(column.len()),
                    Values::Decimals(column) => Some(column.len()),
                    Values::Units { units, .. } => Some(units.len()),
                },
            ),
        ];
        let customers = self.customers.len();
        for (column, len) in lengths {
            if let Some(len) = len.filter(|&len| len != customers) {
                return Err(ColumnError::Length { column, len, customers });
            }
        }
        if customers > Self::EVENTS_MAX {
            return Err(ColumnError::TooManyEvents);
        }
        Ok(())
    }

    /// The event names.
    #[must_use]
    pub const fn names(&self) -> EventNames<'a> {
        self.names
    }

    /// How many events there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.customers.len()
    }

    /// Whether there is no event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the event name of a row.
    #[inline(always)]
    pub(crate) fn name_of(&self, row: usize) -> usize {
        match self.names {
            EventNames::One(_) => 0,
            EventNames::Coded { codes, .. } => codes.get(row).map_or(0, |&code| code.into()),
        }
    }

    /// One event.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> Row<'a> {
        let time = self.times.and_then(|times| times.get(row).copied());
        Row {
            identifier: self.identifier_of(row),
            customer: self.customer_of(row),
            time: time.filter(|&time| time != Self::RECEIPT_TIME).map(EventTime::from_nanos),
            value: match self.values {
                Values::Absent => None,
                Values::Text(texts) => texts.get(row).map(Value::Text),
                Values::Decimals(values) => values.get(row).copied().map(Value::Decimal),
                Values::Units { units, .. } => {
                    units.get(row).map(|&units| Value::Units(units, self.unit))
                }
            }
            .unwrap_or_default(),
        }
    }

    #[inline(always)]
    pub(crate) fn identifier_of(&self, row: usize) -> Option<Identifier<'a>> {
        match self.identifiers {
            Identifiers::Generated => None,
            Identifiers::Texts(texts) => {
                texts.get(row).filter(|text| !text.is_empty()).map(Identifier::Text)
            }
            Identifiers::Numbers(numbers) => numbers.get(row).copied().map(Identifier::Number),
        }
    }

    /// The identifier of a row where it is a text that is no number.
    #[inline(always)]
    pub(crate) fn text_of(&self, row: usize) -> Option<&'a str> {
        match self.identifiers {
            Identifiers::Texts(texts) => texts.get(row).filter(|text| number(text).is_none()),
            Identifiers::Generated | Identifiers::Numbers(_) => None,
        }
    }

    /// Identifiers, times and millionths, where all rows have them as they are kept.
    pub(crate) fn plain(&self) -> Option<(&'a [u128], &'a [i64], &'a [i64])> {
        match (self.identifiers, self.times, self.values) {
            (Identifiers::Numbers(numbers), Some(times), Values::Units { units, .. }) => {
                (self.unit == UNIT).then_some((numbers, times, units))
            }
            _ => None,
        }
    }

    pub(crate) const fn customers(&self) -> CustomerIds<'a> {
        self.customers
    }

    #[inline(always)]
    pub(crate) fn customer_of(&self, row: usize) -> Option<Customer<'a>> {
        let text = match self.customers {
            CustomerIds::Texts(texts) => texts.get(row)?,
            CustomerIds::Coded { ids, codes } => {
                ids.get(usize::try_from(*codes.get(row)?).ok()?)?
            }
            CustomerIds::Numbers(numbers) => {
                return numbers.get(row).copied().map(Customer::Number);
            }
        };
        (!text.is_empty()).then(|| Customer::of(text))
    }

    /// Whether no identifier has to be generated.
    pub(crate) fn has_identifiers(&self) -> bool {
        match self.identifiers {
            Identifiers::Generated => false,
            Identifiers::Texts(texts) => texts.iter().all(|text| !text.is_empty()),
            Identifiers::Numbers(_) => true,
        }
    }

    /// Whether identifiers, and customers, are numbers.
    pub(crate) const fn numbers(&self) -> (bool, bool) {
        (
            matches!(self.identifiers, Identifiers::Numbers(_)),
            matches!(self.customers, CustomerIds::Numbers(_)),
        )
    }

    /// More bytes than the block of these events can have, whatever is taken of them by meters
    /// that keep so many dimensions at most.
    #[cfg(feature = "store")]
    pub(crate) fn block_bytes_max(&self, kept: usize) -> usize {
        // Meter, customer, time, value; an entry of the list of customers, and its end.
        let mut row = 2_usize.saturating_add(4 + 8 + 8 + 12);
        let mut texts = 0_usize;
        match self.identifiers {
            Identifiers::Numbers(_) => row = row.saturating_add(16),
            Identifiers::Generated => row = row.saturating_add(32),
            Identifiers::Texts(column) => {
                let generated = if self.has_identifiers() { 0 } else { 32 };
                row = row.saturating_add(4).saturating_add(generated);
                texts = texts.saturating_add(column.text.len());
            }
        }
        match self.customers {
            CustomerIds::Texts(ids) | CustomerIds::Coded { ids, .. } => {
                texts = texts.saturating_add(ids.text.len());
            }
            CustomerIds::Numbers(_) => {}
        }
        // Values that are no whole millionths stand in a column of their own.
        if !matches!(self.values, Values::Absent | Values::Units { digits: ..=6, .. }) {
            row = row.saturating_add(4 + 16);
        }
        // A bucket, the place of a value for each dimension, and the values, each of them once.
        if kept > 0 {
            row = row.saturating_add(8).saturating_add(kept.saturating_mul(8));
            texts = texts.saturating_add(self.dimensions.bytes());
        }
        self.len().saturating_mul(row).saturating_add(texts).saturating_add(1 << 16)
    }

    /// The identifier of a row, where it has one.
    #[must_use]
    pub fn identifier(&self, row: usize) -> Option<Cow<'a, str>> {
        Some(match self.identifier_of(row)? {
            Identifier::Text(text) => Cow::Borrowed(text),
            number => Cow::Owned(number.to_text()),
        })
    }
}

fn check_codes(
    column: &'static str,
    codes: impl Iterator<Item = u32>,
    names: usize,
) -> Result<(), ColumnError> {
    let known = u32::try_from(names).unwrap_or(u32::MAX);
    match codes.enumerate().find(|&(_, code)| code >= known) {
        Some((row, code)) => Err(ColumnError::Code { column, row, code, names }),
        None => Ok(()),
    }
}

/// Owned columns of one event name, filled row by row. Values stay text until the kernel judges
/// them, so that a malformed one is refused under its row's index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    event_name: String,
    identifiers: StringColumn,
    customers: StringColumn,
    times: Vec<i64>,
    values: StringColumn,
    dimensions: RowDimensions,
}

impl EventBatch {
    /// An empty batch for one event name.
    #[must_use]
    pub fn new(event_name: impl Into<String>) -> Self {
        Self {
            event_name: event_name.into(),
            identifiers: StringColumn::default(),
            customers: StringColumn::default(),
            times: Vec::new(),
            values: StringColumn::default(),
            dimensions: RowDimensions::default(),
        }
    }

    /// The same, for events with dimensions of these names.
    #[must_use]
    pub fn with_dimensions<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.dimensions = RowDimensions::new(names.into_iter().map(Into::into).collect());
        self
    }

    /// Appends an event as [`Self::push`] does, with a value for each dimension of the batch, in
    /// the order of their names; an empty one is none.
    ///
    /// # Errors
    /// As [`Self::push`]; the values may be too long too.
    pub fn push_with(
        &mut self,
        identifier: Option<&str>,
        customer: Option<&str>,
        time: Option<EventTime>,
        value: Option<&str>,
        dimensions: &[&str],
    ) -> Result<(), ColumnError> {
        if !self.dimensions.have_room_for(dimensions) {
            return Err(ColumnError::TooLong);
        }
        self.push(identifier, customer, time, value)?;
        self.dimensions.set_last(dimensions, 0);
        Ok(())
    }

    /// Appends an event. What is absent is judged by the kernel: an identifier is generated, the
    /// time is that of receipt, a customer is required, a value is required unless the meter
    /// counts.
    ///
    /// # Errors
    /// [`ColumnError::TooManyEvents`] beyond [`EventColumns::EVENTS_MAX`], and
    /// [`ColumnError::TooLong`] where a column would hold 4 GiB of text; nothing is appended.
    pub fn push(
        &mut self,
        identifier: Option<&str>,
        customer: Option<&str>,
        time: Option<EventTime>,
        value: Option<&str>,
    ) -> Result<(), ColumnError> {
        let identifier = identifier.unwrap_or_default();
        let customer = customer.unwrap_or_default();
        let value = value.unwrap_or_default();
        if self.len() >= EventColumns::EVENTS_MAX {
            return Err(ColumnError::TooManyEvents);
        }
        if !self.identifiers.has_room_for(identifier.len())
            || !self.customers.has_room_for(customer.len())
            || !self.values.has_room_for(value.len())
        {
            return Err(ColumnError::TooLong);
        }
        self.identifiers.push(identifier);
        self.customers.push(customer);
        // The one time that means "when received" is too old to be taken, and so is the next.
        let earliest = EventColumns::RECEIPT_TIME.saturating_add(1);
        let nanos = time.map_or(EventColumns::RECEIPT_TIME, |time| time.nanos().max(earliest));
        self.times.push(nanos);
        self.values.push(value);
        self.dimensions.push();
        Ok(())
    }

    /// Appends a row, its customer, value and dimensions found in the payload under the meter's
    /// keys.
    ///
    /// # Errors
    /// [`ColumnError::EventName`] for a row of another name, and those of [`Self::push`].
    pub fn push_row(&mut self, row: &MeterEvent, config: &MeterConfig) -> Result<(), ColumnError> {
        if row.event_name != self.event_name {
            let (expected, got) = (self.event_name.clone(), row.event_name.clone());
            return Err(ColumnError::EventName { expected, got });
        }
        let field = |key: &str| row.payload.get(key).map(String::as_str);
        let customer = field(&config.customer_payload_key);
        let value = field(&config.value_payload_key);
        if config.dimensions.is_empty() {
            return self.push(row.identifier.as_deref(), customer, row.timestamp, value);
        }
        self.dimensions.add_names(&config.dimensions, self.times.len());
        let own = |name: &String| field(name).unwrap_or_default();
        let dimensions: Vec<&str> = self.dimensions.names().iter().map(own).collect();
        let named = dimensions.iter().filter(|value| !value.is_empty()).count();
        if !self.dimensions.have_room_for(&dimensions) {
            return Err(ColumnError::TooLong);
        }
        let others = row.dimension_count(config).saturating_sub(named);
        self.push(row.identifier.as_deref(), customer, row.timestamp, value)?;
        self.dimensions.set_last(&dimensions, others);
        Ok(())
    }

    /// How many events it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether it holds no event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Removes all events and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.identifiers.clear();
        self.customers.clear();
        self.times.clear();
        self.values.clear();
        self.dimensions.clear();
    }

    /// The columns for the kernel.
    #[must_use]
    pub fn columns(&self) -> EventColumns<'_> {
        EventColumns {
            names: EventNames::One(&self.event_name),
            identifiers: Identifiers::Texts(self.identifiers.as_strings()),
            customers: CustomerIds::Texts(self.customers.as_strings()),
            times: Some(&self.times),
            values: Values::Text(self.values.as_strings()),
            unit: 1,
            dimensions: Dimensions::Rows(&self.dimensions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_that_do_not_fit_the_text_are_refused() {
        assert_eq!(Strings::new("", &[]).unwrap().len(), 0);
        let column = Strings::new("aéb", &[1, 1, 3, 4]).unwrap();
        assert_eq!(column.iter().collect::<Vec<_>>(), ["a", "", "é", "b"]);
        assert_eq!(column.get(4), None);
        for (text, ends) in [
            ("ab", &[1_u32][..]),
            ("ab", &[2, 1]),
            ("ab", &[1, 3]),
            ("é", &[1, 2]),
            ("a", &[]),
            ("", &[u32::MAX]),
        ] {
            assert!(Strings::new(text, ends).is_err(), "{text:?} {ends:?}");
        }
    }

    #[test]
    fn columns_of_unequal_length_are_refused() {
        let two = Strings::new("ab", &[1, 2]).unwrap();
        let one = Strings::new("a", &[1]).unwrap();
        let error = |identifiers, times, values| match EventColumns::new(
            "calls",
            identifiers,
            two,
            times,
            values,
        )
        .unwrap_err()
        {
            ColumnError::Length { column, len: 1, customers: 2 } => column,
            other => panic!("{other}"),
        };
        assert_eq!(error(Some(one), None, Values::Absent), "identifiers");
        assert_eq!(error(None, Some(&[0]), Values::Absent), "times");
        assert_eq!(error(None, None, Values::Text(one)), "values");
        assert_eq!(error(None, None, Values::Decimals(&[Decimal12::ONE])), "values");
        assert!(EventColumns::new("calls", Some(two), two, Some(&[0, 1]), Values::Absent).is_ok());
    }

    #[test]
    fn a_call_takes_so_many_events_and_no_more() {
        let ends = vec![0; EventColumns::EVENTS_MAX + 1];
        let columns = |rows: usize| {
            let customers = Strings::new("", &ends[..rows]).unwrap();
            EventColumns::new("calls", None, customers, None, Values::Absent).map(|c| c.len())
        };
        assert_eq!(columns(EventColumns::EVENTS_MAX), Ok(EventColumns::EVENTS_MAX));
        assert_eq!(columns(EventColumns::EVENTS_MAX + 1), Err(ColumnError::TooManyEvents));
        let mut batch = EventBatch::new("calls");
        for _ in 0..EventColumns::EVENTS_MAX {
            batch.push(None, None, None, None).unwrap();
        }
        assert_eq!(batch.push(None, None, None, None), Err(ColumnError::TooManyEvents));
        assert_eq!(batch.columns().len(), EventColumns::EVENTS_MAX);
    }

    #[test]
    fn a_batch_takes_rows_of_its_own_name_and_can_be_used_again() {
        let config = MeterConfig::new("calls", crate::Formula::Sum);
        let mut row = MeterEvent {
            event_name: "calls".into(),
            identifier: None,
            timestamp: None,
            payload: BTreeMap::from([("stripe_customer_id".into(), "cus_1".into())]),
        };
        let mut batch = EventBatch::new("calls");
        batch.push_row(&row, &config).unwrap();
        assert_eq!((batch.len(), batch.columns().identifier(0)), (1, None));
        row.event_name = "tokens".into();
        assert!(matches!(batch.push_row(&row, &config), Err(ColumnError::EventName { .. })));
        assert_eq!(batch.len(), 1);
        batch.clear();
        assert!(batch.is_empty() && batch.columns().is_empty());
    }

    proptest! {
        #[test]
        fn a_built_column_is_a_valid_one(rows in prop::collection::vec(".{0,3}", 0..8)) {
            let mut column = StringColumn::default();
            rows.iter().for_each(|row| column.push(row));
            let strings = Strings::new(&column.text, &column.ends).unwrap();
            prop_assert_eq!(strings.iter().collect::<Vec<_>>(), rows.clone());
            for (i, row) in rows.iter().enumerate() {
                prop_assert_eq!(strings.get(i), Some(row.as_str()));
            }
        }
    }
}
