//! Instants and half-open periods.

use crate::{ArithmeticError, Refusal};
use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// An instant in whole seconds since 1970-01-01T00:00:00Z (rule 1.4), within the years 1 to 9999.
///
/// At rest it is an integer. It is read from an integer or from RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Seconds in a day; UTC has no other kind here.
pub(crate) const DAY_SECONDS: i64 = 86_400;

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800);
    /// 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799);

    /// An instant from Unix seconds.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] outside the years 1 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self, Refusal> {
        let candidate = Self(seconds);
        if candidate < Self::MIN || candidate > Self::MAX {
            let reason = format!("{seconds} is outside the years 1 to 9999");
            return Err(Refusal::invalid("timestamp", reason));
        }
        Ok(candidate)
    }

    /// An instant from RFC 3339 text: `2025-01-31T00:00:00Z`. Fractions of a second are refused.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for any other form.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse =
            || Refusal::invalid("timestamp", format!("{text:?} is not RFC 3339 in whole seconds"));
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| refuse())?;
        if parsed.timestamp_subsec_nanos() != 0 {
            return Err(refuse());
        }
        Self::from_unix(parsed.timestamp())
    }

    /// Unix seconds.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The instant `seconds` later (earlier where negative).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] outside the years 1 to 9999.
    pub fn checked_add_seconds(self, seconds: i64) -> Result<Self, ArithmeticError> {
        let sum = self.0.checked_add(seconds).ok_or(ArithmeticError::Overflow)?;
        Self::from_unix(sum).map_err(|_| ArithmeticError::Overflow)
    }

    /// The instant `days` of 86,400 seconds later (earlier where negative).
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] outside the years 1 to 9999.
    pub fn checked_add_days(self, days: i64) -> Result<Self, ArithmeticError> {
        let seconds = days.checked_mul(DAY_SECONDS).ok_or(ArithmeticError::Overflow)?;
        self.checked_add_seconds(seconds)
    }

    /// Seconds from `earlier` to this instant.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number of the UTC day that holds this instant; day 0 is 1970-01-01.
    #[must_use]
    pub fn day_number(self) -> i64 {
        self.0.div_euclid(DAY_SECONDS)
    }

    /// The same instant for calendar arithmetic.
    #[must_use]
    pub(crate) fn to_naive(self) -> Option<NaiveDateTime> {
        DateTime::from_timestamp(self.0, 0).map(|at| at.naive_utc())
    }
}

/// RFC 3339 in UTC: `2025-01-31T00:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp(self.0, 0) {
            Some(at) => f.pad(&at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time: Unix seconds or RFC 3339")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Timestamp, E> {
                Timestamp::from_unix(value).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Timestamp, E> {
                let seconds = i64::try_from(value).map_err(E::custom)?;
                Timestamp::from_unix(seconds).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A half-open period: `start` is inside, `end` is not (rule 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Period {
    /// The first second inside.
    pub start: Timestamp,
    /// The first second after.
    pub end: Timestamp,
}

impl Period {
    /// From `start` up to and without `end`.
    #[must_use]
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// A period without length at an instant: the period of a first invoice.
    #[must_use]
    pub const fn instant(at: Timestamp) -> Self {
        Self { start: at, end: at }
    }

    /// Its length in seconds; 0 where `end` is not after `start`.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.end.seconds_since(self.start).max(0)
    }

    /// Whether the instant is inside.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// The time of a usage event in nanoseconds since 1970-01-01T00:00:00Z (point 60), within the
/// years 1678 to 2261.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct EventTime(i64);

const SECOND_NANOS: i64 = 1_000_000_000;

impl EventTime {
    /// A time from nanoseconds since 1970.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The start of a second.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] outside the years 1678 to 2261.
    pub fn from_timestamp(at: Timestamp) -> Result<Self, ArithmeticError> {
        at.unix().checked_mul(SECOND_NANOS).map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// The start of a second, or the nearest time that can be represented: for the edges of a
    /// query, where clamping changes no answer.
    #[must_use]
    pub fn clamped(at: Timestamp) -> Self {
        Self(at.unix().saturating_mul(SECOND_NANOS))
    }

    /// The second that holds this time.
    #[must_use]
    pub fn second(self) -> Timestamp {
        Timestamp(self.0.div_euclid(SECOND_NANOS))
    }
}
