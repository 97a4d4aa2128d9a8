//! Due work: one item at a time, at its own time.

use super::{Context, Decision, Tx};
use crate::State;
use crate::answer::Target;
use crate::due::{DueClass, DueKey, DueTarget};
use counterfoil_billing::customer::{CustomerEvent, CustomerId};
use counterfoil_billing::invoice::{
    CollectionMethod, FinalizationError, InvoiceEvent, InvoiceId, Trigger,
};
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_billing::subscription::{SubscriptionId, SubscriptionStatus};
use counterfoil_core::{Refusal, Timestamp};

/// Does one item of due work. Where it comes to an impossible result, the customer it belongs to
/// is parked: nothing happens to that one by itself any more, and all others go on. A draft that
/// cannot be finalized stays a draft, and its customer goes on too.
#[must_use]
pub fn work(state: &State, context: &Context<'_>, key: &DueKey) -> Option<Decision> {
    let mut tx = Tx::fork(state, context);
    match tx.work_on(key) {
        Ok(target) => {
            let (events, state) = tx.finish();
            Some(Decision { events, state, target })
        }
        Err(refusal) => match (&key.target, key.class) {
            (DueTarget::Invoice(id), DueClass::Finalization) if is_of_the_draft(&refusal) => {
                finalization_failed(state, context, id, &refusal)
            }
            _ => park(state, context, key, &refusal),
        },
    }
}

/// Looks at the thresholds of a customer, once usage of it was taken in (rule 6.13, point 63). None
/// where nothing was reached. A result that cannot be parks the customer, as with due work.
#[must_use]
pub fn cross_thresholds(
    state: &State,
    context: &Context<'_>,
    customer: &CustomerId,
) -> Option<Decision> {
    if !state.has_thresholds(customer) {
        return None;
    }
    of_customer(state, context, customer, |tx| tx.cross_thresholds(customer))
}

/// Corrects the invoices of a customer that usage came for after they were finalized, where the
/// book does so (rule 12.8). None where there is nothing to correct. A result that cannot be parks
/// the customer, as with due work.
#[must_use]
pub fn correct_late_usage(
    state: &State,
    context: &Context<'_>,
    customer: &CustomerId,
) -> Option<Decision> {
    if !state.corrects_late_usage() || state.shard(customer).is_err() {
        return None;
    }
    of_customer(state, context, customer, |tx| tx.correct_late_usage(customer))
}

/// A decision about a customer that nobody asked for.
fn of_customer(
    state: &State,
    context: &Context<'_>,
    customer: &CustomerId,
    decide: impl FnOnce(&mut Tx<'_>) -> Result<(), Refusal>,
) -> Option<Decision> {
    let mut tx = Tx::fork(state, context);
    match decide(&mut tx).and_then(|()| tx.check_possible()) {
        Ok(()) => {
            let (events, state) = tx.finish();
            let target = Target::Customer(customer.clone());
            (!events.is_empty()).then_some(Decision { events, state, target })
        }
        Err(refusal) => Some(park_customer(state, context, customer.clone(), &refusal)),
    }
}

/// Whether somebody can mend what a draft was refused for. An impossible result is a matter of the
/// whole customer.
fn is_of_the_draft(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::AmountTooLarge { .. } | Refusal::Impossible { .. } | Refusal::Unreadable { .. }
    )
}

/// A draft that cannot be finalized stays one and does nothing by itself until somebody mends it
/// (rule 8.6).
fn finalization_failed(
    state: &State,
    context: &Context<'_>,
    id: &InvoiceId,
    refusal: &Refusal,
) -> Option<Decision> {
    let customer = state.invoice(id).ok()?.customer.clone();
    let mut tx = Tx::fork(state, context);
    let (id, at) = (id.clone(), context.at);
    let (code, message) = (refusal.code().to_string(), refusal.to_string());
    let error = FinalizationError { code, message };
    let target = Target::Invoice(id.clone());
    tx.emit(InvoiceEvent::FinalizationFailed { customer, id, at, error });
    let (events, state) = tx.finish();
    Some(Decision { events, state, target })
}

fn park(state: &State, context: &Context<'_>, key: &DueKey, refusal: &Refusal) -> Option<Decision> {
    let customer = match &key.target {
        DueTarget::Subscription(id) => state.subscription(id).ok()?.customer.clone(),
        DueTarget::Invoice(id) => state.invoice(id).ok()?.customer.clone(),
        DueTarget::SubscriptionSchedule(id) => state.schedule(id).ok()?.customer.clone(),
        DueTarget::Quote(id) => state.quote(id).ok()?.customer.clone(),
    };
    Some(park_customer(state, context, customer, refusal))
}

fn park_customer(
    state: &State,
    context: &Context<'_>,
    customer: CustomerId,
    refusal: &Refusal,
) -> Decision {
    let mut tx = Tx::fork(state, context);
    let reason = format!("{} ({})", refusal, refusal.code());
    tx.emit(CustomerEvent::Parked { id: customer.clone(), at: context.at, reason });
    let (events, state) = tx.finish();
    Decision { events, state, target: Target::Customer(customer) }
}

impl Tx<'_> {
    /// Brings near what an item of due work is on.
    pub(super) fn bring_near(&mut self, key: &DueKey) {
        match &key.target {
            DueTarget::Subscription(id) => self.state.bring_subscription_near(id),
            DueTarget::Invoice(id) => self.state.bring_invoice_near(id),
            DueTarget::SubscriptionSchedule(_) | DueTarget::Quote(_) => {}
        }
    }

    /// Does one item of due work, and checks what that came to.
    pub(super) fn work_on(&mut self, key: &DueKey) -> Result<Target, Refusal> {
        self.bring_near(key);
        let target = match &key.target {
            DueTarget::Subscription(id) => self.work_on_subscription(id, key)?,
            DueTarget::Invoice(id) => self.work_on_invoice(id, key.class)?,
            DueTarget::SubscriptionSchedule(id) => self.work_on_schedule(id, key.class)?,
            DueTarget::Quote(id) => {
                self.expire_quote(id)?;
                Target::Quote(id.clone())
            }
        };
        self.check_possible()?;
        Ok(target)
    }

    /// Each kind of work is one event or decision; where two fall due together, the one that is
    /// done leaves the other behind.
    fn work_on_subscription(
        &mut self,
        id: &SubscriptionId,
        key: &DueKey,
    ) -> Result<Target, Refusal> {
        let subscription = self.state.subscription(id)?;
        let resumes_at = subscription.pause_collection.and_then(|pause| pause.resumes_at);
        match key.class {
            DueClass::Deadline => self.deadline(id, key.at)?,
            DueClass::PendingItems => self.bill_pending_items(id)?,
            DueClass::AgreedChange if resumes_at.is_some_and(|at| at <= key.at) => {
                self.resume_collection(id)?;
            }
            DueClass::AgreedChange
                if subscription.agreed_end().is_some_and(|end| end <= self.at()) =>
            {
                self.end_with_period(id)?;
            }
            _ => self.renew(id)?,
        }
        Ok(Target::Subscription(id.clone()))
    }

    /// The first of a subscription's deadlines passed.
    fn deadline(&mut self, id: &SubscriptionId, due: Timestamp) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= due);
        if subscription.status == SubscriptionStatus::Incomplete {
            self.expire_incomplete(id)
        } else if passed(subscription.resumption.as_ref().and_then(|own| own.expires_at)) {
            self.expire_resumption(id)
        } else if passed(subscription.pending_update.as_ref().map(|own| own.expires_at)) {
            self.drop_pending_update(id)
        } else {
            self.announce_trial_end(id)
        }
    }

    fn work_on_schedule(
        &mut self,
        id: &SubscriptionScheduleId,
        class: DueClass,
    ) -> Result<Target, Refusal> {
        match class {
            DueClass::Deadline => self.announce_expiry(id)?,
            _ => self.run_schedule(id)?,
        }
        Ok(Target::SubscriptionSchedule(id.clone()))
    }

    /// Finalizes a draft, and charges it or sends it.
    pub(super) fn finalize_and_collect(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        self.finalize(id, true)?;
        self.send_if_due(id)?;
        self.collect_if_due(id)
    }

    /// Sends an invoice that something is due of, where that is how it is collected.
    pub(super) fn send_if_due(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        if invoice.collection_method == CollectionMethod::SendInvoice && invoice.amount_due > 0 {
            let customer = invoice.customer.clone();
            let (id, at) = (id.clone(), self.at());
            self.emit(InvoiceEvent::Sent { customer, id, at });
        }
        Ok(())
    }

    fn work_on_invoice(&mut self, id: &InvoiceId, class: DueClass) -> Result<Target, Refusal> {
        match class {
            DueClass::Finalization if self.state.invoice(id)?.charges.is_empty() => {
                // Nothing to finalize: it stays a draft until somebody fills or deletes it.
                let customer = self.state.invoice(id)?.customer.clone();
                let (id, at) = (id.clone(), self.at());
                self.emit(InvoiceEvent::AutoAdvanceSet { customer, id, at, auto_advance: false });
            }
            DueClass::Finalization => self.finalize_and_collect(id)?,
            DueClass::PaymentAttempt => self.attempt(id, None, Trigger::Automatic)?,
            _ => self.overdue(id)?,
        }
        Ok(Target::Invoice(id.clone()))
    }
}
