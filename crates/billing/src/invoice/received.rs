//! The payments of an invoice: the one that follows what remains of it, and those that were attached
//! to it for a part (rule 8.8).

use super::decide::balance_transaction;
use super::{
    Attempt, Invoice, InvoiceEvent, InvoiceId, InvoicePaymentId, InvoiceStatus, Numbered,
    PaymentAttemptId,
};
use crate::customer::{BalanceTransaction, BalanceTransactionKind, Customer, CustomerId};
use crate::text;
use counterfoil_core::{ArithmeticError, Currency, Id, Refusal, Timestamp, limits};
use serde::{Deserialize, Serialize};

/// A payment of an invoice.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoicePayment {
    /// Its id.
    pub id: InvoicePaymentId,
    /// How much it was to bring, in minor units.
    pub amount_requested: i64,
    /// How much it brought, in minor units, what the invoice did not need included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_paid: Option<i64>,
    /// How much of that the invoice did not need, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub amount_overpaid: i64,
    /// Where it stands.
    pub status: InvoicePaymentStatus,
    /// Whether it is the one that was made with finalization and follows what remains.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub is_default: bool,
    /// Where the money comes from.
    pub kind: InvoicePaymentKind,
    /// When it was made.
    pub created: Timestamp,
    /// When it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Timestamp>,
    /// When it was canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<Timestamp>,
}

/// Where a payment stands.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoicePaymentStatus {
    /// It is awaited.
    Open,
    /// It came.
    Paid,
    /// It will not come.
    Canceled,
}

/// Where the money of a payment comes from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoicePaymentKind {
    /// Attempts that somebody outside carries out.
    PaymentIntent,
    /// It was received elsewhere, under this name if it has one there. Like names at the gateway it
    /// is no personal data.
    PaymentRecord(Option<String>),
}

/// `invoice.attach_payment`: a payment of a part of an open invoice, or of more than it needs.
///
/// With `payment_record` the money was received elsewhere, and what the invoice does not need becomes
/// credit of the customer. Without it the amount is collected by an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachPayment {
    /// Which invoice.
    pub id: InvoiceId,
    /// How much, in minor units.
    pub amount: i64,
    /// What the payment is called where it was received; nothing is charged then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_record: Option<String>,
    /// The payment method for an attempt, where it is not the invoice's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
}

/// Money that came for an invoice: not simply the payment of all that remained by one attempt.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReceived {
    /// Whose.
    pub customer: CustomerId,
    /// Which invoice.
    pub id: InvoiceId,
    /// When.
    pub at: Timestamp,
    /// The currency.
    pub currency: Currency,
    /// The attempt that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<PaymentAttemptId>,
    /// The payment that was attached, as it is now; none for what the default payment brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<InvoicePayment>,
    /// How much of it paid what remained, in minor units.
    pub amount: i64,
    /// What remained and is no longer asked for, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub forgiven: i64,
    /// How much the invoice did not need, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub overpaid: i64,
    /// The credit that the customer was given for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<BalanceTransaction>,
    /// Whether the invoice was uncollectible before.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub recovered: bool,
    /// Whether nothing remains.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub settled: bool,
}

impl Invoice {
    /// What the attached payments brought, without what the invoice did not need.
    fn paid_by_attached(&self) -> i64 {
        let needed = |payment: &InvoicePayment| {
            payment.amount_paid.unwrap_or(0).saturating_sub(payment.amount_overpaid)
        };
        self.payments.iter().map(needed).fold(0, i64::saturating_add)
    }

    /// Its payments: the one that was made when it was finalized, if anything was due, and those
    /// that were attached, oldest first (rule 8.8).
    #[must_use]
    pub fn all_payments(&self) -> Vec<InvoicePayment> {
        self.default_payment().into_iter().chain(self.payments.iter().cloned()).collect()
    }

    /// The payment that follows what remains.
    fn default_payment(&self) -> Option<InvoicePayment> {
        let created = self.status_transitions.finalized_at?;
        let asked = self.amount_due.saturating_add(self.pre_payment_credit_notes_amount);
        if asked == 0 {
            return None;
        }
        let own = self.amount_paid.saturating_sub(self.paid_by_attached()).max(0);
        let moved = self.status_transitions;
        let (status, paid_at, canceled_at) = match self.status {
            InvoiceStatus::Void => (InvoicePaymentStatus::Canceled, None, moved.voided_at),
            InvoiceStatus::Paid if own == 0 => {
                (InvoicePaymentStatus::Canceled, None, moved.paid_at)
            }
            InvoiceStatus::Paid => (InvoicePaymentStatus::Paid, moved.paid_at, None),
            _ => (InvoicePaymentStatus::Open, None, None),
        };
        let kind = if self.paid_out_of_band {
            InvoicePaymentKind::PaymentRecord(None)
        } else {
            InvoicePaymentKind::PaymentIntent
        };
        Some(InvoicePayment {
            id: Id::numbered(self.seq, 1),
            amount_requested: self.amount_remaining().saturating_add(own),
            amount_paid: (own > 0).then_some(own),
            amount_overpaid: 0,
            status,
            is_default: true,
            kind,
            created,
            paid_at,
            canceled_at,
        })
    }

    /// The id of the payment that is attached next; the default one is the first.
    fn next_payment_id(&self) -> InvoicePaymentId {
        let attached = u64::try_from(self.payments.len()).unwrap_or(u64::MAX);
        Id::numbered(self.seq, attached.saturating_add(2))
    }

    /// Ends the attached payment of an attempt that brought nothing the invoice needed: it failed, or
    /// came late.
    pub(super) fn end_payment(&mut self, attempt: &Attempt, late: i64, at: Timestamp) {
        let own = |payment: &&mut InvoicePayment| Some(&payment.id) == attempt.payment.as_ref();
        let Some(payment) = self.payments.iter_mut().find(own) else { return };
        if late > 0 {
            payment.status = InvoicePaymentStatus::Paid;
            payment.amount_paid = Some(late);
            payment.amount_overpaid = late;
            payment.paid_at = Some(at);
        } else {
            payment.status = InvoicePaymentStatus::Canceled;
            payment.canceled_at = Some(at);
        }
    }

    /// Awaits the attached payment that an attempt is to bring.
    pub(super) fn await_payment(&mut self, attempt: &Attempt) {
        let Some(id) = &attempt.payment else { return };
        self.payments.push(InvoicePayment {
            id: id.clone(),
            amount_requested: attempt.amount,
            amount_paid: None,
            amount_overpaid: 0,
            status: InvoicePaymentStatus::Open,
            is_default: false,
            kind: InvoicePaymentKind::PaymentIntent,
            created: attempt.created,
            paid_at: None,
            canceled_at: None,
        });
    }
}

impl PaymentReceived {
    /// Applies the event to its invoice, but for what follows from being settled.
    pub(super) fn evolve(&self, invoice: &mut Invoice) {
        invoice.amount_paid = invoice.amount_paid.saturating_add(self.amount);
        invoice.amount_forgiven = invoice.amount_forgiven.saturating_add(self.forgiven);
        invoice.amount_overpaid = invoice.amount_overpaid.saturating_add(self.overpaid);
        if self.attempt.is_some() {
            invoice.open_attempt = None;
        }
        let Some(payment) = &self.payment else { return };
        match invoice.payments.iter_mut().find(|other| other.id == payment.id) {
            Some(known) => known.clone_from(payment),
            None => invoice.payments.push(payment.clone()),
        }
    }
}

/// What an attempt is to collect for a payment that is attached.
///
/// # Errors
/// [`Refusal::AmountTooSmall`] and [`Refusal::AmountTooLarge`] for an amount that cannot be charged
/// or is more than remains.
pub fn check_part(invoice: &Invoice, amount: i64) -> Result<InvoicePaymentId, Refusal> {
    let remaining = invoice.amount_remaining();
    if amount > remaining {
        return Err(Refusal::too_large(format!("amount {amount}"), remaining));
    }
    let limit = invoice.currency.charge_min_minor();
    if amount < limit {
        let what = format!("amount {amount}");
        return Err(Refusal::AmountTooSmall { what, limit: limit.to_string() });
    }
    Ok(invoice.next_payment_id())
}

/// Attaches a payment that was received elsewhere.
///
/// # Errors
/// [`Refusal::StateUnsupported`] unless the invoice is open or uncollectible; amounts and names out
/// of their limits.
pub fn decide_payment_record(
    invoice: &Invoice,
    command: &AttachPayment,
    customer: &Customer,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<PaymentReceived, Refusal> {
    text::check_optional("payment_record", command.payment_record.as_deref())?;
    if command.payment_method.is_some() {
        let reason = "nothing is charged for a payment that was received elsewhere";
        return Err(Refusal::invalid("payment_method", reason));
    }
    let amount = command.amount;
    if amount <= 0 {
        return Err(Refusal::invalid("amount", "a payment is more than nothing"));
    }
    if amount > limits::AMOUNT_MINOR_MAX {
        return Err(Refusal::too_large(format!("amount {amount}"), limits::AMOUNT_MINOR_MAX));
    }
    let payment = InvoicePayment {
        id: invoice.next_payment_id(),
        amount_requested: amount,
        amount_paid: Some(amount),
        amount_overpaid: 0,
        status: InvoicePaymentStatus::Paid,
        is_default: false,
        kind: InvoicePaymentKind::PaymentRecord(command.payment_record.clone()),
        created: at,
        paid_at: Some(at),
        canceled_at: None,
    };
    let money = Money { amount, attempt: None, payment: Some(payment), forgive: false };
    received(invoice, money, customer, ids, at)
}

/// Money on its way to an invoice.
struct Money {
    amount: i64,
    attempt: Option<PaymentAttemptId>,
    payment: Option<InvoicePayment>,
    forgive: bool,
}

/// Takes what an attempt collected, where that is not simply all that remains.
pub(super) fn collected(
    invoice: &Invoice,
    attempt: &Attempt,
    amount: i64,
    customer: &Customer,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<PaymentReceived, Refusal> {
    let payment = invoice.payments.iter().find(|own| Some(&own.id) == attempt.payment.as_ref());
    let payment = payment.map(|payment| InvoicePayment {
        amount_paid: Some(amount),
        status: InvoicePaymentStatus::Paid,
        paid_at: Some(at),
        ..payment.clone()
    });
    let attempted = Some(attempt.id.clone());
    let money = Money { amount, attempt: attempted, payment, forgive: attempt.forgive };
    received(invoice, money, customer, ids, at)
}

fn received(
    invoice: &Invoice,
    money: Money,
    customer: &Customer,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<PaymentReceived, Refusal> {
    let remaining = invoice.amount_remaining();
    let amount = money.amount.min(remaining);
    let overpaid = money.amount.saturating_sub(amount);
    let left = remaining.saturating_sub(amount);
    let forgiven = if money.forgive { left } else { 0 };
    let payment = money.payment;
    let payment = payment.map(|own| InvoicePayment { amount_overpaid: overpaid, ..own });
    let mut posted = Vec::new();
    if overpaid > 0 {
        let credit = overpaid.checked_neg().ok_or(ArithmeticError::Overflow)?;
        let change = (BalanceTransactionKind::InvoiceOverpaid, credit);
        posted = balance_transaction(invoice, customer, change, ids, at)?;
    }
    Ok(PaymentReceived {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        currency: invoice.currency,
        attempt: money.attempt,
        payment,
        amount,
        forgiven,
        overpaid,
        balance_transaction: posted.pop(),
        recovered: invoice.status == InvoiceStatus::Uncollectible,
        settled: left == forgiven,
    })
}

impl From<PaymentReceived> for InvoiceEvent {
    fn from(received: PaymentReceived) -> Self {
        Self::PaymentReceived(received.into())
    }
}
