//! The clock of a place: its difference from UTC, and when that changes in a year (rule 1.4).
//!
//! A zone is a rule of a few numbers, written as POSIX writes it (`TZ`), and not a name: what was
//! recorded with it means the same for ever, whatever a later database says of the place. Names are
//! looked up once, in a table of this crate, when a caller gives one.

use crate::time::DAY_SECONDS;
use crate::{Refusal, Timestamp};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Names of the IANA database and the rules that it has for them from 2026 on, one a line.
const NAMES: &str = include_str!("zone/names.txt");
/// Of which version that is.
pub const ZONE_NAMES_VERSION: &str = "2026f";

/// A clock: so many seconds ahead of UTC, and for a part of the year another number of them.
///
/// ```
/// use counterfoil_core::{Timestamp, Zone};
///
/// let berlin = Zone::named("Europe/Berlin").unwrap();
/// assert_eq!(berlin.to_string(), "<+01>-1<+02>-2,M3.5.0/2,M10.5.0/3");
/// let at = |text| berlin.ahead_seconds(Timestamp::parse(text).unwrap());
/// assert_eq!((at("2025-03-30T00:59:59Z"), at("2025-03-30T01:00:00Z")), (3_600, 7_200));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Zone {
    /// Seconds ahead of UTC.
    standard: i32,
    summer: Option<Summer>,
}

/// The part of the year in which the clock shows something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Summer {
    /// Seconds ahead of UTC.
    ahead: i32,
    begins: Change,
    ends: Change,
}

/// A day of every year and a time that the clock shows then, at which it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Change {
    /// 1 to 12.
    month: u8,
    /// 1 to 4: the so-manieth of its weekday in the month; 5: the last.
    week: u8,
    /// 0, Sunday, to 6.
    weekday: u8,
    /// Seconds after midnight, from -167 hours to 167 hours.
    seconds: i32,
}

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self { standard: 0, summer: None };

    /// Whether it is universal time.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        *self == Self::UTC
    }

    /// The zone of a name in the spelling of the IANA database: `Europe/Berlin`. Its rule is the one
    /// that holds from 2026 on, and is taken to have held before.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut lines = NAMES.lines().filter_map(|line| line.split_once(' '));
        let (_, rule) = lines.find(|(own, _)| *own == name)?;
        Self::of_rule(rule)
    }

    /// The zone that a text names: `Europe/Berlin`, a difference from UTC (`+05:30`), or a rule as
    /// POSIX writes it (`CET-1CEST,M3.5.0,M10.5.0/3`).
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] naming `param`.
    pub fn parse(param: &str, text: &str) -> Result<Self, Refusal> {
        let found = Self::named(text).or_else(|| difference(text)).or_else(|| Self::of_rule(text));
        found.ok_or_else(|| {
            let reason = format!(
                "{text:?} is no zone of the IANA database {ZONE_NAMES_VERSION}, no difference from \
                 UTC like +05:30 and no rule like CET-1CEST,M3.5.0,M10.5.0/3"
            );
            Refusal::invalid(param, reason)
        })
    }

    /// A rule as POSIX writes it, with its changes on weekdays of a month.
    fn of_rule(text: &str) -> Option<Self> {
        let mut rest = Text(text);
        rest.name()?;
        let standard = rest.clock(24)?.checked_neg()?;
        if rest.0.is_empty() {
            return Some(Self { standard, summer: None });
        }
        rest.name()?;
        let ahead = match rest.0.starts_with(',') {
            true => standard.checked_add(3_600)?,
            false => rest.clock(24)?.checked_neg()?,
        };
        rest.takes(",")?;
        let begins = rest.change()?;
        rest.takes(",")?;
        let ends = rest.change()?;
        let summer = Some(Summer { ahead, begins, ends });
        // Two changes of one day would leave no order between them.
        let apart = (begins.month, begins.week) != (ends.month, ends.week) && ahead != standard;
        (rest.0.is_empty() && apart).then_some(Self { standard, summer })
    }

    /// How many seconds the clock is ahead of UTC at an instant.
    #[must_use]
    pub fn ahead_seconds(&self, at: Timestamp) -> i64 {
        self.ahead(at.unix())
    }

    /// The number of the day that the clock shows at an instant; day 0 is 1970-01-01.
    #[must_use]
    pub fn day_number(&self, at: Timestamp) -> i64 {
        self.local(at).div_euclid(DAY_SECONDS)
    }

    /// What the clock shows at an instant, in seconds since it showed the beginning of 1970.
    pub(crate) fn local(&self, at: Timestamp) -> i64 {
        at.unix().saturating_add(self.ahead(at.unix()))
    }

    /// The same, for calendar arithmetic.
    pub(crate) fn naive(&self, at: Timestamp) -> Option<NaiveDateTime> {
        naive(self.local(at))
    }

    /// The second at which the clock shows something: the first of two, and where the clock is set
    /// forward over it, as much later as it is set.
    pub(crate) fn second_of(&self, local: i64) -> i64 {
        let standard = i64::from(self.standard);
        let Some(summer) = self.summer else { return local.saturating_sub(standard) };
        let (least, most) = (standard.min(summer.ahead.into()), standard.max(summer.ahead.into()));
        let early = local.saturating_sub(most);
        if self.ahead(early) == most { early } else { local.saturating_sub(least) }
    }

    fn ahead(&self, at: i64) -> i64 {
        let standard = i64::from(self.standard);
        let Some(summer) = self.summer else { return standard };
        let Some(year) = naive(at.saturating_add(standard)).map(|own| own.year()) else {
            return standard;
        };
        let Some(begins) = summer.begins.local(year) else { return standard };
        let Some(ends) = summer.ends.local(year) else { return standard };
        // Each change is at a time that the clock shows before it is set.
        let begins = begins.saturating_sub(standard);
        let ends = ends.saturating_sub(summer.ahead.into());
        let is_summer = match begins <= ends {
            true => (begins..ends).contains(&at),
            false => !(ends..begins).contains(&at),
        };
        if is_summer { summer.ahead.into() } else { standard }
    }
}

impl Change {
    /// What the clock shows when it is set in a year, in seconds since 1970.
    fn local(self, year: i32) -> Option<i64> {
        let first = NaiveDate::from_ymd_opt(year, self.month.into(), 1)?;
        let weekday = i64::from(first.weekday().num_days_from_sunday());
        let to_first = i64::from(self.weekday).checked_sub(weekday)?.checked_rem_euclid(7)?;
        let weeks = i64::from(self.week).checked_sub(1)?;
        let mut day = weeks.checked_mul(7)?.checked_add(to_first)?;
        if day >= i64::from(first.num_days_in_month()) {
            day = day.checked_sub(7)?;
        }
        let midnight = first.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
        midnight.checked_add(day.checked_mul(DAY_SECONDS)?)?.checked_add(self.seconds.into())
    }
}

fn naive(local: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(local, 0).map(|at| at.naive_utc())
}

/// A difference from UTC: `+05:30`, `-03:00`.
fn difference(text: &str) -> Option<Zone> {
    let mut rest = Text(text);
    let sign = if rest.takes("+").is_some() {
        1
    } else {
        rest.takes("-")?;
        -1
    };
    let (hours, minutes) = rest.0.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?;
    Some(Zone { standard: seconds.checked_mul(sign)?, summer: None })
}

/// What is left of a text.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn takes(&mut self, prefix: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(prefix)?;
        Some(())
    }

    fn while_ascii(&mut self, is_in: impl Fn(u8) -> bool) -> &'a str {
        let len = self.0.bytes().take_while(|byte| is_in(*byte)).count();
        let (taken, rest) = self.0.split_at_checked(len).unwrap_or(("", self.0));
        self.0 = rest;
        taken
    }

    /// A name of three letters or more, or in angle brackets.
    fn name(&mut self) -> Option<()> {
        let name = if self.takes("<").is_some() {
            let name = self
                .while_ascii(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'-');
            self.takes(">")?;
            name
        } else {
            self.while_ascii(|byte| byte.is_ascii_alphabetic())
        };
        (3..=8).contains(&name.len()).then_some(())
    }

    fn number(&mut self, max: i32) -> Option<i32> {
        let digits = self.while_ascii(|byte| byte.is_ascii_digit());
        if !(1..=3).contains(&digits.len()) {
            return None;
        }
        digits.parse().ok().filter(|number| *number <= max)
    }

    /// Hours with minutes and seconds, and a sign: `-3:30`.
    fn clock(&mut self, hours_max: i32) -> Option<i32> {
        let negative = self.takes("-").is_some();
        if !negative {
            let _ = self.takes("+");
        }
        let mut seconds = self.number(hours_max)?.checked_mul(3_600)?;
        for unit in [60, 1] {
            if self.takes(":").is_none() {
                break;
            }
            seconds = seconds.checked_add(self.number(59)?.checked_mul(unit)?)?;
        }
        if negative { seconds.checked_neg() } else { Some(seconds) }
    }

    /// `M3.5.0`, at two o'clock, or with a time: `/3`.
    fn change(&mut self) -> Option<Change> {
        self.takes("M")?;
        let month = self.number(12).filter(|month| *month >= 1)?;
        self.takes(".")?;
        let week = self.number(5).filter(|week| *week >= 1)?;
        self.takes(".")?;
        let weekday = self.number(6)?;
        let seconds = if self.takes("/").is_some() { self.clock(167)? } else { 7_200 };
        let small = |number: i32| u8::try_from(number).ok();
        Some(Change { month: small(month)?, week: small(week)?, weekday: small(weekday)?, seconds })
    }
}

/// As POSIX writes it: `<+01>-1<+02>-2,M3.5.0/2,M10.5.0/3`.
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, ahead: i32| -> fmt::Result {
            let (sign, minutes) = (if ahead < 0 { '-' } else { '+' }, parts(ahead));
            write!(f, "<{sign}{:02}", minutes.0)?;
            if minutes.1 != 0 {
                write!(f, "{:02}", minutes.1)?;
            }
            f.write_str(">")?;
            Clock(ahead.saturating_neg()).fmt(f)
        };
        side(f, self.standard)?;
        let Some(summer) = self.summer else { return Ok(()) };
        side(f, summer.ahead)?;
        for Change { month, week, weekday, seconds } in [summer.begins, summer.ends] {
            write!(f, ",M{month}.{week}.{weekday}/{}", Clock(seconds))?;
        }
        Ok(())
    }
}

/// Seconds as hours with minutes and seconds.
struct Clock(i32);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = parts(self.0);
        write!(f, "{}{hours}", if self.0 < 0 { "-" } else { "" })?;
        if minutes != 0 || seconds != 0 {
            write!(f, ":{minutes:02}")?;
        }
        if seconds != 0 {
            write!(f, ":{seconds:02}")?;
        }
        Ok(())
    }
}

/// Hours, minutes and seconds, without the sign.
fn parts(seconds: i32) -> (u32, u32, u32) {
    let seconds = seconds.unsigned_abs();
    let minutes = seconds.div_euclid(60);
    (minutes.div_euclid(60), minutes.rem_euclid(60), seconds.rem_euclid(60))
}

/// Its rule.
impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From whatever [`Zone::parse`] takes.
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse("time_zone", &text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    #[test]
    fn every_name_has_a_rule_that_is_written_and_read_back() {
        assert_eq!(NAMES.lines().count(), 597);
        for line in NAMES.lines() {
            let (name, rule) = line.split_once(' ').unwrap();
            let zone = Zone::named(name).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(Zone::of_rule(&zone.to_string()), Some(zone), "{line}");
            assert_eq!(Zone::of_rule(rule), Some(zone), "{line}");
        }
        assert_eq!(Zone::named("Etc/UTC"), Some(Zone::UTC));
        assert_eq!(Zone::default(), Zone::UTC);
    }

    #[test]
    fn what_a_text_names() {
        for (text, rule) in [
            ("UTC", "<+00>0"),
            ("+05:30", "<+0530>-5:30"),
            ("-03:00", "<-03>3"),
            ("+00:00", "<+00>0"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "<+01>-1<+02>-2,M3.5.0/2,M10.5.0/3"),
            ("America/St_Johns", "<-0330>3:30<-0230>2:30,M3.2.0/2,M11.1.0/2"),
            ("Australia/Lord_Howe", "<+1030>-10:30<+11>-11,M10.1.0/2,M4.1.0/2"),
            ("Asia/Gaza", "<+02>-2<+03>-3,M3.4.4/50,M10.4.4/50"),
            ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "<-02>2<-01>1,M3.5.0/-1,M10.5.0/0"),
        ] {
            let zone = Zone::parse("time_zone", text).unwrap();
            assert_eq!(zone.to_string(), rule, "{text}");
            assert_eq!(Zone::parse("time_zone", rule), Ok(zone), "{text}");
        }
        for text in [
            "",
            "europe/berlin",
            "Mars",
            "CEST",
            "CET-25",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "+5:30",
            "+24:00",
            "05:30",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-1CEST,M3.0.0,M10.5.0",
            "CET-1CEST,M3.5.7,M10.5.0",
            "CET-1CEST,J60,J300",
            "CET-1CEST,M3.5.0,M10.5.0/168",
            "CET-1CEST,M3.5.0,M10.5.0/3x",
            "C-1",
            "CET-1CEST,M3.5.0,M3.5.1",
            "CET-1CET-1,M3.5.0,M10.5.0",
        ] {
            let refusal = Zone::parse("time_zone", text).unwrap_err();
            assert!(refusal.to_string().contains("time_zone"), "{text}: {refusal}");
        }
    }

    #[test]
    fn at_rest_it_is_its_rule() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let text = serde_json::to_string(&zone).unwrap();
        assert_eq!(text, "\"<+01>-1<+02>-2,M3.5.0/2,M10.5.0/3\"");
        assert_eq!(serde_json::from_str::<Zone>(&text).unwrap(), zone);
        assert_eq!(serde_json::from_str::<Zone>("\"Europe/Berlin\"").unwrap(), zone);
    }

    /// A rule of every kind: with summer in the north and the south, with summer less than winter, by
    /// half an hour, and at odd times.
    const ZONES: [&str; 12] = [
        "Europe/Berlin",
        "America/New_York",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Europe/London",
        "America/Godthab",
        "Africa/Cairo",
        "Asia/Gaza",
        "Antarctica/Troll",
        "Pacific/Chatham",
        "Asia/Kathmandu",
        "America/Havana",
    ];
    /// As the database wrote Ireland before.
    const DUBLIN: &str = "IST-1GMT0,M10.5.0,M3.5.0/1";

    proptest! {
        #[test]
        fn a_clock_shows_what_jiff_says(
            place in 0..=ZONES.len(), seconds in 1_600_000_000_i64..4_000_000_000,
        ) {
            let rule = match ZONES.get(place) {
                Some(name) => NAMES.lines().find_map(|own| own.strip_prefix(&format!("{name} "))),
                None => Some(DUBLIN),
            };
            let (zone, other) = (Zone::of_rule(rule.unwrap()), TimeZone::posix(rule.unwrap()));
            let (zone, other) = (zone.unwrap(), other.unwrap());
            let at = jiff::Timestamp::from_second(seconds).unwrap();
            let ahead = i64::from(other.to_offset(at).seconds());
            prop_assert_eq!(zone.ahead(seconds), ahead);
            // What the clock shows somewhere, shown or not, is the same second.
            let local = TimeZone::UTC.to_datetime(at);
            let second = other.to_timestamp(local).unwrap().as_second();
            prop_assert_eq!(zone.second_of(seconds), second);
        }
    }

    #[test]
    fn around_each_change_it_is_what_jiff_says() {
        for name in ZONES {
            let rule = NAMES.lines().find_map(|own| own.strip_prefix(&format!("{name} ")));
            let (zone, other) =
                (Zone::named(name).unwrap(), TimeZone::posix(rule.unwrap()).unwrap());
            let mut before = 0;
            for quarter in 1_700_000_000 / 900..1_800_000_000 / 900 {
                let seconds = quarter * 900;
                let ahead = zone.ahead(seconds);
                if std::mem::replace(&mut before, ahead) != ahead {
                    for second in [seconds - 900, seconds - 1, seconds, seconds + 1, seconds + 900]
                    {
                        let at = jiff::Timestamp::from_second(second).unwrap();
                        assert_eq!(zone.ahead(second), i64::from(other.to_offset(at).seconds()));
                    }
                    for local in (-7_200..=14_400).step_by(450).map(|own| seconds + ahead + own) {
                        let shown = jiff::Timestamp::from_second(local).unwrap();
                        let shown = TimeZone::UTC.to_datetime(shown);
                        let second = other.to_timestamp(shown).unwrap().as_second();
                        assert_eq!(zone.second_of(local), second, "{name} {shown}");
                    }
                }
            }
        }
    }
}
