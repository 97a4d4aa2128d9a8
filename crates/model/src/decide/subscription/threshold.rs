//! Usage that reaches a threshold (rule 6.13).

use super::super::tx::Tx;
use crate::threshold::is_reached;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{BillingReason, Charge, Invoice};
use counterfoil_billing::subscription::SubscriptionId;
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
        if !is_reached(subscription, &accrued) {
            return Ok(());
        }
        self.drop_pending_update(id)?;
        let subscription = self.state.subscription(id)?.clone();
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        charges.extend(accrued.into_iter().map(|own| Charge::from(own.charge)));
        let period = Period::new(subscription.current_period().start, self.at());
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionThreshold;
            invoice.period = period;
            invoice.auto_advance = true;
        };
        let invoice = self.draft_for_subscription(&subscription, fill, charges)?;
        self.finalize_and_collect(&invoice)
    }
}
