//! Calendar arithmetic from an anchor (rule 6.4), by the clock of its zone, which is UTC unless it
//! is said.
//!
//! A boundary is a pure function of the anchor, the interval and an index. It never depends on
//! another boundary, so that a day once clamped to a short month comes back in a longer one.

use crate::time::DAY_SECONDS;
use crate::{ArithmeticError, Period, Refusal, Timestamp, Zone, limits};
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The unit of a recurring interval.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalUnit {
    /// From a time of day to the same time on the next: 86,400 seconds, unless the clock is set.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl IntervalUnit {
    /// The unit as it is written in files: `month`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// How many of them the interval of a price may have (rule 1.10).
    const fn count_max(self) -> u32 {
        match self {
            Self::Day => limits::PRICE_INTERVAL_DAYS_MAX,
            Self::Week => limits::PRICE_INTERVAL_WEEKS_MAX,
            Self::Month => limits::PRICE_INTERVAL_MONTHS_MAX,
            Self::Year => limits::PRICE_INTERVAL_YEARS_MAX,
        }
    }
}

impl fmt::Display for IntervalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A recurring interval: `count` units.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// The unit.
    pub unit: IntervalUnit,
    /// How many of them; at least 1. Arithmetic refuses an interval of 0.
    pub count: u32,
}

/// An interval in what it is counted in: the two kinds of calendar arithmetic.
enum Step {
    Seconds(i64),
    Months(i64),
}

impl Interval {
    /// An interval within the limits of a price: 3 years, 36 months, 156 weeks or 1,095 days
    /// (rule 1.10).
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for a count of 0 or above the limit of the unit.
    pub fn new(unit: IntervalUnit, count: u32) -> Result<Self, Refusal> {
        let limit = unit.count_max();
        if count == 0 || count > limit {
            let reason = format!("an interval has 1 to {limit} {unit}s, not {count}");
            return Err(Refusal::invalid("interval_count", reason));
        }
        Ok(Self { unit, count })
    }

    #[expect(clippy::arithmetic_side_effects, reason = "a u32 times 604,800 is below 2^52")]
    fn step(self) -> Result<Step, ArithmeticError> {
        if self.count == 0 {
            return Err(ArithmeticError::DivisionByZero);
        }
        let count = i64::from(self.count);
        Ok(match self.unit {
            IntervalUnit::Day => Step::Seconds(count * DAY_SECONDS),
            IntervalUnit::Week => Step::Seconds(count * 7 * DAY_SECONDS),
            IntervalUnit::Month => Step::Months(count),
            IntervalUnit::Year => Step::Months(count * 12),
        })
    }
}

/// `every month`, `every 3 months`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "every {}", self.unit),
            count => write!(f, "every {count} {}s", self.unit),
        }
    }
}

/// What boundaries are computed from: an instant and the nominal day of the month it stands for.
///
/// ```
/// use counterfoil_core::{Anchor, Interval, IntervalUnit, Timestamp};
///
/// let anchor = Anchor::at(Timestamp::parse("2025-01-31T09:30:00Z")?);
/// let monthly = Interval::new(IntervalUnit::Month, 1)?;
/// let boundary = |k| anchor.boundary(monthly, k).map(|at| at.to_string());
/// assert_eq!(boundary(1)?, "2025-02-28T09:30:00Z");
/// assert_eq!(boundary(2)?, "2025-03-31T09:30:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Anchor {
    /// Boundary 0.
    pub at: Timestamp,
    /// Day of the month that boundaries aim at, 1 to 31; 31 stays 31 after a February.
    pub nominal_day: u8,
    /// The clock by which boundaries are told.
    #[serde(default, skip_serializing_if = "Zone::is_utc")]
    pub zone: Zone,
}

impl Anchor {
    /// The anchor at an instant, with its own day as the nominal one.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self::in_zone(at, Zone::UTC)
    }

    /// The same by the clock of a zone.
    #[must_use]
    pub fn in_zone(at: Timestamp, zone: Zone) -> Self {
        let day = zone.naive(at).map_or(1, |t| t.day());
        Self { at, nominal_day: u8::try_from(day).unwrap_or(1), zone }
    }

    /// The anchor at an instant that stands for a day its month may not have: 28 February for a
    /// nominal day of 31 (point 61).
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] where `day` is not within 1 to 31, or where `at` does not
    /// lie on that day clamped to the length of its month.
    pub fn with_nominal_day(at: Timestamp, day: u8, zone: Zone) -> Result<Self, Refusal> {
        let refuse = |reason: String| Err(Refusal::invalid("day_of_month", reason));
        if !(1..=31).contains(&day) {
            return refuse(format!("a day of the month is 1 to 31, not {day}"));
        }
        let clamped = zone.naive(at).map(|t| day.min(t.num_days_in_month()));
        let own = Self::in_zone(at, zone).nominal_day;
        if clamped != Some(own) {
            return refuse(format!("{at} is on day {own}, which does not stand for day {day}"));
        }
        Ok(Self { at, nominal_day: day, zone })
    }

    /// Boundary `k` (negative ones lie before the anchor), always computed from the anchor: all keep
    /// the time of day that the clock of its zone shows, months and years aim at the nominal day,
    /// clamped to the length of the month. Of a time that the clock shows twice it is the first;
    /// where the clock is set forward over it, as much later as it is set.
    ///
    /// # Errors
    /// [`ArithmeticError::Overflow`] outside the years 1 to 9999;
    /// [`ArithmeticError::DivisionByZero`] for an interval of 0 units.
    pub fn boundary(&self, interval: Interval, k: i64) -> Result<Timestamp, ArithmeticError> {
        let times = |step: i64| step.checked_mul(k).ok_or(ArithmeticError::Overflow);
        match interval.step()? {
            // Of a time that is shown twice the anchor may be the second.
            _ if k == 0 => Ok(self.at),
            Step::Seconds(step) if self.zone.is_utc() => self.at.checked_add_seconds(times(step)?),
            Step::Seconds(step) => {
                let local = self.zone.local(self.at).checked_add(times(step)?);
                let local = local.ok_or(ArithmeticError::Overflow)?;
                let at = Timestamp::from_unix(self.zone.second_of(local));
                at.map_err(|_| ArithmeticError::Overflow)
            }
            Step::Months(step) => self.after_months(times(step)?).ok_or(ArithmeticError::Overflow),
        }
    }

    /// The largest `k` with `boundary(k) <= at`, at the same cost for every distance. Defined for
    /// every instant, also where boundary `k` itself would lie before the year 1.
    ///
    /// # Errors
    /// [`ArithmeticError::DivisionByZero`] for an interval of 0 units.
    pub fn index_at(&self, interval: Interval, at: Timestamp) -> Result<i64, ArithmeticError> {
        let divided = |distance: i64, step: i64| {
            distance.checked_div_euclid(step).ok_or(ArithmeticError::DivisionByZero)
        };
        let k = match interval.step()? {
            Step::Seconds(step) => {
                divided(self.zone.local(at).saturating_sub(self.zone.local(self.at)), step)
            }
            Step::Months(step) => {
                let distance = self
                    .month_number(at)
                    .zip(self.month_number(self.at))
                    .and_then(|(to, from)| to.checked_sub(from))
                    .ok_or(ArithmeticError::Overflow)?;
                let k = divided(distance, step)?;
                // Boundary `k` is the last one in the month of `at` or an earlier month. Only in
                // that very month can it still lie after `at`.
                let same_month = step.checked_mul(k) == Some(distance);
                if same_month && self.boundary(interval, k)? > at {
                    return k.checked_sub(1).ok_or(ArithmeticError::Overflow);
                }
                Ok(k)
            }
        }?;
        if self.zone.is_utc() {
            return Ok(k);
        }
        // What the clock shows goes back where it is set back.
        let next = k.checked_add(1).ok_or(ArithmeticError::Overflow)?;
        if self.boundary(interval, next).is_ok_and(|boundary| boundary <= at) {
            return Ok(next);
        }
        let is_past = self.boundary(interval, k).is_ok_and(|boundary| boundary > at);
        if is_past { k.checked_sub(1).ok_or(ArithmeticError::Overflow) } else { Ok(k) }
    }

    /// The period between two consecutive boundaries that contains `at`.
    ///
    /// # Errors
    /// As [`Anchor::boundary`], for either end.
    pub fn period_at(&self, interval: Interval, at: Timestamp) -> Result<Period, ArithmeticError> {
        let k = self.index_at(interval, at)?;
        let next = k.checked_add(1).ok_or(ArithmeticError::Overflow)?;
        Ok(Period::new(self.boundary(interval, k)?, self.boundary(interval, next)?))
    }

    /// The first boundary strictly after `at`.
    ///
    /// # Errors
    /// As [`Anchor::boundary`].
    pub fn next_boundary_after(
        &self,
        interval: Interval,
        at: Timestamp,
    ) -> Result<Timestamp, ArithmeticError> {
        let k = self.index_at(interval, at)?;
        self.boundary(interval, k.checked_add(1).ok_or(ArithmeticError::Overflow)?)
    }

    /// The nominal day of the month that is `months` after the anchor's own, at the same time of
    /// day. `None` outside the years 1 to 9999.
    fn after_months(&self, months: i64) -> Option<Timestamp> {
        let month = self.month_number(self.at)?.checked_add(months)?;
        let year = i32::try_from(month.checked_div_euclid(12)?).ok()?;
        let month_of_year = u32::try_from(month.checked_rem_euclid(12)?).ok()?.checked_add(1)?;
        let first = NaiveDate::from_ymd_opt(year, month_of_year, 1)?;
        let day = self.nominal_day.min(first.num_days_in_month());
        let local = first.with_day(day.into())?.and_time(self.zone.naive(self.at)?.time());
        Timestamp::from_unix(self.zone.second_of(local.and_utc().timestamp())).ok()
    }

    /// Months since January of the year 0.
    fn month_number(&self, at: Timestamp) -> Option<i64> {
        let at = self.zone.naive(at)?;
        i64::from(at.year()).checked_mul(12)?.checked_add(at.month0().into())
    }
}

#[cfg(test)]
mod tests {
    use super::IntervalUnit::{Day, Month, Week, Year};
    use super::*;
    use jiff::{ToSpan, civil, tz::TimeZone};
    use proptest::prelude::*;

    fn date(text: &str) -> Timestamp {
        Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap()
    }

    fn every(count: u32, unit: IntervalUnit) -> Interval {
        Interval::new(unit, count).unwrap()
    }

    /// Boundaries from index `first` on.
    fn check(anchor: Anchor, interval: Interval, first: i64, expect: &[&str]) {
        for (k, expect) in (first..).zip(expect) {
            let boundary = anchor.boundary(interval, k);
            assert_eq!(boundary, Ok(date(expect)), "{} {interval}, k = {k}", anchor.at);
        }
    }

    #[test]
    fn golden_e16_anchors() {
        let anchor = |text| Anchor::at(date(text));
        let month_ends = [
            "2024-01-31",
            "2024-02-29",
            "2024-03-31",
            "2024-04-30",
            "2024-05-31",
            "2024-06-30",
            "2024-07-31",
            "2024-08-31",
            "2024-09-30",
            "2024-10-31",
            "2024-11-30",
            "2024-12-31",
            "2025-01-31",
            "2025-02-28",
        ];
        check(anchor("2024-01-31"), every(1, Month), 0, &month_ends);
        let month_ends = ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"];
        check(anchor("2023-01-31"), every(1, Month), 0, &month_ends);
        let thirtieths = ["2025-01-30", "2025-02-28", "2025-03-30"];
        check(anchor("2025-01-30"), every(1, Month), 0, &thirtieths);
        let quarters = ["2024-11-30", "2025-02-28", "2025-05-30", "2025-08-30", "2025-11-30"];
        check(anchor("2024-11-30"), every(3, Month), 0, &quarters);
        let years =
            ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"];
        check(anchor("2024-02-29"), every(1, Year), 0, &years);
        // The anchor may lie ahead of the subscription: boundaries run backwards from it.
        let two_months =
            ["2025-02-28", "2025-04-30", "2025-06-30", "2025-08-31", "2025-10-31", "2025-12-31"];
        check(anchor("2025-08-31"), every(2, Month), -3, &two_months);
    }

    /// Midnights of Berlin: a day of 23 hours, one of 25, and ends of months.
    #[test]
    fn boundaries_follow_the_clock_of_their_zone() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (anchor, interval, k, expected) in [
            ("2025-01-31T23:00:00Z", every(1, Month), 1, "2025-02-28T23:00:00Z"),
            ("2025-01-31T23:00:00Z", every(1, Month), 2, "2025-03-31T22:00:00Z"),
            ("2025-01-31T23:00:00Z", every(1, Month), 9, "2025-10-31T23:00:00Z"),
            ("2025-01-30T23:00:00Z", every(1, Month), 1, "2025-02-27T23:00:00Z"),
            ("2025-01-30T23:00:00Z", every(1, Month), 2, "2025-03-30T22:00:00Z"),
            ("2025-03-29T23:00:00Z", every(1, Day), 1, "2025-03-30T22:00:00Z"),
            ("2025-10-25T22:00:00Z", every(1, Day), 1, "2025-10-26T23:00:00Z"),
            ("2025-03-24T12:00:00Z", every(1, Week), 1, "2025-03-31T11:00:00Z"),
            ("2024-02-28T23:00:00Z", every(1, Year), 1, "2025-02-27T23:00:00Z"),
            // Half past two is not shown on 30 March, and shown twice on 26 October.
            ("2025-03-29T01:30:00Z", every(1, Day), 1, "2025-03-30T01:30:00Z"),
            ("2025-03-29T01:30:00Z", every(1, Day), 2, "2025-03-31T00:30:00Z"),
            ("2025-10-25T00:30:00Z", every(1, Day), 1, "2025-10-26T00:30:00Z"),
            ("2025-10-26T01:30:00Z", every(1, Day), 0, "2025-10-26T01:30:00Z"),
            ("2025-10-26T01:30:00Z", every(1, Day), 1, "2025-10-27T01:30:00Z"),
        ] {
            let anchor = Anchor::in_zone(at(anchor), berlin);
            let found = anchor.boundary(interval, k).unwrap();
            assert_eq!(found, at(expected), "{k} from {}", anchor.at);
            assert_eq!(anchor.index_at(interval, found), Ok(k));
        }
        let config = crate::AnchorConfig {
            day_of_month: 1,
            month: None,
            hour: Some(0),
            minute: Some(0),
            second: Some(0),
        };
        let anchor = config.next_anchor(at("2025-03-15T12:00:00Z"), berlin).unwrap();
        assert_eq!(anchor.at, at("2025-03-31T22:00:00Z"));
    }

    #[test]
    fn golden_e19_items_of_one_anchor() {
        let anchor = Anchor::at(date("2025-01-01"));
        for (at, count, start, end) in [
            ("2025-01-01", 1, "2025-01-01", "2025-02-01"),
            ("2025-02-01", 1, "2025-02-01", "2025-03-01"),
            ("2025-03-01", 1, "2025-03-01", "2025-04-01"),
            ("2025-03-01", 2, "2025-03-01", "2025-05-01"),
            ("2025-03-01", 3, "2025-01-01", "2025-04-01"),
        ] {
            let period = anchor.period_at(every(count, Month), date(at));
            assert_eq!(period, Ok(Period::new(date(start), date(end))), "{at}, {count}");
        }
    }

    #[test]
    fn point_61_nominal_day_survives_a_clamped_anchor() {
        let anchor = Anchor::with_nominal_day(date("2025-02-28"), 31, Zone::UTC).unwrap();
        let expect = ["2024-12-31", "2025-01-31", "2025-02-28", "2025-03-31", "2025-04-30"];
        check(anchor, every(1, Month), -2, &expect);
        let anchor = Anchor::with_nominal_day(date("2025-02-28"), 30, Zone::UTC).unwrap();
        check(anchor, every(1, Month), 0, &["2025-02-28", "2025-03-30"]);
        let anchor = Anchor::with_nominal_day(date("2025-02-28"), 29, Zone::UTC).unwrap();
        check(anchor, every(1, Year), 2, &["2027-02-28", "2028-02-29"]);
        // Days and weeks know no nominal day.
        check(anchor, every(1, Week), 1, &["2025-03-07"]);
    }

    #[test]
    fn nominal_day_must_agree_with_the_instant() {
        for (at, day, taken) in [
            ("2025-02-28", 28, true),
            ("2025-02-28", 31, true),
            ("2024-02-28", 31, false),
            ("2024-02-29", 31, true),
            ("2025-04-30", 31, true),
            ("2025-04-30", 30, true),
            ("2025-03-30", 31, false),
            ("2025-03-31", 31, true),
            ("2025-03-15", 15, true),
            ("2025-03-15", 14, false),
            ("2025-03-31", 32, false),
            ("2025-03-01", 0, false),
        ] {
            let anchor = Anchor::with_nominal_day(date(at), day, Zone::UTC);
            assert_eq!(anchor.is_ok(), taken, "{at}, {day}");
            assert_eq!(
                anchor.ok(),
                taken.then(|| Anchor { at: date(at), nominal_day: day, zone: Zone::UTC })
            );
        }
    }

    #[test]
    fn interval_limits() {
        for (unit, limit) in [(Day, 1_095), (Week, 156), (Month, 36), (Year, 3)] {
            assert!(Interval::new(unit, 0).is_err(), "0 {unit}s");
            assert_eq!(Interval::new(unit, 1), Ok(Interval { unit, count: 1 }));
            assert_eq!(Interval::new(unit, limit), Ok(Interval { unit, count: limit }));
            let refusal = Interval::new(unit, limit + 1).unwrap_err().to_string();
            assert!(refusal.contains(&format!("1 to {limit} {unit}s")), "{refusal}");
        }
    }

    #[test]
    fn interval_text() {
        for (count, unit, text) in [
            (1, Day, "every day"),
            (2, Week, "every 2 weeks"),
            (1, Month, "every month"),
            (3, Month, "every 3 months"),
            (1, Year, "every year"),
        ] {
            assert_eq!(every(count, unit).to_string(), text);
            let json = serde_json::to_string(&every(count, unit)).unwrap();
            assert_eq!(json, format!(r#"{{"unit":"{unit}","count":{count}}}"#));
        }
    }

    #[test]
    fn time_of_day_is_kept() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let anchor = Anchor::at(at("2025-01-31T23:59:59Z"));
        let boundary = anchor.boundary(every(1, Month), 1);
        assert_eq!(boundary, Ok(at("2025-02-28T23:59:59Z")));
        assert_eq!(anchor.index_at(every(1, Month), at("2025-02-28T23:59:58Z")), Ok(0));
        assert_eq!(anchor.index_at(every(1, Month), at("2025-02-28T23:59:59Z")), Ok(1));
    }

    #[test]
    fn a_boundary_belongs_to_the_period_it_begins() {
        let anchor = Anchor::at(date("2025-01-31"));
        let monthly = every(1, Month);
        for (at, start, next) in [
            ("2025-01-30", "2024-12-31", "2025-01-31"),
            ("2025-01-31", "2025-01-31", "2025-02-28"),
            ("2025-02-27", "2025-01-31", "2025-02-28"),
            ("2025-02-28", "2025-02-28", "2025-03-31"),
            ("2025-03-30", "2025-02-28", "2025-03-31"),
        ] {
            let expect = Period::new(date(start), date(next));
            assert_eq!(anchor.period_at(monthly, date(at)), Ok(expect), "{at}");
            assert_eq!(anchor.next_boundary_after(monthly, date(at)), Ok(date(next)), "{at}");
        }
    }

    #[test]
    fn the_ends_of_time_are_errors() {
        let overflow = Err(ArithmeticError::Overflow);
        let (first, last) = (Anchor::at(Timestamp::MIN), Anchor::at(Timestamp::MAX));
        for unit in [Day, Week, Month, Year] {
            let interval = every(1, unit);
            assert_eq!(first.boundary(interval, 0), Ok(Timestamp::MIN));
            assert_eq!(last.boundary(interval, 0), Ok(Timestamp::MAX));
            assert_eq!(first.boundary(interval, -1), overflow, "{interval}");
            assert_eq!(last.boundary(interval, 1), overflow, "{interval}");
            assert_eq!(last.next_boundary_after(interval, Timestamp::MAX), overflow);
            assert!(last.period_at(interval, Timestamp::MAX).is_err());
            for k in [i64::MIN, i64::MAX] {
                assert_eq!(first.boundary(interval, k), overflow, "{interval}, {k}");
            }
            assert_eq!(first.index_at(interval, Timestamp::MIN), Ok(0));
            assert_eq!(last.index_at(interval, Timestamp::MAX), Ok(0));
        }
        // Boundary -9,999 would lie in the year 0; the index is still what it is.
        let yearly = every(1, Year);
        let widest = Anchor::at(date("9999-06-15"));
        assert_eq!(widest.index_at(yearly, date("0001-06-15")), Ok(-9_998));
        assert_eq!(widest.index_at(yearly, date("0001-06-14")), Ok(-9_999));
        assert_eq!(widest.boundary(yearly, -9_999), overflow);
    }

    #[test]
    fn an_interval_of_nothing_is_an_error() {
        let anchor = Anchor::at(date("2025-01-31"));
        for unit in [Day, Week, Month, Year] {
            let never = Interval { unit, count: 0 };
            assert_eq!(anchor.boundary(never, 1), Err(ArithmeticError::DivisionByZero));
            assert_eq!(anchor.index_at(never, anchor.at), Err(ArithmeticError::DivisionByZero));
        }
    }

    /// Every day of 131 years as an anchor. Counts and indices rotate from day to day, so that
    /// each pair of a day of the year and an index comes up in several years.
    #[test]
    fn boundaries_agree_with_jiff() {
        let first = civil::date(1970, 1, 1).at(9, 30, 0, 0);
        let unix = |at: civil::DateTime| TimeZone::UTC.to_timestamp(at).unwrap().as_second();
        let mut days = 0_i64;
        let mut at = first;
        while at.year() <= 2100 {
            let anchor = Anchor::at(Timestamp::from_unix(unix(at)).unwrap());
            let count = 1 + days.rem_euclid(3);
            let k = days.rem_euclid(61) - 24;
            let n = count * k;
            for (unit, k, span) in [
                (Day, k, n.days()),
                (Week, k, n.weeks()),
                (Month, k, n.months()),
                (Month, 1, count.months()),
                (Year, k, n.years()),
            ] {
                let interval = every(u32::try_from(count).unwrap(), unit);
                let boundary = anchor.boundary(interval, k).unwrap();
                let expect = unix(at.checked_add(span).unwrap());
                assert_eq!(boundary.unix(), expect, "{at}, {interval}, k = {k}");
                assert_eq!(anchor.index_at(interval, boundary), Ok(k));
            }
            at = at.tomorrow().unwrap();
            days += 1;
        }
        assert_eq!(days, 47_847);
    }

    fn intervals() -> impl Strategy<Value = Interval> {
        (prop_oneof![Just(Day), Just(Week), Just(Month), Just(Year)], 1_u32..=3)
            .prop_map(|(unit, count)| Interval { unit, count })
    }

    /// Anchors of the years 1900 to 2200, half of them on the last day of a month and standing
    /// for a later one.
    fn anchors() -> impl Strategy<Value = Anchor> {
        let seconds = -2_208_988_800_i64..7_258_118_400;
        (seconds, any::<bool>(), 28_u8..=31).prop_map(|(seconds, clamp, day)| {
            let at = Timestamp::from_unix(seconds).unwrap();
            if !clamp {
                return Anchor::at(at);
            }
            let naive = at.to_naive().unwrap();
            let last = day.min(naive.num_days_in_month());
            let moved = naive.with_day(last.into()).unwrap().and_utc().timestamp();
            Anchor::with_nominal_day(Timestamp::from_unix(moved).unwrap(), day, Zone::UTC).unwrap()
        })
    }

    proptest! {
        #[test]
        fn boundaries_strictly_increase(
            anchor in anchors(), interval in intervals(), k in -400_i64..400,
        ) {
            let here = anchor.boundary(interval, k).unwrap();
            prop_assert!(here < anchor.boundary(interval, k + 1).unwrap());
        }

        #[test]
        fn boundary_zero_is_the_anchor(anchor in anchors(), interval in intervals()) {
            prop_assert_eq!(anchor.boundary(interval, 0), Ok(anchor.at));
        }

        #[test]
        fn index_is_the_inverse_of_boundary(
            anchor in anchors(), interval in intervals(), k in -400_i64..400,
        ) {
            let boundary = anchor.boundary(interval, k).unwrap();
            let before = boundary.checked_add_seconds(-1).unwrap();
            prop_assert_eq!(anchor.index_at(interval, boundary), Ok(k));
            prop_assert_eq!(anchor.index_at(interval, before), Ok(k - 1));
        }

        #[test]
        fn every_instant_is_in_its_period(
            anchor in anchors(), interval in intervals(),
            seconds in -2_208_988_800_i64..7_258_118_400,
        ) {
            let at = Timestamp::from_unix(seconds).unwrap();
            let period = anchor.period_at(interval, at).unwrap();
            prop_assert!(period.contains(at), "{} is not in {}", at, period);
            prop_assert_eq!(anchor.next_boundary_after(interval, at), Ok(period.end));
        }

        #[test]
        fn no_drift(anchor in anchors(), k in -400_i64..400) {
            let months = |count| Interval { unit: Month, count };
            let direct = anchor.boundary(months(1), k * 12).unwrap();
            prop_assert_eq!(anchor.boundary(months(12), k), Ok(direct));
            prop_assert_eq!(anchor.boundary(Interval { unit: Year, count: 1 }, k), Ok(direct));
            let naive = direct.to_naive().unwrap();
            let nominal = anchor.nominal_day.min(naive.num_days_in_month());
            prop_assert_eq!(naive.day(), u32::from(nominal));
            prop_assert_eq!(naive.time(), anchor.at.to_naive().unwrap().time());
        }

        /// In a zone too boundaries strictly increase and periods adjoin, and each shows the time of
        /// day of the anchor, unless the clock is set over it.
        #[test]
        fn a_zone_keeps_the_time_of_day(
            seconds in 1_600_000_000_i64..2_000_000_000, k in -300_i64..300,
            interval in intervals(), place in 0..5_usize,
        ) {
            let zones = ["Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "America/Havana",
                "Asia/Kathmandu"];
            let zone = Zone::named(zones[place]).unwrap();
            let anchor = Anchor::in_zone(Timestamp::from_unix(seconds).unwrap(), zone);
            let boundary = anchor.boundary(interval, k).unwrap();
            prop_assert!(boundary < anchor.boundary(interval, k + 1).unwrap());
            prop_assert_eq!(anchor.index_at(interval, boundary), Ok(k));
            let before = boundary.checked_add_seconds(-1).unwrap();
            prop_assert_eq!(anchor.index_at(interval, before), Ok(k - 1));
            let time = |at| zone.naive(at).unwrap().time();
            let off = (time(boundary) - time(anchor.at)).num_seconds().rem_euclid(86_400);
            prop_assert!(off == 0 || off == 3_600 || off == 1_800, "{}", off);
        }

        #[test]
        fn nothing_panics(
            seconds in Timestamp::MIN.unix()..=Timestamp::MAX.unix(), nominal_day in any::<u8>(),
            at in Timestamp::MIN.unix()..=Timestamp::MAX.unix(), k in any::<i64>(),
            unit in intervals().prop_map(|i| i.unit), count in any::<u32>(),
        ) {
            let at = Timestamp::from_unix(at).unwrap();
            let zone = if k % 2 == 0 { Zone::UTC } else { Zone::named("Europe/Berlin").unwrap() };
            let anchor = Anchor { at: Timestamp::from_unix(seconds).unwrap(), nominal_day, zone };
            let interval = Interval { unit, count };
            let _ = anchor.boundary(interval, k);
            if let Ok(period) = anchor.period_at(interval, at) {
                prop_assert!(period.contains(at));
            }
        }
    }
}
