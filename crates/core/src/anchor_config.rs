//! An anchor given as fields of a date (rule 6.4).

use crate::{Anchor, Refusal, Timestamp, Zone};
use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use serde::{Deserialize, Serialize};

/// A billing cycle anchor as fields of a date, as a clock shows it: the next instant that has them
/// (rule 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorConfig {
    /// 1 to 31; a month that is shorter ends on its last day.
    pub day_of_month: u8,
    /// 1 to 12; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<u8>,
    /// 0 to 23; that of creation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<u8>,
    /// 0 to 59; that of creation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<u8>,
    /// 0 to 59; that of creation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<u8>,
}

impl AnchorConfig {
    /// The first anchor at or after `created` that has the fields by the clock of a zone. Its nominal day is
    /// `day_of_month`, even where it lies on the last day of a shorter month (point 61).
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] naming the field that is out of its range.
    pub fn next_anchor(&self, created: Timestamp, zone: Zone) -> Result<Anchor, Refusal> {
        self.check()?;
        let beyond = || Refusal::invalid("billing_cycle_anchor_config", "beyond the calendar");
        let now = zone.naive(created).ok_or_else(beyond)?;
        let field = |given: Option<u8>, own: u32| given.map_or(own, u32::from);
        let time = NaiveTime::from_hms_opt(
            field(self.hour, now.hour()),
            field(self.minute, now.minute()),
            field(self.second, now.second()),
        )
        .ok_or_else(beyond)?;
        // Twelve months on, every month has come round once; the thirteenth covers its early days.
        let (mut year, mut month) = (now.year(), now.month());
        for _ in 0..=12 {
            if self.month.is_none_or(|wanted| u32::from(wanted) == month) {
                let candidate = clamped_date(year, month, self.day_of_month)
                    .map(|date| zone.second_of(date.and_time(time).and_utc().timestamp()))
                    .ok_or_else(beyond)?;
                if candidate >= created.unix() {
                    let at = Timestamp::from_unix(candidate)?;
                    return Anchor::with_nominal_day(at, self.day_of_month, zone);
                }
            }
            (year, month) = match month {
                12 => (year.saturating_add(1), 1),
                _ => (year, month.saturating_add(1)),
            };
        }
        Err(beyond())
    }

    fn check(&self) -> Result<(), Refusal> {
        let fields = [
            ("day_of_month", Some(self.day_of_month), 1, 31),
            ("month", self.month, 1, 12),
            ("hour", self.hour, 0, 23),
            ("minute", self.minute, 0, 59),
            ("second", self.second, 0, 59),
        ];
        for (name, value, min, max) in fields {
            if value.is_some_and(|value| value < min || value > max) {
                let param = format!("billing_cycle_anchor_config.{name}");
                return Err(Refusal::invalid(param, format!("it is {min} to {max}")));
            }
        }
        Ok(())
    }
}

/// The day of a month, or the month's last day where the month is shorter.
fn clamped_date(year: i32, month: u32, day: u8) -> Option<NaiveDate> {
    (28..=u32::from(day))
        .rev()
        .chain(std::iter::once(u32::from(day)))
        .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: (u8, Option<u8>, Option<u8>), created: &str, expect: &str) {
        let (day_of_month, month, hour) = config;
        let config = AnchorConfig { day_of_month, month, hour, minute: None, second: None };
        let anchor = config.next_anchor(created.parse().unwrap(), Zone::UTC).unwrap();
        assert_eq!(anchor.at.to_string(), expect, "{config:?} from {created}");
        assert_eq!(anchor.nominal_day, day_of_month);
    }

    #[test]
    fn the_next_instant_with_the_fields() {
        check((31, None, None), "2025-02-03T04:05:06Z", "2025-02-28T04:05:06Z");
        check((31, Some(8), None), "2025-02-03T00:00:00Z", "2025-08-31T00:00:00Z");
        check((3, None, Some(0)), "2025-02-03T00:00:00Z", "2025-02-03T00:00:00Z");
        check((3, None, Some(0)), "2025-02-03T01:00:01Z", "2025-03-03T00:00:01Z");
        check((29, Some(2), None), "2025-03-01T00:00:00Z", "2026-02-28T00:00:00Z");
        check((5, None, None), "2025-12-06T12:00:00Z", "2026-01-05T12:00:00Z");
        check((1, Some(3), None), "2025-03-02T00:00:00Z", "2026-03-01T00:00:00Z");
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        let base =
            AnchorConfig { day_of_month: 1, month: None, hour: None, minute: None, second: None };
        for (field, config) in [
            ("day_of_month", AnchorConfig { day_of_month: 0, ..base }),
            ("day_of_month", AnchorConfig { day_of_month: 32, ..base }),
            ("month", AnchorConfig { month: Some(0), ..base }),
            ("month", AnchorConfig { month: Some(13), ..base }),
            ("hour", AnchorConfig { hour: Some(24), ..base }),
            ("minute", AnchorConfig { minute: Some(60), ..base }),
            ("second", AnchorConfig { second: Some(60), ..base }),
        ] {
            let refusal = config.next_anchor("2025-01-01T00:00:00Z".parse().unwrap(), Zone::UTC);
            let Err(Refusal::ParameterInvalid { param, .. }) = refusal else {
                panic!("{config:?}: {refusal:?}");
            };
            assert_eq!(param, format!("billing_cycle_anchor_config.{field}"));
        }
    }
}
