//! Which column of a table holds which field of an event.

use crate::{ColumnError, CustomerIds, EventColumns, EventNames, Identifiers, Values};
use crate::{DimensionColumn, MeterConfig};
use counterfoil_core::EventTime;

/// Where one field of the events of a table comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Field {
    /// The column of a usual name, where there is one: `event_name`, `customer` or
    /// `stripe_customer_id`, `timestamp`, `value`, `identifier`.
    #[default]
    Usual,
    /// The column of this name.
    Column(String),
    /// The same in every row.
    Constant(String),
    /// The column of this name or, where there is none, this text in every row. A time or a value
    /// that would be a text which is none is an error, and so is any identifier: a misspelt name
    /// would otherwise refuse every row, or make all but one a duplicate.
    ColumnOrConstant(String),
    /// None: rows happen when they are received, have no value, and get identifiers. Rows without
    /// name or customer are none.
    Absent,
    /// For identifiers, in files: made from what stands in the row and the count of equal rows
    /// before it.
    Row,
}

/// What whole numbers in a column of times count, where the column itself does not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimeUnit {
    /// Seconds since 1970.
    #[default]
    Second,
    /// Milliseconds since 1970.
    Millisecond,
    /// Microseconds since 1970.
    Microsecond,
    /// Nanoseconds since 1970.
    Nanosecond,
}

impl TimeUnit {
    /// Nanoseconds of one.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        match self {
            Self::Second => 1_000_000_000,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
            Self::Nanosecond => 1,
        }
    }
}

/// Which columns of a table hold the fields of its events. By default those of the usual names;
/// any others are dimensions on request.
///
/// ```
/// use counterfoil_meter::{Field, Mapping, TimeUnit};
///
/// let mapping = Mapping {
///     event_name: Field::Constant("tokens".into()),
///     value: Field::Column("ContextTokens".into()),
///     time_unit: TimeUnit::Millisecond,
///     ..Mapping::default()
/// }
/// .dimension("model", "model_name");
/// # let _ = mapping;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// The name of the event.
    pub event_name: Field,
    /// The customer's id.
    pub customer: Field,
    /// The time. Text and Arrow's own timestamps say what they mean.
    pub timestamp: Field,
    /// The value, which the meter judges.
    pub value: Field,
    /// The identifier.
    pub identifier: Field,
    /// Dimensions: the name that meters know, and the column.
    pub dimensions: Vec<(String, String)>,
    /// What whole numbers in the column of times count.
    pub time_unit: TimeUnit,
}

impl Mapping {
    /// The same with a dimension from a column.
    #[must_use]
    pub fn dimension(mut self, name: impl Into<String>, column: impl Into<String>) -> Self {
        self.dimensions.push((name.into(), column.into()));
        self
    }

    /// The same with the dimensions that a meter keeps, each from the column of its name.
    #[must_use]
    pub fn dimensions_of(mut self, config: &MeterConfig) -> Self {
        for name in &config.dimensions {
            if !self.dimensions.iter().any(|(own, _)| own == name) {
                self.dimensions.push((name.clone(), name.clone()));
            }
        }
        self
    }
}

/// A mapping and a table that do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// A column that is not there.
    #[error("{field}: there is no column {column}")]
    NoColumn {
        /// The field of [`Mapping`].
        field: &'static str,
        /// The name of the column, or the usual ones.
        column: String,
    },
    /// A field that every event has and the mapping does not.
    #[error("{field}: every event has one, so it is a column or a constant")]
    Required {
        /// The field of [`Mapping`].
        field: &'static str,
    },
    /// Two columns have the name that was given.
    #[error("two columns are headed {column:?}")]
    Ambiguous {
        /// Their name.
        column: String,
    },
    /// A text that is neither a column nor a constant that the field could have.
    #[error("{field}: {text:?} is neither a column of the file nor a constant that fits")]
    Constant {
        /// The field of [`Mapping`].
        field: &'static str,
        /// The text that was given for it.
        text: String,
    },
    /// A column of a type that the field is not read from.
    #[error("{field}: column {column:?} is of type {found}; it is read from {takes}")]
    Type {
        /// The field of [`Mapping`].
        field: &'static str,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The types that are read.
        takes: &'static str,
    },
    /// Identifiers made from rows where there are no rows of a file.
    #[error("identifier: only the rows of a file can be told apart by what stands in them")]
    NotAFile,
    /// Columns that do not fit one another.
    #[error(transparent)]
    Columns(#[from] ColumnError),
}

/// Where a field was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Absent,
    Constant(String),
    /// The column of this number.
    Column(usize),
    Row,
}

/// Where all fields were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) event_name: Place,
    pub(crate) customer: Place,
    pub(crate) timestamp: Place,
    pub(crate) value: Place,
    pub(crate) identifier: Place,
    pub(crate) dimensions: Vec<usize>,
}

/// Whether a text can be the constant of a field.
type Fits<'a> = &'a dyn Fn(&str) -> bool;

impl Mapping {
    /// The time that a text says; RFC 3339 alone without the feature `files`.
    pub(crate) fn time(&self, text: &str) -> Option<EventTime> {
        #[cfg(feature = "files")]
        let time = crate::files::time_in(text, self.time_unit).ok();
        #[cfg(not(feature = "files"))]
        let time = EventTime::parse(text).ok();
        time
    }

    /// Finds the fields among the columns of a table.
    pub(crate) fn find(&self, columns: &[&str]) -> Result<Places, MappingError> {
        let finder = Finder { columns };
        let is_time = |text: &str| self.time(text).is_some();
        let is_value = |text: &str| crate::value::parse_value(text).is_ok();
        let required = |field, place| match place {
            Place::Absent | Place::Row => Err(MappingError::Required { field }),
            found => Ok(found),
        };
        let event_name = finder.find("event_name", &self.event_name, &["event_name"], &|_| true)?;
        let usual = ["customer", "stripe_customer_id"];
        let customer = finder.find("customer", &self.customer, &usual, &|_| true)?;
        let mut dimensions = Vec::new();
        for (_, column) in &self.dimensions {
            dimensions.push(finder.column("dimensions", column)?);
        }
        Ok(Places {
            event_name: required("event_name", event_name)?,
            customer: required("customer", customer)?,
            timestamp: finder.find("timestamp", &self.timestamp, &["timestamp"], &is_time)?,
            value: finder.find("value", &self.value, &["value"], &is_value)?,
            identifier: finder.find("identifier", &self.identifier, &["identifier"], &|_| false)?,
            dimensions,
        })
    }
}

struct Finder<'a> {
    columns: &'a [&'a str],
}

impl Finder<'_> {
    /// The number of the column of a name; none where there is none.
    fn number(&self, name: &str) -> Result<Option<usize>, MappingError> {
        let mut found = self.columns.iter().enumerate().filter(|(_, own)| **own == name);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(MappingError::Ambiguous { column: name.to_owned() }),
            (first, _) => Ok(first.map(|(number, _)| number)),
        }
    }

    fn column(&self, field: &'static str, name: &str) -> Result<usize, MappingError> {
        let missing = || MappingError::NoColumn { field, column: format!("{name:?}") };
        self.number(name)?.ok_or_else(missing)
    }

    fn find(
        &self,
        field: &'static str,
        from: &Field,
        usual: &[&str],
        fits: Fits<'_>,
    ) -> Result<Place, MappingError> {
        let constant = |text: &String| match fits(text) {
            true => Ok(Place::Constant(text.clone())),
            false => Err(MappingError::Constant { field, text: text.clone() }),
        };
        match from {
            Field::Usual => {
                for name in usual {
                    if let Some(number) = self.number(name)? {
                        return Ok(Place::Column(number));
                    }
                }
                Ok(Place::Absent)
            }
            Field::Column(name) => self.column(field, name).map(Place::Column),
            Field::Constant(text) => constant(text),
            Field::ColumnOrConstant(text) => match self.number(text)? {
                Some(number) => Ok(Place::Column(number)),
                None => constant(text),
            },
            Field::Absent => Ok(Place::Absent),
            Field::Row if field == "identifier" => Ok(Place::Row),
            Field::Row => Err(MappingError::Required { field }),
        }
    }
}

/// Columns of events that somebody else owns, ready to be given to the kernel.
#[derive(Debug, Clone)]
pub struct EventView<'a> {
    pub(crate) names: Vec<&'a str>,
    /// The place of each row's name; none where all rows have the first.
    pub(crate) codes: Option<&'a [u16]>,
    pub(crate) identifiers: Identifiers<'a>,
    pub(crate) customers: CustomerIds<'a>,
    pub(crate) times: Option<&'a [i64]>,
    pub(crate) values: Values<'a>,
    pub(crate) dimensions: Vec<DimensionColumn<'a>>,
}

impl<'a> EventView<'a> {
    /// The event names, each once.
    #[must_use]
    pub fn names(&self) -> &[&'a str] {
        &self.names
    }

    /// The times, in nanoseconds since 1970 or
    /// [`EventColumns::RECEIPT_TIME`](crate::EventColumns::RECEIPT_TIME); none where none is given.
    #[must_use]
    pub const fn times(&self) -> Option<&'a [i64]> {
        self.times
    }

    /// The columns for the kernel.
    ///
    /// # Errors
    /// As [`EventColumns::of`] and [`EventColumns::with_dimensions`].
    pub fn columns(&self) -> Result<EventColumns<'_>, ColumnError> {
        let names = match (self.codes, self.names.first()) {
            (None, Some(name)) => EventNames::One(name),
            (codes, _) => {
                EventNames::Coded { names: &self.names, codes: codes.unwrap_or_default() }
            }
        };
        EventColumns::of(names, self.identifiers, self.customers, self.times, self.values)?
            .with_dimensions(&self.dimensions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_usual_names_or_as_they_are_told() {
        let find = |mapping: &Mapping, columns: &[&str]| mapping.find(columns);
        let usual = Mapping::default();
        let found = find(&usual, &["value", "stripe_customer_id", "event_name"]).unwrap();
        assert_eq!(found.customer, Place::Column(1));
        assert_eq!((found.timestamp, found.identifier), (Place::Absent, Place::Absent));
        // `customer` comes before the other usual name.
        let found = find(&usual, &["stripe_customer_id", "customer", "event_name"]).unwrap();
        assert_eq!((found.customer, found.value), (Place::Column(1), Place::Absent));
        let given = |field: fn(&mut Mapping) -> &mut Field, from: Field| {
            let mut mapping = Mapping::default();
            *field(&mut mapping) = from;
            find(&mapping, &["customer", "event_name", "a", "b", "b"]).map_err(|e| e.to_string())
        };
        let text = |text: &str| Field::ColumnOrConstant(text.into());
        for (field, from, expected) in [
            (
                (|m| &mut m.value) as fn(&mut Mapping) -> &mut Field,
                text("c"),
                "value: \"c\" is neither",
            ),
            (|m| &mut m.timestamp, text("c"), "timestamp: \"c\" is neither"),
            (|m| &mut m.identifier, text("c"), "identifier: \"c\" is neither"),
            (|m| &mut m.identifier, Field::Column("c".into()), "there is no column \"c\""),
            (|m| &mut m.value, Field::Column("b".into()), "two columns are headed \"b\""),
            (|m| &mut m.customer, Field::Absent, "customer: every event has one"),
            (|m| &mut m.event_name, Field::Row, "event_name: every event has one"),
        ] {
            let error = given(field, from).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(given(|m| &mut m.value, text("a")).unwrap().value, Place::Column(2));
        assert_eq!(given(|m| &mut m.value, text("7")).unwrap().value, Place::Constant("7".into()));
        let dimensions = usual.dimension("model", "nowhere");
        let error = find(&dimensions, &["customer", "event_name"]).unwrap_err();
        assert_eq!(error.to_string(), "dimensions: there is no column \"nowhere\"");
    }
}
