//! Usage files: what a step says of their columns.

use counterfoil::{Field, Mapping};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// Which column of a file holds which field of a meter event.
///
/// A text that is a header of the file names that column; any other is a constant. The headers of
/// a file of JSON lines are the keys of its first readable line. A time, a value and an identifier
/// that are neither a header nor what they should be are errors: a misspelt header would otherwise
/// refuse every row, or make all but one a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Columns {
    /// The name of the event.
    #[serde(deserialize_with = "text")]
    pub event_name: String,
    /// The customer's id.
    #[serde(deserialize_with = "text")]
    pub customer: String,
    /// The time: what [`parse_event_time`](counterfoil::files::parse_event_time) reads.
    #[serde(deserialize_with = "text")]
    pub timestamp: String,
    /// The value, which the meter judges.
    #[serde(deserialize_with = "text")]
    pub value: String,
    /// The identifier: a header, or `row`, which is also what it is where it is not given. `row`
    /// derives it from what stands in the row and the count of equal rows before it in the file.
    #[serde(default = "row", deserialize_with = "text")]
    pub identifier: String,
    /// Dimensions: the names that meters keep, each with its column.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
}

fn row() -> String {
    "row".to_owned()
}

impl Columns {
    /// The same for the reader of files.
    #[must_use]
    pub fn mapping(&self) -> Mapping {
        let field = |text: &String| Field::ColumnOrConstant(text.clone());
        Mapping {
            event_name: field(&self.event_name),
            customer: field(&self.customer),
            timestamp: field(&self.timestamp),
            value: field(&self.value),
            identifier: match self.identifier.as_str() {
                "row" => Field::Row,
                _ => field(&self.identifier),
            },
            dimensions: self.dimensions.clone().into_iter().collect(),
            ..Mapping::default()
        }
    }
}

/// A text, or a number as it was written.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a column, or a constant")
        }

        fn visit_i64<E>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_str<E>(self, value: &str) -> Result<String, E> {
            Ok(value.to_owned())
        }
    }
    deserializer.deserialize_any(Visitor)
}
