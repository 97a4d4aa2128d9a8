//! From an item and its price to the lines of an invoice.

use super::{SubscriptionItem, SubscriptionItemId};
use crate::Policies;
use crate::catalog::{Basis, Price, RatedLine, full_amount, rate};
use crate::discount::NetAmount;
use crate::invoice::{
    Derivation, Fraction, FractionUnit, Line, Numbered, UsageCharge, UsageReading,
};
use counterfoil_core::{Currency, Decimal12, Period, Refusal, Zone};

/// The lines of a licensed item for one of its periods: the price at the quantity for a whole
/// period; for a part, one line with the exact fraction of it, net of the discounts in force (rule
/// 6.5, points 29 and 30), which `net` tells. Days are counted by the clock of the zone.
///
/// # Errors
/// [`Refusal::AmountTooLarge`] where an amount is out of range.
pub fn item_lines(
    item: &SubscriptionItem,
    (price, name): (&Price, &str),
    currency: Currency,
    (period, whole, zone): (Period, Period, Zone),
    net: Option<&NetAmount>,
    policies: &Policies,
    ids: &mut dyn Numbered,
) -> Result<Vec<Line>, Refusal> {
    let quantity = Decimal12::from_int(item.quantity.unwrap_or(1));
    if period == whole {
        let rated = rate(price, currency, quantity, policies)?;
        return Ok(lines_of_item(rated, &item.id, (price, name), period, ids, |basis| {
            Derivation::Rated { basis }
        }));
    }
    let fraction = Fraction::of((period, whole), policies, zone);
    let net = match net {
        Some(net) => net.clone(),
        None => NetAmount::whole(full_amount(price, currency, quantity)?),
    };
    let (amount, included_discounts) = net.part(fraction.exact()?, policies.rounding)?;
    let name = format!("Part of a period of {name} ({quantity})");
    let derivation = Derivation::Prorated {
        whole,
        fraction: Some(fraction).filter(|fraction| fraction.unit != FractionUnit::Second),
    };
    Ok(vec![Line {
        quantity,
        unit_amount: price.scheme_in(currency)?.unit_amount_decimal(),
        price: Some(price.id.clone()),
        proration: true,
        discountable: false,
        subscription_item: Some(item.id.clone()),
        included_discounts,
        ..Line::new(ids.line(), name, amount, period, derivation)
    }])
}

/// The lines of a metered item for the usage of a period. A negative total bills a quantity of 0
/// (rule 12.2).
///
/// # Errors
/// [`Refusal::AmountTooLarge`] where an amount is out of range.
pub fn usage_lines(
    charge: &UsageCharge,
    (price, name): (&Price, &str),
    currency: Currency,
    reading: &UsageReading,
    policies: &Policies,
    ids: &mut dyn Numbered,
) -> Result<Vec<Line>, Refusal> {
    let quantity = reading.quantity.max(Decimal12::ZERO);
    let rated = rate(price, currency, quantity, policies)?;
    let product = (price, name);
    let mut lines =
        lines_of_item(rated, &charge.subscription_item, product, charge.period, ids, |basis| {
            Derivation::Metered { basis, reading: reading.clone() }
        });
    for line in &mut lines {
        line.discounts.clone_from(&charge.discounts);
        line.tax_rates.clone_from(&charge.tax_rates);
        line.spared_discounts.clone_from(&charge.spared_discounts);
    }
    Ok(lines)
}

/// The line for usage that came after a period was billed, if any came: the price at all usage of
/// the period, less what was billed for it (rule 12.8).
///
/// # Errors
/// [`Refusal::AmountTooLarge`] where an amount is out of range.
pub fn late_usage_line(
    charge: &UsageCharge,
    (price, name): (&Price, &str),
    currency: Currency,
    reading: UsageReading,
    (billed_quantity, billed_amount): (Decimal12, i64),
    policies: &Policies,
    ids: &mut dyn Numbered,
) -> Result<Option<Line>, Refusal> {
    let beyond = || Refusal::too_large(format!("late usage of {}", price.id), i64::MAX);
    if reading.quantity <= billed_quantity.max(Decimal12::ZERO) {
        return Ok(None);
    }
    let mut amount = 0_i64.checked_sub(billed_amount).ok_or_else(beyond)?;
    for rated in rate(price, currency, reading.quantity, policies)? {
        amount = amount.checked_add(rated.amount_minor).ok_or_else(beyond)?;
    }
    let before = billed_quantity.max(Decimal12::ZERO);
    let quantity = reading.quantity.checked_sub(before)?;
    let derivation = Derivation::Late { reading, billed_quantity: before, billed_amount };
    let name = format!("Late usage of {name}");
    Ok(Some(Line {
        quantity,
        price: Some(price.id.clone()),
        subscription_item: Some(charge.subscription_item.clone()),
        discounts: charge.discounts.clone(),
        spared_discounts: charge.spared_discounts.clone(),
        tax_rates: charge.tax_rates.clone(),
        ..Line::new(ids.line(), name, amount, charge.period, derivation)
    }))
}

/// The line that takes back what an invoice of the same period charged for its usage so far (rule
/// 6.13), and with which `derivation`. No discount applies to it: what discounts take off all of the
/// usage again is left out of its amount.
#[must_use]
pub fn previously_billed_line(
    charge: &UsageCharge,
    name: &str,
    (amount, quantity): (i64, Decimal12),
    derivation: Derivation,
    ids: &mut dyn Numbered,
) -> Line {
    let name = format!("Previously billed usage of {name}");
    Line {
        quantity,
        price: Some(charge.price.clone()),
        subscription_item: Some(charge.subscription_item.clone()),
        discountable: false,
        tax_rates: charge.tax_rates.clone(),
        ..Line::new(ids.line(), name, amount, charge.period, derivation)
    }
}

/// Rated lines of an item as lines of an invoice.
pub fn lines_of_item(
    rated: Vec<RatedLine>,
    item: &SubscriptionItemId,
    (price, name): (&Price, &str),
    period: Period,
    ids: &mut dyn Numbered,
    derivation: impl Fn(Basis) -> Derivation,
) -> Vec<Line> {
    let line = |rated: RatedLine| {
        let (text, amount) = (describe(name, &rated), rated.amount_minor);
        Line {
            quantity: rated.quantity,
            unit_amount: rated.unit_amount,
            price: Some(price.id.clone()),
            subscription_item: Some(item.clone()),
            ..Line::new(ids.line(), text, amount, period, derivation(rated.basis))
        }
    };
    rated.into_iter().map(line).collect()
}

fn describe(name: &str, rated: &RatedLine) -> String {
    match rated.basis {
        Basis::GraduatedFlat { tier } | Basis::VolumeFlat { tier } => {
            format!("{name} (tier {tier}, flat)")
        }
        Basis::GraduatedUnit { tier, .. } | Basis::VolumeUnit { tier } => {
            format!("{name} (tier {tier})")
        }
        Basis::PerUnit | Basis::Package { .. } | Basis::TieredSingle => name.to_owned(),
    }
}
