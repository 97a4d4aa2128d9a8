//! The periods of items, always computed from the anchor (rules 6.4 and 6.5).

use super::{Subscription, SubscriptionItem, SubscriptionItemId};
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

/// The whole period that a price is for and that holds a stub: from the boundary before it to the
/// boundary at its end (point 3).
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn whole_period(
    anchor: &Anchor,
    interval: Interval,
    part: Period,
) -> Result<Period, ArithmeticError> {
    anchor.period_at(interval, part.start)
}

/// The next periods of all items whose period ends at `at`, in the order of the items.
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
        periods.push((item.id.clone(), period_from(&subscription.anchor, interval, at)?));
    }
    Ok(periods)
}
