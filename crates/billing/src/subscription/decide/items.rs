//! What a subscription may consist of.

use super::super::{BillingMode, ItemInput, SubscriptionItem, SubscriptionItemId};
use super::Prices;
use crate::catalog::{Price, PriceId, Usage, full_amount};
use crate::invoice::CollectionMethod;
use counterfoil_core::{
    Currency, Decimal12, Interval, IntervalUnit, Metadata, Period, Refusal, Timestamp, limits,
};
use std::collections::BTreeSet;

pub(super) fn check_count(items: usize) -> Result<(), Refusal> {
    if (1..=limits::SUBSCRIPTION_ITEMS_MAX).contains(&items) {
        return Ok(());
    }
    let limit = limits::SUBSCRIPTION_ITEMS_MAX;
    Err(Refusal::invalid("items", format!("{items} items (a subscription has 1 to {limit})")))
}

pub(crate) fn check_collection(method: CollectionMethod, days: Option<u32>) -> Result<(), Refusal> {
    match (method, days) {
        (CollectionMethod::SendInvoice, None) => Err(Refusal::missing("days_until_due")),
        (CollectionMethod::SendInvoice, Some(days)) if days > limits::DAYS_UNTIL_DUE_MAX => {
            let reason = format!("{days} days (the limit is {})", limits::DAYS_UNTIL_DUE_MAX);
            Err(Refusal::invalid("days_until_due", reason))
        }
        (CollectionMethod::ChargeAutomatically, Some(_)) => {
            Err(Refusal::invalid("days_until_due", "only send_invoice has a due date"))
        }
        _ => Ok(()),
    }
}

pub(super) fn recurring(price: &Price) -> Result<Interval, Refusal> {
    price.interval().ok_or_else(|| {
        Refusal::invalid("price", format!("{} is one_time, not recurring", price.id))
    })
}

/// A recurring price that may be subscribed to anew, in the subscription's currency.
pub(super) fn sold_price<'a>(
    prices: &'a dyn Prices,
    id: &PriceId,
    currency: Currency,
    param: &str,
) -> Result<&'a Price, Refusal> {
    let price = prices.price(id)?;
    if !price.active {
        return Err(Refusal::PriceInactive { id: id.to_string() });
    }
    if !prices.is_sold(price) {
        return Err(Refusal::ProductInactive { id: price.product.to_string() });
    }
    if price.scheme_in(currency).is_err() {
        return Err(Refusal::CurrencyMismatch {
            context: format!("{param} {id}"),
            expected: currency.code().to_owned(),
            got: price.currency.code().to_owned(),
        });
    }
    recurring(price)?;
    Ok(price)
}

pub(super) fn new_item(
    input: &ItemInput,
    id: SubscriptionItemId,
    (price, currency): (&Price, Currency),
    period: Period,
    index: usize,
    at: Timestamp,
) -> Result<SubscriptionItem, Refusal> {
    input.billing_thresholds.map_or(Ok(()), |thresholds| thresholds.check(price, index))?;
    Ok(SubscriptionItem {
        id,
        price: price.id.clone(),
        quantity: quantity((price, currency), input.quantity, index)?,
        period,
        usage_since: None,
        created: at,
        discounts: Vec::new(),
        tax_rates: Vec::new(),
        billing_thresholds: input.billing_thresholds,
        metadata: Metadata::of(input.metadata.as_ref())?,
    })
}

/// The quantity of an item: 1 where a licensed one names none, none for a metered one. One whose
/// amount could not be billed is refused now, not when the bill is due.
pub(super) fn quantity(
    (price, currency): (&Price, Currency),
    given: Option<i64>,
    index: usize,
) -> Result<Option<i64>, Refusal> {
    let refuse = |reason: String| Err(Refusal::invalid(format!("items[{index}].quantity"), reason));
    if is_metered(price) {
        return match given {
            None => Ok(None),
            Some(_) => refuse(format!("{} is metered: its quantity is its usage", price.id)),
        };
    }
    let quantity = given.unwrap_or(1);
    if !(0..=limits::QUANTITY_MAX).contains(&quantity) {
        return refuse(format!("{quantity} is not a quantity from 0 to {}", limits::QUANTITY_MAX));
    }
    let amount = full_amount(price, currency, Decimal12::from_int(quantity))?.round()?;
    if amount > limits::AMOUNT_MINOR_MAX {
        let what = format!("{amount} for {quantity} of {}", price.id);
        return Err(Refusal::too_large(what, limits::AMOUNT_MINOR_MAX));
    }
    Ok(Some(quantity))
}

pub(super) fn is_metered(price: &Price) -> bool {
    price
        .recurring
        .as_ref()
        .is_some_and(|recurring| matches!(recurring.usage, Usage::Metered { .. }))
}

/// Refuses items that cannot be in one subscription: the same price or id twice, and intervals that
/// are not multiples of the shortest one, or in the classic mode differ (rule 6.14).
pub(super) fn check_items(
    items: &[SubscriptionItem],
    mode: BillingMode,
    prices: &dyn Prices,
) -> Result<(), Refusal> {
    let (mut seen, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut intervals = Vec::with_capacity(items.len());
    for item in items {
        if !seen.insert(&item.price) {
            return Err(Refusal::invalid("items", format!("{} appears twice", item.price)));
        }
        if !ids.insert(&item.id) {
            return Err(Refusal::taken("subscription_item", &item.id));
        }
        intervals.push(recurring(prices.price(&item.price)?)?);
    }
    check_selections(items, prices)?;
    let mut sizes = Vec::with_capacity(intervals.len());
    for interval in &intervals {
        sizes.push(size(*interval)?);
    }
    let Some(shortest) = sizes.iter().min_by_key(|size| size.order()) else { return Ok(()) };
    if mode.is_classic() && sizes.iter().any(|size| size != shortest) {
        let reason = "intervals differ, which only the flexible billing mode allows";
        return Err(Refusal::invalid("items", reason));
    }
    let by_month = sizes.iter().any(|size| matches!(size, Size::Months(_)));
    if sizes.iter().all(|size| size.is_multiple_of(shortest) && !(by_month && size.is_of_weeks())) {
        return Ok(());
    }
    Err(Refusal::invalid("items", "every interval must be a multiple of the shortest one"))
}

/// Each event of a meter is billed by one item, where prices select events by dimension.
fn check_selections(items: &[SubscriptionItem], prices: &dyn Prices) -> Result<(), Refusal> {
    for (place, item) in items.iter().enumerate() {
        let price = prices.price(&item.price)?;
        for other in items.iter().take(place) {
            let other = prices.price(&other.price)?;
            if price.overlaps(other) {
                let reason = format!("{} and {} would bill the same usage", other.id, price.id);
                return Err(Refusal::invalid("items", reason));
            }
        }
    }
    Ok(())
}

/// The size of an interval in the unit that makes it comparable.
#[derive(PartialEq)]
enum Size {
    Days(u32),
    Months(u32),
}

fn size(interval: Interval) -> Result<Size, Refusal> {
    let times = |n: u32| {
        let beyond = || Refusal::invalid("interval_count", "beyond the calendar");
        interval.count.checked_mul(n).ok_or_else(beyond)
    };
    Ok(match interval.unit {
        IntervalUnit::Day => Size::Days(times(1)?),
        IntervalUnit::Week => Size::Days(times(7)?),
        IntervalUnit::Month => Size::Months(times(1)?),
        IntervalUnit::Year => Size::Months(times(12)?),
    })
}

impl Size {
    /// For finding the shortest: any number of days below a month counts as less than one.
    fn order(&self) -> (u32, u32) {
        match self {
            Self::Days(days) => (0, *days),
            Self::Months(months) => (1, *months),
        }
    }

    fn is_multiple_of(&self, shortest: &Self) -> bool {
        match (self, shortest) {
            (Self::Days(size), Self::Days(unit)) | (Self::Months(size), Self::Months(unit)) => {
                size.checked_rem(*unit) == Some(0)
            }
            // Every month is a number of single days.
            (Self::Months(_), Self::Days(days)) => *days == 1,
            (Self::Days(_), Self::Months(_)) => false,
        }
    }

    /// Several days make weeks or parts of them, which never mix with months.
    fn is_of_weeks(&self) -> bool {
        matches!(self, Self::Days(days) if *days > 1)
    }
}

/// Refuses items that no subscription that begins now could have, all in one currency: the one that
/// is given, or that of the first price.
pub(crate) fn check_new_items(
    inputs: &[ItemInput],
    currency: Option<Currency>,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<(), Refusal> {
    check_count(inputs.len())?;
    let Some(first) = inputs.first() else { return Err(Refusal::missing("items")) };
    let currency = match currency {
        Some(currency) => currency,
        None => prices.price(&first.price)?.currency,
    };
    let mut items = Vec::with_capacity(inputs.len());
    for ((index, input), n) in inputs.iter().enumerate().zip(1..) {
        let price = sold_price(prices, &input.price, currency, &format!("items[{index}].price"))?;
        let (id, period) = (SubscriptionItemId::numbered(0, n), Period::instant(at));
        items.push(new_item(input, id, (price, currency), period, index, at)?);
    }
    check_items(&items, BillingMode::default(), prices)
}
