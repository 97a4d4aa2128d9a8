//! Attempts to collect an invoice, and what follows when they fail (rules 8.8 and 9).

use super::decide::balance_transaction;
use super::{
    Invoice, InvoiceEvent, InvoiceId, InvoiceStatus, LatePayment, Numbered, PaymentAttemptId,
};
use crate::customer::{BalanceTransactionKind, Customer, CustomerId};
use counterfoil_core::{ArithmeticError, Currency, Refusal, Timestamp, limits};
use serde::{Deserialize, Serialize};

/// An attempt to collect an invoice. Somebody outside carries it out and reports its
/// [`Outcome`] under the attempt's id.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The id that the outcome names.
    pub id: PaymentAttemptId,
    /// The invoice.
    pub invoice: InvoiceId,
    /// Who pays.
    pub customer: CustomerId,
    /// How much, in minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The payment method, as the gateway names it.
    pub payment_method: String,
    /// When the attempt was made.
    pub created: Timestamp,
    /// Whether a failure is followed by the schedule of retries: not in a customer's first payment
    /// of a subscription (point 39) and not when paying by hand.
    pub retried: bool,
}

/// What became of an attempt.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The amount was collected.
    Succeeded,
    /// It was not.
    Failed(DeclineCode),
}

/// Why an attempt failed.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeclineCode {
    /// The customer has no payment method.
    NoPaymentMethod,
    /// The issuer gave no reason.
    GenericDecline,
    /// Not enough funds.
    InsufficientFunds,
    /// The customer must authenticate.
    AuthenticationRequired,
    /// Any other code, as the gateway gave it.
    Other(String),
}

impl DeclineCode {
    /// The code in files: `insufficient_funds`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoPaymentMethod => "no_payment_method",
            Self::GenericDecline => "generic_decline",
            Self::InsufficientFunds => "insufficient_funds",
            Self::AuthenticationRequired => "authentication_required",
            Self::Other(code) => code,
        }
    }
}

/// The schedule of retries and what follows the last one (rule 9).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Days from each failed attempt to the next.
    #[serde(default = "default_after_days")]
    pub after_days: Vec<u32>,
    /// What becomes of the subscription after the last failure.
    #[serde(default)]
    pub then: AfterRetries,
    /// What becomes of the invoice after the last failure.
    #[serde(default)]
    pub invoice: InvoiceAfterRetries,
}

/// What becomes of a subscription when the retries of its invoice are exhausted.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterRetries {
    /// It stays past due.
    #[default]
    PastDue,
    /// It is canceled.
    Canceled,
}

/// What becomes of an invoice when its retries are exhausted.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceAfterRetries {
    /// It stays open.
    #[default]
    Open,
    /// It is marked uncollectible.
    Uncollectible,
}

fn default_after_days() -> Vec<u32> {
    vec![3, 5, 7]
}

impl Default for RetryPolicy {
    /// Three retries, 3, 5 and 7 days after the attempt before; then everything stays as it is.
    fn default() -> Self {
        Self {
            after_days: default_after_days(),
            then: AfterRetries::default(),
            invoice: InvoiceAfterRetries::default(),
        }
    }
}

impl RetryPolicy {
    /// Refuses a schedule beyond its limits.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] naming the limit.
    pub fn check(&self) -> Result<(), Refusal> {
        let count = self.after_days.len();
        if count > limits::PAYMENT_RETRIES_MAX {
            let reason = format!("{count} retries (the limit is {})", limits::PAYMENT_RETRIES_MAX);
            return Err(Refusal::invalid("retries.after_days", reason));
        }
        let limit = limits::PAYMENT_RETRY_DAYS_MAX;
        if let Some(days) = self.after_days.iter().find(|days| !(1..=limit).contains(*days)) {
            let reason = format!("{days} days (a retry comes after 1 to {limit} days)");
            return Err(Refusal::invalid("retries.after_days", reason));
        }
        Ok(())
    }

    /// When the attempt after number `attempt` (1 is the first) is due, if there is another one.
    ///
    /// # Errors
    /// A time beyond the calendar.
    pub fn next_attempt(
        &self,
        attempt: u32,
        failed_at: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let index = usize::try_from(attempt).ok().and_then(|n| n.checked_sub(1));
        let Some(days) = index.and_then(|n| self.after_days.get(n)) else { return Ok(None) };
        Ok(Some(failed_at.checked_add_days(i64::from(*days))?))
    }
}

/// What an attempt on an invoice starts with: somebody to charge, or a failure for want of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The first payment of a subscription, or one for a change of it: no automatic retry follows
    /// (point 39).
    FirstInvoice,
    /// Collection by itself: at finalization, or a retry.
    Automatic,
    /// By hand; later attempts by hand do not count (rule 8.8).
    ByHand,
}

/// Starts an attempt to collect what remains of an invoice.
///
/// Without a payment method the attempt fails at once, and nobody outside is asked.
///
/// # Errors
/// A next attempt beyond the calendar.
pub fn decide_attempt(
    invoice: &Invoice,
    payment_method: Option<&str>,
    id: PaymentAttemptId,
    trigger: Trigger,
    policy: &RetryPolicy,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    let counts = trigger != Trigger::ByHand || invoice.attempt_count == 0;
    let attempt_count = invoice.attempt_count.saturating_add(u32::from(counts));
    let retried = trigger == Trigger::Automatic;
    let Some(payment_method) = payment_method else {
        let code = DeclineCode::NoPaymentMethod;
        return failed(invoice, None, code, (attempt_count, retried), policy, at);
    };
    let attempt = Attempt {
        id,
        invoice: invoice.id.clone(),
        customer: invoice.customer.clone(),
        amount: invoice.amount_remaining(),
        currency: invoice.currency,
        payment_method: payment_method.to_owned(),
        created: at,
        retried,
    };
    Ok(InvoiceEvent::PaymentAttempted { attempt, attempt_count })
}

/// Takes the outcome of the attempt that an invoice awaits.
///
/// # Errors
/// An amount or a time out of range.
pub fn decide_outcome(
    invoice: &Invoice,
    attempt: &Attempt,
    outcome: &Outcome,
    customer: &Customer,
    policy: &RetryPolicy,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    if !matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
        return late(invoice, attempt, outcome, customer, ids, at);
    }
    match outcome {
        Outcome::Succeeded => Ok(paid(invoice, Some(attempt.id.clone()), at)),
        Outcome::Failed(code) => {
            let count = (invoice.attempt_count, attempt.retried);
            failed(invoice, Some(attempt.id.clone()), code.clone(), count, policy, at)
        }
    }
}

/// Pays what remains of an invoice: by an attempt, or elsewhere.
#[must_use]
pub fn paid(invoice: &Invoice, attempt: Option<PaymentAttemptId>, at: Timestamp) -> InvoiceEvent {
    InvoiceEvent::Paid {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        attempt,
        amount: invoice.amount_remaining(),
        currency: invoice.currency,
        recovered: invoice.status == InvoiceStatus::Uncollectible,
    }
}

fn failed(
    invoice: &Invoice,
    attempt: Option<PaymentAttemptId>,
    code: DeclineCode,
    (attempt_count, retried): (u32, bool),
    policy: &RetryPolicy,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    let scheduled = retried && invoice.charges_automatically();
    let next_payment_attempt = if scheduled {
        policy.next_attempt(attempt_count, at)?
    } else {
        // A failure by hand leaves the schedule as it was.
        invoice.next_payment_attempt
    };
    Ok(InvoiceEvent::PaymentFailed {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        attempt,
        code,
        attempt_count,
        next_payment_attempt,
        retries_exhausted: scheduled && next_payment_attempt.is_none(),
    })
}

fn late(
    invoice: &Invoice,
    attempt: &Attempt,
    outcome: &Outcome,
    customer: &Customer,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    let amount = match outcome {
        Outcome::Succeeded => attempt.amount,
        Outcome::Failed(_) => 0,
    };
    let mut posted = Vec::new();
    if amount != 0 {
        let credit = amount.checked_neg().ok_or(ArithmeticError::Overflow)?;
        let change = (BalanceTransactionKind::InvoiceOverpaid, credit);
        posted = balance_transaction(invoice, customer, change, ids, at)?;
    }
    let late = LatePayment {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        attempt: attempt.id.clone(),
        amount,
        balance_transaction: posted.pop(),
    };
    Ok(InvoiceEvent::PaymentCameLate(late.into()))
}
