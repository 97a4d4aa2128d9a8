//! What a subscription comes to in a month.

use counterfoil_billing::catalog::{Price, PriceId, full_amount};
use counterfoil_billing::discount::{
    CouponDuration, Discount, FullAmount, Terms, net_of_discounts,
};
use counterfoil_billing::subscription::{Subscription, SubscriptionStatus};
use counterfoil_core::{
    ArithmeticError, Decimal12, Exact, Interval, IntervalUnit, Refusal, Timestamp,
};

/// Prices and coupons.
pub(super) trait Catalog: Terms {
    /// A price.
    fn price_of(&self, id: &PriceId) -> Result<&Price, Refusal>;
}

/// What a subscription comes to in a month with the recurring discounts that are in force at an
/// instant, exact; none where it does not count.
pub(super) fn monthly(
    subscription: &Subscription,
    of_customer: Option<&Discount>,
    catalog: &impl Catalog,
    at: Timestamp,
) -> Result<Option<Exact>, Refusal> {
    if !matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::PastDue) {
        return Ok(None);
    }
    let (mut amounts, mut times) = (Vec::new(), Vec::new());
    for item in &subscription.items {
        let price = catalog.price_of(&item.price)?;
        let (Some(quantity), Some(interval)) = (item.quantity, price.interval()) else { continue };
        amounts.push(FullAmount {
            gross: full_amount(price, subscription.currency, Decimal12::from_int(quantity))?,
            product: &price.product,
            discounts: recurring(&item.discounts, catalog, at)?,
        });
        times.push(months_per(interval)?);
    }
    let mut shared = recurring(&subscription.discounts, catalog, at)?;
    if shared.is_empty() {
        // The customer's counts only where it has none of its own (rule 4.2).
        shared = recurring(of_customer.map(std::slice::from_ref).unwrap_or_default(), catalog, at)?;
    }
    let nets = net_of_discounts(&amounts, &shared, subscription.currency, catalog)?;
    let mut sum = Exact::ZERO;
    for (net, times) in nets.iter().zip(times) {
        sum = sum.checked_add(net.net().checked_mul(times)?)?;
    }
    Ok(Some(sum))
}

/// The discounts in force that take something off more than one invoice.
fn recurring(
    discounts: &[Discount],
    catalog: &impl Catalog,
    at: Timestamp,
) -> Result<Vec<Discount>, Refusal> {
    let mut found = Vec::new();
    for discount in discounts.iter().filter(|own| own.is_in_force(at)) {
        if catalog.coupon(&discount.coupon)?.duration != CouponDuration::Once {
            found.push(discount.clone());
        }
    }
    Ok(found)
}

/// How many times an interval fits into a month.
fn months_per(interval: Interval) -> Result<Exact, ArithmeticError> {
    let count = i128::from(interval.count);
    // A month of 365.25 / 12 days has 487 / 16 of them.
    let (times, of) = match interval.unit {
        IntervalUnit::Day => (487, 16),
        IntervalUnit::Week => (487, 112),
        IntervalUnit::Month => (1, 1),
        IntervalUnit::Year => (1, 12),
    };
    Exact::ratio(times, count.saturating_mul(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_comes_to_a_month() {
        for (unit, count, minor, expected) in [
            (IntervalUnit::Month, 1, 1_000, 1_000),
            (IntervalUnit::Month, 3, 1_000, 333),
            (IntervalUnit::Year, 1, 12_000, 1_000),
            (IntervalUnit::Year, 2, 12_000, 500),
            // 365.25 days of 100, and 52.17857 weeks of 700, are 36,525 a year.
            (IntervalUnit::Day, 1, 100, 3_044),
            (IntervalUnit::Week, 1, 700, 3_044),
            (IntervalUnit::Week, 2, 1_400, 3_044),
        ] {
            let times = months_per(Interval::new(unit, count).unwrap()).unwrap();
            let found = Exact::from_int(minor).checked_mul(times).unwrap().round().unwrap();
            assert_eq!(found, expected, "{minor} every {count} {unit}");
        }
    }
}
