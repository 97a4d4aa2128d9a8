//! Attempts to collect, and their outcomes.

use super::tx::Tx;
use crate::answer::Target;
use crate::command::{FailPaymentAttempt, SucceedPaymentAttempt};
use counterfoil_billing::invoice::{
    self, AfterRetries, CollectionMethod, DeclineCode, InvoiceAfterRetries, InvoiceEvent,
    InvoiceId, InvoiceStatus, Outcome, PayInvoice, PaymentAttemptId, Trigger,
};
use counterfoil_billing::subscription::CancellationReason;
use counterfoil_billing::text;
use counterfoil_core::{Id, Refusal};

impl Tx<'_> {
    pub(super) fn pay_invoice(&mut self, command: &PayInvoice) -> Result<Target, Refusal> {
        text::check_optional("payment_method", command.payment_method.as_deref())?;
        let invoice = self.state.invoice(&command.id)?;
        invoice::check_payable(invoice)?;
        if command.paid_out_of_band {
            if command.payment_method.is_some() {
                let reason = "nothing is charged for an invoice that was paid elsewhere";
                return Err(Refusal::invalid("payment_method", reason));
            }
            let event = invoice::paid(invoice, None, self.at());
            self.emit(event);
            self.after_paid(&command.id)?;
        } else {
            self.attempt(&command.id, command.payment_method.as_deref(), Trigger::ByHand)?;
        }
        Ok(Target::Invoice(command.id.clone()))
    }

    /// Starts an attempt to collect an invoice, or notes that there is nobody to charge.
    pub(super) fn attempt(
        &mut self,
        id: &InvoiceId,
        method: Option<&str>,
        trigger: Trigger,
    ) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let subscription = invoice.subscription.as_ref();
        let of_subscription = subscription
            .and_then(|id| self.state.subscription(id).ok())
            .and_then(|subscription| subscription.default_payment_method.as_deref());
        let customer = self.state.customer(&invoice.customer)?;
        let method = method.or(of_subscription).or(customer.payment_method.as_deref());
        let attempt = Id::numbered(invoice.seq, invoice.attempts_made.saturating_add(1));
        let policy = &self.state.settings.retries;
        let event = invoice::decide_attempt(invoice, method, attempt, trigger, policy, self.at())?;
        let failed = matches!(event, InvoiceEvent::PaymentFailed { .. });
        self.emit(event);
        if failed { self.after_failure(id) } else { Ok(()) }
    }

    pub(super) fn succeed_payment_attempt(
        &mut self,
        command: &SucceedPaymentAttempt,
    ) -> Result<Target, Refusal> {
        self.resolve_attempt(&command.id, &Outcome::Succeeded)
    }

    pub(super) fn fail_payment_attempt(
        &mut self,
        command: &FailPaymentAttempt,
    ) -> Result<Target, Refusal> {
        text::check_optional("code", command.code.as_deref())?;
        let code = match command.code.as_deref() {
            None | Some("generic_decline") => DeclineCode::GenericDecline,
            Some("insufficient_funds") => DeclineCode::InsufficientFunds,
            Some("authentication_required") => DeclineCode::AuthenticationRequired,
            Some(other) => DeclineCode::Other(other.to_owned()),
        };
        self.resolve_attempt(&command.id, &Outcome::Failed(code))
    }

    pub(super) fn resolve_attempt(
        &mut self,
        id: &PaymentAttemptId,
        outcome: &Outcome,
    ) -> Result<Target, Refusal> {
        let missing = || Refusal::unknown("payment_attempt", id);
        let invoice_id = self.state.owners.attempts.get(id).ok_or_else(missing)?.clone();
        if let Some(pending) = self.state.pending_creation(id).cloned() {
            return self.resolve_creation(&pending, outcome);
        }
        let invoice = self.state.invoice(&invoice_id)?;
        let attempt = invoice.open_attempt.as_ref().ok_or_else(missing)?;
        let customer = self.state.customer(&invoice.customer)?;
        let policy = &self.state.settings.retries;
        let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
        let at = self.at();
        let event =
            invoice::decide_outcome(invoice, attempt, outcome, customer, policy, &mut numbers, at)?;
        let paid = matches!(event, InvoiceEvent::Paid { .. });
        let failed = matches!(event, InvoiceEvent::PaymentFailed { .. });
        self.emit(event);
        if paid {
            self.after_paid(&invoice_id)?;
        } else if failed {
            self.after_failure(&invoice_id)?;
        }
        Ok(Target::Invoice(invoice_id))
    }

    fn after_paid(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let customer = self.state.invoice(id)?.customer.clone();
        self.set_delinquent(&customer, false)?;
        self.subscription_follows_payment(id)
    }

    fn after_failure(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let customer = invoice.customer.clone();
        let automatic = invoice.collection_method == CollectionMethod::ChargeAutomatically;
        let exhausted = invoice.retries_exhausted;
        if invoice.status != InvoiceStatus::Open {
            return Ok(());
        }
        if automatic {
            self.set_delinquent(&customer, true)?;
        }
        self.subscription_follows_failure(id)?;
        if exhausted { self.after_retries(id) } else { Ok(()) }
    }

    /// The last retry failed: what follows is a setting of the book (rule 9).
    fn after_retries(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let policy = self.state.settings.retries.clone();
        if policy.invoice == InvoiceAfterRetries::Uncollectible {
            let event = invoice::decide_uncollectible(self.state.invoice(id)?, self.at())?;
            self.emit(event);
        }
        if policy.then == AfterRetries::Canceled
            && let Some(subscription) = self.state.invoice(id)?.subscription.clone()
            && !self.state.subscription(&subscription)?.is_ended()
            && self.is_latest_finalized(id)?
        {
            self.end_subscription(&subscription, CancellationReason::PaymentFailed, None)?;
        }
        Ok(())
    }
}
