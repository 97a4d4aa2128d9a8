//! Attempts to collect an invoice, and what follows when they fail (rules 8.8 and 9).

use super::decide::balance_transaction;
use super::received::collected;
use super::{
    Invoice, InvoiceEvent, InvoiceId, InvoicePaymentId, InvoiceStatus, LatePayment, Numbered,
    PaymentAttemptId,
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
    /// The attached payment that it is to bring, for a part of what remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<InvoicePaymentId>,
    /// Whether what it does not bring is no longer asked for.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub forgive: bool,
    /// Since when its payment is on its way, with a payment method whose outcome takes days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_since: Option<Timestamp>,
    /// Whether a subscription became active because its first payment is on its way: where that
    /// fails, the invoice is voided and the subscription goes on (rule 6.2).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub begins_subscription: bool,
}

/// What became of an attempt.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The payment is on its way, and what becomes of it is known in days: the attempt stays open,
    /// and another outcome follows.
    Processing,
    /// The amount was collected.
    Succeeded,
    /// Only so much of it was collected, in minor units: more than nothing, less than the amount.
    SucceededInPart(i64),
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
    /// The number of the card is wrong.
    IncorrectNumber,
    /// The card was lost.
    LostCard,
    /// The card is to be kept by whoever is shown it.
    PickupCard,
    /// The card was stolen.
    StolenCard,
    /// The customer revoked this authorization.
    RevocationOfAuthorization,
    /// The customer revoked all authorizations.
    RevocationOfAllAuthorizations,
    /// The risk was judged too high.
    HighestRiskLevel,
    /// The card does not allow such a payment.
    TransactionNotAllowed,
    /// Any other code, as the gateway gave it.
    Other(String),
}

impl DeclineCode {
    /// Every code that has a name here.
    pub const NAMED: [Self; 12] = [
        Self::NoPaymentMethod,
        Self::GenericDecline,
        Self::InsufficientFunds,
        Self::AuthenticationRequired,
        Self::IncorrectNumber,
        Self::LostCard,
        Self::PickupCard,
        Self::StolenCard,
        Self::RevocationOfAuthorization,
        Self::RevocationOfAllAuthorizations,
        Self::HighestRiskLevel,
        Self::TransactionNotAllowed,
    ];

    /// The code with a name in files; one that is not known is kept as it is.
    #[must_use]
    pub fn of(code: &str) -> Self {
        let named = Self::NAMED.into_iter().find(|named| named.as_str() == code);
        named.unwrap_or_else(|| Self::Other(code.to_owned()))
    }

    /// The code in files: `insufficient_funds`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoPaymentMethod => "no_payment_method",
            Self::GenericDecline => "generic_decline",
            Self::InsufficientFunds => "insufficient_funds",
            Self::AuthenticationRequired => "authentication_required",
            Self::IncorrectNumber => "incorrect_number",
            Self::LostCard => "lost_card",
            Self::PickupCard => "pickup_card",
            Self::StolenCard => "stolen_card",
            Self::RevocationOfAuthorization => "revocation_of_authorization",
            Self::RevocationOfAllAuthorizations => "revocation_of_all_authorizations",
            Self::HighestRiskLevel => "highest_risk_level",
            Self::TransactionNotAllowed => "transaction_not_allowed",
            Self::Other(code) => code,
        }
    }

    /// Whether trying the same payment method again is of no use (rule 9). Codes that were recorded
    /// before they had a name here count too.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        match self {
            Self::NoPaymentMethod | Self::GenericDecline | Self::InsufficientFunds => false,
            Self::AuthenticationRequired
            | Self::IncorrectNumber
            | Self::LostCard
            | Self::PickupCard
            | Self::StolenCard
            | Self::RevocationOfAuthorization
            | Self::RevocationOfAllAuthorizations
            | Self::HighestRiskLevel
            | Self::TransactionNotAllowed => true,
            Self::Other(code) => match Self::of(code) {
                Self::Other(_) => false,
                named => named.is_hard(),
            },
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
    /// How often a bank debit is tried again at most.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub bank_debits: BankDebitRetries,
}

/// How far the schedule of retries goes for payments whose outcome takes days: banks take the same debit
/// only so often (rule 9).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BankDebitRetries {
    /// How many retries there are.
    pub retries: u32,
    /// Within how many days of finalization.
    pub within_days: u32,
}

impl Default for BankDebitRetries {
    /// Two in forty days, which ACH allows.
    fn default() -> Self {
        Self { retries: 2, within_days: 40 }
    }
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
    /// It is unpaid: its next invoices stay drafts until the latest one is paid (rule 6.2).
    Unpaid,
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
            bank_debits: BankDebitRetries::default(),
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
        let BankDebitRetries { retries, within_days } = self.bank_debits;
        if usize::try_from(retries).map_or(true, |count| count > limits::PAYMENT_RETRIES_MAX) {
            let reason =
                format!("{retries} retries (the limit is {})", limits::PAYMENT_RETRIES_MAX);
            return Err(Refusal::invalid("retries.bank_debits.retries", reason));
        }
        if !(1..=limit).contains(&within_days) {
            let reason = format!("{within_days} days (retries come within 1 to {limit} days)");
            return Err(Refusal::invalid("retries.bank_debits.within_days", reason));
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

    /// The same after a bank debit failed, of an invoice that was finalized at an instant.
    ///
    /// # Errors
    /// A time beyond the calendar.
    pub fn next_debit(
        &self,
        attempt: u32,
        failed_at: Timestamp,
        finalized_at: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let BankDebitRetries { retries, within_days } = self.bank_debits;
        let latest = finalized_at.checked_add_days(i64::from(within_days))?;
        let next = self.next_attempt(attempt, failed_at)?;
        Ok(next.filter(|next| attempt <= retries && *next <= latest))
    }
}

/// What an attempt collects beside the usual: all that remains, and nothing forgiven.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// A part, as an attached payment.
    pub part: Option<(InvoicePaymentId, i64)>,
    /// Whether what it does not bring is no longer asked for.
    pub forgive: bool,
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
/// Without a payment method the attempt fails at once, and nobody outside is asked; so it does by
/// itself with a payment method that was declined for good before (rule 9). Both count as attempts,
/// and the next one stays scheduled.
///
/// # Errors
/// A next attempt beyond the calendar.
pub fn decide_attempt(
    invoice: &Invoice,
    payment_method: Option<&str>,
    id: PaymentAttemptId,
    (trigger, terms): (Trigger, Terms),
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
    if let Some(code) = invoice.hard_decline(payment_method).filter(|_| retried) {
        return failed(invoice, None, code.clone(), (attempt_count, retried), policy, at);
    }
    let (payment, amount) = match terms.part {
        Some((payment, amount)) => (Some(payment), amount),
        None => (None, invoice.amount_remaining()),
    };
    let attempt = Attempt {
        id,
        invoice: invoice.id.clone(),
        customer: invoice.customer.clone(),
        amount,
        currency: invoice.currency,
        payment_method: payment_method.to_owned(),
        created: at,
        retried,
        payment,
        forgive: terms.forgive,
        processing_since: None,
        begins_subscription: false,
    };
    Ok(InvoiceEvent::PaymentAttempted { attempt, attempt_count })
}

/// Takes the outcome of the attempt that an invoice awaits: what is collected pays what remains by
/// now, and the rest of it is credit of the customer. Where an attempt for all that remains brought
/// only a part, it failed for the rest, unless that is forgiven.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for a part that is none; an amount or a time out of range.
pub fn decide_outcome(
    invoice: &Invoice,
    attempt: &Attempt,
    outcome: &Outcome,
    customer: &Customer,
    policy: &RetryPolicy,
    ids: &mut dyn Numbered,
    at: Timestamp,
) -> Result<Vec<InvoiceEvent>, Refusal> {
    if let Outcome::SucceededInPart(part) = outcome
        && !(1..attempt.amount).contains(part)
    {
        let reason = format!("{part} is no part of the {} that was asked for", attempt.amount);
        return Err(Refusal::invalid("amount", reason));
    }
    if *outcome == Outcome::Processing {
        return Ok(vec![decide_processing(invoice, attempt, false, at)?]);
    }
    if !matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
        return Ok(vec![late(invoice, attempt, outcome, customer, ids, at)?]);
    }
    let count = (invoice.attempt_count, attempt.retried);
    let failed = |code| failed(invoice, Some(attempt), code, count, policy, at);
    let amount = match outcome {
        Outcome::Succeeded => attempt.amount,
        Outcome::SucceededInPart(part) => *part,
        Outcome::Failed(code) => return Ok(vec![failed(code.clone())?]),
        Outcome::Processing => 0,
    };
    if attempt.payment.is_none() && amount == invoice.amount_remaining() {
        return Ok(vec![paid(invoice, Some(attempt.id.clone()), at)]);
    }
    let received = collected(invoice, attempt, amount, customer, ids, at)?;
    let short = attempt.payment.is_none() && !received.settled;
    let mut events = vec![received.into()];
    if short {
        events.push(failed(DeclineCode::InsufficientFunds)?);
    }
    Ok(events)
}

/// Notes that the payment of an attempt is on its way.
///
/// # Errors
/// [`Refusal::StateUnsupported`] where that is known already.
pub fn decide_processing(
    invoice: &Invoice,
    attempt: &Attempt,
    begins_subscription: bool,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    if attempt.processing_since.is_some() {
        let reason = "that it is on its way is known already";
        return Err(Refusal::state("payment_attempt", &attempt.id, "processing", reason));
    }
    Ok(InvoiceEvent::PaymentProcessing {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        attempt: attempt.id.clone(),
        begins_subscription,
    })
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
    attempt: Option<&Attempt>,
    code: DeclineCode,
    (attempt_count, retried): (u32, bool),
    policy: &RetryPolicy,
    at: Timestamp,
) -> Result<InvoiceEvent, Refusal> {
    let scheduled = retried && invoice.charges_automatically();
    let is_debit = attempt.is_some_and(|own| own.processing_since.is_some());
    let next_payment_attempt = if scheduled && is_debit {
        let finalized_at = invoice.status_transitions.finalized_at.unwrap_or(invoice.created);
        policy.next_debit(attempt_count, at, finalized_at)?
    } else if scheduled {
        policy.next_attempt(attempt_count, at)?
    } else {
        // A failure by hand leaves the schedule as it was.
        invoice.next_payment_attempt
    };
    Ok(InvoiceEvent::PaymentFailed {
        customer: invoice.customer.clone(),
        id: invoice.id.clone(),
        at,
        attempt: attempt.map(|own| own.id.clone()),
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
        Outcome::SucceededInPart(part) => *part,
        Outcome::Failed(_) | Outcome::Processing => 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_name_and_is_hard_or_not() {
        let soft = ["no_payment_method", "generic_decline", "insufficient_funds"];
        for code in DeclineCode::NAMED {
            let name = code.as_str().to_owned();
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("{name:?}"));
            assert_eq!(DeclineCode::of(&name), code);
            assert_eq!(code.is_hard(), !soft.contains(&name.as_str()), "{name}");
            // As it was recorded before it had a name.
            assert_eq!(DeclineCode::Other(name).is_hard(), code.is_hard());
        }
        let other = DeclineCode::of("do_not_honor");
        assert_eq!(other, DeclineCode::Other("do_not_honor".to_owned()));
        assert!(!other.is_hard());
    }

    #[test]
    fn the_schedule_has_any_number_of_offsets() {
        let at = Timestamp::parse("2025-02-01T01:00:00Z").unwrap();
        let day = |days: i64| Some(at.checked_add_days(days).unwrap());
        let eight = RetryPolicy { after_days: vec![1, 2, 1, 3, 1, 2, 2, 2], ..Default::default() };
        let none = RetryPolicy { after_days: Vec::new(), ..Default::default() };
        for (policy, attempt, expected) in [
            (&eight, 1, day(1)),
            (&eight, 4, day(3)),
            (&eight, 8, day(2)),
            (&eight, 9, None),
            (&none, 1, None),
        ] {
            assert_eq!(policy.next_attempt(attempt, at).unwrap(), expected, "{attempt}");
            policy.check().unwrap();
        }
        // A bank debit is tried again twice within forty days, whatever the schedule says.
        for (attempt, failed_after, expected) in
            [(1, 4, day(5)), (2, 38, day(40)), (2, 39, None), (3, 9, None)]
        {
            let failed_at = day(failed_after).unwrap();
            assert_eq!(eight.next_debit(attempt, failed_at, at).unwrap(), expected, "{attempt}");
        }
        for (retries, within_days) in [(21, 40), (2, 0), (2, 91)] {
            let bank_debits = BankDebitRetries { retries, within_days };
            RetryPolicy { bank_debits, ..Default::default() }.check().unwrap_err();
        }
        for wrong in [vec![0], vec![91], vec![1; 21]] {
            let policy = RetryPolicy { after_days: wrong, ..Default::default() };
            policy.check().unwrap_err();
        }
    }
}
