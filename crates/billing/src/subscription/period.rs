//! The periods of items, always computed from the anchor (rules 6.4 and 6.5).

use super::{Subscription, SubscriptionItem, SubscriptionItemId};
use crate::policy::{Policies, StubDenominator};
use counterfoil_core::{Anchor, ArithmeticError, Interval, Period, Timestamp};

/// The period of an item that begins at `start`: up to the next boundary. It is a stub unless
/// `start` is a boundary itself.
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn period_from(
    anchor: &Anchor,
    interval: Interval,
    start: Timestamp,
) -> Result<Period, ArithmeticError> {
    Ok(Period::new(start, anchor.next_boundary_after(interval, start)?))
}

/// The whole period that a price is for and that a part of it is a fraction of: from the boundary
/// before it to the next one; for a stub that is imagined, the interval that would begin with it
/// (point 3).
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn whole_period(
    anchor: &Anchor,
    interval: Interval,
    part: Period,
    is_backdated: bool,
    policies: &Policies,
) -> Result<Period, ArithmeticError> {
    let aligned = anchor.period_at(interval, part.start)?;
    let imagined = is_backdated || policies.stub_denominator == StubDenominator::Imagined;
    if imagined && part.start != aligned.start {
        let own = Anchor::in_zone(part.start, anchor.zone);
        return Ok(Period::new(part.start, own.boundary(interval, 1)?));
    }
    Ok(aligned)
}

/// The next periods of all items whose period ends at `at`, in the order of the items. None reaches
/// beyond the agreed end (rule 6.10).
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn rolled_periods(
    subscription: &Subscription,
    at: Timestamp,
    interval: impl Fn(&SubscriptionItem) -> Option<Interval>,
) -> Result<Vec<(SubscriptionItemId, Period)>, ArithmeticError> {
    let mut periods = Vec::new();
    for item in subscription.items.iter().filter(|item| item.period.end <= at) {
        let Some(interval) = interval(item) else { continue };
        let period = period_from(&subscription.anchor, interval, at)?;
        periods.push((item.id.clone(), until(period, subscription.cancel_at)));
    }
    Ok(periods)
}

/// A period that ends with an agreed end inside it.
#[must_use]
pub fn until(period: Period, end: Option<Timestamp>) -> Period {
    Period::new(period.start, end.map_or(period.end, |end| period.end.min(end)))
}
