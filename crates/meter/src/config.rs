//! What a meter counts, and how long identifiers are remembered.

use crate::kernel::usage::Lanes;
use counterfoil_core::{Decimal12, Id, Refusal, Timestamp, kind, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// How the events of a period become one quantity (rule 12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formula {
    /// The sum of the values.
    Sum,
    /// The number of events; they need no value, and one that is given is not kept.
    Count,
    /// The value of the latest event by event time, of equal times the one received later; 0
    /// without an event (point 41).
    Last,
    /// The largest value; 0 without an event.
    Max,
    /// The smallest value; 0 without an event.
    Min,
    /// The sum divided by the number of events, rounded to 12 places, ties to even; 0 without an
    /// event.
    Average,
    /// How many different values there are.
    UniqueCount,
    /// Values are changes of a level, which is what they sum to from the first event on; the
    /// quantity is the level's mean over the period, rounded to 12 places, ties to even.
    WeightedSum,
}

impl Formula {
    /// All formulas, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Sum,
        Self::Count,
        Self::Last,
        Self::Max,
        Self::Min,
        Self::Average,
        Self::UniqueCount,
        Self::WeightedSum,
    ];

    /// The formula as one byte, wherever it is kept.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Sum => 0,
            Self::Count => 1,
            Self::Last => 2,
            Self::Max => 3,
            Self::Min => 4,
            Self::Average => 5,
            Self::UniqueCount => 6,
            Self::WeightedSum => 7,
        }
    }

    /// The formula of a code.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Pre-aggregated input (rule 12.1): of the events of one customer in one UTC hour or day only
/// the most recently received counts.
///
/// Where the meter keeps dimensions, it is of one combination of their values.
///
/// The window is judged as a whole: where a period begins or ends inside it, its one event counts
/// in the period that holds that event's time, so that adjoining periods never count it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventTimeWindow {
    /// One event per customer and UTC hour.
    Hour,
    /// One event per customer and UTC day.
    Day,
}

impl EventTimeWindow {
    /// A window, or none, as one byte, wherever it is kept.
    pub(crate) const fn code(window: Option<Self>) -> u8 {
        match window {
            None => 0,
            Some(Self::Hour) => 1,
            Some(Self::Day) => 2,
        }
    }

    /// The window, or none, of a code; `None` for a code of neither.
    pub(crate) const fn of_code(code: u8) -> Option<Option<Self>> {
        Some(match code {
            0 => None,
            1 => Some(Self::Hour),
            2 => Some(Self::Day),
            _ => return None,
        })
    }
}

/// What a meter takes and what it makes of it (rule 12.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MeterConfig {
    /// The name that its events carry: 1 to 255 bytes, unique to one meter, active or not.
    pub event_name: String,
    /// How events become a quantity.
    pub formula: Formula,
    /// What is kept besides, to be read by [`Aggregator::totals`](crate::Aggregator::totals)
    /// without going through the events: the latest, the largest or the smallest value.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<Formula>,
    /// Set where the input is pre-aggregated.
    #[serde(default)]
    pub event_time_window: Option<EventTimeWindow>,
    /// The dimensions that are kept of each event, in this order: names of payload keys. Every
    /// event has to have a value for each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<String>,
    /// The key of the payload that names the customer.
    #[serde(default = "default_customer_payload_key")]
    pub customer_payload_key: String,
    /// The key of the payload that holds the value.
    #[serde(default = "default_value_payload_key")]
    pub value_payload_key: String,
}

fn default_customer_payload_key() -> String {
    "stripe_customer_id".to_owned()
}

fn default_value_payload_key() -> String {
    "value".to_owned()
}

impl MeterConfig {
    /// A meter whose every event counts, with the payload keys of rule 12.1:
    /// `stripe_customer_id` and `value`.
    #[must_use]
    pub fn new(event_name: impl Into<String>, formula: Formula) -> Self {
        Self {
            event_name: event_name.into(),
            formula,
            also: BTreeSet::new(),
            event_time_window: None,
            dimensions: Vec::new(),
            customer_payload_key: default_customer_payload_key(),
            value_payload_key: default_value_payload_key(),
        }
    }

    /// The same meter, which keeps something besides.
    #[must_use]
    pub fn also(mut self, formula: Formula) -> Self {
        self.also.insert(formula);
        self
    }

    /// The same meter, which keeps dimensions.
    #[must_use]
    pub fn with_dimensions<S: Into<String>>(
        mut self,
        dimensions: impl IntoIterator<Item = S>,
    ) -> Self {
        self.dimensions = dimensions.into_iter().map(Into::into).collect();
        self
    }

    /// Whether names are few, not long, and each another.
    pub(crate) fn check_dimensions(&self) -> Result<(), MeterError> {
        let count = self.dimensions.len();
        if count > limits::METER_DIMENSIONS_MAX {
            return Err(MeterError::TooManyDimensions { count });
        }
        for (place, name) in self.dimensions.iter().enumerate() {
            let long = name.is_empty() || name.len() > limits::METER_DIMENSION_BYTES_MAX;
            let again = self.dimensions.iter().take(place).any(|before| before == name);
            let other = *name == self.customer_payload_key || *name == self.value_payload_key;
            if long || again || other {
                return Err(MeterError::Dimension { name: name.clone() });
            }
        }
        Ok(())
    }

    pub(crate) fn lanes(&self) -> Lanes {
        let keeps = |formula| self.formula == formula || self.also.contains(&formula);
        // Where both are asked for, the formula itself is the one that is kept.
        let min = self.formula == Formula::Min
            || (keeps(Formula::Min) && self.formula != Formula::Max && !keeps(Formula::Max));
        let extreme = keeps(Formula::Max) || keeps(Formula::Min);
        Lanes::new(extreme, min, keeps(Formula::Last))
    }

    /// The same meter for pre-aggregated input.
    #[must_use]
    pub fn with_event_time_window(mut self, window: EventTimeWindow) -> Self {
        self.event_time_window = Some(window);
        self
    }
}

/// How long an identifier is remembered after it was received (rule 12.2, point 43). The last
/// second of the window is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Option<i64>", into = "Option<i64>")]
pub struct DedupePolicy {
    window_seconds: Option<i64>,
}

impl DedupePolicy {
    /// The shortest window: 24 hours (rule 12.2).
    pub const WINDOW_SECONDS_MIN: i64 = 86_400;
    /// Identifiers are never forgotten.
    pub const FOREVER: Self = Self { window_seconds: None };

    /// Remembers identifiers for so many seconds.
    ///
    /// # Errors
    /// [`MeterError::DedupeWindowTooShort`] below [`Self::WINDOW_SECONDS_MIN`].
    pub const fn window(seconds: i64) -> Result<Self, MeterError> {
        if seconds < Self::WINDOW_SECONDS_MIN {
            return Err(MeterError::DedupeWindowTooShort { seconds });
        }
        Ok(Self { window_seconds: Some(seconds) })
    }

    /// The window in seconds; `None` for ever.
    #[must_use]
    pub const fn window_seconds(self) -> Option<i64> {
        self.window_seconds
    }

    /// Whether what was received so many seconds ago is still remembered.
    pub(crate) fn remembers(self, age_seconds: i64) -> bool {
        self.window_seconds.is_none_or(|window| age_seconds <= window)
    }
}

impl Default for DedupePolicy {
    /// 35 days, as long as events may lie in the past (rule 12.2).
    fn default() -> Self {
        Self { window_seconds: Some(limits::METER_EVENT_PAST_SECONDS_MAX) }
    }
}

impl TryFrom<Option<i64>> for DedupePolicy {
    type Error = MeterError;

    fn try_from(window_seconds: Option<i64>) -> Result<Self, MeterError> {
        window_seconds.map_or(Ok(Self::FOREVER), Self::window)
    }
}

impl From<DedupePolicy> for Option<i64> {
    fn from(policy: DedupePolicy) -> Self {
        policy.window_seconds
    }
}

impl fmt::Display for DedupePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window_seconds {
            Some(seconds) => write!(f, "{seconds} s"),
            None => f.write_str("for ever"),
        }
    }
}

/// Why a meter could not be defined, changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeterError {
    /// No meter has this id.
    #[error("no such meter: {meter}")]
    Unknown {
        /// The id that was given.
        meter: Id<kind::Meter>,
    },
    /// A meter has this id.
    #[error("meter {meter} already exists")]
    AlreadyDefined {
        /// The id that was given.
        meter: Id<kind::Meter>,
    },
    /// Another meter takes this event name, active or not.
    #[error("event name {event_name:?} belongs to meter {meter}")]
    EventNameTaken {
        /// The name that was given.
        event_name: String,
        /// The meter that has it.
        meter: Id<kind::Meter>,
    },
    /// As many meters as there are numbers for.
    #[error("an aggregator has at most 65,535 meters; {meter} would be one more")]
    TooMany {
        /// The id that was given.
        meter: Id<kind::Meter>,
    },
    /// An event name that is empty or too long.
    #[error("an event name has 1 to {} bytes, this one {bytes}", limits::ID_BYTES_MAX)]
    EventNameLength {
        /// The length of the name that was given.
        bytes: usize,
    },
    /// More dimensions than a meter keeps.
    #[error("a meter keeps at most {} dimensions, not {count}", limits::METER_DIMENSIONS_MAX)]
    TooManyDimensions {
        /// How many were given.
        count: usize,
    },
    /// The name of a dimension that is empty, too long, given twice, or the key of the customer or
    /// the value.
    #[error(
        "dimensions have names of 1 to {} bytes, each another, and not those of customer and \
         value; {name:?} is none",
        limits::METER_DIMENSION_BYTES_MAX
    )]
    Dimension {
        /// The name that was given.
        name: String,
    },
    /// A reading by a dimension that the meter does not keep.
    #[error("meter {meter} keeps no dimension {dimension:?}")]
    UnknownDimension {
        /// The meter that is read.
        meter: Id<kind::Meter>,
        /// The name that was given.
        dimension: String,
    },
    /// Windows of which one ends before it begins.
    #[error("{at} is before the instant that it follows")]
    NotAscending {
        /// The first such instant.
        at: Timestamp,
    },
    /// A window in which a retry could be counted twice.
    #[error(
        "the dedupe window is at least {} s, this one is {seconds} s",
        DedupePolicy::WINDOW_SECONDS_MIN
    )]
    DedupeWindowTooShort {
        /// The window that was given.
        seconds: i64,
    },
}

impl From<MeterError> for Refusal {
    fn from(error: MeterError) -> Self {
        let reason = error.to_string();
        match error {
            MeterError::Unknown { meter } => Self::unknown("meter", meter),
            MeterError::AlreadyDefined { meter } => Self::taken("meter", meter),
            MeterError::TooMany { .. } => Self::invalid("meter", reason),
            MeterError::EventNameTaken { .. } | MeterError::EventNameLength { .. } => {
                Self::invalid("event_name", reason)
            }
            MeterError::TooManyDimensions { .. }
            | MeterError::Dimension { .. }
            | MeterError::UnknownDimension { .. } => Self::invalid("dimensions", reason),
            MeterError::NotAscending { .. } => Self::invalid("bounds", reason),
            MeterError::DedupeWindowTooShort { .. } => Self::invalid("dedupe_window", reason),
        }
    }
}

impl From<AlertError> for Refusal {
    fn from(error: AlertError) -> Self {
        let reason = error.to_string();
        match error {
            AlertError::Unknown { alert } => Self::unknown("alert", alert),
            AlertError::AlreadyDefined { alert } => Self::taken("alert", alert),
            AlertError::Archived { alert } => Self::state("alert", alert, "archived", reason),
            AlertError::UnknownMeter { meter } => Self::unknown("meter", meter),
            AlertError::NotPositive { .. } => Self::invalid("usage_threshold.gte", reason),
            AlertError::Formula | AlertError::TooMany { .. } => {
                Self::invalid("usage_threshold", reason)
            }
        }
    }
}

/// Why an alert could not be defined or changed (rule 12.7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertError {
    /// No alert has this id.
    #[error("no such alert: {alert}")]
    Unknown {
        /// The id that was given.
        alert: Id<kind::Alert>,
    },
    /// An alert has this id.
    #[error("alert {alert} already exists")]
    AlreadyDefined {
        /// The id that was given.
        alert: Id<kind::Alert>,
    },
    /// It was archived, which is for ever.
    #[error("alert {alert} is archived")]
    Archived {
        /// The id that was given.
        alert: Id<kind::Alert>,
    },
    /// No meter has this id.
    #[error("no such meter: {meter}")]
    UnknownMeter {
        /// The id that was given.
        meter: Id<kind::Meter>,
    },
    /// A threshold that is reached before anything is used.
    #[error("a threshold is above 0, this one is {gte}")]
    NotPositive {
        /// The threshold that was given.
        gte: Decimal12,
    },
    /// A weighted sum is of a period, and an alert has none.
    #[error("usage of a meter by weighted sum has no threshold")]
    Formula,
    /// So many watch all customers of the meter, or this one, already.
    #[error("a meter has at most {max} alerts on all customers, and as many on one")]
    TooMany {
        /// How many may.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Code;

    #[test]
    fn codes_are_those_of_logs_that_exist() {
        let codes = Formula::ALL.map(Formula::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(codes.map(Formula::of_code), Formula::ALL.map(Some));
        assert_eq!(Formula::of_code(8), None);
        let windows = [None, Some(EventTimeWindow::Hour), Some(EventTimeWindow::Day)];
        assert_eq!(windows.map(EventTimeWindow::code), [0, 1, 2]);
        assert_eq!([0, 1, 2].map(EventTimeWindow::of_code), windows.map(Some));
        assert_eq!(EventTimeWindow::of_code(3), None);
    }

    #[test]
    fn a_dedupe_window_has_at_least_a_day() {
        assert_eq!(DedupePolicy::default().window_seconds(), Some(3_024_000));
        assert_eq!(DedupePolicy::window(86_400).unwrap().window_seconds(), Some(86_400));
        for seconds in [86_399, 0, -1, i64::MIN] {
            let error = DedupePolicy::window(seconds).unwrap_err();
            assert_eq!(error, MeterError::DedupeWindowTooShort { seconds });
            assert_eq!(Refusal::from(error).code(), Code::ParameterInvalid);
        }
    }

    #[test]
    fn a_policy_is_checked_when_it_is_read_from_a_file() {
        for (text, want) in [
            ("null", Some(DedupePolicy::FOREVER)),
            ("86400", DedupePolicy::window(86_400).ok()),
            ("3600", None),
        ] {
            assert_eq!(serde_json::from_str::<DedupePolicy>(text).ok(), want, "{text}");
        }
    }
}
