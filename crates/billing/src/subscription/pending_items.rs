//! Invoices for what waits, at an interval of their own (rule 6.1).

use counterfoil_core::{
    Anchor, ArithmeticError, Interval, IntervalUnit, Period, Refusal, Timestamp, limits,
};
use serde::{Deserialize, Serialize};

/// How often what waits for an invoice of a subscription is invoiced, beside its renewals.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingItemInterval {
    /// The interval.
    pub interval: Interval,
    /// When it was set: what all of its boundaries are computed from.
    pub anchor: Anchor,
    /// The boundary that comes next.
    pub next: Timestamp,
}

/// The interval as a caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingItemIntervalInput {
    /// The unit.
    pub interval: IntervalUnit,
    /// How many of them; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<u32>,
}

impl PendingItemInterval {
    /// An interval that counts from an instant on.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] for a count of 0 or beyond a year.
    pub fn begin(input: PendingItemIntervalInput, at: Timestamp) -> Result<Self, Refusal> {
        let (unit, count) = (input.interval, input.interval_count.unwrap_or(1));
        let limit = limits::pending_item_interval_max(unit);
        if !(1..=limit).contains(&count) {
            let reason = format!("an interval has 1 to {limit} {unit}s, not {count}");
            return Err(Refusal::invalid("pending_invoice_item_interval.interval_count", reason));
        }
        let (interval, anchor) = (Interval { unit, count }, Anchor::at(at));
        Ok(Self { interval, anchor, next: anchor.boundary(interval, 1)? })
    }

    /// The same interval, which goes on as it did, or another one that begins.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn changed(
        current: Option<Self>,
        input: PendingItemIntervalInput,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let begun = Self::begin(input, at)?;
        Ok(current.filter(|own| own.interval == begun.interval).unwrap_or(begun))
    }

    /// The first boundary after an instant.
    ///
    /// # Errors
    /// A time beyond the calendar.
    pub fn next_after(&self, at: Timestamp) -> Result<Timestamp, ArithmeticError> {
        self.anchor.next_boundary_after(self.interval, at)
    }

    /// What an invoice at an instant looks back on: the time since the boundary before the one that
    /// came.
    ///
    /// # Errors
    /// A time beyond the calendar.
    pub fn period_until(&self, at: Timestamp) -> Result<Period, ArithmeticError> {
        let k = self.anchor.index_at(self.interval, self.next)?;
        let before = k.checked_sub(1).ok_or(ArithmeticError::Overflow)?;
        Ok(Period::new(self.anchor.boundary(self.interval, before)?, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn input(interval: IntervalUnit, count: u32) -> PendingItemIntervalInput {
        PendingItemIntervalInput { interval, interval_count: Some(count) }
    }

    #[test]
    fn boundaries_do_not_drift() {
        let begun = at("2025-01-31T10:00:00Z");
        let mut own = PendingItemInterval::begin(input(IntervalUnit::Month, 1), begun).unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            let period = own.period_until(own.next).unwrap();
            seen.push((period.start.to_string(), period.end.to_string()));
            own.next = own.next_after(own.next).unwrap();
        }
        let ends = ["01-31", "02-28", "03-31", "04-30", "05-31"];
        let ends = ends.map(|day| format!("2025-{day}T10:00:00Z"));
        let expected: Vec<_> =
            ends.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_interval_has_its_limits() {
        let now = at("2025-01-01T00:00:00Z");
        for (unit, most) in [
            (IntervalUnit::Day, 365),
            (IntervalUnit::Week, 52),
            (IntervalUnit::Month, 12),
            (IntervalUnit::Year, 1),
        ] {
            for (count, taken) in [(0, false), (1, true), (most, true), (most + 1, false)] {
                let begun = PendingItemInterval::begin(input(unit, count), now);
                assert_eq!(begun.is_ok(), taken, "{count} {unit}");
            }
        }
    }

    #[test]
    fn the_same_interval_goes_on() {
        let (first, later) = (at("2025-01-01T00:00:00Z"), at("2025-01-05T00:00:00Z"));
        let week = input(IntervalUnit::Week, 1);
        let own = PendingItemInterval::begin(week, first).unwrap();
        let changed = |input| PendingItemInterval::changed(Some(own), input, later).unwrap();
        assert_eq!(changed(week), own);
        assert_eq!(changed(input(IntervalUnit::Day, 7)).next, at("2025-01-12T00:00:00Z"));
    }
}
