//! Subscription commands to subscriptions.

use super::{
    CancellationReason, CreateSubscription, ItemChange, ItemInput, PaymentBehavior,
    ProrationBehavior, Subscription, SubscriptionItem, SubscriptionItemId, SubscriptionStatus,
    TrialEnd, UpdateSubscription, period_from,
};
use crate::catalog::{Price, PriceId, Usage, full_amount};
use crate::invoice::CollectionMethod;
use crate::text;
use counterfoil_core::{
    Anchor, Currency, Decimal12, Interval, IntervalUnit, Metadata, Period, Refusal, Timestamp,
    limits,
};
use std::collections::BTreeSet;

/// The catalog, as far as subscriptions look into it.
pub trait Prices {
    /// A price.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn price(&self, id: &PriceId) -> Result<&Price, Refusal>;
    /// Whether the product of a price may be sold anew.
    fn is_sold(&self, price: &Price) -> bool;
}

/// Makes a subscription with its first periods. What its first payment needs is the caller's
/// business; here it is trialing, or active.
///
/// # Errors
/// [`Refusal`] for prices that cannot be combined or are retired, and for parameters out of range.
pub fn decide_create(
    command: &CreateSubscription,
    id: super::SubscriptionId,
    seq: u64,
    item_ids: Vec<SubscriptionItemId>,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    check_count(command.items.len())?;
    let currency = currency_of(command, prices)?;
    let trial = trial(command, at)?;
    let begins = trial.map_or(at, |trial| trial.end);
    let anchor = anchor(command, prices, begins, at)?;
    check_collection(command.collection_method, command.days_until_due)?;
    text::check_optional("description", command.description.as_deref())?;
    text::check_optional("default_payment_method", command.default_payment_method.as_deref())?;
    let mut items = Vec::with_capacity(command.items.len());
    for (index, (input, item_id)) in command.items.iter().zip(item_ids).enumerate() {
        let price = sold_price(prices, &input.price, currency, &format!("items[{index}].price"))?;
        let period = match trial {
            Some(trial) => trial,
            None => period_from(&anchor, recurring(price)?, at)?,
        };
        items.push(new_item(input, item_id, (price, currency), period, index, at)?);
    }
    check_items(&items, prices)?;
    Ok(Subscription {
        id,
        seq,
        customer: command.customer.clone(),
        status: match trial {
            Some(_) => SubscriptionStatus::Trialing,
            None => SubscriptionStatus::Active,
        },
        currency,
        created: at,
        start_date: at,
        anchor,
        free_stub: command.proration_behavior == Some(ProrationBehavior::None),
        collection_method: command.collection_method,
        days_until_due: command.days_until_due,
        default_payment_method: command.default_payment_method.clone(),
        items_added: u64::try_from(items.len()).unwrap_or(u64::MAX),
        items,
        trial,
        cancel_at_period_end: command.cancel_at_period_end,
        canceled_at: command.cancel_at_period_end.then_some(at),
        ended_at: None,
        cancellation_reason: command
            .cancel_at_period_end
            .then_some(CancellationReason::CancellationRequested),
        first_invoice: None,
        latest_invoice: None,
        incomplete_expires_at: None,
        description: command.description.clone(),
        metadata: Metadata::of(command.metadata.as_ref())?,
    })
}

/// Changes a subscription without touching the current bill.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for one that has ended or is incomplete,
/// [`Refusal::ParameterInvalid`] for a change of items that would need a proration.
pub fn decide_update(
    subscription: &Subscription,
    command: &UpdateSubscription,
    mut new_item_id: impl FnMut() -> SubscriptionItemId,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    check_updatable(subscription, command)?;
    let mut updated = subscription.clone();
    if !command.items.is_empty() && command.proration_behavior != Some(ProrationBehavior::None) {
        let reason = "changes of items need proration_behavior: none; prorations are not built yet";
        return Err(Refusal::invalid("proration_behavior", reason));
    }
    // New items come first: they are newer, and those of one call keep their order (point 35).
    let mut added = Vec::new();
    for (index, change) in command.items.iter().enumerate() {
        let known =
            change.id.as_ref().and_then(|id| updated.items.iter().position(|i| i.id == *id));
        match known {
            Some(position) => change_item(&mut updated, position, change, index, prices)?,
            None => {
                added.push(added_item(&updated, change, index, &mut new_item_id, prices, at)?);
            }
        }
    }
    let added_count = u64::try_from(added.len()).unwrap_or(u64::MAX);
    updated.items_added = updated.items_added.saturating_add(added_count);
    updated.items.splice(0..0, added);
    check_count(updated.items.len())?;
    check_items(&updated.items, prices)?;
    if let Some(at_period_end) = command.cancel_at_period_end {
        let asked_before = updated.canceled_at.filter(|_| updated.cancel_at_period_end);
        updated.cancel_at_period_end = at_period_end;
        updated.canceled_at = at_period_end.then_some(asked_before.unwrap_or(at));
        updated.cancellation_reason =
            at_period_end.then_some(CancellationReason::CancellationRequested);
    }
    if let Some(method) = command.collection_method {
        updated.collection_method = method;
        if method == CollectionMethod::ChargeAutomatically {
            updated.days_until_due = None;
        }
    }
    updated.days_until_due = command.days_until_due.or(updated.days_until_due);
    check_collection(updated.collection_method, updated.days_until_due)?;
    let method = command.default_payment_method.clone();
    updated.default_payment_method = method.apply_to(updated.default_payment_method);
    updated.description = command.description.clone().apply_to(updated.description);
    text::check_optional("description", updated.description.as_deref())?;
    text::check_optional("default_payment_method", updated.default_payment_method.as_deref())?;
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    Ok(updated)
}

impl CreateSubscription {
    /// Whether the first payment is left to somebody else.
    #[must_use]
    pub fn leaves_payment_open(&self) -> bool {
        self.payment_behavior == PaymentBehavior::DefaultIncomplete
    }
}

fn check_updatable(
    subscription: &Subscription,
    command: &UpdateSubscription,
) -> Result<(), Refusal> {
    let refuse = |reason: &str| {
        Err(Refusal::state("subscription", &subscription.id, subscription.status, reason))
    };
    if subscription.is_ended() && *command != only_metadata(command) {
        return refuse("only its metadata can be changed");
    }
    if subscription.status == SubscriptionStatus::Incomplete && *command != only_metadata(command) {
        return refuse("only its metadata can be changed until its first invoice is paid");
    }
    Ok(())
}

fn only_metadata(command: &UpdateSubscription) -> UpdateSubscription {
    let mut only = UpdateSubscription::new(command.id.clone());
    only.metadata.clone_from(&command.metadata);
    only
}

fn check_count(items: usize) -> Result<(), Refusal> {
    if (1..=limits::SUBSCRIPTION_ITEMS_MAX).contains(&items) {
        return Ok(());
    }
    let limit = limits::SUBSCRIPTION_ITEMS_MAX;
    Err(Refusal::invalid("items", format!("{items} items (a subscription has 1 to {limit})")))
}

fn currency_of(command: &CreateSubscription, prices: &dyn Prices) -> Result<Currency, Refusal> {
    match (command.currency, command.items.first()) {
        (Some(currency), _) => Ok(currency),
        (None, Some(item)) => Ok(prices.price(&item.price)?.currency),
        (None, None) => Err(Refusal::missing("items")),
    }
}

fn trial(command: &CreateSubscription, at: Timestamp) -> Result<Option<Period>, Refusal> {
    let latest = at.checked_add_days(i64::from(limits::TRIAL_DAYS_MAX))?;
    match (command.trial_end, command.trial_period_days) {
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("trial_end", "give trial_end or trial_period_days, not both"))
        }
        (None | Some(TrialEnd::Now), None) | (None, Some(0)) => Ok(None),
        (Some(TrialEnd::At(end)), None) if end <= at || end > latest => {
            let reason =
                format!("a trial ends in the future, within {} days", limits::TRIAL_DAYS_MAX);
            Err(Refusal::invalid("trial_end", reason))
        }
        (Some(TrialEnd::At(end)), None) => Ok(Some(Period::new(at, end))),
        (None, Some(days)) if days > limits::TRIAL_DAYS_MAX => {
            let reason = format!("{days} days (the limit is {})", limits::TRIAL_DAYS_MAX);
            Err(Refusal::invalid("trial_period_days", reason))
        }
        (None, Some(days)) => Ok(Some(Period::new(at, at.checked_add_days(i64::from(days))?))),
    }
}

fn anchor(
    command: &CreateSubscription,
    prices: &dyn Prices,
    begins: Timestamp,
    at: Timestamp,
) -> Result<Anchor, Refusal> {
    match (command.billing_cycle_anchor, command.billing_cycle_anchor_config) {
        (None, None) => Ok(Anchor::at(begins)),
        (Some(_), Some(_)) => {
            let reason = "give billing_cycle_anchor or billing_cycle_anchor_config, not both";
            Err(Refusal::invalid("billing_cycle_anchor", reason))
        }
        (Some(anchor), None) if anchor <= at => {
            let reason = format!("{anchor} does not lie in the future");
            Err(Refusal::invalid("billing_cycle_anchor", reason))
        }
        (Some(anchor), None) => Ok(Anchor::at(anchor)),
        (None, Some(config)) => {
            for item in &command.items {
                let unit = recurring(prices.price(&item.price)?)?.unit;
                if !matches!(unit, IntervalUnit::Month | IntervalUnit::Year) {
                    let reason = "only prices by month or year have such an anchor";
                    return Err(Refusal::invalid("billing_cycle_anchor_config", reason));
                }
            }
            config.next_anchor(at)
        }
    }
}

fn check_collection(method: CollectionMethod, days: Option<u32>) -> Result<(), Refusal> {
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

fn recurring(price: &Price) -> Result<Interval, Refusal> {
    price.interval().ok_or_else(|| {
        Refusal::invalid("price", format!("{} is one_time, not recurring", price.id))
    })
}

/// A recurring price that may be subscribed to anew, in the subscription's currency.
fn sold_price<'a>(
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

fn new_item(
    input: &ItemInput,
    id: SubscriptionItemId,
    (price, currency): (&Price, Currency),
    period: Period,
    index: usize,
    at: Timestamp,
) -> Result<SubscriptionItem, Refusal> {
    Ok(SubscriptionItem {
        id,
        price: price.id.clone(),
        quantity: quantity((price, currency), input.quantity, index)?,
        period,
        created: at,
        metadata: Metadata::of(input.metadata.as_ref())?,
    })
}

/// The quantity of an item: 1 where a licensed one names none, none for a metered one. One whose
/// amount could not be billed is refused now, not when the bill is due.
fn quantity(
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

fn is_metered(price: &Price) -> bool {
    price
        .recurring
        .as_ref()
        .is_some_and(|recurring| matches!(recurring.usage, Usage::Metered { .. }))
}

fn change_item(
    subscription: &mut Subscription,
    position: usize,
    change: &ItemChange,
    index: usize,
    prices: &dyn Prices,
) -> Result<(), Refusal> {
    let currency = subscription.currency;
    let Some(item) = subscription.items.get_mut(position) else { return Ok(()) };
    let old = prices.price(&item.price)?;
    let touches = change.deleted || change.price.is_some();
    if touches && is_metered(old) {
        let reason = format!(
            "the usage of {} in the current period would have to be split; that is not built yet",
            item.id
        );
        return Err(Refusal::invalid(format!("items[{index}]"), reason));
    }
    if change.deleted {
        subscription.items.remove(position);
        return Ok(());
    }
    if let Some(id) = &change.price {
        let new = sold_price(prices, id, currency, &format!("items[{index}].price"))?;
        if recurring(new)? != recurring(old)? || is_metered(new) {
            let reason = format!("{id} must be licensed and recur like {}", old.id);
            return Err(Refusal::invalid(format!("items[{index}].price"), reason));
        }
        item.quantity = quantity((new, currency), change.quantity, index)?;
        item.price = id.clone();
    } else if change.quantity.is_some() {
        item.quantity = quantity((old, currency), change.quantity, index)?;
    }
    item.metadata = text::patched_metadata(&item.metadata, &change.metadata)?;
    Ok(())
}

fn added_item(
    subscription: &Subscription,
    change: &ItemChange,
    index: usize,
    new_item_id: &mut impl FnMut() -> SubscriptionItemId,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<SubscriptionItem, Refusal> {
    let Some(price) = &change.price else {
        return match &change.id {
            Some(id) => Err(Refusal::unknown("subscription_item", id)),
            None => Err(Refusal::missing(format!("items[{index}].price"))),
        };
    };
    if change.deleted {
        return Err(Refusal::invalid(format!("items[{index}].deleted"), "the item is new"));
    }
    let param = format!("items[{index}].price");
    let price = sold_price(prices, price, subscription.currency, &param)?;
    let period = match subscription.trial {
        Some(trial) if subscription.is_in_trial() => Period::new(at, trial.end),
        _ => period_from(&subscription.anchor, recurring(price)?, at)?,
    };
    let id = change.id.clone().unwrap_or_else(new_item_id);
    let metadata = change.metadata.value().cloned();
    let quantity = change.quantity;
    let input = ItemInput { id: None, price: price.id.clone(), quantity, metadata };
    new_item(&input, id, (price, subscription.currency), period, index, at)
}

/// Refuses items that cannot be in one subscription: the same price or id twice, and intervals that
/// are not multiples of the shortest one (rule 6.14).
fn check_items(items: &[SubscriptionItem], prices: &dyn Prices) -> Result<(), Refusal> {
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
