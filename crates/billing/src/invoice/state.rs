//! An invoice.

use super::{
    Attempt, Charge, DeclineCode, FinalizationError, InvoiceId, InvoicePayment, InvoicePaymentKind,
    Line, ShippingCost,
};
use crate::credit_note::CreditNoteId;
use crate::customer::{BalanceTransaction, CustomerId, Personal};
use crate::discount::{Discount, DiscountAmount};
use crate::rare::Rare;
use crate::subscription::{PauseBehavior, SubscriptionId, SubscriptionItemId};
use crate::tax::{TaxAmount, TaxExempt, TaxRateId};
use counterfoil_core::{Currency, Metadata, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// An invoice (rule 8).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Who pays.
    pub customer: CustomerId,
    /// The subscription that it bills, unless it was made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The currency of every amount on it.
    pub currency: Currency,
    /// When it was created.
    pub created: Timestamp,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Why it was made.
    pub billing_reason: BillingReason,
    /// How it is collected.
    pub collection_method: CollectionMethod,
    /// Whether it goes on by itself: finalization, collection, retries.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub auto_advance: bool,
    /// The period that it looks back on (rule 8.5).
    pub period: Period,
    /// When it must be paid, for `send_invoice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Timestamp>,
    /// When a draft finalizes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizes_at: Option<Timestamp>,
    /// Why it could not be finalized by itself, where that went wrong (rule 8.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_finalization_error: Option<Box<FinalizationError>>,
    /// The date on the document: that of finalization, unless the caller gave another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// The invoice that this one is to replace (rule 8.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<InvoiceId>,
    /// The invoice that was made last to replace this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_revision: Option<InvoiceId>,
    /// Which thresholds it was made for, where it was made for any (rule 6.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_reason: Option<Box<ThresholdReason>>,
    /// What this one corrects, where usage came for it after it was finalized (rule 12.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<Correction>,
    /// The invoice that corrected this one last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_correction: Option<InvoiceId>,
    /// What it charges for: once finalized, lines only.
    pub charges: Vec<Charge>,
    /// Its number, once finalized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The discounts on the whole invoice, fixed when it was created (rule 4.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// The tax rates of lines that have none of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_tax_rates: Vec<TaxRateId>,
    /// Whether the customer pays tax; fixed at finalization.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub customer_tax_exempt: TaxExempt,
    /// What each discount takes off all lines; fixed at finalization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub total_discount_amounts: Vec<DiscountAmount>,
    /// What each tax rate takes of all lines and of shipping; fixed at finalization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub total_taxes: Vec<TaxAmount>,
    /// What it charges for shipping; its taxes are fixed at finalization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_cost: Option<ShippingCost>,
    /// Σ of the lines less their own discounts, in minor units; fixed at finalization.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub subtotal: i64,
    /// `subtotal` after discounts, credits and taxes, with shipping; fixed at finalization.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub total: i64,
    /// The customer's balance before finalization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_balance: Option<i64>,
    /// The customer's balance after finalization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending_balance: Option<i64>,
    /// What is to be paid: as of finalization (rule 2.3), less what credit notes took off it before
    /// it was paid.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub amount_due: i64,
    /// What was paid.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub amount_paid: i64,
    /// What was paid beyond what was due; it went to the customer's balance.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub amount_overpaid: i64,
    /// What remained and is no longer asked for.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub amount_forgiven: i64,
    /// What credit notes took off the amount due.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub pre_payment_credit_notes_amount: i64,
    /// What credit notes gave back after it was paid.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub post_payment_credit_notes_amount: i64,
    /// The payments that were attached to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<InvoicePayment>,
    /// Whether what remained was paid elsewhere.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub paid_out_of_band: bool,
    /// How the balance was changed at finalization; what voiding undoes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balance_transactions: Vec<BalanceTransaction>,
    /// Attempts to collect it: the first of any kind, then the automatic retries (rule 8.8).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub attempt_count: u32,
    /// Attempts of any kind that somebody outside was asked for.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub attempts_made: u64,
    /// The next automatic attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_payment_attempt: Option<Timestamp>,
    /// The attempt whose outcome is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_attempt: Option<Box<Attempt>>,
    /// The payment methods that were declined for good, with the code: no use in trying one of
    /// them again by itself (rule 9).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hard_declines: Vec<(String, DeclineCode)>,
    /// The payment method that it is collected from, in place of those of its subscription and its
    /// customer (rule 8.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_payment_method: Option<String>,
    /// Whether all automatic attempts failed.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub retries_exhausted: bool,
    /// Whether it passed its due date unpaid.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub overdue: bool,
    /// When it changed status.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub status_transitions: StatusTransitions,
    /// What becomes of it because collection was paused when it was made (rule 6.11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_paused: Option<PauseBehavior>,
    /// Who the customer was when it was finalized, without description and metadata; personal.
    #[serde(skip)]
    pub customer_details: Rare<Personal>,
    /// Free text; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// What an invoice corrects: lines of another one for usage, because more usage came for them after
/// that was finalized (rule 12.8).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The invoice that had billed the usage before.
    pub invoice: InvoiceId,
    /// The credit note that gave back what it had billed, where that was anything and could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_note: Option<CreditNoteId>,
    /// What discounts of a fixed amount took off all that it does not bill anew: this invoice has only
    /// what is left of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<DiscountAmount>,
}

/// The thresholds that usage had reached when an invoice was made (rule 6.13).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThresholdReason {
    /// The amount that was reached, in minor units, where that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_gte: Option<i64>,
    /// The items whose usage reached their own threshold, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub item_reasons: Vec<ItemReason>,
    /// Whether new periods began with the invoice, so that it ends those that it bills.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub began_anew: bool,
}

/// An item whose usage reached its threshold.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemReason {
    /// The item.
    pub subscription_item: SubscriptionItemId,
    /// The usage that was reached.
    pub usage_gte: i64,
}

/// When an invoice changed status.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatusTransitions {
    /// When it was finalized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized_at: Option<Timestamp>,
    /// When it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Timestamp>,
    /// When it was voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voided_at: Option<Timestamp>,
    /// When it was marked uncollectible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_uncollectible_at: Option<Timestamp>,
}

/// Where an invoice stands (rule 8.1).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// It may still change.
    Draft,
    /// It is fixed and waits for its payment.
    Open,
    /// It is paid; final.
    Paid,
    /// Nobody expects it to be paid any more.
    Uncollectible,
    /// It never counted; final.
    Void,
}

/// Why an invoice was made (rule 8.3).
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BillingReason {
    /// By hand.
    Manual,
    /// A subscription began.
    SubscriptionCreate,
    /// A period of a subscription ended.
    SubscriptionCycle,
    /// A subscription was changed.
    SubscriptionUpdate,
    /// Usage of a subscription reached a threshold (rule 6.13).
    SubscriptionThreshold,
    /// What waits for an invoice of a subscription is invoiced at an interval (rule 6.1).
    AutomaticPendingInvoiceItemInvoice,
    /// It is a preview of one that has not come yet.
    Upcoming,
    /// A quote was accepted.
    QuoteAccept,
}

/// How an invoice is collected.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectionMethod {
    /// The payment method is charged when the invoice is finalized.
    #[default]
    ChargeAutomatically,
    /// The customer is sent the invoice and pays until its due date.
    SendInvoice,
}

impl InvoiceStatus {
    /// Whether an invoice that stands there is settled one way or the other: paid or void.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Paid | Self::Void)
    }
}

impl Invoice {
    /// What remains to be paid.
    #[must_use]
    pub fn amount_remaining(&self) -> i64 {
        self.amount_due.saturating_sub(self.amount_paid).saturating_sub(self.amount_forgiven)
    }

    /// The fixed lines, in order. A draft may charge for more than these.
    pub fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.charges.iter().filter_map(|charge| match charge {
            Charge::Line(line) => Some(line),
            Charge::Item(_) | Charge::Usage(_) | Charge::LateUsage(_) => None,
        })
    }

    /// What attempts brought of what was paid, in minor units: what can be refunded to a payment
    /// method.
    #[must_use]
    pub fn amount_charged(&self) -> i64 {
        let elsewhere = |payment: &InvoicePayment| match payment.kind {
            InvoicePaymentKind::PaymentIntent => 0,
            InvoicePaymentKind::PaymentRecord(_) => {
                payment.amount_paid.unwrap_or(0).saturating_sub(payment.amount_overpaid)
            }
        };
        let elsewhere = self.all_payments().iter().map(elsewhere).fold(0, i64::saturating_add);
        self.amount_paid.saturating_sub(elsewhere)
    }

    /// Takes what a credit note is about off what is due, or notes that it gave it back.
    pub(crate) fn credit(&mut self, pre: i64, post: i64) {
        self.amount_due = self.amount_due.saturating_sub(pre);
        self.pre_payment_credit_notes_amount =
            self.pre_payment_credit_notes_amount.saturating_add(pre);
        self.post_payment_credit_notes_amount =
            self.post_payment_credit_notes_amount.saturating_add(post);
    }

    /// Why a payment method was declined for good on this invoice, if it was.
    #[must_use]
    pub fn hard_decline(&self, payment_method: &str) -> Option<&DeclineCode> {
        let declined = self.hard_declines.iter().find(|(method, _)| method == payment_method);
        declined.map(|(_, code)| code)
    }

    /// The total less all tax, in minor units (rule 8.4).
    #[must_use]
    pub fn total_excluding_tax(&self) -> i64 {
        let taxes = self.total_taxes.iter().map(|tax| tax.amount);
        taxes.fold(self.total, i64::saturating_sub)
    }

    /// The subtotal less the tax in it, in minor units (rule 8.4).
    #[must_use]
    pub fn subtotal_excluding_tax(&self) -> i64 {
        let inside = self.total_taxes.iter().filter(|tax| tax.inclusive);
        let left = inside.fold(self.subtotal, |left, tax| left.saturating_sub(tax.amount));
        // The subtotal is without shipping, so the tax in that is not in it either.
        let shipping = self.shipping_cost.iter().flat_map(|cost| &cost.taxes);
        let inside = shipping.filter(|tax| tax.inclusive);
        inside.fold(left, |left, tax| left.saturating_add(tax.amount))
    }

    /// The lines for the usage of an item, with what they take back of what was billed before.
    pub fn usage_lines_of<'a>(
        &'a self,
        item: &'a SubscriptionItemId,
    ) -> impl Iterator<Item = &'a Arc<Line>> {
        self.lines().filter(move |line| {
            line.subscription_item.as_ref() == Some(item) && line.derivation.is_of_usage()
        })
    }

    /// Whether it bills usage of periods that go on: it was made for a threshold, and no new periods
    /// began with it (rule 6.13).
    #[must_use]
    pub fn bills_ahead_of_period_end(&self) -> bool {
        self.billing_reason == BillingReason::SubscriptionThreshold
            && !self.threshold_reason.as_ref().is_some_and(|reason| reason.began_anew)
    }

    /// Whether it was finalized and not voided since.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self.status, InvoiceStatus::Draft | InvoiceStatus::Void)
    }

    /// Whether it is collected by charging a payment method, by itself.
    #[must_use]
    pub fn charges_automatically(&self) -> bool {
        self.auto_advance && self.collection_method == CollectionMethod::ChargeAutomatically
    }
}

impl fmt::Display for InvoiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Draft => "draft",
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Uncollectible => "uncollectible",
            Self::Void => "void",
        })
    }
}
