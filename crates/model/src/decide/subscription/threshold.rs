//! Usage that reaches a threshold (rule 6.13).

use super::super::tx::Tx;
use super::renew::in_item_order;
use super::update::begun_periods;
use crate::threshold::reached;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{BillingReason, Charge, Invoice};
use counterfoil_billing::subscription::{
    Subscription, SubscriptionEvent, SubscriptionId, decide_reset,
};
use counterfoil_core::{Period, Refusal};

impl Tx<'_> {
    /// Looks at the thresholds of a customer once, after usage of it was taken in (point 63). What is
    /// due comes first: the end of a period bills its usage by itself.
    pub(in crate::decide) fn cross_thresholds(
        &mut self,
        customer: &CustomerId,
    ) -> Result<(), Refusal> {
        let shard = self.state.shard(customer)?;
        let due = self.state.next_due_of(customer).is_some_and(|key| key.at <= self.at());
        if due || shard.customer().parked.is_some() {
            return Ok(());
        }
        let watched = shard.subscriptions().into_iter().filter(|own| own.watches_thresholds());
        let ids: Vec<SubscriptionId> = watched.map(|own| own.id.clone()).collect();
        for id in ids {
            self.cross_threshold(&id)?;
        }
        Ok(())
    }

    /// Where the usage of a subscription reached a threshold, invoices all of it that was not billed
    /// yet, finalizes that and collects it, and drops a change that waits (rule 6.9).
    fn cross_threshold(&mut self, id: &SubscriptionId) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let accrued = self.state.accrued(subscription, self.context.usage, self.at())?;
        let Some(mut reason) = reached(subscription, &accrued) else { return Ok(()) };
        self.drop_pending_update(id)?;
        let before = self.state.subscription(id)?.clone();
        reason.began_anew = before.begins_anew_at_threshold();
        let own = match reason.began_anew {
            true => self.begin_anew_at_threshold(&before)?,
            false => accrued.into_iter().map(|own| Charge::from(own.charge)).collect(),
        };
        let subscription = self.state.subscription(id)?.clone();
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        charges.extend(own);
        let period = Period::new(before.current_period().start, self.at());
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionThreshold;
            invoice.threshold_reason = Some(reason.into());
            invoice.period = period;
            invoice.auto_advance = true;
        };
        let invoice = self.draft_for_subscription(&subscription, fill, charges)?;
        self.finalize_and_collect(&invoice)
    }

    /// Ends the periods of all items, and lets new ones begin now (rule 6.4): the charges for the
    /// usage of the ones that end, and for the licences of the new ones where these are not prorated.
    /// Licences are given back for the time that was not used.
    fn begin_anew_at_threshold(&mut self, before: &Subscription) -> Result<Vec<Charge>, Refusal> {
        let at = self.at();
        let after = decide_reset(before, &self.state, at)?;
        self.emit(SubscriptionEvent::Updated { at, subscription: after.clone().into() });
        let is_classic = after.billing_mode.is_classic();
        self.prorate(before, &after, at, !is_classic)?;
        // What a change closed before goes along, and late usage as with any end of a period.
        let usage = self.usage_charges(&after, |_| false)?;
        let lines = match is_classic {
            true => self.advance_lines(&after, &begun_periods(before, &after, true))?,
            false => Vec::new(),
        };
        Ok(in_item_order(&after, usage, lines))
    }
}
