//! Changes that wait for their payment (rules 6.3 and 6.9).

use super::super::tx::Tx;
use crate::answer::Target;
use crate::{Event, State};
use counterfoil_billing::invoice::{CollectionMethod, Invoice, InvoiceId, InvoiceStatus};
use counterfoil_billing::subscription::{
    PaymentBehavior, PendingUpdate, Subscription, SubscriptionEvent, SubscriptionId,
    UpdateSubscription,
};
use counterfoil_core::Refusal;
use std::sync::Arc;

impl Tx<'_> {
    pub(in crate::decide) fn update_subscription(
        &mut self,
        command: &UpdateSubscription,
    ) -> Result<Target, Refusal> {
        let or_nothing = match command.payment_behavior {
            Some(PaymentBehavior::PendingIfIncomplete) => false,
            Some(PaymentBehavior::ErrorIfIncomplete) => true,
            _ => {
                self.replace_pending_update(command)?;
                let target = self.update_now(command)?;
                if command.divides_phase() {
                    self.split_phase(&command.id)?;
                }
                return Ok(target);
            }
        };
        self.update_when_paid(command, or_nothing)
    }

    /// Changes a subscription if the payment that this needs succeeds. The change is tried on a fork:
    /// where it asks for a payment, its invoice is made, and the change itself held back.
    fn update_when_paid(
        &mut self,
        command: &UpdateSubscription,
        or_nothing: bool,
    ) -> Result<Target, Refusal> {
        let before = self.state.subscription(&command.id)?.clone();
        check_can_wait(&before, command)?;
        self.drop_pending_update(&command.id)?;
        let before = Subscription { pending_update: None, ..before };
        let mut fork = Tx::fork(&self.state, self.context);
        fork.update_now(command)?;
        let (events, after) = fork.finish();
        let changed = after.subscription(&command.id)?;
        let Some(invoice) = unpaid(&after, &before, changed) else {
            events.into_iter().for_each(|event| self.emit(event));
            if command.divides_phase() {
                self.split_phase(&command.id)?;
            }
            return Ok(Target::Subscription(command.id.clone()));
        };
        if or_nothing && invoice.open_attempt.is_none() {
            let reason = "error_if_incomplete needs a payment method to charge";
            return Err(Refusal::state("customer", &before.customer, "not chargeable", reason));
        }
        let pending =
            PendingUpdate::of(&before, changed, invoice.id.clone(), or_nothing, self.at())?;
        for event in events.into_iter().filter(|event| !is_held_back(event)) {
            self.emit(event);
        }
        self.change_subscription(&command.id, |own| own.pending_update = Some(Box::new(pending)))?;
        Ok(Target::Subscription(command.id.clone()))
    }

    /// The invoice of a pending update was paid: it happens.
    pub(in crate::decide) fn apply_pending_update(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let Some(pending) = self.state.subscription(id)?.pending_update.clone() else {
            return Ok(());
        };
        self.change_subscription(id, |subscription| pending.apply_to(subscription))?;
        self.split_phase(id)
    }

    /// Drops a pending update, and voids its invoice.
    pub(in crate::decide) fn drop_pending_update(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let Some(pending) = self.state.subscription(id)?.pending_update.clone() else {
            return Ok(());
        };
        self.void_if_possible(&pending.invoice)?;
        self.change_subscription(id, |subscription| subscription.pending_update = None)
    }

    /// A change of the terms replaces one that waits: its amounts would no longer hold.
    fn replace_pending_update(&mut self, command: &UpdateSubscription) -> Result<(), Refusal> {
        if command.changes_terms() { self.drop_pending_update(&command.id) } else { Ok(()) }
    }

    /// Whether an invoice that was not paid is that of a pending update: the subscription stays what
    /// it is. One that comes about at once or not at all is over with that.
    pub(in crate::decide) fn pending_update_failed(
        &mut self,
        id: &SubscriptionId,
        invoice: &InvoiceId,
    ) -> Result<bool, Refusal> {
        let pending = self.state.subscription(id)?.pending_update.as_ref();
        let Some(pending) = pending.filter(|pending| pending.invoice == *invoice) else {
            return Ok(false);
        };
        if pending.or_nothing {
            self.drop_pending_update(id)?;
        }
        self.pending_update_awaits(id, false)?;
        let pending = self.state.subscription(id)?.pending_update.as_ref();
        if pending.is_some_and(|pending| pending.expires_at <= self.at()) {
            self.drop_pending_update(id)?;
        }
        Ok(true)
    }

    /// The payment of an invoice is on its way: a pending update waits for what becomes of it.
    pub(in crate::decide) fn pending_update_is_processing(
        &mut self,
        invoice: &InvoiceId,
    ) -> Result<(), Refusal> {
        let Some(id) = self.state.invoice(invoice)?.subscription.clone() else { return Ok(()) };
        let pending = self.state.subscription(&id)?.pending_update.as_ref();
        if pending.is_none_or(|pending| pending.invoice != *invoice) {
            return Ok(());
        }
        self.pending_update_awaits(&id, true)
    }

    fn pending_update_awaits(
        &mut self,
        id: &SubscriptionId,
        is_processing: bool,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let awaited = subscription.awaited_update(is_processing)?;
        if awaited == subscription.pending_update {
            return Ok(());
        }
        self.change_subscription(id, |own| own.pending_update = awaited)
    }

    /// The invoice of a pending update was voided, and the update with it.
    pub(in crate::decide) fn pending_update_voided(
        &mut self,
        id: &SubscriptionId,
        invoice: &InvoiceId,
    ) -> Result<(), Refusal> {
        let pending = self.state.subscription(id)?.pending_update.as_ref();
        if pending.is_none_or(|pending| pending.invoice != *invoice) {
            return Ok(());
        }
        self.change_subscription(id, |subscription| subscription.pending_update = None)
    }
}

/// The invoice that a change made and that must still be paid.
fn unpaid(state: &State, before: &Subscription, after: &Subscription) -> Option<Invoice> {
    let latest = after.latest_invoice.as_ref();
    let made = latest.filter(|latest| before.latest_invoice.as_ref() != Some(latest))?;
    let invoice = state.invoice(made).ok()?;
    (invoice.status == InvoiceStatus::Open).then(|| Arc::unwrap_or_clone(invoice))
}

/// The change itself, and that its payment failed on the fork.
fn is_held_back(event: &Event) -> bool {
    use counterfoil_billing::Event as Billing;
    matches!(
        event,
        Event::Billing(Billing::Subscription(
            SubscriptionEvent::Updated { .. } | SubscriptionEvent::StatusChanged { .. }
        ))
    )
}

fn check_can_wait(
    subscription: &Subscription,
    command: &UpdateSubscription,
) -> Result<(), Refusal> {
    if subscription.collection_method != CollectionMethod::ChargeAutomatically {
        let reason = "only what is charged automatically can wait for its payment";
        return Err(Refusal::invalid("payment_behavior", reason));
    }
    match command.unheld_parameter() {
        Some(param) => {
            let reason = "it does not go with a payment_behavior that lets the change wait";
            Err(Refusal::invalid(param, reason))
        }
        None => Ok(()),
    }
}
