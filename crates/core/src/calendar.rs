//! Anchor-based calendar arithmetic (rule 6.4).
use crate::{ArithmeticError, Timestamp};
use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};
/// The unit of a recurring interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalUnit {
    /// 86,400 seconds.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}
/// A recurring interval: `count` units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// The unit.
    pub unit: IntervalUnit,
    /// How many of them; at least 1.
    pub count: u32,
}
/// What boundaries are computed from: an instant and the nominal day of the month it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Anchor {
    /// Boundary 0.
    pub at: Timestamp,
    /// Day of the month that boundaries aim at, 1 to 31; 31 stays 31 after a February.
    pub nominal_day: u8,
}
impl Anchor {
    /// The anchor at an instant, with its own day as the nominal one.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        let day = at.to_naive().map_or(1, |t| t.day());
        Self { at, nominal_day: u8::try_from(day).unwrap_or(1) }
    }
    /// Boundary `k` (negative ones lie before the anchor), always computed from the anchor.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn boundary(&self, interval: Interval, k: i64) -> Result<Timestamp, ArithmeticError> {
        let _ = (interval, k, Days::new(1), Months::new(1), NaiveDate::MIN);
        Err(ArithmeticError::Overflow)
    }
    /// The largest `k` with `boundary(k) <= at`.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn index_at(&self, interval: Interval, at: Timestamp) -> Result<i64, ArithmeticError> {
        let _ = (interval, at);
        Err(ArithmeticError::Overflow)
    }
}
