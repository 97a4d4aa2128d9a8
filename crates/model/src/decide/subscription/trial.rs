//! The end of a trial: what follows it, and its announcement (rule 6.8).

use super::super::tx::Tx;
use counterfoil_billing::invoice::CollectionMethod;
use counterfoil_billing::subscription::{
    CancellationReason, MissingPaymentMethod, Subscription, SubscriptionEvent, SubscriptionId,
};
use counterfoil_core::Refusal;

impl Tx<'_> {
    /// Whether a subscription whose trial is over begins its first period. Where there is nobody to
    /// charge, it may be canceled or paused in place of that.
    pub(in crate::decide) fn goes_on_after_trial(
        &mut self,
        subscription: &Subscription,
    ) -> Result<bool, Refusal> {
        if !self.lacks_payment_method(subscription)? {
            return Ok(true);
        }
        let id = subscription.id.clone();
        match subscription.without_payment_method() {
            MissingPaymentMethod::CreateInvoice => return Ok(true),
            MissingPaymentMethod::Cancel => {
                self.end_subscription(&id, CancellationReason::PaymentFailed, None)?;
            }
            MissingPaymentMethod::Pause => {
                let (customer, at) = (subscription.customer.clone(), self.at());
                self.emit(SubscriptionEvent::Paused { customer, id, at });
            }
        }
        Ok(false)
    }

    /// Whether its invoices are charged automatically, and nobody can be charged.
    pub(in crate::decide) fn lacks_payment_method(
        &self,
        subscription: &Subscription,
    ) -> Result<bool, Refusal> {
        let customer = self.state.customer(&subscription.customer)?;
        let method = subscription.default_payment_method.as_ref();
        let none = method.or(customer.payment_method.as_ref()).is_none();
        Ok(none && subscription.collection_method == CollectionMethod::ChargeAutomatically)
    }

    /// Announces the end of a trial, where that is due now.
    pub(in crate::decide) fn announce_trial_end(
        &mut self,
        id: &SubscriptionId,
    ) -> Result<(), Refusal> {
        let subscription = self.state.subscription(id)?;
        let due = subscription.trial_notice_at.is_some_and(|at| at <= self.at());
        let Some(trial) = subscription.trial.filter(|_| due) else { return Ok(()) };
        let (customer, id, at) = (subscription.customer.clone(), id.clone(), self.at());
        self.emit(SubscriptionEvent::TrialWillEnd { customer, id, at, trial_end: trial.end });
        Ok(())
    }
}
