//! Times as usage files write them.

use crate::TimeUnit;
use chrono::NaiveDate;
use counterfoil_core::EventTime;

/// A text that is not the time of a usage event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Neither of the forms that are read.
    #[error("{text:?} is not a time")]
    Form {
        /// The text, shortened.
        text: String,
    },
    /// A date, hour, minute, second or offset that does not exist.
    #[error("{text:?} is no time of the calendar")]
    Calendar {
        /// The text.
        text: String,
    },
    /// A time that nanoseconds since 1970 cannot express.
    #[error("{text:?} is outside the years 1678 to 2261")]
    Range {
        /// The text.
        text: String,
    },
}

/// Reads the time of a usage event, to the nanosecond.
///
/// Two forms are read: Unix seconds as an integer, and a date and a time of day
/// (`2023-11-16 18:17:03.9799600`) with a space or `T` between them, 0 to 9 fractional digits, and
/// `Z` or an offset (`+02:00`, `+0200`, `+02`) behind them or nothing, which is UTC.
///
/// # Errors
/// [`TimeError`] for any other form, for a time that the calendar does not have (leap seconds
/// among them), and outside the years 1678 to 2261.
pub fn parse_event_time(text: &str) -> Result<EventTime, TimeError> {
    let shown = || excerpt(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return time_in(text, TimeUnit::Second);
    }
    let parts = Parts::read(text).ok_or_else(|| TimeError::Form { text: shown() })?;
    let at = parts.local().ok_or_else(|| TimeError::Calendar { text: shown() })?;
    at.and_utc()
        .timestamp_nanos_opt()
        .and_then(|nanos| {
            let offset = i64::from(parts.offset_minutes?).checked_mul(60_000_000_000)?;
            nanos.checked_sub(offset)
        })
        .map(EventTime::from_nanos)
        .ok_or_else(|| TimeError::Range { text: shown() })
}

/// Reads a time: whole numbers in a unit, and all else as it says.
pub(crate) fn time_in(text: &str, unit: TimeUnit) -> Result<EventTime, TimeError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_event_time(text);
    }
    let nanos = text.parse::<i64>().ok().and_then(|own| own.checked_mul(unit.nanos()));
    nanos.map(EventTime::from_nanos).ok_or_else(|| TimeError::Range { text: excerpt(text) })
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The numbers in a written time.
struct Parts {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    /// East of UTC; none where the offset does not exist.
    offset_minutes: Option<i32>,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let mut reader = Reader(text.as_bytes());
        let year = i32::try_from(reader.number(4)?).ok()?;
        reader.one_of(b"-")?;
        let month = reader.number(2)?;
        reader.one_of(b"-")?;
        let day = reader.number(2)?;
        reader.one_of(b" Tt")?;
        let hour = reader.number(2)?;
        reader.one_of(b":")?;
        let minute = reader.number(2)?;
        reader.one_of(b":")?;
        let second = reader.number(2)?;
        let nanos = if reader.one_of(b".").is_some() { reader.nanos()? } else { 0 };
        let offset_minutes = reader.offset_minutes()?;
        Some(Self { year, month, day, hour, minute, second, nanos, offset_minutes })
    }

    /// The time of day at its own offset.
    fn local(&self) -> Option<chrono::NaiveDateTime> {
        self.offset_minutes?;
        NaiveDate::from_ymd_opt(self.year, self.month, self.day)?.and_hms_nano_opt(
            self.hour,
            self.minute,
            self.second,
            self.nanos,
        )
    }
}

/// What is still to be read of a text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn one_of(&mut self, accepted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !accepted.contains(first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    fn digit(&mut self) -> Option<u32> {
        let digit = self.one_of(b"0123456789")?;
        digit.checked_sub(b'0').map(u32::from)
    }

    fn number(&mut self, digits: usize) -> Option<u32> {
        (0..digits).try_fold(0_u32, |number, _| number.checked_mul(10)?.checked_add(self.digit()?))
    }

    /// 1 to 9 fractional digits.
    fn nanos(&mut self) -> Option<u32> {
        let mut nanos = self.digit()?;
        for _ in 1..9 {
            let digit = self.digit().unwrap_or(0);
            nanos = nanos.checked_mul(10)?.checked_add(digit)?;
        }
        Some(nanos)
    }

    /// The offset up to the end of the text; the inner `None` for one that does not exist.
    fn offset_minutes(&mut self) -> Option<Option<i32>> {
        if self.0.is_empty() {
            return Some(Some(0));
        }
        let sign = self.one_of(b"Zz+-")?;
        if matches!(sign, b'Z' | b'z') {
            return self.0.is_empty().then_some(Some(0));
        }
        let hours = self.number(2)?;
        let minutes = match self.0 {
            [] => 0,
            _ => {
                let _ = self.one_of(b":");
                self.number(2)?
            }
        };
        if !self.0.is_empty() {
            return None;
        }
        if hours > 23 || minutes > 59 {
            return Some(None);
        }
        let east = i32::try_from(hours.checked_mul(60)?.checked_add(minutes)?).ok()?;
        Some(if sign == b'-' { east.checked_neg() } else { Some(east) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    #[test]
    fn every_form_that_is_read() {
        for (text, nanos) in [
            ("2023-11-16 18:17:03.9799600", 1_700_158_623_979_960_000),
            ("2023-11-16T18:17:03.9799600", 1_700_158_623_979_960_000),
            ("2023-11-16t18:17:03Z", 1_700_158_623_000_000_000),
            ("2023-11-16 18:17:03", 1_700_158_623_000_000_000),
            ("2023-11-16 18:17:03z", 1_700_158_623_000_000_000),
            ("2023-11-16 19:17:03+01:00", 1_700_158_623_000_000_000),
            ("2023-11-16 19:17:03+0100", 1_700_158_623_000_000_000),
            ("2023-11-16 19:17:03+01", 1_700_158_623_000_000_000),
            ("2023-11-16 12:47:03.5-05:30", 1_700_158_623_500_000_000),
            ("2023-11-16 18:17:03.000000001", 1_700_158_623_000_000_001),
            ("2023-11-16 18:17:03.123456789Z", 1_700_158_623_123_456_789),
            ("1969-12-31 23:59:59.999999999", -1),
            ("1700158623", 1_700_158_623_000_000_000),
            ("0", 0),
            ("-1", -1_000_000_000),
        ] {
            assert_eq!(parse_event_time(text).map(EventTime::nanos), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn every_form_that_is_refused() {
        for (text, expected) in [
            ("", "\"\" is not a time"),
            ("-", "\"-\" is not a time"),
            ("now", "\"now\" is not a time"),
            ("2023-11-16", "is not a time"),
            ("2023-11-16 18:17", "is not a time"),
            ("2023-11-16  18:17:03", "is not a time"),
            (" 2023-11-16 18:17:03", "is not a time"),
            ("2023-11-16 18:17:03 ", "is not a time"),
            ("2023-11-16 18:17:03.", "is not a time"),
            ("2023-11-16 18:17:03.1234567890", "is not a time"),
            ("2023-11-16 18:17:03UTC", "is not a time"),
            ("2023-11-16 18:17:03ZZ", "is not a time"),
            ("2023-11-16 18:17:03+1", "is not a time"),
            ("2023-11-16 18:17:03+01:0", "is not a time"),
            ("2023-11-16 18:17:03+01:000", "is not a time"),
            ("23-11-16 18:17:03", "is not a time"),
            ("1700158623.5", "is not a time"),
            ("２０23-11-16 18:17:03", "is not a time"),
            ("2023-02-29 00:00:00", "is no time of the calendar"),
            ("2023-13-01 00:00:00", "is no time of the calendar"),
            ("2023-01-00 00:00:00", "is no time of the calendar"),
            ("2023-01-01 24:00:00", "is no time of the calendar"),
            ("2023-01-01 00:60:00", "is no time of the calendar"),
            ("2016-12-31 23:59:60", "is no time of the calendar"),
            ("2023-01-01 00:00:00+24:00", "is no time of the calendar"),
            ("1600-01-01 00:00:00", "is outside the years 1678 to 2261"),
            ("9999-01-01 00:00:00", "is outside the years 1678 to 2261"),
            ("1700158623000", "is outside the years 1678 to 2261"),
            ("99999999999999999999999", "is outside the years 1678 to 2261"),
        ] {
            let error = parse_event_time(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_another_writer_writes_is_read_back(
            nanos in any::<i64>(), space in any::<bool>(), zone in any::<bool>()
        ) {
            let at = DateTime::from_timestamp_nanos(nanos).naive_utc();
            let text = format!(
                "{}{}{}",
                at.format(if space { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S" }),
                at.format("%.9f"),
                if zone { "Z" } else { "" },
            );
            prop_assert_eq!(parse_event_time(&text), Ok(EventTime::from_nanos(nanos)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9TZ :.+é-]{0,32}") {
            let _ = parse_event_time(&text);
        }
    }
}
