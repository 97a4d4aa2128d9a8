//! Attempts to collect, and their outcomes.

use super::tx::Tx;
use crate::answer::Target;
use crate::command::{FailPaymentAttempt, ProcessPaymentAttempt, SucceedPaymentAttempt};
use counterfoil_billing::invoice::{
    self, AfterRetries, AttachPayment, CollectionMethod, DeclineCode, Invoice, InvoiceAfterRetries,
    InvoiceEvent, InvoiceId, InvoiceStatus, Outcome, PayInvoice, PaymentAttemptId, Terms, Trigger,
};
use counterfoil_billing::subscription::{CancellationReason, SubscriptionStatus};
use counterfoil_billing::text;
use counterfoil_core::{Id, Refusal};

impl Tx<'_> {
    pub(super) fn pay_invoice(&mut self, command: &PayInvoice) -> Result<Target, Refusal> {
        text::check_optional("payment_method", command.payment_method.as_deref())?;
        let invoice = self.state.invoice(&command.id)?;
        invoice::check_payable(&invoice)?;
        if command.paid_out_of_band {
            if command.payment_method.is_some() {
                let reason = "nothing is charged for an invoice that was paid elsewhere";
                return Err(Refusal::invalid("payment_method", reason));
            }
            if command.forgive {
                let reason = "an invoice that was paid elsewhere leaves nothing to forgive";
                return Err(Refusal::invalid("forgive", reason));
            }
            let event = invoice::paid(&invoice, None, self.at());
            self.emit(event);
            self.after_paid(&command.id)?;
        } else {
            let terms = Terms { forgive: command.forgive, part: None };
            let method = command.payment_method.as_deref();
            self.attempt_on(&command.id, method, (Trigger::ByHand, terms))?;
        }
        Ok(Target::Invoice(command.id.clone()))
    }

    pub(super) fn attach_payment(&mut self, command: &AttachPayment) -> Result<Target, Refusal> {
        text::check_optional("payment_method", command.payment_method.as_deref())?;
        let invoice = self.state.invoice(&command.id)?;
        invoice::check_status_payable(&invoice)?;
        if command.payment_record.is_some() {
            let customer = self.state.customer(&invoice.customer)?;
            let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
            let (at, ids) = (self.at(), &mut numbers);
            let received = invoice::decide_payment_record(&invoice, command, customer, ids, at)?;
            let settled = received.settled;
            self.emit(InvoiceEvent::from(received));
            if settled {
                self.after_paid(&command.id)?;
            }
        } else {
            invoice::check_payable(&invoice)?;
            let part = Some((invoice::check_part(&invoice, command.amount)?, command.amount));
            let terms = Terms { part, forgive: false };
            let method = command.payment_method.as_deref();
            self.attempt_on(&command.id, method, (Trigger::ByHand, terms))?;
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
        self.attempt_on(id, method, (trigger, Terms::default()))
    }

    fn attempt_on(
        &mut self,
        id: &InvoiceId,
        method: Option<&str>,
        terms: (Trigger, Terms),
    ) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let method = match method {
            Some(method) => Some(method),
            None => self.payment_method(&invoice)?,
        };
        let attempt = Id::numbered(invoice.seq, invoice.attempts_made.saturating_add(1));
        let policy = &self.state.settings.retries;
        let event = invoice::decide_attempt(&invoice, method, attempt, terms, policy, self.at())?;
        let failed = matches!(event, InvoiceEvent::PaymentFailed { .. });
        self.emit(event);
        if failed { self.after_failure(id) } else { Ok(()) }
    }

    /// The payment method that an invoice is collected from: its own, else that of its
    /// subscription, else the customer's (rule 8.8).
    pub(super) fn payment_method<'a>(
        &'a self,
        invoice: &'a Invoice,
    ) -> Result<Option<&'a str>, Refusal> {
        let subscription = invoice.subscription.as_ref();
        let of_subscription = subscription
            .and_then(|id| self.state.subscription(id).ok())
            .and_then(|subscription| subscription.default_payment_method.as_deref());
        let customer = self.state.customer(&invoice.customer)?;
        let own = invoice.default_payment_method.as_deref();
        Ok(own.or(of_subscription).or(customer.payment_method.as_deref()))
    }

    pub(super) fn succeed_payment_attempt(
        &mut self,
        command: &SucceedPaymentAttempt,
    ) -> Result<Target, Refusal> {
        let outcome = command.amount.map_or(Outcome::Succeeded, Outcome::SucceededInPart);
        self.resolve_attempt(&command.id, &outcome)
    }

    pub(super) fn fail_payment_attempt(
        &mut self,
        command: &FailPaymentAttempt,
    ) -> Result<Target, Refusal> {
        text::check_optional("code", command.code.as_deref())?;
        let code = command.code.as_deref().map_or(DeclineCode::GenericDecline, DeclineCode::of);
        self.resolve_attempt(&command.id, &Outcome::Failed(code))
    }

    pub(super) fn process_payment_attempt(
        &mut self,
        command: &ProcessPaymentAttempt,
    ) -> Result<Target, Refusal> {
        self.resolve_attempt(&command.id, &Outcome::Processing)
    }

    /// The payment that an invoice waits for is on its way. Where that is the first one of a
    /// subscription, it begins (rule 6.2).
    pub(super) fn payment_is_processing(
        &mut self,
        id: &InvoiceId,
        begins_subscription: bool,
    ) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        let Some(attempt) = &invoice.open_attempt else { return Ok(()) };
        let event = invoice::decide_processing(&invoice, attempt, begins_subscription, self.at())?;
        let subscription = invoice.subscription.clone().filter(|_| begins_subscription);
        self.emit(event);
        match subscription {
            Some(subscription) => self.set_status(&subscription, SubscriptionStatus::Active),
            None => Ok(()),
        }
    }

    /// Whether an attempt is for all of the first invoice of a subscription that is incomplete.
    fn is_awaited_by_incomplete(&self, invoice: &Invoice) -> bool {
        let whole = invoice.open_attempt.as_ref().is_some_and(|own| own.payment.is_none());
        let owner = invoice.subscription.as_ref();
        let subscription = owner.and_then(|id| self.state.subscription(id).ok());
        whole
            && subscription.is_some_and(|own| {
                own.status == SubscriptionStatus::Incomplete
                    && own.first_invoice.as_ref() == Some(&invoice.id)
            })
    }

    pub(super) fn resolve_attempt(
        &mut self,
        id: &PaymentAttemptId,
        outcome: &Outcome,
    ) -> Result<Target, Refusal> {
        let missing = || Refusal::unknown("payment_attempt", id);
        let invoice_id = self.state.owners.attempts.get(id).ok_or_else(missing)?.clone();
        self.state.bring_invoice_near(&invoice_id);
        if let Some(pending) = self.state.pending_creation(id).cloned() {
            return self.resolve_creation(&pending, outcome);
        }
        let invoice = self.state.invoice(&invoice_id)?;
        let attempt = invoice.open_attempt.as_ref().ok_or_else(missing)?;
        if *outcome == Outcome::Processing {
            let begins = self.is_awaited_by_incomplete(&invoice);
            self.payment_is_processing(&invoice_id, begins)?;
            self.pending_update_is_processing(&invoice_id)?;
            return Ok(Target::Invoice(invoice_id));
        }
        let began = attempt.begins_subscription;
        let customer = self.state.customer(&invoice.customer)?;
        let policy = &self.state.settings.retries;
        let mut numbers = self.numbers(&invoice.customer, invoice.seq, 0)?;
        let at = self.at();
        let events = invoice::decide_outcome(
            &invoice,
            attempt,
            outcome,
            customer,
            policy,
            &mut numbers,
            at,
        )?;
        for event in events {
            let failed = matches!(event, InvoiceEvent::PaymentFailed { .. });
            let paid = match &event {
                InvoiceEvent::Paid { .. } => true,
                InvoiceEvent::PaymentReceived(received) => received.settled,
                _ => false,
            };
            self.emit(event);
            if paid {
                self.after_paid(&invoice_id)?;
            } else if failed && began {
                self.after_failed_beginning(&invoice_id)?;
            } else if failed {
                self.after_failure(&invoice_id)?;
            }
        }
        Ok(Target::Invoice(invoice_id))
    }

    pub(super) fn after_paid(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
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

    /// The first payment of a subscription, which began while it was on its way, came to nothing:
    /// the invoice is voided, and the subscription goes on (rule 6.2).
    fn after_failed_beginning(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let invoice = self.state.invoice(id)?;
        if invoice.status != InvoiceStatus::Open {
            return Ok(());
        }
        let customer = invoice.customer.clone();
        self.set_delinquent(&customer, true)?;
        self.void_if_possible(id)
    }

    /// The last retry failed: what follows is a setting of the book (rule 9).
    fn after_retries(&mut self, id: &InvoiceId) -> Result<(), Refusal> {
        let policy = self.state.settings.retries.clone();
        if policy.invoice == InvoiceAfterRetries::Uncollectible {
            let event = invoice::decide_uncollectible(&*self.state.invoice(id)?, self.at())?;
            self.emit(event);
        }
        let Some(subscription) = self.state.invoice(id)?.subscription.clone() else {
            return Ok(());
        };
        // Only one that is past due is given up: not a trial, whose invoice took something along.
        let status = self.state.subscription(&subscription)?.status;
        if status != SubscriptionStatus::PastDue || !self.is_latest_finalized(id)? {
            return Ok(());
        }
        match policy.then {
            AfterRetries::PastDue => Ok(()),
            AfterRetries::Canceled => {
                self.end_subscription(&subscription, CancellationReason::PaymentFailed, None)
            }
            AfterRetries::Unpaid => self.set_status(&subscription, SubscriptionStatus::Unpaid),
        }
    }
}
