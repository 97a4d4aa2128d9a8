//! What events carry besides customer, time and value: named dimensions.

use crate::columns::StringColumn;
use crate::{EventRefusal, MeterConfig, MeterEvent, Strings};
use counterfoil_core::limits;

/// A dimension of a batch: for each row the place of its value in a list. An empty value is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DimensionColumn<'a> {
    /// The name, as in [`MeterConfig::dimensions`](crate::MeterConfig::dimensions).
    pub name: &'a str,
    /// The values.
    pub values: Strings<'a>,
    /// The place of each row's value.
    pub codes: &'a [u32],
}

/// The dimensions of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dimensions<'a> {
    Columns(&'a [DimensionColumn<'a>]),
    Rows(&'a RowDimensions),
}

impl<'a> Dimensions<'a> {
    /// The place of the column of a name.
    fn place(self, name: &str) -> Option<usize> {
        match self {
            Self::Columns(columns) => columns.iter().position(|column| column.name == name),
            Self::Rows(rows) => rows.names.iter().position(|own| own == name),
        }
    }

    fn columns(self) -> usize {
        match self {
            Self::Columns(columns) => columns.len(),
            Self::Rows(rows) => rows.columns.len(),
        }
    }

    /// Bytes of all values.
    #[cfg(feature = "store")]
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Columns(columns) => columns.iter().map(|own| own.values.text_bytes()).sum(),
            Self::Rows(rows) => rows.columns.iter().map(|own| own.text.len()).sum(),
        }
    }

    fn get(self, place: usize, row: usize) -> Option<&'a str> {
        let value = match self {
            Self::Columns(columns) => {
                let column = columns.get(place)?;
                column.values.get(usize::try_from(*column.codes.get(row)?).ok()?)?
            }
            Self::Rows(rows) => rows.columns.get(place)?.as_strings().get(row)?,
        };
        Some(value).filter(|value| !value.is_empty())
    }

    /// How many dimensions a row names.
    fn count(self, row: usize) -> usize {
        let others = match self {
            Self::Rows(rows) => rows.others.get(row).map_or(0, |&others| others.into()),
            Self::Columns(_) => 0,
        };
        let named = (0..self.columns()).filter(|&place| self.get(place, row).is_some()).count();
        named.saturating_add(others)
    }
}

/// Dimensions that are filled row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RowDimensions {
    names: Vec<String>,
    columns: Vec<StringColumn>,
    /// How many dimensions each row names that have no column; empty where there are no columns.
    others: Vec<u16>,
}

impl RowDimensions {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let columns = vec![StringColumn::default(); names.len()];
        Self { names, columns, others: Vec::new() }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Adds the columns of names that have none; the rows before have no value there.
    pub(crate) fn add_names(&mut self, names: &[String], rows: usize) {
        for name in names {
            if !self.names.contains(name) {
                let mut column = StringColumn::default();
                (0..rows).for_each(|_| column.push(""));
                self.names.push(name.clone());
                self.columns.push(column);
                self.others.resize(rows, 0);
            }
        }
    }

    pub(crate) fn have_room_for(&self, values: &[&str]) -> bool {
        self.columns.iter().zip(values).all(|(column, value)| column.has_room_for(value.len()))
    }

    /// Appends a row without values.
    pub(crate) fn push(&mut self) {
        if !self.columns.is_empty() {
            self.columns.iter_mut().for_each(|column| column.push(""));
            self.others.push(0);
        }
    }

    /// Gives the last row its values, and the number of others that it names.
    pub(crate) fn set_last(&mut self, values: &[&str], others: usize) {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.ends.pop();
            column.push(value);
        }
        if let Some(last) = self.others.last_mut() {
            *last = u16::try_from(others).unwrap_or(u16::MAX);
        }
    }

    /// Appends a row after so many, with the values of these names.
    #[cfg(feature = "store")]
    pub(crate) fn push_named(&mut self, rows: usize, dimensions: &[(&str, &str)]) {
        if dimensions.is_empty() && self.columns.is_empty() {
            return;
        }
        // One more than a meter keeps, and the event is refused, whatever else it names.
        let names = dimensions.len().min(limits::METER_DIMENSIONS_MAX.saturating_add(1));
        let (named, others) = dimensions.split_at(names);
        for (name, _) in named {
            self.add_column(name, rows);
        }
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            let value = named.iter().find(|(own, _)| own == name);
            column.push(value.map_or("", |(_, value)| value));
        }
        self.others.push(u16::try_from(others.len()).unwrap_or(u16::MAX));
    }

    #[cfg(feature = "store")]
    fn add_column(&mut self, name: &str, rows: usize) {
        if !self.names.iter().any(|own| own == name) {
            self.add_names(&[name.to_owned()], rows);
        }
    }

    /// Appends so many rows of others after those that are here.
    #[cfg(feature = "store")]
    pub(crate) fn append(&mut self, rows: usize, other: &Self, more: usize) {
        other.names.iter().for_each(|name| self.add_column(name, rows));
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            match other.names.iter().position(|own| own == name) {
                Some(place) => other.columns.iter().skip(place).take(1).for_each(|own| {
                    column.append(own);
                }),
                None => (0..more).for_each(|_| column.push("")),
            }
        }
        if !self.columns.is_empty() {
            self.others.extend_from_slice(&other.others);
            self.others.resize(rows.saturating_add(more), 0);
        }
    }

    /// Bytes of all values.
    #[cfg(feature = "store")]
    pub(crate) fn text_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.text.len()).sum()
    }

    pub(crate) fn clear(&mut self) {
        self.columns.iter_mut().for_each(StringColumn::clear);
        self.others.clear();
    }
}

/// The values of the dimensions that a meter keeps, in its order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuple<'a> {
    values: [&'a str; limits::METER_DIMENSIONS_MAX],
    len: usize,
}

impl<'a> Tuple<'a> {
    const EMPTY: Self = Self { values: [""; limits::METER_DIMENSIONS_MAX], len: 0 };

    pub(crate) fn values(&self) -> &[&'a str] {
        self.values.get(..self.len).unwrap_or_default()
    }

    fn of(
        dimensions: usize,
        count: usize,
        get: impl Fn(usize) -> Option<&'a str>,
    ) -> Result<Self, EventRefusal> {
        if count > limits::METER_DIMENSIONS_MAX {
            return Err(EventRefusal::TooManyDimensions { count });
        }
        let mut tuple = Self { len: dimensions, ..Self::EMPTY };
        for (place, slot) in tuple.values.iter_mut().take(dimensions).enumerate() {
            let value = get(place).ok_or(EventRefusal::MissingDimension { place })?;
            if value.len() > limits::METER_DIMENSION_BYTES_MAX {
                return Err(EventRefusal::DimensionTooLong { bytes: value.len() });
            }
            *slot = value;
        }
        Ok(tuple)
    }

    /// What a meter keeps of an event.
    pub(crate) fn of_event(
        event: &'a MeterEvent,
        config: &MeterConfig,
    ) -> Result<Self, EventRefusal> {
        let get = |place: usize| {
            let value = event.payload.get(config.dimensions.get(place)?)?;
            Some(value.as_str()).filter(|value| !value.is_empty())
        };
        Self::of(config.dimensions.len(), event.dimension_count(config), get)
    }
}

/// Where a batch has what a meter keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finder {
    places: Vec<Option<usize>>,
}

impl Finder {
    pub(crate) fn new(config: &MeterConfig, dimensions: Dimensions<'_>) -> Self {
        let places = config.dimensions.iter().map(|name| dimensions.place(name));
        Self { places: places.collect() }
    }

    /// What the meter keeps of a row.
    pub(crate) fn find<'a>(
        &self,
        dimensions: Dimensions<'a>,
        row: usize,
    ) -> Result<Tuple<'a>, EventRefusal> {
        let get = |place: usize| dimensions.get(self.places.get(place).copied()??, row);
        Tuple::of(self.places.len(), dimensions.count(row), get)
    }
}
