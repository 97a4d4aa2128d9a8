//! Some rows of a file as columns of events, and rows that are none.

use super::FilePosition;
use crate::columns::StringColumn;
use crate::mapping::{Place, Places};
use crate::{
    ColumnError, CustomerIds, DimensionColumn, EventView, Identifiers, Mapping, RefusedEvent,
    Values,
};
use counterfoil_core::{Code, EventTime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowPlace {
    /// The line on which it begins, from 1.
    Line(u64),
    /// The row of a file without lines, from 1.
    Row(u64),
}

impl RowPlace {
    /// The number of the line or row.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Line(number) | Self::Row(number) => number,
        }
    }
}

/// `line 7`, `row 7`.
impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RefusedRow {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// Where the row stands.
    pub place: RowPlace,
    /// The column that is at fault, where it is one.
    pub column: Option<String>,
    /// `parameter_invalid`, `parameter_missing` for a JSON line without a key, or the code of rule
    /// 12.2 with which the meter refused it.
    pub code: Code,
    /// What is wrong, and the limit where there is one.
    pub reason: String,
}

/// `usage.csv, line 7, column tokens: what is wrong`.
impl fmt::Display for RefusedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.file.display(), self.place)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The headers of the columns that events are read from, by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    event_name: Option<String>,
    customer: Option<String>,
    timestamp: Option<String>,
    value: Option<String>,
}

impl Headers {
    pub(super) fn of(places: &Places, headers: &[&str]) -> Self {
        let of = |place: &Place| match place {
            Place::Column(number) => headers.get(*number).map(|&header| header.to_owned()),
            Place::Absent | Place::Constant(_) | Place::Row => None,
        };
        Self {
            event_name: of(&places.event_name),
            customer: of(&places.customer),
            timestamp: of(&places.timestamp),
            value: of(&places.value),
        }
    }

    /// The column of the field that a meter refuses with a code.
    fn of_code(&self, code: Code) -> Option<&String> {
        match code {
            Code::NoMeter | Code::ArchivedMeter => self.event_name.as_ref(),
            Code::MeterEventNoCustomerDefined | Code::MeterEventCustomerNotFound => {
                self.customer.as_ref()
            }
            Code::TimestampTooFarInPast | Code::TimestampInFuture => self.timestamp.as_ref(),
            Code::MeterEventInvalidValue | Code::MeterEventValueTooManyDigits => {
                self.value.as_ref()
            }
            _ => None,
        }
    }
}

/// Where the rows of a batch stand.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    Lines(Vec<u64>),
    /// One behind the other, so many rows after the first.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "Parquet alone has rows"))]
    After(u64),
}

#[derive(Debug, Clone)]
pub(super) enum Events {
    Rows(Rows),
    #[cfg(feature = "parquet")]
    Arrow(crate::ArrowEvents),
}

/// Some rows of a file in their order, as columns of events.
#[derive(Debug, Clone)]
pub struct FileBatch {
    pub(super) file: Arc<Path>,
    pub(super) events: Events,
    pub(super) standing: Standing,
    pub(super) headers: Arc<Headers>,
    /// The rows among these that are no events, in the order of the file.
    pub refused: Vec<RefusedRow>,
    /// Bytes of the file read so far, of [`UsageFile::total_bytes`](super::UsageFile::total_bytes).
    pub bytes_read: u64,
    /// Where to go on once this batch was taken.
    pub end: FilePosition,
}

impl FileBatch {
    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.events {
            Events::Rows(rows) => rows.len(),
            #[cfg(feature = "parquet")]
            Events::Arrow(events) => events.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns, borrowed.
    ///
    /// # Errors
    /// None but for what Arrow promises and does not hold: see `ArrowEvents::view`.
    pub fn view(&self) -> Result<EventView<'_>, ColumnError> {
        match &self.events {
            Events::Rows(rows) => Ok(rows.view()),
            #[cfg(feature = "parquet")]
            Events::Arrow(events) => events.view(),
        }
    }

    /// Where an event stands in the file, by its index in the batch.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<RowPlace> {
        if index >= self.len() {
            return None;
        }
        match &self.standing {
            Standing::Lines(lines) => lines.get(index).copied().map(RowPlace::Line),
            Standing::After(before) => {
                let number = before.checked_add(u64::try_from(index).ok()?)?.checked_add(1)?;
                Some(RowPlace::Row(number))
            }
        }
    }

    /// An event of this batch that a meter refused, as a row of the file.
    #[must_use]
    pub fn refused_event(&self, event: &RefusedEvent) -> Option<RefusedRow> {
        self.refuse(event.index, event.code(), event.cause.to_string())
    }

    /// The same for who knows the code and the reason.
    #[must_use]
    pub fn refuse(&self, index: usize, code: Code, reason: String) -> Option<RefusedRow> {
        let column = self.headers.of_code(code).cloned();
        let file = self.file.to_path_buf();
        Some(RefusedRow { file, place: self.place(index)?, column, code, reason })
    }
}

/// The fields of one row.
pub(super) struct Fields<'a> {
    pub(super) event_name: &'a str,
    pub(super) identifier: Given<'a>,
    pub(super) customer: &'a str,
    pub(super) time: Option<EventTime>,
    pub(super) value: &'a str,
}

pub(super) enum Given<'a> {
    Text(&'a str),
    Number(u128),
}

/// Rows of text.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    names: Vec<String>,
    codes: Vec<u16>,
    texts: StringColumn,
    /// In place of texts, where identifiers are made from rows.
    numbers: Option<Vec<u128>>,
    /// One row, where the customer is a constant.
    customers: StringColumn,
    /// The place of each row in a list of its own.
    places: Vec<u32>,
    /// Zeros, where the customer is a constant.
    constant: Option<Vec<u32>>,
    times: Option<Vec<i64>>,
    values: Option<StringColumn>,
    dimensions: Vec<(String, StringColumn)>,
}

impl Rows {
    pub(super) fn new(mapping: &Mapping, places: &Places) -> Self {
        let mut rows = Self::default();
        if let Place::Constant(id) = &places.customer {
            rows.customers.push(id);
            rows.constant = Some(Vec::new());
        }
        rows.numbers = (places.identifier == Place::Row).then(Vec::new);
        rows.times = (places.timestamp != Place::Absent).then(Vec::new);
        rows.values = (places.value != Place::Absent).then(StringColumn::default);
        let dimensions = mapping.dimensions.iter();
        rows.dimensions =
            dimensions.map(|(name, _)| (name.clone(), StringColumn::default())).collect();
        rows
    }

    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// Adds a row. A batch has fewer rows than 16 bits count, and rows are short, so that ends
    /// of 32 bits say where they end.
    pub(super) fn push<'d>(&mut self, row: &Fields<'_>, dimensions: impl Iterator<Item = &'d str>) {
        let code = self.code(row.event_name);
        self.places.push(u32::try_from(self.codes.len()).unwrap_or(u32::MAX));
        self.codes.push(code);
        match (&row.identifier, &mut self.numbers) {
            (Given::Number(number), Some(numbers)) => numbers.push(*number),
            (Given::Text(text), _) => self.texts.push(text),
            (Given::Number(number), None) => self.texts.push(&format!("{number:032x}")),
        }
        match &mut self.constant {
            Some(codes) => codes.push(0),
            None => self.customers.push(row.customer),
        }
        if let Some(times) = &mut self.times {
            let earliest = crate::EventColumns::RECEIPT_TIME.saturating_add(1);
            let receipt = crate::EventColumns::RECEIPT_TIME;
            times.push(row.time.map_or(receipt, |time| time.nanos().max(earliest)));
        }
        if let Some(values) = &mut self.values {
            values.push(row.value);
        }
        for ((_, column), value) in self.dimensions.iter_mut().zip(dimensions) {
            column.push(value);
        }
    }

    /// The place of a name among those of the batch: mostly that of the row before.
    fn code(&mut self, name: &str) -> u16 {
        let last = self.codes.last().copied();
        let of = |code: u16| self.names.get(usize::from(code)).map(String::as_str);
        if let Some(code) = last.filter(|&code| of(code) == Some(name)) {
            return code;
        }
        let place = self.names.iter().position(|own| own == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len().saturating_sub(1)
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn view(&self) -> EventView<'_> {
        EventView {
            names: self.names.iter().map(String::as_str).collect(),
            codes: Some(&self.codes),
            identifiers: match &self.numbers {
                Some(numbers) => Identifiers::Numbers(numbers),
                None => Identifiers::Texts(self.texts.as_strings()),
            },
            customers: match &self.constant {
                Some(codes) => CustomerIds::Coded { ids: self.customers.as_strings(), codes },
                None => CustomerIds::Texts(self.customers.as_strings()),
            },
            times: self.times.as_deref(),
            values: match &self.values {
                Some(values) => Values::Text(values.as_strings()),
                None => Values::Absent,
            },
            dimensions: self
                .dimensions
                .iter()
                .map(|(name, column)| DimensionColumn {
                    name,
                    values: column.as_strings(),
                    codes: &self.places,
                })
                .collect(),
        }
    }
}
