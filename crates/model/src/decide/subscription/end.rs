//! How a subscription ends.

use super::super::tx::Tx;
use crate::answer::Target;
use counterfoil_billing::customer::check_present;
use counterfoil_billing::invoice::{BillingReason, Charge, Invoice, InvoiceEvent, InvoiceId};
use counterfoil_billing::subscription::{
    CancelSubscription, CancellationReason, Subscription, SubscriptionEvent, SubscriptionId,
    SubscriptionStatus,
};
use counterfoil_core::{Period, Refusal};

impl Tx<'_> {
    pub(in crate::decide) fn cancel_subscription(
        &mut self,
        command: &CancelSubscription,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(&command.id)?.clone();
        check_present(
            self.state.customer(&subscription.customer)?,
            "its subscriptions have ended",
        )?;
        if subscription.is_ended() {
            let reason = "it has ended already";
            let status = subscription.status;
            return Err(Refusal::state("subscription", &command.id, status, reason));
        }
        let billed = subscription.is_billed();
        if command.prorate && billed {
            let without = Subscription { items: Vec::new(), ..subscription.clone() };
            self.prorate(&subscription, &without, self.at(), false)?;
        }
        if !command.prorate && !command.invoice_now {
            self.drop_prorations(&subscription)?;
        }
        let closing =
            if command.invoice_now && billed { self.closing_invoice(&subscription)? } else { None };
        // The closing invoice may have ended it already: no retries, and canceled after the last.
        if !self.state.subscription(&command.id)?.is_ended() {
            let reason = CancellationReason::CancellationRequested;
            self.end_subscription(&command.id, reason, closing.as_ref())?;
        }
        Ok(Target::Subscription(command.id.clone()))
    }

    /// Invoices what is unbilled when a subscription ends now: one invoice, finalized and charged
    /// at once (point 26).
    pub(in crate::decide) fn closing_invoice(
        &mut self,
        subscription: &Subscription,
    ) -> Result<Option<InvoiceId>, Refusal> {
        let usage = self.usage_charges(subscription, |_| true)?;
        let mut charges =
            self.sweep(&subscription.customer, subscription.currency, Some(&subscription.id))?;
        if usage.is_empty() && !self.waits_for(&subscription.id, &charges) {
            return Ok(None);
        }
        charges.extend(usage);
        let period = Period::new(subscription.current_period().start, self.at());
        let fill = |invoice: &mut Invoice| {
            invoice.billing_reason = BillingReason::SubscriptionCycle;
            invoice.period = period;
            invoice.auto_advance = true;
        };
        let invoice = self.draft_for_subscription(subscription, fill, charges)?;
        self.finalize_unless_held(&invoice, true)?;
        self.collect_if_due(&invoice)?;
        Ok(Some(invoice))
    }

    /// Ends a subscription at once. Its drafts and open invoices go on no further by themselves
    /// (rule 6.10), but for the one that was made for the end itself.
    pub(in crate::decide) fn end_subscription(
        &mut self,
        id: &SubscriptionId,
        reason: CancellationReason,
        closing: Option<&InvoiceId>,
    ) -> Result<(), Refusal> {
        self.drop_pending_update(id)?;
        let customer = self.state.subscription(id)?.customer.clone();
        let at = self.at();
        let shard = self.state.shard(&customer)?;
        let frozen: Vec<_> = shard
            .going_invoices()
            .into_iter()
            .filter(|invoice| {
                invoice.subscription.as_ref() == Some(id) && Some(&invoice.id) != closing
            })
            .map(|invoice| invoice.id.clone())
            .collect();
        for id in frozen {
            let customer = customer.clone();
            self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
        }
        self.emit(SubscriptionEvent::Ended {
            customer,
            id: id.clone(),
            at,
            status: SubscriptionStatus::Canceled,
            reason: Some(reason),
        });
        self.schedule_follows_end(id)
    }

    /// The end that was agreed on: a last draft for the usage of the periods and the items that
    /// wait for this subscription, which takes other pending items along (points 32 and 64).
    pub(in crate::decide) fn end_with_period(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        self.drop_pending_update(id)?;
        let subscription = self.state.subscription(id)?.clone();
        let usage = self.usage_charges(&subscription, |_| true)?;
        let (customer, currency) = (&subscription.customer, subscription.currency);
        let mut charges = self.sweep(customer, currency, Some(&subscription.id))?;
        if !usage.is_empty() || self.waits_for(id, &charges) {
            charges.extend(usage);
            self.draft_for_period(&subscription, subscription.current_period(), charges)?;
        }
        self.emit(SubscriptionEvent::Ended {
            customer: subscription.customer,
            id: id.clone(),
            at: self.at(),
            status: SubscriptionStatus::Canceled,
            reason: subscription.cancellation_reason,
        });
        self.schedule_follows_end(id)
    }

    /// Whether any of the charges is an item that waits for this very subscription. Other items go
    /// along with a last invoice, but are no reason to make one (point 32).
    pub(in crate::decide) fn waits_for(&self, id: &SubscriptionId, charges: &[Charge]) -> bool {
        charges.iter().any(|charge| match charge {
            Charge::Item(item) => {
                let item = self.state.invoice_item(item);
                item.is_ok_and(|item| item.subscription.as_ref() == Some(id))
            }
            Charge::Line(_) | Charge::Usage(_) | Charge::LateUsage(_) => false,
        })
    }

    /// The first payment never came: the invoice is void and the subscription over (rule 6.2).
    pub(in crate::decide) fn expire_incomplete(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let (customer, first) = (subscription.customer.clone(), subscription.first_invoice.clone());
        if let Some(invoice) = first {
            self.void_if_possible(&invoice)?;
        }
        self.emit(SubscriptionEvent::Ended {
            customer,
            id: id.clone(),
            at: self.at(),
            status: SubscriptionStatus::IncompleteExpired,
            reason: None,
        });
        self.schedule_follows_end(id)
    }
}
