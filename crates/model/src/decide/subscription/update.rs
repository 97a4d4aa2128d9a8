//! Changes of a subscription by hand.

use super::super::discount::Planned;
use super::super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::check_present;
use counterfoil_billing::subscription::{
    self, AnchorChange, MigrateSubscription, ProrationBehavior, Subscription, SubscriptionEvent,
    SubscriptionItem, SubscriptionItemId, SubscriptionStatus, UpdateSubscription, Updated,
};
use counterfoil_core::{Period, Refusal};

impl Tx<'_> {
    /// Changes a subscription at once, whatever becomes of the payment that this may need.
    pub(in crate::decide) fn update_now(
        &mut self,
        command: &UpdateSubscription,
    ) -> Result<Target, Refusal> {
        self.update_as_planned(command, &Planned::default())
    }

    /// The same, with what was agreed on before.
    pub(in crate::decide) fn update_as_planned(
        &mut self,
        command: &UpdateSubscription,
        planned: &Planned,
    ) -> Result<Target, Refusal> {
        let before = self.state.subscription(&command.id)?.clone();
        check_present(self.state.customer(&before.customer)?, "its subscriptions have ended")?;
        let mut updated = self.decide_update(&before, command)?;
        self.update_terms(&mut updated.subscription, command, planned)?;
        if before.schedule.is_some() {
            self.discount_closed_usage(&before, &mut updated)?;
        }
        let (at, after) = (self.at(), updated.subscription.clone());
        self.emit(SubscriptionEvent::Updated { at, subscription: after.clone().into() });
        self.announce_trial_end(&command.id)?;
        self.add_invoice_items(&command.id, &command.add_invoice_items, planned)?;
        self.bill_change(&before, &updated, command)?;
        if updated.ended_trial {
            self.renew(&command.id)?;
        }
        Ok(Target::Subscription(command.id.clone()))
    }

    fn decide_update(
        &self,
        subscription: &Subscription,
        command: &UpdateSubscription,
    ) -> Result<Updated, Refusal> {
        let taken = &self.state.owners.subscription_items;
        for change in &command.items {
            let Some(id) = &change.id else { continue };
            let taken = taken.contains_key(id);
            if taken && subscription.item(id).is_none() && change.price.is_some() {
                return Err(Refusal::taken("subscription_item", id));
            }
        }
        let mut n = subscription.items_added;
        let new_item_id = || loop {
            n = n.saturating_add(1);
            let id = SubscriptionItemId::numbered(subscription.seq, n);
            if !taken.contains_key(&id) {
                return id;
            }
        };
        subscription::decide_update(subscription, command, new_item_id, &self.state, self.at())
    }

    /// What a change does to the bill, as was asked for (rules 6.4 and 6.6). In the classic mode
    /// new periods are invoiced at once, whatever was asked for. In the flexible one nothing is
    /// invoiced by itself, unless items changed as well and what comes of it does not cancel out.
    fn bill_change(
        &mut self,
        before: &Subscription,
        updated: &Updated,
        command: &UpdateSubscription,
    ) -> Result<(), Refusal> {
        let after = &updated.subscription;
        // While it is paused nothing is prorated and nothing invoiced (rules 6.2 and 6.6).
        if after.status == SubscriptionStatus::Paused {
            return Ok(());
        }
        let behavior = command.proration_behavior.unwrap_or_default();
        let invoices_periods = updated.began_anew && after.billing_mode.is_classic();
        let first = self.next_seq();
        if behavior != ProrationBehavior::None {
            self.prorate(before, after, updated.divided_at, !invoices_periods)?;
        }
        self.bill_removed_usage(after, &updated.removed_usage)?;
        let mut lines = Vec::new();
        if invoices_periods {
            let current = self.state.subscription(&after.id)?;
            let prorated = behavior != ProrationBehavior::None;
            lines = self.advance_lines(current, &begun_periods(before, current, prorated))?;
        }
        let asked = command.billing_cycle_anchor == Some(AnchorChange::Now);
        let remains = asked && !command.items.is_empty() && self.sum_since(after, first)? != 0;
        let at_once = behavior == ProrationBehavior::AlwaysInvoice || invoices_periods || remains;
        // What is charged once is charged now (rule 6.8).
        let added = !command.add_invoice_items.is_empty();
        if (at_once || added) && !updated.ended_trial {
            self.update_invoice(&after.id, lines, !command.leaves_payment_open())?;
        }
        Ok(())
    }

    /// The sum of the items of a subscription that were made from a place in the order of creation.
    fn sum_since(&self, subscription: &Subscription, seq: u64) -> Result<i128, Refusal> {
        let shard = self.state.shard(&subscription.customer)?;
        let own = shard
            .items
            .values()
            .filter(|item| item.seq >= seq && item.subscription.as_ref() == Some(&subscription.id));
        Ok(own.map(|item| i128::from(item.net_amount())).sum())
    }

    pub(in crate::decide) fn migrate_subscription(
        &mut self,
        command: &MigrateSubscription,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(&command.id)?;
        let at = self.at();
        let migrated = subscription::decide_migrate(subscription, command, at)?;
        self.emit(SubscriptionEvent::Updated { at, subscription: migrated.into() });
        Ok(Target::Subscription(command.id.clone()))
    }
}

/// The periods of items that began with a change. Of one that began in this very second already, only
/// the end moves: where that is prorated it charges what it lacked, and is no period that begins.
pub(super) fn begun_periods(
    before: &Subscription,
    after: &Subscription,
    prorated: bool,
) -> Vec<(SubscriptionItemId, Period)> {
    let goes_on = |new: &SubscriptionItem| {
        let old = before.item(&new.id).filter(|old| old.is_same(new));
        old.is_some_and(|old| prorated || old.period == new.period)
    };
    let begun = after.items.iter().filter(|item| !goes_on(item));
    begun.map(|item| (item.id.clone(), item.period)).collect()
}
