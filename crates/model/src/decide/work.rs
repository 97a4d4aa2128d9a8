//! Due work: one item at a time, at its own time.

use super::{Context, Decision, Tx};
use crate::State;
use crate::answer::Target;
use crate::due::{DueClass, DueKey, DueTarget};
use counterfoil_billing::customer::CustomerEvent;
use counterfoil_billing::invoice::{CollectionMethod, InvoiceEvent, InvoiceId, Trigger};
use counterfoil_billing::subscription::SubscriptionId;
use counterfoil_core::Refusal;

/// Does one item of due work. Where it comes to an impossible result, the customer it belongs to
/// is parked: nothing happens to that one by itself any more, and all others go on.
#[must_use]
pub fn work(state: &State, context: &Context<'_>, key: &DueKey) -> Option<Decision> {
    let mut tx = Tx::fork(state, context);
    let target = match &key.target {
        DueTarget::Subscription(id) => tx.work_on_subscription(id, key.class),
        DueTarget::Invoice(id) => tx.work_on_invoice(id, key.class),
    };
    match target {
        Ok(target) => {
            let (events, state) = tx.finish();
            Some(Decision { events, state, target })
        }
        Err(refusal) => park(state, context, key, &refusal),
    }
}

fn park(state: &State, context: &Context<'_>, key: &DueKey, refusal: &Refusal) -> Option<Decision> {
    let customer = match &key.target {
        DueTarget::Subscription(id) => state.subscription(id).ok()?.customer.clone(),
        DueTarget::Invoice(id) => state.invoice(id).ok()?.customer.clone(),
    };
    let mut tx = Tx::fork(state, context);
    let reason = format!("{} ({})", refusal, refusal.code());
    tx.emit(CustomerEvent::Parked { id: customer.clone(), at: context.at, reason });
    let (events, state) = tx.finish();
    Some(Decision { events, state, target: Target::Customer(customer) })
}

impl Tx<'_> {
    fn work_on_subscription(
        &mut self,
        id: &SubscriptionId,
        class: DueClass,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(id)?;
        match class {
            DueClass::Deadline => self.expire_incomplete(id)?,
            DueClass::AgreedChange
                if subscription.agreed_end().is_some_and(|end| end <= self.at()) =>
            {
                self.end_with_period(id)?;
            }
            _ => self.renew(id)?,
        }
        Ok(Target::Subscription(id.clone()))
    }

    fn work_on_invoice(&mut self, id: &InvoiceId, class: DueClass) -> Result<Target, Refusal> {
        match class {
            DueClass::Finalization if self.state.invoice(id)?.charges.is_empty() => {
                // Nothing to finalize: it stays a draft until somebody fills or deletes it.
                let customer = self.state.invoice(id)?.customer.clone();
                let (id, at) = (id.clone(), self.at());
                self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
            }
            DueClass::Finalization => {
                self.finalize(id, true)?;
                let invoice = self.state.invoice(id)?;
                if invoice.collection_method == CollectionMethod::SendInvoice
                    && invoice.amount_due > 0
                {
                    let customer = invoice.customer.clone();
                    let (id, at) = (id.clone(), self.at());
                    self.emit(InvoiceEvent::Sent { customer, id, at });
                }
                self.collect_if_due(id)?;
            }
            DueClass::PaymentAttempt => self.attempt(id, None, Trigger::Automatic)?,
            _ => self.overdue(id)?,
        }
        Ok(Target::Invoice(id.clone()))
    }
}
