//! Subscriptions that come about only once they are paid for (rule 6.3, point 68).

use super::super::tx::Tx;
use crate::Event;
use crate::answer::Target;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{
    Charge, DeclineCode, Invoice, InvoiceEvent, InvoiceItem, InvoiceStatus, LatePayment, Outcome,
    balance_credit,
};
use counterfoil_billing::subscription::{
    CreateSubscription, PaymentBehavior, PendingCreation, Subscription, SubscriptionEvent,
    SubscriptionId,
};
use counterfoil_core::Refusal;
use std::sync::Arc;

impl Tx<'_> {
    /// Creates a subscription, or nothing. It is tried on a fork: where its first invoice asks for
    /// a payment, only that attempt is recorded, and the outcome decides.
    pub(in crate::decide) fn create_or_nothing(
        &mut self,
        command: &CreateSubscription,
    ) -> Result<Target, Refusal> {
        let mut tried = command.clone();
        tried.payment_behavior = PaymentBehavior::AllowIncomplete;
        let mut fork = Tx::fork(&self.state, self.context);
        let target = fork.create_subscription(&tried)?;
        let (events, after) = fork.finish();
        let Target::Subscription(id) = &target else { return Ok(target) };
        let first = after.subscription(id)?.first_invoice.clone();
        let unpaid = first.and_then(|first| {
            let invoice = after.invoice(&first).ok()?;
            (invoice.status == InvoiceStatus::Open).then(|| invoice.clone())
        });
        let Some(invoice) = unpaid.filter(|invoice| invoice.attempt_count > 0) else {
            events.into_iter().for_each(|event| self.emit(event));
            return Ok(target);
        };
        let Some(attempt) = invoice.open_attempt.as_deref().cloned() else {
            let reason = "error_if_incomplete needs a payment method to charge";
            return Err(Refusal::state("customer", &command.customer, "not chargeable", reason));
        };
        let redeems =
            |event: &Event| matches!(event, Event::Billing(counterfoil_billing::Event::Coupon(_)));
        if events.iter().any(redeems) {
            let reason = "a coupon that is redeemed with it cannot wait for its payment";
            return Err(Refusal::invalid("discounts", reason));
        }
        let attempt_count = invoice.attempt_count;
        let (subscription, items, invoice) = parts(&events, id, &invoice)?;
        let at = self.at();
        let pending = PendingCreation { at, subscription, items, invoice, attempt, attempt_count };
        self.emit(SubscriptionEvent::CreationPending(Arc::new(pending)));
        Ok(target)
    }

    /// The outcome of the attempt that a creation waits for.
    pub(in crate::decide) fn resolve_creation(
        &mut self,
        pending: &PendingCreation,
        outcome: &Outcome,
    ) -> Result<Target, Refusal> {
        match outcome {
            Outcome::Failed(code) => {
                self.abandon(pending, code.clone());
                Ok(Target::Customer(pending.customer().clone()))
            }
            Outcome::Succeeded => self.commit_creation(pending, false),
            // Who pays by what takes days is served meanwhile (rule 6.2).
            Outcome::Processing => self.commit_creation(pending, true),
            Outcome::SucceededInPart(part) => {
                let reason = format!(
                    "{part} of {}: a subscription that comes about only when it is paid for takes \
                     no part of its payment",
                    pending.attempt.amount
                );
                Err(Refusal::invalid("amount", reason))
            }
        }
    }

    fn abandon(&mut self, pending: &PendingCreation, code: DeclineCode) {
        self.emit(SubscriptionEvent::CreationAbandoned {
            customer: pending.customer().clone(),
            id: pending.id().clone(),
            at: self.at(),
            attempt: pending.attempt.id.clone(),
            code,
        });
    }

    /// It is paid for, or its payment is on its way: the subscription, its invoice and the payment
    /// happen together.
    fn commit_creation(
        &mut self,
        pending: &PendingCreation,
        processing: bool,
    ) -> Result<Target, Refusal> {
        let id = pending.id().clone();
        self.emit(SubscriptionEvent::Created(Arc::new(pending.subscription.clone())));
        self.announce_trial_end(&id)?;
        for item in &pending.items {
            self.emit(InvoiceEvent::ItemCreated(Arc::new(item.clone())));
        }
        let mut draft = pending.invoice.clone();
        // What waited then may be on another invoice by now.
        draft.charges.retain(|charge| match charge {
            Charge::Item(item) => {
                self.state.invoice_item(item).is_ok_and(|item| item.invoice.is_none())
            }
            Charge::Line(_) | Charge::Usage(_) | Charge::LateUsage(_) => true,
        });
        let invoice = draft.id.clone();
        self.emit(InvoiceEvent::Created(Arc::new(draft)));
        let view = self.state.view(&invoice, self.context.usage)?;
        let exactly = view.invoice.amount_due == pending.attempt.amount;
        if !exactly && !processing {
            // The balance or the items changed since: what was collected goes to the balance, and
            // the invoice takes from there what it needs.
            self.credit_collected(pending)?;
        }
        self.finalize(&invoice, !exactly && !processing)?;
        if exactly || processing {
            let (attempt, attempt_count) = (pending.attempt.clone(), pending.attempt_count);
            let (attempt_id, retried) = (attempt.id.clone(), attempt.retried);
            self.emit(InvoiceEvent::PaymentAttempted { attempt, attempt_count });
            if processing {
                self.payment_is_processing(&invoice, !retried)?;
                return Ok(target(id));
            }
            return self.resolve_attempt(&attempt_id, &Outcome::Succeeded).map(|_| target(id));
        }
        self.collect_if_due(&invoice)?;
        Ok(target(id))
    }

    fn credit_collected(&mut self, pending: &PendingCreation) -> Result<(), Refusal> {
        let invoice = self.state.invoice(&pending.invoice.id)?;
        let customer = self.state.customer(pending.customer())?;
        let mut numbers = self.numbers(pending.customer(), invoice.seq, 0)?;
        let amount = pending.attempt.amount;
        let transaction = balance_credit(&invoice, customer, amount, &mut numbers, self.at())?;
        let late = LatePayment {
            customer: pending.customer().clone(),
            id: invoice.id.clone(),
            at: self.at(),
            attempt: pending.attempt.id.clone(),
            amount,
            balance_transaction: Some(transaction),
        };
        self.emit(InvoiceEvent::PaymentCameLate(late.into()));
        Ok(())
    }

    /// Refuses what cannot be undone while a payment of a customer decides about a creation.
    pub(in crate::decide) fn check_no_creation_pending(
        &self,
        customer: &CustomerId,
    ) -> Result<(), Refusal> {
        match self.state.shard(customer)?.pending_creations().first() {
            None => Ok(()),
            Some(pending) => {
                let reason = format!("the outcome of {} is awaited", pending.attempt.id);
                Err(Refusal::state("customer", customer, "subscribing", reason))
            }
        }
    }
}

fn target(id: SubscriptionId) -> Target {
    Target::Subscription(id)
}

/// The objects of a creation as they were made, out of what would have happened.
fn parts(
    events: &[Event],
    id: &SubscriptionId,
    invoice: &Invoice,
) -> Result<(Subscription, Vec<InvoiceItem>, Invoice), Refusal> {
    use counterfoil_billing::Event as Billing;
    let (mut subscription, mut items, mut draft) = (None, Vec::new(), None);
    for event in events {
        match event {
            Event::Billing(Billing::Subscription(SubscriptionEvent::Created(own))) => {
                subscription = Some((**own).clone());
            }
            Event::Billing(Billing::Invoice(InvoiceEvent::ItemCreated(item))) => {
                items.push((**item).clone());
            }
            Event::Billing(Billing::Invoice(InvoiceEvent::Created(own)))
                if own.id == invoice.id =>
            {
                draft = Some((**own).clone());
            }
            _ => {}
        }
    }
    let missing = || Refusal::unknown("subscription", id);
    Ok((subscription.ok_or_else(missing)?, items, draft.ok_or_else(missing)?))
}
