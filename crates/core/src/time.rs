//! Instants and half-open periods.

use crate::{ArithmeticError, Refusal};
use chrono::{DateTime, SecondsFormat};
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
    #[cfg(test)]
    pub(crate) fn to_naive(self) -> Option<chrono::NaiveDateTime> {
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

    /// A time from RFC 3339 text with up to nine fractional digits.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for any other form, and outside the years 1678 to 2261.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = || Refusal::invalid("timestamp", format!("{text:?} is not RFC 3339"));
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| refuse())?;
        parsed.timestamp_nanos_opt().map(Self).ok_or_else(refuse)
    }

    /// The second that holds this time.
    #[must_use]
    pub fn second(self) -> Timestamp {
        Timestamp(self.0.div_euclid(SECOND_NANOS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unix(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn timestamps() -> impl Strategy<Value = Timestamp> {
        (Timestamp::MIN.unix()..=Timestamp::MAX.unix()).prop_map(unix)
    }

    #[test]
    fn text_forms() {
        for (text, seconds, canonical) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", -1, "1969-12-31T23:59:59Z"),
            ("2025-01-31T09:30:00Z", 1_738_315_800, "2025-01-31T09:30:00Z"),
            ("2025-01-31T09:30:00.000Z", 1_738_315_800, "2025-01-31T09:30:00Z"),
            ("2025-01-31T09:30:00+00:00", 1_738_315_800, "2025-01-31T09:30:00Z"),
            ("2025-01-31T10:30:00+01:00", 1_738_315_800, "2025-01-31T09:30:00Z"),
            ("2025-01-31T00:00:00-09:30", 1_738_315_800, "2025-01-31T09:30:00Z"),
            ("2024-02-29T00:00:00Z", 1_709_164_800, "2024-02-29T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800, "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", 253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let at = text.parse::<Timestamp>().unwrap();
            assert_eq!((at.unix(), at.to_string().as_str()), (seconds, canonical), "{text}");
        }
        for text in [
            "",
            "2025",
            "2025-01-31",
            "2025-01-31T09:30:00",
            "2025-01-31T09:30Z",
            "2025-01-31T09:30:00.5Z",
            "2025-01-31T09:30:00.000000001Z",
            "2025-02-29T00:00:00Z",
            "2025-01-32T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-31T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "2025-01-31T09:30:00Z ",
            "1738315800",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_range_ends_with_the_years_1_and_9999() {
        let (min, max) = (Timestamp::MIN.unix(), Timestamp::MAX.unix());
        assert_eq!(Timestamp::from_unix(min), Ok(Timestamp::MIN));
        assert_eq!(Timestamp::from_unix(max), Ok(Timestamp::MAX));
        for outside in [min - 1, max + 1, i64::MIN, i64::MAX] {
            let refusal = Timestamp::from_unix(outside).unwrap_err().to_string();
            assert_eq!(refusal, format!("timestamp: {outside} is outside the years 1 to 9999"));
        }
        let overflow = Err(ArithmeticError::Overflow);
        assert_eq!(Timestamp::MAX.checked_add_seconds(1), overflow);
        assert_eq!(Timestamp::MIN.checked_add_seconds(-1), overflow);
        assert_eq!(unix(1).checked_add_seconds(i64::MAX), overflow);
        assert_eq!(Timestamp::MAX.checked_add_days(1), overflow);
        assert_eq!(unix(0).checked_add_days(i64::MAX), overflow);
        assert_eq!(unix(5).checked_add_days(-2), Ok(unix(5 - 172_800)));
    }

    #[test]
    fn day_numbers_count_from_1970() {
        for (seconds, day) in
            [(0, 0), (86_399, 0), (86_400, 1), (-1, -1), (-86_400, -1), (-86_401, -2)]
        {
            assert_eq!(unix(seconds).day_number(), day, "{seconds}");
        }
    }

    #[test]
    fn at_rest_it_is_an_integer() {
        let at = unix(1_738_315_800);
        assert_eq!(serde_json::to_string(&at).unwrap(), "1738315800");
        for json in ["1738315800", r#""2025-01-31T09:30:00Z""#, r#""2025-01-31T10:30:00+01:00""#] {
            assert_eq!(serde_json::from_str::<Timestamp>(json).unwrap(), at, "{json}");
        }
        assert_eq!(serde_json::from_str::<Timestamp>("-1").unwrap(), unix(-1));
        for json in [
            "1738315800.0",
            "1e9",
            "null",
            "[1738315800]",
            r#""1738315800""#,
            "253402300800",
            "9223372036854775808",
        ] {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json} was taken");
        }
    }

    #[test]
    fn a_period_is_half_open() {
        let period = Period::new(unix(10), unix(20));
        for (seconds, inside) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(period.contains(unix(seconds)), inside, "{seconds}");
        }
        assert_eq!((period.seconds(), period.is_empty()), (10, false));
        let next = Period::new(unix(20), unix(30));
        assert!(next.contains(period.end) && !period.contains(next.start));
        for empty in [Period::instant(unix(10)), Period::new(unix(20), unix(10))] {
            assert_eq!((empty.seconds(), empty.is_empty()), (0, true), "{empty}");
            assert!(!empty.contains(unix(10)) && !empty.contains(unix(20)), "{empty}");
        }
        assert_eq!(period.to_string(), "1970-01-01T00:00:10Z to 1970-01-01T00:00:20Z");
        assert_eq!(serde_json::to_string(&period).unwrap(), r#"{"start":10,"end":20}"#);
    }

    #[test]
    fn event_times_have_nanoseconds() {
        for (nanos, second) in [
            (0, 0),
            (999_999_999, 0),
            (1_000_000_000, 1),
            (-1, -1),
            (-1_000_000_000, -1),
            (-1_000_000_001, -2),
        ] {
            assert_eq!(EventTime::from_nanos(nanos).second(), unix(second), "{nanos}");
        }
        let at = unix(1_738_315_800);
        let nanos = 1_738_315_800_000_000_000;
        assert_eq!(EventTime::from_timestamp(at).map(EventTime::nanos), Ok(nanos));
        assert_eq!(EventTime::clamped(at).nanos(), nanos);
        for end in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(EventTime::from_timestamp(end), Err(ArithmeticError::Overflow));
        }
        assert_eq!(EventTime::clamped(Timestamp::MIN).nanos(), i64::MIN);
        assert_eq!(EventTime::clamped(Timestamp::MAX).nanos(), i64::MAX);
    }

    proptest! {
        #[test]
        fn an_instant_survives_its_text_and_its_binary_form(at in timestamps()) {
            prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
            let bytes = rmp_serde::to_vec_named(&at).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Timestamp>(&bytes).unwrap(), at);
        }

        #[test]
        fn seconds_since_is_the_inverse_of_adding(a in timestamps(), b in timestamps()) {
            prop_assert_eq!(a.checked_add_seconds(b.seconds_since(a)), Ok(b));
        }

        #[test]
        fn an_event_lies_in_its_second(nanos in any::<i64>()) {
            let second = i128::from(EventTime::from_nanos(nanos).second().unix());
            let rest = i128::from(nanos) - second * 1_000_000_000;
            prop_assert!((0..1_000_000_000).contains(&rest), "{rest}");
        }

        #[test]
        fn text_never_panics(text in any::<String>()) {
            if let Ok(at) = Timestamp::parse(&text) {
                prop_assert!(Timestamp::MIN <= at && at <= Timestamp::MAX);
            }
        }
    }
}
