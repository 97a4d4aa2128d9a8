//! A command to change a subscription, to the subscription that it becomes.

use super::super::{
    CancellationReason, ItemChange, ItemInput, ProrationBehavior, Subscription, SubscriptionItem,
    SubscriptionItemId, SubscriptionStatus, UpdateSubscription, period_from,
};
use super::Prices;
use super::items::{
    check_collection, check_count, check_items, is_metered, new_item, quantity, recurring,
    sold_price,
};
use crate::invoice::CollectionMethod;
use crate::text;
use counterfoil_core::{Period, Refusal, Timestamp};

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
