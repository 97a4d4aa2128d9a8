//! Windows of the clock in a named time zone.

use crate::Grouping;
use chrono::offset::Offset;
use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use counterfoil_core::{Period, Timestamp};
use std::fmt;

/// A time zone of the IANA database, by whose clock usage is grouped.
///
/// Its rules are data of this program ([`Zone::RULES`] says of which version) and not of the
/// machine: the same program gives the same windows everywhere. Windows are a question that is asked
/// and nothing that is kept, so that a newer database changes no event and no bill.
///
/// The windows of a zone follow each other without gap or overlap:
/// - A **day** begins at the first instant at which the clock there shows midnight or later: with
///   the clocks set forward at midnight, at one; with midnight twice, at the first. A day has 23, 24 or
///   25 hours, or what else its zone did. A **month** begins with its first day.
/// - An **hour** is what the clock shows with one hour and one offset from UTC: an hour that is shown
///   twice is two, and where the clocks are set by half an hour there is a shorter one. **Minutes**
///   likewise.
///
/// ```
/// use counterfoil_core::Timestamp;
/// use counterfoil_meter::{Grouping, Zone};
///
/// let berlin = Zone::named("Europe/Berlin")?;
/// let day = berlin.window(Grouping::Day, Timestamp::parse("2025-03-30T12:00:00Z")?);
/// assert_eq!(day.to_string(), "2025-03-29T23:00:00Z to 2025-03-30T22:00:00Z");
/// assert_eq!(day.seconds(), 23 * 3_600);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// A name that no zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no time zone of the IANA database {}", Zone::RULES)]
pub struct UnknownZone {
    /// The name that was given.
    pub name: String,
}

const DAY_SECONDS: i64 = 86_400;

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Tz::UTC);
    /// The version of the database that the rules are of.
    pub const RULES: &'static str = chrono_tz::IANA_TZDB_VERSION;

    /// The zone of a name, in the spelling of the database: `Europe/Berlin`.
    ///
    /// # Errors
    /// [`UnknownZone`].
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        name.parse().map(Self).map_err(|_| UnknownZone { name: name.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The window that an instant lies in.
    #[must_use]
    pub fn window(self, grouping: Grouping, at: Timestamp) -> Period {
        let (start, end) = self.around(grouping, at.unix());
        let at = |second: i64| {
            let second = second.clamp(Timestamp::MIN.unix(), Timestamp::MAX.unix());
            Timestamp::from_unix(second).unwrap_or(Timestamp::MIN)
        };
        Period::new(at(start), at(end))
    }

    /// The beginnings of the windows of a period, and its end: what
    /// [`Aggregator::usage_in`](crate::Aggregator::usage_in) takes. The first and the last window may
    /// be cut by the period. No more than so many windows are listed, in which case the last
    /// instant is before the end of the period, and the next list begins there.
    #[must_use]
    pub fn bounds(self, grouping: Grouping, period: Period, windows_max: usize) -> Vec<Timestamp> {
        if period.is_empty() {
            return Vec::new();
        }
        let mut bounds = vec![period.start];
        let mut at = period.start;
        while at < period.end && bounds.len() <= windows_max {
            // A window ends after what lies in it, but for the end of all time.
            let end = self.window(grouping, at).end.min(period.end);
            if end <= at {
                break;
            }
            bounds.push(end);
            at = end;
        }
        bounds
    }

    /// The second in which the window of a second begins, and the first one behind it.
    pub(crate) fn around(self, grouping: Grouping, at: i64) -> (i64, i64) {
        match grouping {
            Grouping::Minute => self.clock_around(at, 60),
            Grouping::Hour => self.clock_around(at, 3_600),
            Grouping::Day => {
                let day = self.local(at).div_euclid(DAY_SECONDS);
                self.date_around(at, day, |day| day.checked_mul(DAY_SECONDS))
            }
            Grouping::Month => {
                let date = naive(self.local(at)).date();
                let month = i64::from(date.year()).saturating_mul(12);
                let month = month.saturating_add(date.month0().into());
                self.date_around(at, month, month_start)
            }
        }
    }

    /// Seconds that the clock there is ahead of UTC.
    fn offset(self, at: i64) -> i64 {
        self.0.offset_from_utc_datetime(&naive(at)).fix().local_minus_utc().into()
    }

    /// What the clock there shows, in seconds since it showed the beginning of 1970.
    fn local(self, at: i64) -> i64 {
        at.saturating_add(self.offset(at))
    }

    /// The run of one offset in which the clock shows one unit of so many seconds.
    fn clock_around(self, at: i64, unit: i64) -> (i64, i64) {
        let offset = self.offset(at);
        let past = at.saturating_add(offset).rem_euclid(unit);
        let start = at.saturating_sub(past);
        let end = start.saturating_add(unit);
        let other = |second: i64| self.offset(second) != offset;
        // Where the offset is another one at an end, it changed somewhere inside.
        let start = if other(start) { first(start, at, |second| !other(second)) } else { start };
        let last = end.saturating_sub(1);
        let end = if other(last) { first(at, last, other) } else { end };
        (start, end)
    }

    /// The dates of which the first begins at or before an instant and the second after it. `date`
    /// is what the clock shows; `start` is when it shows the beginning of a date.
    fn date_around(self, at: i64, date: i64, start: impl Fn(i64) -> Option<i64>) -> (i64, i64) {
        let begins = |date: i64| match start(date) {
            Some(local) => self.begins(local),
            None if date < 0 => i64::MIN,
            None => i64::MAX,
        };
        // A clock that was set back over midnight shows a date that is over.
        let mut date = date.saturating_add(1);
        let mut end = begins(date.saturating_add(1));
        loop {
            let start = begins(date);
            if start <= at || date <= i64::MIN.saturating_add(1) {
                return (start, end);
            }
            (date, end) = (date.saturating_sub(1), start);
        }
    }

    /// The first second in which the clock there shows a time or a later one.
    fn begins(self, local: i64) -> i64 {
        let at = |offset: i64| local.saturating_sub(offset);
        match self.0.offset_from_local_datetime(&naive(local)) {
            MappedLocalTime::Single(offset) => at(offset.fix().local_minus_utc().into()),
            MappedLocalTime::Ambiguous(one, other) => {
                let [one, other] = [one, other].map(|own| at(own.fix().local_minus_utc().into()));
                one.min(other)
            }
            // The clock was set forward over it: no zone is further than a day and two hours from
            // UTC, and none was set forward by more than a day.
            MappedLocalTime::None => {
                let far = DAY_SECONDS.saturating_mul(2);
                let (from, to) = (local.saturating_sub(far), local.saturating_add(far));
                first(from, to, |second| self.local(second) >= local)
            }
        }
    }
}

/// The name.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The first second behind `from`, which is not so, up to `to`, which is, that is so.
fn first(from: i64, to: i64, is_so: impl Fn(i64) -> bool) -> i64 {
    let (mut not, mut so) = (from, to);
    while so.saturating_sub(not) > 1 {
        let middle = not.midpoint(so);
        if is_so(middle) { so = middle } else { not = middle }
    }
    so
}

/// The calendar's name for a second; its last or first one beyond what the calendar has.
fn naive(at: i64) -> NaiveDateTime {
    let beyond = if at < 0 { NaiveDateTime::MIN } else { NaiveDateTime::MAX };
    DateTime::from_timestamp(at, 0).map_or(beyond, |at| at.naive_utc())
}

/// The beginning of a month, counted from January of the year 0, as a clock shows it.
fn month_start(month: i64) -> Option<i64> {
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    let of_year = u32::try_from(month.rem_euclid(12)).ok()?.checked_add(1)?;
    let date = NaiveDate::from_ymd_opt(year, of_year, 1)?;
    Some(date.and_time(NaiveTime::MIN).and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZoneDatabase;
    use proptest::prelude::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// The window of each instant, and its length in minutes.
    #[test]
    fn windows_are_those_of_the_clock() {
        use Grouping::{Day, Hour, Minute, Month};
        for (name, grouping, instant, start, minutes) in [
            ("UTC", Day, "2025-03-30T12:34:56Z", "2025-03-30T00:00:00Z", 1_440),
            ("Europe/Berlin", Day, "2025-03-30T12:00:00Z", "2025-03-29T23:00:00Z", 1_380),
            ("Europe/Berlin", Day, "2025-10-26T12:00:00Z", "2025-10-25T22:00:00Z", 1_500),
            ("Europe/Berlin", Month, "2025-03-31T22:00:00Z", "2025-03-31T22:00:00Z", 43_200),
            ("Europe/Berlin", Month, "2025-03-31T21:59:59Z", "2025-02-28T23:00:00Z", 44_580),
            // The hour that is shown twice is two hours.
            ("Europe/Berlin", Hour, "2025-10-26T00:30:00Z", "2025-10-26T00:00:00Z", 60),
            ("Europe/Berlin", Hour, "2025-10-26T01:30:00Z", "2025-10-26T01:00:00Z", 60),
            ("America/New_York", Day, "2025-03-09T05:00:00Z", "2025-03-09T05:00:00Z", 1_380),
            ("America/New_York", Day, "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", 1_500),
            ("Asia/Kolkata", Hour, "2025-03-15T12:00:00Z", "2025-03-15T11:30:00Z", 60),
            ("Asia/Kathmandu", Hour, "2025-03-15T12:00:00Z", "2025-03-15T11:15:00Z", 60),
            ("Asia/Kathmandu", Day, "2025-03-15T18:14:59Z", "2025-03-14T18:15:00Z", 1_440),
            // Set forward and back by half an hour, at two.
            ("Australia/Lord_Howe", Hour, "2025-10-04T15:29:59Z", "2025-10-04T14:30:00Z", 60),
            ("Australia/Lord_Howe", Hour, "2025-10-04T15:30:00Z", "2025-10-04T15:30:00Z", 30),
            ("Australia/Lord_Howe", Hour, "2025-04-05T15:00:00Z", "2025-04-05T15:00:00Z", 30),
            ("Australia/Lord_Howe", Day, "2025-10-04T20:00:00Z", "2025-10-04T13:30:00Z", 1_410),
            ("Australia/Lord_Howe", Day, "2025-04-05T20:00:00Z", "2025-04-05T13:00:00Z", 1_470),
            // No midnight, and two.
            ("Africa/Cairo", Day, "2024-04-26T10:00:00Z", "2024-04-25T22:00:00Z", 1_380),
            ("America/Havana", Day, "2024-11-03T12:00:00Z", "2024-11-03T04:00:00Z", 1_500),
            // Set back over midnight, at one minute past: the day has begun and does not end.
            ("America/St_Johns", Day, "2006-10-29T02:45:00Z", "2006-10-29T02:30:00Z", 1_500),
            // A day that was left out.
            ("Pacific/Apia", Day, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", 1_440),
            ("Pacific/Apia", Day, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 1_440),
            ("Pacific/Apia", Month, "2011-12-31T00:00:00Z", "2011-12-01T10:00:00Z", 43_200),
            ("Asia/Kathmandu", Minute, "2025-03-15T12:00:59Z", "2025-03-15T12:00:00Z", 1),
        ] {
            let window = zone(name).window(grouping, at(instant));
            let found = (window.start.to_string(), window.seconds());
            assert_eq!(found, (start.to_owned(), minutes * 60), "{name} {grouping:?} {instant}");
        }
    }

    #[test]
    fn names_are_those_of_the_database() {
        assert_eq!(zone("Europe/Berlin").to_string(), "Europe/Berlin");
        assert_eq!(zone("UTC"), Zone::UTC);
        let error = Zone::named("Europe/Atlantis").unwrap_err().to_string();
        assert!(error.starts_with("\"Europe/Atlantis\" is no time zone"), "{error}");
        assert!(error.ends_with(Zone::RULES), "{error}");
    }

    #[test]
    fn a_period_has_bounds_and_no_more_than_are_asked_for() {
        let berlin = zone("Europe/Berlin");
        let period = Period::new(at("2025-03-29T12:00:00Z"), at("2025-03-31T12:00:00Z"));
        let expected = ["29T12:00", "29T23:00", "30T22:00", "31T12:00"]
            .map(|t| at(&format!("2025-03-{t}:00Z")));
        assert_eq!(berlin.bounds(Grouping::Day, period, 100), expected);
        assert_eq!(berlin.bounds(Grouping::Day, period, 2), expected[..3]);
        assert_eq!(berlin.bounds(Grouping::Day, Period::instant(period.start), 2), []);
        let always = Period::new(Timestamp::MIN, Timestamp::MAX);
        assert_eq!(berlin.bounds(Grouping::Hour, always, 1_000).len(), 1_001);
        let bounds = berlin.bounds(Grouping::Month, always, usize::MAX);
        assert_eq!(bounds.last(), Some(&Timestamp::MAX));
        assert!(bounds.array_windows().all(|[a, b]| a < b));
    }

    fn groupings() -> impl Strategy<Value = Grouping> {
        use Grouping::{Day, Hour, Minute, Month};
        prop::sample::select(vec![Minute, Hour, Day, Month])
    }

    fn zones() -> impl Strategy<Value = Zone> {
        prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()).prop_map(Zone)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn windows_follow_each_other(
            zone in zones(),
            grouping in groupings(),
            // 1850 to 2100.
            second in -3_786_912_000..4_102_444_800_i64,
            inside in 0.0..1.0_f64,
        ) {
            let (start, end) = zone.around(grouping, second);
            prop_assert!(start <= second && second < end, "{zone} {grouping:?} {start} {end}");
            prop_assert_eq!(zone.around(grouping, start), (start, end), "{} {:?}", zone, grouping);
            prop_assert_eq!(zone.around(grouping, end - 1), (start, end));
            #[expect(clippy::cast_possible_truncation, reason = "somewhere inside")]
            let some = start + ((end - start - 1) as f64 * inside) as i64;
            prop_assert_eq!(zone.around(grouping, some), (start, end));
            prop_assert_eq!(zone.around(grouping, end).0, end);
            prop_assert_eq!(zone.around(grouping, start - 1).1, start);
        }

        /// Another library with another copy of the database says when days begin.
        #[test]
        fn days_and_months_begin_when_another_library_says(
            zone in zones(),
            // 1990 to 2024: versions of the database differ most in what was before and comes after.
            second in 631_152_000..1_735_689_600_i64,
        ) {
            let Ok(other) = TimeZoneDatabase::bundled().get(zone.name()) else { return Ok(()) };
            let begins = |date: jiff::civil::Date| {
                let start = date.to_zoned_datetime(other.clone()).unwrap();
                start.start_of_day().unwrap().timestamp().as_second()
            };
            let local = |second: i64| {
                other.to_datetime(jiff::Timestamp::from_second(second).unwrap()).date()
            };
            // Where the two copies say another time in an hour nearby, they are not of one mind on days.
            let agree = |(start, end): (i64, i64)| {
                (start - DAY_SECONDS..end + DAY_SECONDS).step_by(3_600).all(|second| {
                    let at = jiff::Timestamp::from_second(second).unwrap();
                    i64::from(other.to_offset(at).seconds()) == zone.offset(second)
                })
            };
            let (start, end) = zone.around(Grouping::Day, second);
            if agree((start, end)) {
                prop_assert_eq!(start, begins(local(start)), "{}", zone);
                prop_assert_eq!(end, begins(local(end)), "{}", zone);
            }
            let (start, end) = zone.around(Grouping::Month, second);
            if agree((start, end)) {
                prop_assert_eq!(start, begins(local(start).first_of_month()), "{}", zone);
                prop_assert_eq!(end, begins(local(end).first_of_month()), "{}", zone);
            }
        }
    }
}
