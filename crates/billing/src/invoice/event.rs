//! What happened to an invoice.

use super::{
    Attempt, Charge, DeclineCode, Deferral, Invoice, InvoiceId, InvoiceItem, InvoiceItemId,
    InvoiceStatus, Line, PaymentAttemptId, PaymentReceived, ShippingCost,
};
use crate::PersonalData;
use crate::customer::{BalanceTransaction, CustomerId, Personal};
use crate::discount::{DiscountAmount, DiscountId};
use crate::rare::Rare;
use crate::tax::{TaxAmount, TaxExempt};
use counterfoil_core::{Currency, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to an invoice or to an item that waits for one.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvoiceEvent {
    /// An item was created; it waits for an invoice or was put on a draft.
    ItemCreated(Arc<InvoiceItem>),
    /// An item was changed.
    ItemUpdated(Arc<InvoiceItem>),
    /// An item was removed.
    ItemDeleted {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceItemId,
        /// When.
        at: Timestamp,
    },
    /// A draft was made; the items among its charges wait no longer.
    Created(Arc<Invoice>),
    /// A draft was dropped; its items wait again.
    Deleted {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
    },
    /// A draft was fixed.
    Finalized(Arc<Finalized>),
    /// It no longer goes on by itself, or does so again.
    AutoAdvanceSet {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// Whether it goes on by itself.
        auto_advance: bool,
    },
    /// It was sent to the customer.
    Sent {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
    },
    /// Somebody outside was asked to collect it.
    PaymentAttempted {
        /// The attempt.
        attempt: Attempt,
        /// How many attempts count so far.
        attempt_count: u32,
    },
    /// The payment of the attempt is on its way: its outcome takes days.
    PaymentProcessing {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// The attempt.
        attempt: PaymentAttemptId,
        /// Whether its subscription is active from now on because of it.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        begins_subscription: bool,
    },
    /// It was paid.
    Paid {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// The attempt that succeeded; none where it was paid elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<PaymentAttemptId>,
        /// How much, in minor units.
        amount: i64,
        /// The currency.
        currency: Currency,
        /// Whether it was uncollectible before.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        recovered: bool,
    },
    /// An attempt failed, or could not be made.
    PaymentFailed {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// The attempt; none where there was no payment method to charge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<PaymentAttemptId>,
        /// Why.
        code: DeclineCode,
        /// How many attempts count so far.
        attempt_count: u32,
        /// When the next automatic attempt is due.
        next_payment_attempt: Option<Timestamp>,
        /// Whether this was the last automatic attempt.
        retries_exhausted: bool,
    },
    /// The outcome of an attempt came when the invoice no longer waited for it.
    PaymentCameLate(Arc<LatePayment>),
    /// It passed its due date unpaid.
    Overdue {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
    },
    /// Nobody expects it to be paid any more.
    MarkedUncollectible {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// What remained to be paid, in minor units.
        amount: i64,
        /// The currency.
        currency: Currency,
    },
    /// It never counted.
    Voided(Arc<Voided>),
    /// Money came for it: a part of what remained, more than that, or by an attached payment.
    PaymentReceived(Arc<PaymentReceived>),
    /// It was changed by hand; this is what it is now.
    Updated {
        /// When.
        at: Timestamp,
        /// The invoice from now on.
        invoice: Arc<Invoice>,
    },
    /// It could not be finalized by itself, and stays a draft until somebody mends it.
    FinalizationFailed {
        /// Whose.
        customer: CustomerId,
        /// Which.
        id: InvoiceId,
        /// When.
        at: Timestamp,
        /// Why.
        error: FinalizationError,
    },
}

/// A finalized invoice: everything that was computed for it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finalized {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub id: InvoiceId,
    /// When.
    pub at: Timestamp,
    /// Its number.
    pub number: String,
    /// The currency.
    pub currency: Currency,
    /// Its lines.
    pub lines: Vec<Arc<Line>>,
    /// Σ of the lines less their own discounts.
    pub subtotal: i64,
    /// What it comes to.
    pub total: i64,
    /// The customer's balance before.
    pub starting_balance: i64,
    /// The customer's balance after.
    pub ending_balance: i64,
    /// How the balance got there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balance_transactions: Vec<BalanceTransaction>,
    /// What is to be paid.
    pub amount_due: i64,
    /// Open, or paid at once where nothing is due.
    pub status: InvoiceStatus,
    /// Whether it goes on by itself.
    pub auto_advance: bool,
    /// What each discount takes off all lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub total_discount_amounts: Vec<DiscountAmount>,
    /// What each tax rate takes of all lines and of shipping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub total_taxes: Vec<TaxAmount>,
    /// What it charges for shipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_cost: Option<ShippingCost>,
    /// Whether the customer pays tax.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub customer_tax_exempt: TaxExempt,
    /// The discounts for one invoice that this one used up: no other has them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts_used_up: Vec<DiscountId>,
    /// Who the customer is at this moment; personal.
    #[serde(skip)]
    pub customer_details: Rare<Personal>,
}

/// Why a draft could not be finalized by itself.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizationError {
    /// The code of the refusal.
    pub code: String,
    /// What was wrong.
    pub message: String,
}

/// A voided invoice: everything that was undone.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub id: InvoiceId,
    /// When.
    pub at: Timestamp,
    /// The currency.
    pub currency: Currency,
    /// The revenue that is not earned after all.
    pub released: Vec<Deferral>,
    /// What remained to be paid.
    pub amount_remaining: i64,
    /// Whether it was uncollectible before.
    pub was_uncollectible: bool,
    /// How the balance was restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balance_transactions: Vec<BalanceTransaction>,
    /// The tax that is not owed to an authority after all, in minor units.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub released_tax: i64,
    /// The discounts that were not given after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released_discounts: Vec<Deferral>,
}

/// The outcome of an attempt on an invoice that no longer waited for it (point 67).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatePayment {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub id: InvoiceId,
    /// When.
    pub at: Timestamp,
    /// The attempt.
    pub attempt: PaymentAttemptId,
    /// What was collected, in minor units; 0 where the attempt failed.
    pub amount: i64,
    /// The credit that the customer was given for it.
    pub balance_transaction: Option<BalanceTransaction>,
}

impl InvoiceEvent {
    /// Whose invoice or item.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        match self {
            Self::ItemCreated(item) | Self::ItemUpdated(item) => &item.customer,
            Self::Created(invoice) | Self::Updated { invoice, .. } => &invoice.customer,
            Self::Finalized(finalized) => &finalized.customer,
            Self::PaymentAttempted { attempt, .. } => &attempt.customer,
            Self::PaymentCameLate(late) => &late.customer,
            Self::Voided(voided) => &voided.customer,
            Self::PaymentReceived(received) => &received.customer,
            Self::ItemDeleted { customer, .. }
            | Self::Deleted { customer, .. }
            | Self::AutoAdvanceSet { customer, .. }
            | Self::Sent { customer, .. }
            | Self::Paid { customer, .. }
            | Self::PaymentProcessing { customer, .. }
            | Self::PaymentFailed { customer, .. }
            | Self::Overdue { customer, .. }
            | Self::MarkedUncollectible { customer, .. }
            | Self::FinalizationFailed { customer, .. } => customer,
        }
    }

    /// The invoice, for the events of one that exists already.
    #[must_use]
    pub fn invoice(&self) -> Option<&InvoiceId> {
        match self {
            Self::ItemCreated(_)
            | Self::ItemUpdated(_)
            | Self::ItemDeleted { .. }
            | Self::Created(_)
            | Self::Deleted { .. } => None,
            Self::Updated { invoice, .. } => Some(&invoice.id),
            Self::Finalized(finalized) => Some(&finalized.id),
            Self::PaymentAttempted { attempt, .. } => Some(&attempt.invoice),
            Self::PaymentCameLate(late) => Some(&late.id),
            Self::Voided(voided) => Some(&voided.id),
            Self::PaymentReceived(received) => Some(&received.id),
            Self::AutoAdvanceSet { id, .. }
            | Self::Sent { id, .. }
            | Self::Paid { id, .. }
            | Self::PaymentProcessing { id, .. }
            | Self::PaymentFailed { id, .. }
            | Self::Overdue { id, .. }
            | Self::MarkedUncollectible { id, .. }
            | Self::FinalizationFailed { id, .. } => Some(id),
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::ItemCreated(item) | Self::ItemUpdated(item) => item.personal(),
            Self::Created(invoice) | Self::Updated { invoice, .. } => invoice.personal(),
            Self::Finalized(finalized) => finalized.personal(),
            _ => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::ItemCreated(item) | Self::ItemUpdated(item) => {
                Arc::make_mut(item).set_personal(data);
            }
            Self::Created(invoice) | Self::Updated { invoice, .. } => {
                Arc::make_mut(invoice).set_personal(data);
            }
            Self::Finalized(finalized) => Arc::make_mut(finalized).set_personal(data),
            _ => {}
        }
    }

    /// The changes of the customer's balance that the event made, in order.
    pub fn balance_transactions(&self) -> impl Iterator<Item = &BalanceTransaction> {
        let (several, one) = match self {
            Self::Finalized(finalized) => (finalized.balance_transactions.as_slice(), None),
            Self::Voided(voided) => (voided.balance_transactions.as_slice(), None),
            Self::PaymentCameLate(late) => ([].as_slice(), late.balance_transaction.as_ref()),
            Self::PaymentReceived(received) => {
                ([].as_slice(), received.balance_transaction.as_ref())
            }
            _ => ([].as_slice(), None),
        };
        several.iter().chain(one)
    }

    /// Applies the event to the invoice it names.
    pub fn evolve(&self, invoice: &mut Invoice) {
        match self {
            Self::ItemCreated(_)
            | Self::ItemUpdated(_)
            | Self::ItemDeleted { .. }
            | Self::Created(_)
            | Self::Deleted { .. }
            | Self::Sent { .. } => {}
            Self::Updated { invoice: updated, .. } => invoice.clone_from(updated),
            Self::FinalizationFailed { error, .. } => {
                invoice.auto_advance = false;
                invoice.last_finalization_error = Some(Box::new(error.clone()));
            }
            Self::Finalized(finalized) => finalized.evolve(invoice),
            Self::AutoAdvanceSet { auto_advance, .. } => {
                invoice.auto_advance = *auto_advance;
                if !auto_advance {
                    invoice.next_payment_attempt = None;
                }
            }
            Self::PaymentAttempted { attempt, attempt_count } => {
                invoice.await_payment(attempt);
                invoice.open_attempt = Some(Box::new(attempt.clone()));
                invoice.attempt_count = *attempt_count;
                invoice.attempts_made = invoice.attempts_made.saturating_add(1);
                // An attempt by hand leaves the schedule of retries as it is.
                if attempt.retried {
                    invoice.next_payment_attempt = None;
                }
            }
            Self::PaymentProcessing { at, begins_subscription, .. } => {
                if let Some(attempt) = &mut invoice.open_attempt {
                    attempt.processing_since = Some(*at);
                    attempt.begins_subscription = *begins_subscription;
                }
            }
            Self::Paid { at, amount, attempt, .. } => {
                invoice.amount_paid = invoice.amount_paid.saturating_add(*amount);
                invoice.paid_out_of_band = attempt.is_none();
                invoice.open_attempt = None;
                invoice.settle(*at);
            }
            Self::PaymentReceived(received) => {
                received.evolve(invoice);
                if received.settled {
                    invoice.settle(received.at);
                }
            }
            Self::PaymentFailed {
                at,
                attempt,
                code,
                attempt_count,
                next_payment_attempt,
                retries_exhausted,
                ..
            } => {
                let failed = invoice.open_attempt.take();
                let failed = failed.filter(|open| attempt.as_ref() == Some(&open.id));
                if let Some(failed) = &failed {
                    invoice.end_payment(failed, 0, *at);
                }
                if let Some(failed) = failed.filter(|_| code.is_hard())
                    && invoice.hard_decline(&failed.payment_method).is_none()
                {
                    invoice.hard_declines.push((failed.payment_method, code.clone()));
                }
                invoice.attempt_count = *attempt_count;
                invoice.next_payment_attempt = *next_payment_attempt;
                invoice.retries_exhausted |= *retries_exhausted;
            }
            Self::PaymentCameLate(late) => {
                if let Some(open) = invoice.open_attempt.take() {
                    invoice.end_payment(&open, late.amount, late.at);
                }
                invoice.amount_overpaid = invoice.amount_overpaid.saturating_add(late.amount);
            }
            Self::Overdue { .. } => invoice.overdue = true,
            Self::MarkedUncollectible { at, .. } => {
                close(invoice, InvoiceStatus::Uncollectible);
                invoice.status_transitions.marked_uncollectible_at = Some(*at);
            }
            Self::Voided(voided) => {
                close(invoice, InvoiceStatus::Void);
                invoice.status_transitions.voided_at = Some(voided.at);
            }
        }
    }
}

impl Finalized {
    /// The same without anything taken from the balance or given to it: nobody will be asked to pay
    /// it. None where it comes to less than nothing, which somebody is owed.
    #[must_use]
    pub fn without_collection(mut self) -> Option<Self> {
        if self.total < 0 {
            return None;
        }
        self.ending_balance = self.starting_balance;
        self.balance_transactions.clear();
        self.discounts_used_up.clear();
        self.amount_due = self.total;
        (self.status, self.auto_advance) = (InvoiceStatus::Open, false);
        Some(self)
    }

    fn evolve(&self, invoice: &mut Invoice) {
        invoice.status = self.status;
        invoice.number = Some(self.number.clone());
        invoice.charges = self.lines.iter().cloned().map(Charge::Line).collect();
        invoice.subtotal = self.subtotal;
        invoice.total = self.total;
        invoice.starting_balance = Some(self.starting_balance);
        invoice.ending_balance = Some(self.ending_balance);
        invoice.balance_transactions.clone_from(&self.balance_transactions);
        invoice.amount_due = self.amount_due;
        invoice.total_discount_amounts.clone_from(&self.total_discount_amounts);
        invoice.total_taxes.clone_from(&self.total_taxes);
        invoice.shipping_cost.clone_from(&self.shipping_cost);
        invoice.customer_tax_exempt = self.customer_tax_exempt;
        invoice.auto_advance = self.auto_advance;
        invoice.finalizes_at = None;
        invoice.last_finalization_error = None;
        invoice.effective_at.get_or_insert(self.at);
        invoice.customer_details.clone_from(&self.customer_details);
        invoice.status_transitions.finalized_at = Some(self.at);
        if self.status == InvoiceStatus::Paid {
            invoice.auto_advance = false;
            invoice.status_transitions.paid_at = Some(self.at);
        }
    }
}

impl Invoice {
    /// Nothing remains to be paid.
    pub(crate) fn settle(&mut self, at: Timestamp) {
        close(self, InvoiceStatus::Paid);
        self.status_transitions.paid_at = Some(at);
    }
}

/// Paid, void and uncollectible invoices do nothing by themselves any more (rule 8.2).
fn close(invoice: &mut Invoice, status: InvoiceStatus) {
    invoice.status = status;
    invoice.auto_advance = false;
    invoice.next_payment_attempt = None;
}
