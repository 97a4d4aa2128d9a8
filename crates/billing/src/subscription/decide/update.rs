//! A command to change a subscription, to the subscription that it becomes.

use super::super::{
    AnchorChange, ClosedUsage, ItemChange, ItemInput, PendingItemInterval, ProrationBehavior,
    Subscription, SubscriptionItem, SubscriptionItemId, SubscriptionStatus, UpdateSubscription,
    period_from,
};
use super::Prices;
use super::cycle::{
    begin_anew, begins_anew, fit_periods, set_agreed_end, set_trial_end, usage_until,
};
use super::items::{
    check_collection, check_count, check_items, is_metered, new_item, quantity, recurring,
    sold_price,
};
use crate::invoice::{CollectionMethod, UsageCharge};
use crate::{Patch, text};
use counterfoil_core::{Period, Refusal, Timestamp};

/// What an update makes of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The subscription from now on.
    pub subscription: Subscription,
    /// The instant that time is divided at.
    pub divided_at: Timestamp,
    /// Usage of metered items that were removed, to be invoiced as items of their own (rule 6.7).
    pub removed_usage: Vec<UsageCharge>,
    /// Whether new periods of all items began, and the anchor moved.
    pub began_anew: bool,
    /// Whether its trial ends now.
    pub ended_trial: bool,
}

/// When and how an update is decided.
struct Change<'a> {
    prices: &'a dyn Prices,
    at: Timestamp,
    divided_at: Timestamp,
    behavior: ProrationBehavior,
    removed_usage: Vec<UsageCharge>,
}

/// Changes a subscription. What that does to the bill is the caller's business.
///
/// # Errors
/// [`Refusal::StateUnsupported`] for one that has ended or is incomplete,
/// [`Refusal::ParameterInvalid`] for parameters out of range or that do not go together.
pub fn decide_update(
    subscription: &Subscription,
    command: &UpdateSubscription,
    new_item_id: impl FnMut() -> SubscriptionItemId,
    prices: &dyn Prices,
    at: Timestamp,
) -> Result<Updated, Refusal> {
    check_updatable(subscription, command)?;
    let divided_at = command.proration_date.unwrap_or(at);
    let behavior = command.proration_behavior.unwrap_or_default();
    let mut change = Change { prices, at, divided_at, behavior, removed_usage: Vec::new() };
    let mut updated = subscription.clone();
    change.change_items(&mut updated, command, new_item_id)?;
    check_count(updated.items.len())?;
    check_items(&updated.items, updated.billing_mode, prices)?;
    let in_trial = subscription.is_in_trial();
    if let Some(end) = command.trial_end {
        if command.billing_cycle_anchor == Some(AnchorChange::Now) {
            let reason = "a trial is the anchor itself";
            return Err(Refusal::invalid("billing_cycle_anchor", reason));
        }
        set_trial_end(&mut updated, end, prices, at)?;
    } else if in_trial && command.billing_cycle_anchor == Some(AnchorChange::Now) {
        let reason = "the first period begins when the trial ends: give trial_end";
        return Err(Refusal::invalid("billing_cycle_anchor", reason));
    }
    let ended_trial = in_trial && updated.trial.is_some_and(|trial| trial.end <= at);
    let anchor = command.billing_cycle_anchor;
    let mut began_anew =
        !updated.is_in_trial() && begins_anew(subscription, &updated, anchor, prices)?;
    if began_anew {
        begin_anew(&mut updated, prices, (at, at))?;
        // Periods that began in this very second were charged then; nothing begins twice.
        let again = |item: &SubscriptionItem| {
            subscription.item(&item.id).is_none_or(|before| before.period == item.period)
        };
        began_anew = !updated.items.iter().all(again);
    }
    set_agreed_end(&mut updated, command, at)?;
    if !ended_trial {
        fit_periods(&mut updated, prices)?;
    }
    set_trial_and_pause(&mut updated, command, at)?;
    set_details(&mut updated, command)?;
    let removed_usage = change.removed_usage;
    Ok(Updated { subscription: updated, divided_at, removed_usage, began_anew, ended_trial })
}

fn set_trial_and_pause(
    updated: &mut Subscription,
    command: &UpdateSubscription,
    at: Timestamp,
) -> Result<(), Refusal> {
    if let Some(pause) = command.pause_collection.value() {
        pause.check(at)?;
    }
    let pause = command.pause_collection.clone();
    updated.pause_collection = pause.apply_to(updated.pause_collection);
    updated.trial_settings = command.trial_settings.unwrap_or(updated.trial_settings);
    if let Some(thresholds) = command.billing_thresholds.value() {
        thresholds.check()?;
    }
    let thresholds = command.billing_thresholds.clone();
    updated.billing_thresholds = thresholds.apply_to(updated.billing_thresholds);
    let before = updated.pending_item_interval;
    updated.pending_item_interval = match command.pending_invoice_item_interval {
        Patch::Keep => before,
        Patch::Clear => None,
        Patch::Set(input) => Some(PendingItemInterval::changed(before, input, at)?),
    };
    Ok(())
}

fn set_details(updated: &mut Subscription, command: &UpdateSubscription) -> Result<(), Refusal> {
    if let Some(method) = command.collection_method {
        updated.collection_method = method;
        if method == CollectionMethod::ChargeAutomatically {
            updated.days_until_due = None;
        }
    }
    updated.days_until_due = command.days_until_due.or(updated.days_until_due);
    check_collection(updated.collection_method, updated.days_until_due)?;
    let method = command.default_payment_method.clone();
    updated.default_payment_method = method.apply_to(updated.default_payment_method.take());
    updated.description = command.description.clone().apply_to(updated.description.take());
    text::check_optional("description", updated.description.as_deref())?;
    text::check_optional("default_payment_method", updated.default_payment_method.as_deref())?;
    updated.metadata = text::patched_metadata(&updated.metadata, &command.metadata)?;
    Ok(())
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
    let moves = command.trial_end.is_some() || command.billing_cycle_anchor.is_some();
    if subscription.status == SubscriptionStatus::Paused && moves {
        return refuse("its periods begin when it is resumed");
    }
    if let Some(resumption) = &subscription.resumption
        && !command.items.is_empty()
    {
        let reason = format!("its items stay until {} is paid or voided", resumption.invoice);
        return refuse(&reason);
    }
    Ok(())
}

fn only_metadata(command: &UpdateSubscription) -> UpdateSubscription {
    let mut only = UpdateSubscription::new(command.id.clone());
    only.metadata.clone_from(&command.metadata);
    only
}

impl Change<'_> {
    fn change_items(
        &mut self,
        updated: &mut Subscription,
        command: &UpdateSubscription,
        mut new_item_id: impl FnMut() -> SubscriptionItemId,
    ) -> Result<(), Refusal> {
        // New items come first: they are newer, and those of one call keep their order (point 35).
        let mut added = Vec::new();
        for (index, change) in command.items.iter().enumerate() {
            let known =
                change.id.as_ref().and_then(|id| updated.items.iter().position(|i| i.id == *id));
            match known {
                Some(position) => self.change_item(updated, position, change, index)?,
                None => added.push(self.added_item(updated, change, index, &mut new_item_id)?),
            }
        }
        if command.items.is_empty() && command.proration_date.is_some() {
            self.check_divided(updated.current_period())?;
        }
        let added_count = u64::try_from(added.len()).unwrap_or(u64::MAX);
        updated.items_added = updated.items_added.saturating_add(added_count);
        updated.items.splice(0..0, added);
        Ok(())
    }

    /// Time is divided within the current period (rule 6.6).
    fn check_divided(&self, period: Period) -> Result<(), Refusal> {
        if self.divided_at == self.at || period.contains(self.divided_at) {
            return Ok(());
        }
        let reason = format!("{} is not in the current period, {period}", self.divided_at);
        Err(Refusal::invalid("proration_date", reason))
    }

    fn change_item(
        &mut self,
        subscription: &mut Subscription,
        position: usize,
        change: &ItemChange,
        index: usize,
    ) -> Result<(), Refusal> {
        let Some(item) = subscription.items.get(position) else { return Ok(()) };
        let old = self.prices.price(&item.price)?;
        self.check_divided(item.period)?;
        if change.deleted {
            self.close_usage(subscription, position, true)?;
            subscription.items.remove(position);
            return Ok(());
        }
        let currency = subscription.currency;
        if let Some(id) = change.price.as_ref().filter(|id| **id != item.price) {
            let new = sold_price(self.prices, id, currency, &format!("items[{index}].price"))?;
            let quantity = quantity((new, currency), change.quantity, index)?;
            self.close_usage(subscription, position, false)?;
            self.reprice(subscription, position, (old, new), quantity)?;
        } else if (change.quantity.is_some() || change.price.is_some())
            && let Some(item) = subscription.items.get_mut(position)
        {
            item.quantity = quantity((old, currency), change.quantity, index)?;
        }
        if let Some(item) = subscription.items.get_mut(position) {
            item.metadata = text::patched_metadata(&item.metadata, &change.metadata)?;
            let price = self.prices.price(&item.price)?;
            if let Some(thresholds) = change.billing_thresholds.value() {
                thresholds.check(price, index)?;
            }
            let thresholds = change.billing_thresholds.clone().apply_to(item.billing_thresholds);
            // A licensed price has no usage to look at.
            item.billing_thresholds = thresholds.filter(|_| is_metered(price));
        }
        Ok(())
    }

    /// Another price. One with another interval begins a period of its own, up to the next boundary
    /// of the anchor; the classic mode moves the anchor instead.
    fn reprice(
        &self,
        subscription: &mut Subscription,
        position: usize,
        (old, new): (&crate::catalog::Price, &crate::catalog::Price),
        quantity: Option<i64>,
    ) -> Result<(), Refusal> {
        let (anchor, in_trial) = (subscription.anchor, subscription.is_in_trial());
        let Some(item) = subscription.items.get_mut(position) else { return Ok(()) };
        let interval = recurring(new)?;
        if interval != recurring(old)? && !in_trial {
            let from = if is_metered(new) { self.at } else { self.divided_at };
            item.period = period_from(&anchor, interval, from)?;
        }
        item.price = new.id.clone();
        item.quantity = quantity;
        // What a threshold billed of this very second is not billed again (rule 6.13).
        let since = item.usage_since.map_or(self.at, |since| since.max(self.at));
        item.usage_since =
            Some(since).filter(|at| is_metered(new) && *at > item.period.start && !in_trial);
        Ok(())
    }

    /// Ends the usage of a metered item at its price: it waits for the next invoice, or for an item
    /// of its own where the item is removed. The classic mode drops it, as a removal without
    /// prorations does (rule 6.7).
    fn close_usage(
        &mut self,
        subscription: &mut Subscription,
        position: usize,
        removed: bool,
    ) -> Result<(), Refusal> {
        let Some(item) = subscription.items.get(position) else { return Ok(()) };
        let used = usage_until(item, self.prices, self.at)?;
        let Some(charge) = used.filter(|_| subscription.bills_usage()) else { return Ok(()) };
        let unwanted = removed && self.behavior == ProrationBehavior::None;
        let dropped = subscription.billing_mode.is_classic() || unwanted;
        if removed && !dropped {
            self.removed_usage.push(charge);
        } else {
            subscription.closed_usage.push(ClosedUsage { charge, dropped });
        }
        Ok(())
    }

    fn added_item(
        &self,
        subscription: &Subscription,
        change: &ItemChange,
        index: usize,
        new_item_id: &mut impl FnMut() -> SubscriptionItemId,
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
        self.check_divided(subscription.current_period())?;
        let param = format!("items[{index}].price");
        let price = sold_price(self.prices, price, subscription.currency, &param)?;
        let period = match subscription.trial {
            Some(trial) if subscription.is_in_trial() => Period::new(self.at, trial.end),
            _ => period_from(&subscription.anchor, recurring(price)?, self.at)?,
        };
        let id = change.id.clone().unwrap_or_else(new_item_id);
        let metadata = change.metadata.value().cloned();
        let quantity = change.quantity;
        let billing_thresholds = change.billing_thresholds.value().copied();
        let price_id = price.id.clone();
        let input =
            ItemInput { quantity, metadata, billing_thresholds, ..ItemInput::from(price_id) };
        new_item(&input, id, (price, subscription.currency), period, index, self.at)
    }
}
